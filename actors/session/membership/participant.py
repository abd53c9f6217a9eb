"""The invited side of a session: a member of a group, or the one who is called point to point.

    invited ──(GROUP_WELCOME)──► welcomed ──(channel subscribed, GROUP_ACK)──► joined ──► leaving ──► over
                                                                                 ├──► removed ──► over
                                                                                 └──(GROUP_CLOSE)──► over

Control messages count only when they come from the moderator. Each copy of one that was carried out already
is answered again, once per copy (section 14, 2, 3 and 8): its answer may have been lost.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum

from actors.errors import NotModerator, ParticipantDisconnected, SessionClosed, SessionError
from actors.messages.session import (
    Bind,
    Bound,
    CloseSession,
    Invite,
    MemberJoined,
    MemberLeft,
    RemoveMember,
    Unbind,
)
from actors.messages.wire import (
    LEAVING_SESSION,
    TRUE,
    GroupAck,
    GroupAdd,
    GroupRemove,
    GroupWelcome,
    JoinReply,
    LeaveReply,
    LeaveRequest,
    MessageType,
    Ping,
    SessionMessage,
)
from actors.names import Key, Name
from actors.session.conversation import Conversation, Setting
from actors.session.crypto import CommitOrder, at_once
from actors.session.effects import Effect, Event, Joined, Refused
from actors.session.membership.liveness import Watchdog
from actors.session.membership.requests import PendingRequest
from actors.session.peers import TRAITS, PeerGeneration
from identity.errors import CryptoError, SlimError

JOIN_PATIENCE = 60.0
"""Seconds to wait for the moderator's next step: the welcome after a join, the leave after a removal."""
MEMBERS = 10_000
"""Members that a list may name."""
_CARRIED_OUT = 64
"""Membership changes whose ids are remembered, to answer copies without applying them again."""


class _State(Enum):
    INVITED = "invited"
    WELCOMED = "welcomed"
    JOINED = "joined"
    LEAVING = "leaving"
    REMOVED = "removed"


