"""The invited side of a session: a member of a group, or the one who is called point to point.

    Invited ─► Accepted ──(GROUP_WELCOME)──► Welcomed ──(channel subscribed, GROUP_ACK)──► Joined

    Joined ─┬─► Leaving ──(LEAVE_REPLY)──────────► over
            ├─► Removed ──(LEAVE_REQUEST)────────► over
            └──(GROUP_CLOSE, LEAVE_REQUEST)──────► over

Control messages count only when they come from the moderator. Each copy of one that was carried out already
is answered again, once per copy (`session.md` 14, points 2, 3, 8): its answer may have been lost.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from actors.errors import SessionClosed, SessionError
from actors.messages.session import (
    Bound,
    CloseSession,
    Invite,
    MemberJoined,
    MemberLeft,
    Moved,
    PeerAlive,
    RemoveMember,
)
from actors.messages.wire import (
    LEAVING_SESSION,
    TRUE,
    GroupAck,
    GroupAdd,
    GroupRemove,
    GroupWelcome,
    JoinReply,
    JoinRequest,
    LeaveReply,
    LeaveRequest,
    MessageType,
    Ping,
    SessionMessage,
)
from actors.names import Key, Name
from actors.record import record
from actors.session.bounds import JOIN_TIME, MEMBERS
from actors.session.conversation import Conversation
from actors.session.crypto import at_once
from actors.session.effects import Event
from actors.session.encryption import Encryption, Phase
from actors.session.membership.failures import disconnected, not_moderator
from actors.session.membership.liveness import Verdict, Watchdog, strikes_of
from actors.session.membership.requests import PendingRequest
from actors.session.peers import TRAITS, PeerGeneration
from actors.session.turn import Turn
from identity.errors import SlimError

_CARRIED_OUT = 64
"""Membership changes whose ids are remembered, to answer copies without applying them again."""
_NO_MESSAGE = -1
"""An id that no message has."""
_JOIN_REQUEST, _JOIN_REPLY, _PING = MessageType.JOIN_REQUEST, MessageType.JOIN_REPLY, MessageType.PING

# Where we are


@record
class _Invited(NamedTuple):
    """The JOIN_REQUEST `invitation` is to be answered, once our leaf has a credential."""

    invitation: int
    until: float


@record
class _Accepted(NamedTuple):
    """JOIN_REPLY is sent; the welcome is awaited."""

    until: float


@record
class _Welcomed(NamedTuple):
    """The channel is being subscribed; `welcome` is acknowledged then."""

    welcome: SessionMessage


@record
class _Joined(NamedTuple):
    """A member."""


@record
class _Leaving(NamedTuple):
    """We said goodbye; LEAVE_REPLY is awaited."""


@record
class _Removed(NamedTuple):
    """The others know that we are out; LEAVE_REQUEST is awaited."""

    until: float


_State = _Invited | _Accepted | _Welcomed | _Joined | _Leaving | _Removed

# Written out, a union would be made anew each time that it is asked for.
_COMING, _GONE = (_Invited, _Accepted), (_Leaving, _Removed)
_UNTIL = (*_COMING, _Removed)
"""States that do not last."""


class Participant:
    """The invited side. `invitation` is the JOIN_REQUEST, which comes to `control` too, as the first message.

    `destination` of the session is the channel, or the initiator point to point.
    """

    __slots__ = (
        "_carried_out",
        "_commit_id",
        "_connection",
        "_conversation",
        "_generation",
        "_grace",
        "_join_replies",
        "_moderator",
        "_others",
        "_state",
        "_watchdog",
    )

    def __init__(self, conversation: Conversation, invitation: SessionMessage, now: float) -> None:
        self._conversation = conversation
        self._moderator = invitation.source
        self._connection = invitation.connection
        self._generation = PeerGeneration.UNKNOWN
        self._state: _State = _Invited(_NO_MESSAGE, now + JOIN_TIME)
        self._join_replies: dict[int, SessionMessage] = {}
        """Our answer, by the invitation's id, for copies of it; no more than one."""
        self._grace = math.inf
        """Once we are to close: until when to wait for anything."""
        self._others: dict[Key, Name] = {}
        self._carried_out: dict[int, None] = {}
        self._commit_id = 0
        """The number of the newest commit that is in force; 0: no Welcome yet."""
        asked = invitation.content.outage if isinstance(invitation.content, JoinRequest) else 0
        interval, own = conversation.settings.ping_interval, conversation.settings.outage
        self._watchdog = Watchdog(
            interval, self._moderator, conversation.data.receiver.progress, strikes_of(interval, own, asked)
        )

    @property
    def members(self) -> tuple[Name, ...]:
        return (self._conversation.local, *self._others.values())

    # Operations

    def operate(self, event: Event, turn: Turn) -> None:
        match event:
            case Invite() | RemoveMember():
                why = "only its moderator can" if self._conversation.group else "point to point"
                error = not_moderator(self._conversation, event, f"this session: {why}")
                turn.answer(event.handle, error, event.inbox)
            case CloseSession():
                self._close(event, turn)
            case Bound():
                self._bound(event, turn)
            case Moved():
                if self._connection in event.gone:
                    self._connection = event.connection
            case PeerAlive():
                if event.peer == self._moderator:
                    self._watchdog.alive()
            case _:
                pass

    def _close(self, event: CloseSession, turn: Turn) -> None:
        data = self._conversation.data
        if event.handle is not None:
            self._conversation.ending.await_by(event.handle)
        if isinstance(self._state, _Removed):
            self._conversation.end(None, turn)
        elif not data.draining:
            data.draining = True
            self._grace = turn.now + event.grace

    def progress(self, turn: Turn) -> None:
        data = self._conversation.data
        if not data.draining or isinstance(self._state, _GONE):
            return
        if data.unacknowledged and turn.now < self._grace:
            return
        self._leave(turn)

    def _leave(self, turn: Turn) -> None:
        """Say goodbye (`session.md` 9.2): stop receiving first."""
        conversation = self._conversation
        self._state = _Leaving()
        if conversation.group:
            turn.unbind(conversation.destination)
        request = conversation.message(
            MessageType.LEAVE_REQUEST,
            self._moderator,
            LeaveRequest(),
            metadata={LEAVING_SESSION: TRUE},
            connection=self._connection,
        )
        conversation.requests.start(request, {self._moderator}, turn)

    def _left(self, error: SlimError | None, turn: Turn) -> None:
        self._conversation.ending.answer(error, turn)
        self._conversation.end(None, turn)

    def obeys(self, message: SessionMessage) -> bool:
        """Whoever is not the moderator orders nothing here, and the moderator is known like all members."""
        return False

    # Control messages

    def control(self, message: SessionMessage, turn: Turn) -> None:
        kind, content = message.kind, message.content
        if message.source != self._moderator:
            turn.refuse(f"{kind.name} from {message.source.short}: it is not the moderator")
            return
        conversation = self._conversation
        if kind is _JOIN_REQUEST:
            self._invited(message, turn)
        elif isinstance(content, GroupWelcome):
            self._welcomed(message, content, turn)
        elif kind is _PING:
            self._pinged(message, turn)
        elif kind is MessageType.GROUP_CLOSE:
            reply = conversation.reply(message, MessageType.GROUP_ACK, GroupAck())
            # Point to point nobody called it a moderator.
            who = "the moderator" if conversation.group else "the other side"
            self._over(reply, f"closed by {who}", turn)
        elif kind is MessageType.LEAVE_REQUEST:
            reply = conversation.reply(message, MessageType.LEAVE_REPLY, LeaveReply())
            self._over(reply, "removed by the moderator", turn)
        elif kind is MessageType.LEAVE_REPLY:
            if conversation.requests.answered(message) is not None:
                self._left(None, turn)
        elif isinstance(content, GroupAdd | GroupRemove):
            self._membership(message, content, turn)
        elif kind not in (MessageType.GROUP_ACK, MessageType.GROUP_NACK):
            turn.refuse(f"{kind.name} from {message.source.short}: this side is not the moderator")

    def _pinged(self, message: SessionMessage, turn: Turn) -> None:
        self._watchdog.pinged()
        if self._generation is PeerGeneration.UNKNOWN:
            self._generation = PeerGeneration.PINGING
        local = self._conversation.local
        turn.send(message._replace(source=local, destination=message.source, content=Ping(), identity=""))

    def _over(self, reply: SessionMessage, cause: str, turn: Turn) -> None:
        turn.send(reply)
        self._conversation.ending.farewells.append(reply)
        self._end(cause, turn)

    def _end(self, cause: str, turn: Turn) -> None:
        self._conversation.end(SessionClosed(cause, session_id=self._conversation.session_id), turn)

    # Joining

    def _invited(self, message: SessionMessage, turn: Turn) -> None:
        reply = self._join_replies.get(message.message_id)
        if reply is not None:
            turn.send(reply._replace(connection=message.connection))
            return
        state, content = self._state, message.content
        weaker = not (isinstance(content, JoinRequest) and content.mls)
        if weaker and self._conversation.encryption is not None:
            turn.refuse(f"JOIN_REQUEST from {message.source}: it asks for clear text", alarming=True)
            return
        if not isinstance(state, _COMING):
            # A moderator that invites a member it has already lost it: begin again with its next attempt.
            self._end("invited anew", turn)
            return
        if isinstance(state, _Invited) and state.invitation == message.message_id:
            return
        self._state = _Invited(message.message_id, state.until)
        self._generation = self._conversation.peer_generation(message.identity)
        encryption = self._conversation.encryption
        if encryption is None:
            self._accept(message, None, turn)
            return
        make = encryption.crypto.key_package
        encryption.start_with_credential(
            lambda: at_once(make),
            lambda key_package, turn: self._accept(message, key_package, turn),
            self._no_key_package,
            turn,
        )

    def _accept(self, invitation: SessionMessage, key_package: bytes | None, turn: Turn) -> None:
        content = JoinReply(key_package, math.ceil(self._conversation.settings.outage))
        introduction = self._conversation.introduction
        reply = self._conversation.reply(invitation, _JOIN_REPLY, content, introduction)
        self._join_replies = {invitation.message_id: reply}
        if isinstance(self._state, _Invited):
            self._state = _Accepted(self._state.until)
        turn.send(reply)

    def _no_key_package(self, phase: Phase, error: SlimError, turn: Turn) -> None:
        lacks = phase is Phase.CREDENTIAL
        what = "no credential for MLS" if lacks else "no key package"
        turn.refuse(f"invitation of {self._moderator}: {what}: {error}", alarming=lacks)
        self._conversation.end(error, turn)

    def _welcomed(self, message: SessionMessage, content: GroupWelcome, turn: Turn) -> None:
        state, encryption, mls = self._state, self._conversation.encryption, content.mls
        if isinstance(state, _Welcomed):
            self._state = _Welcomed(message)
        elif not isinstance(state, _COMING):
            self._conversation.acknowledge(message, turn)
        elif not self._join_replies or len(content.participants) > MEMBERS:
            turn.refuse(f"GROUP_WELCOME from {message.source} does not fit the invitation")
        elif encryption is None:
            self._enter(message, content, turn)
        elif mls is None:
            turn.refuse(f"GROUP_WELCOME from {self._moderator} lacks the MLS Welcome")
        elif not encryption.busy:
            crypto, subject = encryption.crypto, self._conversation.senders.subject(message.identity)
            encryption.start(
                lambda: crypto.join(mls.content, self._moderator, subject),
                lambda _, turn: self._enter(message, content, turn),
                lambda _, error, turn: turn.refuse(
                    f"GROUP_WELCOME from {self._moderator}: {error}", alarming=True
                ),
                turn,
            )

    def _enter(self, message: SessionMessage, content: GroupWelcome, turn: Turn) -> None:
        """The Welcome is good, if there was one."""
        conversation = self._conversation
        conversation.introduced(message)
        if content.mls is not None:
            self._commit_id = content.mls.commit_id
        if message.connection is not None:
            self._connection = message.connection
        known = {name.key: name for name in content.participants if name.key != conversation.local.key}
        self._others = {self._moderator.key: self._moderator, **known}
        for name in self._others.values():
            # Point to point both begin with this session; in a group we come in where the others stand.
            conversation.data.admit(name, from_start=not conversation.group)
            self._bind(name, turn)
        if conversation.group and self._connection is not None:
            self._state = _Welcomed(message)
            turn.subscribe(conversation.destination, self._connection)
        else:
            self._stand(message, turn)

    def _bound(self, event: Bound, turn: Turn) -> None:
        state = self._state
        if not isinstance(state, _Welcomed) or event.name != self._conversation.destination:
            return
        if event.error is not None:
            turn.refuse(f"cannot receive for {self._conversation.destination}: {event.error}")
            self._conversation.end(event.error, turn)
            return
        self._stand(state.welcome, turn)

    def _stand(self, welcome: SessionMessage, turn: Turn) -> None:
        """We can receive: acknowledge the welcome, and the session is there."""
        self._state = _Joined()
        self._watchdog.start(turn.now, self._generation)
        self._conversation.acknowledge(welcome, turn)
        turn.announce()
        for name in self._others.values():
            self._conversation.data.open_up(name, turn, new=False)
        self._conversation.tell_epoch(self.members, "joined", turn)

    # Membership

    def _membership(self, message: SessionMessage, content: GroupAdd | GroupRemove, turn: Turn) -> None:
        if isinstance(self._state, _COMING):
            # Not ours yet: the Welcome will bring what this one tells.
            return
        encryption, mls = self._conversation.encryption, content.mls
        if message.message_id in self._carried_out:
            self._conversation.acknowledge(message, turn)
        elif encryption is None:
            self._carry_out(message, content, turn)
        elif mls is None:
            turn.refuse(f"a membership change of {self._moderator} lacks its commit")
        elif mls.commit_id <= self._commit_id:
            self._conversation.acknowledge(message, turn)
        elif mls.commit_id == self._commit_id + 1 and not encryption.busy:
            self._commit(encryption, message, content, mls.content, turn)
        # One that is ahead of its turn changes nothing and is not acknowledged: it comes again (11.5).

    def _carry_out(self, message: SessionMessage, content: GroupAdd | GroupRemove, turn: Turn) -> None:
        """The change counts: keep the list, and tell the moderator."""
        self._carried_out[message.message_id] = None
        if len(self._carried_out) > _CARRIED_OUT:
            del self._carried_out[next(iter(self._carried_out))]
        if isinstance(content, GroupAdd):
            self._add(content.new_participant, turn)
        else:
            self._remove(content.removed_participant, turn)
        if self._conversation.encryption is None:
            # With MLS nothing can be missed: commits count in their order.
            self._catch_up(content, turn)
        self._conversation.acknowledge(message, turn)

    def _catch_up(self, content: GroupAdd | GroupRemove, turn: Turn) -> None:
        """Each change tells the whole list: whatever we missed before it is made good."""
        names = content.participants
        if self._moderator not in names or len(names) > MEMBERS or not all(name.has_id for name in names):
            return
        gone = content.removed_participant if isinstance(content, GroupRemove) else None
        listed = {name for name in names if name != gone}
        for name in [name for name in self._others.values() if name not in listed]:
            self._remove(name, turn)
        for name in names:
            if name in listed:
                self._add(name, turn)

    def _commit(
        self,
        encryption: Encryption,
        message: SessionMessage,
        content: GroupAdd | GroupRemove,
        commit: bytes,
        turn: Turn,
    ) -> None:
        """Apply the commit that follows the last one, then carry out the change that it is of."""
        crypto, before = encryption.crypto, encryption.crypto.epoch
        added = content.new_participant if isinstance(content, GroupAdd) else None

        def applied(_: None, turn: Turn) -> None:
            self._commit_id += 1
            self._carry_out(message, content, turn)
            if crypto.epoch != before:
                self._conversation.tell_epoch(self.members, f"commit {self._commit_id}", turn)

        def refused(_: Phase, error: SlimError, turn: Turn) -> None:
            reason = f"commit {self._commit_id + 1} of {self._moderator}: {error}"
            turn.refuse(reason, alarming=True)

        encryption.start(lambda: at_once(lambda: crypto.process(commit, added)), applied, refused, turn)

    def _add(self, name: Name, turn: Turn) -> None:
        conversation = self._conversation
        if name.key == conversation.local.key or name.key in self._others or len(self._others) >= MEMBERS:
            return
        self._others[name.key] = name
        conversation.data.admit(name, from_start=True)
        conversation.data.open_up(name, turn)
        self._bind(name, turn)
        turn.tell(MemberJoined(conversation.session_id, name, self.members))

    def _remove(self, name: Name, turn: Turn) -> None:
        conversation = self._conversation
        if name == conversation.local:
            # LEAVE_REQUEST follows; until then nothing new can be said.
            conversation.data.draining = True
            self._state = _Removed(min(turn.now + JOIN_TIME, self._grace))
            return
        if self._others.get(name.key) != name or name == self._moderator:
            return
        del self._others[name.key]
        conversation.data.expel(name, turn)
        turn.unbind(name)
        cause = "removed by the moderator"
        turn.tell(MemberLeft(conversation.session_id, name, self.members, cause))

    def _bind(self, name: Name, turn: Turn) -> None:
        if self._connection is not None:
            turn.bind(name, self._connection)

    # Time

    def expire(self, turn: Turn) -> None:
        conversation = self._conversation
        for request in conversation.requests.expire(turn):
            self._failed(request, turn)
        due = self._watchdog.next_deadline()
        if due is not None and turn.now >= due and not conversation.ended:
            self._watch(turn)
        match self._state:
            case _Invited(until=until) | _Accepted(until) if turn.now >= until:
                self._end("the invitation had no welcome", turn)
            case _Removed(until) if turn.now >= until:
                self._end("removed by the moderator", turn)

    def _watch(self, turn: Turn) -> None:
        """Another interval went by: is the moderator still there?"""
        if self._conversation.data.congested:
            # Answers of ours wait behind what the peer does not take; its silence is the link's affair.
            self._watchdog.postpone(turn.now)
            return
        match self._watchdog.expire(turn.now):
            case Verdict.ASK:
                turn.ask_peer(self._moderator)
            case Verdict.GONE:
                error = disconnected(self._conversation, self._moderator, "the moderator fell silent")
                turn.report(error)
                self._conversation.end(error, turn)

    def _failed(self, request: PendingRequest, turn: Turn) -> None:
        """Nobody answered our goodbye; older moderators never do."""
        error = None
        if TRAITS[self._generation].answers_leave:
            why = str(request.cause) if request.cause else f"no answer from {self._moderator}"
            error = SessionError(f"failed to close session: {why}", session_id=self._conversation.session_id)
        self._left(error, turn)

    def next_deadline(self) -> float | None:
        watchdog, state = self._watchdog.next_deadline(), self._state
        if isinstance(state, _UNTIL):
            mine = state.until
        elif self._conversation.data.draining and not isinstance(state, _Leaving):
            mine = self._grace
        else:
            return watchdog
        return mine if watchdog is None else min(watchdog, mine)