class Participant(Conversation):
    """The invited side's core. `invitation` is the JOIN_REQUEST; hand it to `handle` too, as the first event.

    `destination` of the session is the channel, or the initiator point to point.
    """

    def __init__(self, setting: Setting, destination: Name, invitation: SessionMessage, now: float) -> None:
        super().__init__(setting, destination)
        self._moderator = invitation.source
        self._connection = invitation.connection
        self._generation = PeerGeneration.UNKNOWN
        self._state = _State.INVITED
        self._invitation: SessionMessage | None = None
        self._join_reply: SessionMessage | None = None
        self._deadline: float | None = now + JOIN_PATIENCE
        """Invited: when to forget it. Draining: until when to wait for acknowledgements."""
        self._others: dict[Key, Name] = {}
        self._welcome: SessionMessage | None = None
        """What to acknowledge once the channel is subscribed."""
        self._carried_out: OrderedDict[int, None] = OrderedDict()
        self._commits = CommitOrder()
        self._watchdog = Watchdog(setting.settings.ping_interval)
        self._closing: list[int] = []

    @property
    def members(self) -> tuple[Name, ...]:
        return (self.local, *self._others.values())

    # Operations.

    def _operate(self, event: Event, now: float, out: list[Effect]) -> None:
        if isinstance(event, Invite | RemoveMember):
            verb = "invite participant to" if isinstance(event, Invite) else "remove participant from"
            why = "only its moderator can" if self.group else "point to point"
            error = NotModerator(f"cannot {verb} this session: {why}", session_id=self.session_id)
            self._answer(event.handle, event.inbox, error)
        elif isinstance(event, CloseSession):
            if event.handle is not None:
                self._closing.append(event.handle)
            if self._state is _State.REMOVED:
                self._end(None)
            elif not self._draining:
                self._draining = True
                self._deadline = now + event.grace
        elif isinstance(event, Bound):
            self._bound(event, now, out)

    def _progress(self, now: float, out: list[Effect]) -> None:
        if not self._draining or self._state in (_State.LEAVING, _State.REMOVED):
            return
        if self._sender.unacknowledged and self._deadline is not None and now < self._deadline:
            return
        self._leave(now, out)

    def _leave(self, now: float, out: list[Effect]) -> None:
        """Say goodbye (`session.md` 9.2): stop receiving first."""
        self._state, self._deadline = _State.LEAVING, None
        if self.group:
            out.append(Unbind(self.destination))
        message = self._message(
            MessageType.LEAVE_REQUEST,
            self._moderator,
            LeaveRequest(),
            metadata={LEAVING_SESSION: TRUE},
            connection=self._connection,
        )
        self._requests.start("leave", message, {self._moderator}, now, out)  # type: ignore[arg-type]

    def _left(self, error: SlimError | None) -> None:
        for handle in self._closing:
            self._answer(handle, None, error)
        self._closing.clear()
        self._end(None)

    def _end(self, cause: SlimError | None) -> None:
        if self.ended:
            return
        super()._end(cause)
        for handle in self._closing:
            self._answer(handle, None, None)
        self._closing.clear()

    # Control messages.

    def _control(self, message: SessionMessage, now: float, out: list[Effect]) -> None:
        kind, content = message.kind, message.content
        if message.source != self._moderator:
            out.append(Refused(f"{kind.name} from {message.source}: it is not the moderator"))
            return
        if kind is MessageType.JOIN_REQUEST:
            self._invited(message, now, out)
        elif isinstance(content, GroupWelcome):
            self._welcomed(message, content, now, out)
        elif kind is MessageType.PING:
            self._watchdog.pinged(now)
            if self._generation is PeerGeneration.UNKNOWN:
                self._generation = PeerGeneration.PINGING
            out.append(
                message._replace(source=self.local, destination=message.source, content=Ping(), identity="")
            )
        elif kind is MessageType.GROUP_CLOSE:
            self._over(
                self._reply(message, MessageType.GROUP_ACK, GroupAck()), "closed by the moderator", out
            )
        elif kind is MessageType.LEAVE_REQUEST:
            reply = self._reply(message, MessageType.LEAVE_REPLY, LeaveReply())
            self._over(reply, "removed by the moderator", out)
        elif kind is MessageType.LEAVE_REPLY:
            if self._requests.answered(message.message_id, message.source, "leave") is not None:
                self._left(None)
        elif isinstance(content, GroupAdd | GroupRemove):
            self._membership(message, content, now, out)
        elif kind not in (MessageType.GROUP_ACK, MessageType.GROUP_NACK):
            out.append(Refused(f"{kind.name} from {message.source}: this side is not the moderator"))

    def _over(self, reply: SessionMessage, cause: str, out: list[Effect]) -> None:
        out.append(reply)
        self._farewells.append(reply)
        self._end(SessionClosed(cause, session_id=self.session_id))

    # Joining.

    def _invited(self, message: SessionMessage, now: float, out: list[Effect]) -> None:
        if self._join_reply is not None and self._join_reply.message_id == message.message_id:
            out.append(self._join_reply._replace(connection=message.connection))
            return
        if self._state is not _State.INVITED:
            # A moderator that invites a member it has already lost it: begin again with its next attempt.
            self._end(SessionClosed("invited anew", session_id=self.session_id))
            return
        if self._invitation is not None and self._invitation.message_id == message.message_id:
            return
        self._invitation = message
        self._generation = self._peer_generation(message.identity)
        if self._crypto is None:
            self._accept(None, out)
        else:
            self._with_credential(out, self._make_key_package, now)

    def _make_key_package(self, now: float, out: list[Effect]) -> None:
        assert self._crypto is not None
        try:
            self._accept(self._crypto.key_package(), out)
        except CryptoError as error:
            out.append(Refused(f"invitation of {self._moderator}: no key package: {error}"))
            self._end(error)

    def _accept(self, key_package: bytes | None, out: list[Effect]) -> None:
        assert self._invitation is not None
        self._join_reply = self._reply(self._invitation, MessageType.JOIN_REPLY, JoinReply(key_package))
        out.append(self._join_reply)

    def _no_credential(self, error: SlimError, now: float, out: list[Effect]) -> None:
        reason = f"invitation of {self._moderator}: no credential for MLS: {error}"
        out.append(Refused(reason, alarming=True))
        self._end(error)

    def _welcomed(
        self, message: SessionMessage, content: GroupWelcome, now: float, out: list[Effect]
    ) -> None:
        if self._state is _State.WELCOMED:
            self._welcome = message
            return
        if self._state is not _State.INVITED:
            out.append(self._reply(message, MessageType.GROUP_ACK, GroupAck()))
            return
        if self._join_reply is None or len(content.participants) > MEMBERS:
            out.append(Refused(f"GROUP_WELCOME from {message.source} does not fit the invitation"))
            return
        crypto, mls = self._crypto, content.mls
        if crypto is None:
            self._enter(message, content, now, out)
        elif mls is None:
            out.append(Refused(f"GROUP_WELCOME from {self._moderator} lacks the MLS Welcome"))
        elif self._operation is None:
            self._compute(
                lambda: crypto.join(mls.content),
                lambda _, now, out: self._enter(message, content, now, out),
                lambda error, now, out: out.append(
                    Refused(f"GROUP_WELCOME from {self._moderator}: {error}", alarming=True)
                ),
                now,
                out,
            )

    def _enter(self, message: SessionMessage, content: GroupWelcome, now: float, out: list[Effect]) -> None:
        """The Welcome is good, if there was one."""
        if content.mls is not None:
            self._commits.last = content.mls.commit_id
        self._deadline = None
        if message.connection is not None:
            self._connection = message.connection
        known = {name.key: name for name in content.participants if name.key != self.local.key}
        self._others = {self._moderator.key: self._moderator, **known}
        self._welcome = message
        for name in self._others.values():
            # Point to point both begin with this session; in a group we come in where the others stand.
            self._receiver.admit(name, from_start=not self.group)
            self._bind(name, out)
        if self.group and self._connection is not None:
            self._state = _State.WELCOMED
            out.append(Bind(self.destination, self._connection, subscribe=True))
        else:
            self._stand(now, out)

    def _bound(self, event: Bound, now: float, out: list[Effect]) -> None:
        if self._state is not _State.WELCOMED or event.name != self.destination:
            return
        if event.error is not None:
            out.append(Refused(f"cannot receive for {self.destination}: {event.error}"))
            self._end(event.error)
            return
        self._stand(now, out)

    def _stand(self, now: float, out: list[Effect]) -> None:
        """We can receive: acknowledge the welcome, and the session is there."""
        assert self._welcome is not None
        self._state = _State.JOINED
        out.append(self._reply(self._welcome, MessageType.GROUP_ACK, GroupAck()))
        out.append(Joined())
        for name in self._others.values():
            self._open_up(name, now, out)
        self._epoch_changed("joined", out)

    # Membership.

    def _membership(
        self, message: SessionMessage, content: GroupAdd | GroupRemove, now: float, out: list[Effect]
    ) -> None:
        if self._state is _State.INVITED:
            # Not ours yet: the Welcome will bring what this one tells.
            return
        mls = content.mls
        if message.message_id in self._carried_out:
            self._acknowledge(message, out)
        elif self._crypto is None:
            self._carry_out(message, content, now, out)
        elif mls is None:
            out.append(Refused(f"a membership change of {self._moderator} lacks its commit"))
        elif self._commits.knows(mls.commit_id):
            self._acknowledge(message, out)
        elif self._operation is None:
            self._commits.hold(mls.commit_id, mls.content)
            self._commit(message, content, now, out)

    def _acknowledge(self, message: SessionMessage, out: list[Effect]) -> None:
        out.append(self._reply(message, MessageType.GROUP_ACK, GroupAck()))

    def _carry_out(
        self, message: SessionMessage, content: GroupAdd | GroupRemove, now: float, out: list[Effect]
    ) -> None:
        """The change counts: keep the list, and tell the moderator."""
        self._carried_out[message.message_id] = None
        if len(self._carried_out) > _CARRIED_OUT:
            self._carried_out.popitem(last=False)
        if isinstance(content, GroupAdd):
            self._add(content.new_participant, out)
        else:
            self._remove(content.removed_participant, now, out)
        self._acknowledge(message, out)

    def _commit(
        self, message: SessionMessage, content: GroupAdd | GroupRemove, now: float, out: list[Effect]
    ) -> None:
        """Apply the commits that are in order (11.5), then carry out the change that `message` brought.

        Also when its commit must wait for a predecessor, but not when it is refused or too far ahead.
        """
        crypto, commit = self._crypto, self._commits.next()
        assert crypto is not None
        if commit is not None:
            before = crypto.epoch
            self._compute(
                lambda: at_once(lambda: crypto.process(commit)),
                lambda _, now, out: self._applied(before, message, content, now, out),
                lambda error, now, out: self._not_applied(error, message, content, now, out),
                now,
                out,
            )
            return
        assert content.mls is not None
        if self._commits.knows(content.mls.commit_id):
            self._carry_out(message, content, now, out)

    def _applied(
        self,
        before: int | None,
        message: SessionMessage,
        content: GroupAdd | GroupRemove,
        now: float,
        out: list[Effect],
    ) -> None:
        self._commits.applied()
        number, last = self._commits.last, self._commits.next() is None
        if last:
            # Its members are those after the change.
            self._commit(message, content, now, out)
        if self._crypto is not None and self._crypto.epoch != before:
            self._epoch_changed(f"commit {number}", out)
        if not last:
            self._commit(message, content, now, out)

    def _not_applied(
        self,
        error: CryptoError,
        message: SessionMessage,
        content: GroupAdd | GroupRemove,
        now: float,
        out: list[Effect],
    ) -> None:
        out.append(Refused(f"commit {self._commits.last + 1} of {self._moderator}: {error}", alarming=True))
        self._commits.refused()
        assert content.mls is not None
        if self._commits.knows(content.mls.commit_id):
            self._carry_out(message, content, now, out)

    def _add(self, name: Name, out: list[Effect]) -> None:
        if name.key == self.local.key or name.key in self._others or len(self._others) >= MEMBERS:
            return
        self._others[name.key] = name
        self._receiver.admit(name, from_start=True)
        self._sender.endpoints.add(name)
        self._bind(name, out)
        out.append(MemberJoined(self.session_id, name, self.members))

    def _remove(self, name: Name, now: float, out: list[Effect]) -> None:
        if name == self.local:
            # LEAVE_REQUEST follows; until then nothing new can be said.
            self._draining = True
            self._state, self._deadline = _State.REMOVED, now + JOIN_PATIENCE
            return
        if self._others.get(name.key) != name or name == self._moderator:
            return
        del self._others[name.key]
        self._sender.forget(name)
        self._receiver.expel(name)
        self._clear_text.discard(name)
        out.append(Unbind(name))
        out.append(MemberLeft(self.session_id, name, self.members, "removed by the moderator"))

    def _bind(self, name: Name, out: list[Effect]) -> None:
        if self._connection is not None:
            out.append(Bind(name, self._connection))

    # Timers.

    def _expire(self, now: float, out: list[Effect]) -> None:
        for request in self._requests.expire(now, out):  # type: ignore[arg-type]
            self._failed(request)
        due = self._watchdog.next_deadline()
        if due is not None and now >= due and self._watchdog.tick(now) and not self.ended:
            error = ParticipantDisconnected(
                str(self._moderator), "the moderator stopped asking", session_id=self.session_id
            )
            self._sender.errors.append(error)
            self._end(error)
        if self._deadline is not None and now >= self._deadline and not self.ended:
            if self._state is _State.INVITED:
                self._end(SessionClosed("the invitation had no welcome", session_id=self.session_id))
            elif self._state is _State.REMOVED:
                self._end(SessionClosed("removed by the moderator", session_id=self.session_id))

    def _failed(self, request: PendingRequest) -> None:
        """Nobody answered our goodbye; older moderators never do."""
        error = None
        if TRAITS[self._generation].answers_leave:
            why = str(request.cause) if request.cause else f"no answer from {self._moderator}"
            error = SessionError(f"failed to close session: {why}", session_id=self.session_id)
        self._left(error)

    def _deadlines(self) -> tuple[float | None, ...]:
        return (self._watchdog.next_deadline(), self._deadline)
