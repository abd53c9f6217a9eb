"""The core of a session: every event finds the part that it concerns.

`handle(event, turn)` takes one event in, `expire(turn)` does what is due when `next_deadline()` has come; the
Turn says afterwards what is to be done. Times are seconds of a monotonic clock.

Data messages are the DataPath's, computations the Encryption's; what remains concerns the membership and is
the side's: `Moderator` or `Participant`.
"""

from __future__ import annotations

from typing import Protocol

from actors.errors import SessionClosed
from actors.messages.session import (
    BeginSession,
    Bound,
    Completed,
    Computed,
    Congestion,
    CredentialGranted,
    Failure,
    Membership,
    Moved,
    PeerAlive,
    Publish,
    Received,
    SessionConfig,
    SessionEnded,
    SessionGone,
    SetTimers,
    Stranded,
    Taken,
    Unroutable,
    Verification,
)
from actors.messages.wire import MessageType, Payload, SessionMessage
from actors.names import Name
from actors.session.conversation import Conversation, Setting
from actors.session.effects import Answer, Event
from actors.session.membership.controlled import ControlledModerator
from actors.session.membership.moderator import Moderator
from actors.session.membership.participant import Participant
from actors.session.membership.tasks import AskedByApplication, AskedByNobody
from actors.session.turn import Turn

_MSG, _ACK = MessageType.MSG, MessageType.MSG_ACK
_RTX_REQUEST, _RTX_REPLY = MessageType.RTX_REQUEST, MessageType.RTX_REPLY


class SessionSide(Protocol):
    """Who is in, as one side of the session sees it."""

    @property
    def members(self) -> tuple[Name, ...]:
        """Everybody who is in, full names, ourselves included."""

    def operate(self, event: Event, turn: Turn) -> None:
        """An operation of the application other than publishing, or news of connections."""

    def control(self, message: SessionMessage, turn: Turn) -> None:
        """A control message arrived."""

    def obeys(self, message: SessionMessage) -> bool:
        """Whether this is an order of somebody who may order here, whatever the name says that it came in."""

    def progress(self, turn: Turn) -> None:
        """Whatever happened may have cleared the way for something that waits."""

    def expire(self, turn: Turn) -> None:
        """Do what is due."""

    def next_deadline(self) -> float | None:
        """When `expire` is to be called next."""


class SessionCore:
    """One session of one application."""

    __slots__ = ("_conversation", "_data", "_ending", "_identity", "_requests", "_side", "_source")

    def __init__(self, conversation: Conversation, side: SessionSide) -> None:
        self._conversation = conversation
        self._side = side
        self._data = conversation.data
        self._requests = conversation.requests
        self._ending = conversation.ending
        self._source, self._identity = conversation.local, ""
        """Who was believed last, by the token: that one mostly goes on."""

    def handle(self, event: Event, turn: Turn) -> None:
        """Take one event in and say what is to be done about it."""
        if self._ending.ended:
            self._after_the_end(event, turn)
            return
        if isinstance(event, Received):
            self._received(event.messages, turn)
        elif isinstance(event, Publish):
            self._data.publish(event.items, turn)
        elif isinstance(event, Taken):
            self._data.receiver.taken(event.items, turn)
        else:
            self._rarely(event, turn)
        if not self._ending.ended:
            self._side.progress(turn)
        self._close_turn(turn)

    def expire(self, turn: Turn) -> None:
        """Do what is due."""
        if self._ending.ended:
            return
        # Control first: data may need the commit that goes with it to be decrypted.
        self._side.expire(turn)
        self._data.expire(turn)
        if (encryption := self._conversation.encryption) is not None:
            encryption.expire(turn)
        if not self._ending.ended:
            self._side.progress(turn)
        self._close_turn(turn)

    def next_deadline(self) -> float | None:
        """When `expire` is to be called next; None: not before another event."""
        if self._ending.ended:
            return None
        earliest = self._data.next_deadline()
        deadline = self._side.next_deadline()
        if deadline is not None and (earliest is None or deadline < earliest):
            earliest = deadline
        deadline = self._requests.next_deadline()
        if deadline is not None and (earliest is None or deadline < earliest):
            earliest = deadline
        if (encryption := self._conversation.encryption) is not None:
            deadline = encryption.next_deadline()
            if deadline is not None and (earliest is None or deadline < earliest):
                earliest = deadline
        return earliest

    # What it shows

    @property
    def local(self) -> Name:
        return self._conversation.local

    @property
    def destination(self) -> Name:
        return self._conversation.destination

    @property
    def session_id(self) -> int:
        return self._conversation.session_id

    @property
    def config(self) -> SessionConfig:
        return self._conversation.config

    @property
    def ended(self) -> bool:
        return self._ending.ended

    @property
    def members(self) -> tuple[Name, ...]:
        """Everybody who is in, full names, ourselves included."""
        return self._side.members

    @property
    def epoch(self) -> int | None:
        """The MLS epoch; None without MLS."""
        encryption = self._conversation.encryption
        return encryption.crypto.epoch if encryption is not None else None

    @property
    def fingerprint(self) -> str:
        """Equal for all members of the MLS epoch; empty without MLS."""
        encryption = self._conversation.encryption
        return encryption.crypto.fingerprint if encryption is not None else ""

    def membership(self) -> Membership:
        """What whoever watches is told first."""
        marks = self._conversation.marks_answers
        return Membership(self.session_id, self.members, self.epoch, self.fingerprint, marks)

    def figures(self) -> dict[str, int]:
        """Counts for people and tests."""
        return {**self._data.figures(), "members": len(self.members)}

    # Private

    def _received(self, messages: tuple[SessionMessage, ...], turn: Turn) -> None:
        sender, receiver = self._data.sender, self._data.receiver
        for message in messages:
            goes_on = message.identity is self._identity and message.source is self._source
            if not goes_on and not self._believed(message, turn):
                continue
            kind = message.kind
            if kind is _MSG:
                if isinstance(message.content, Payload):
                    receiver.message(message, turn)
            elif kind is _ACK:
                sender.acknowledged(message.source, message.message_id, turn)
            elif kind is _RTX_REQUEST:
                if message.source in sender.endpoints:
                    sender.retransmit(message, turn)
                else:
                    receiver.outsider(message, turn)
            elif kind is _RTX_REPLY:
                if isinstance(message.content, Payload):
                    receiver.reply(message, turn)
            elif isinstance(message.content, Payload):
                turn.refuse(f"a {kind.name} of {message.source.short} carries no command")
            elif not self._ending.ended:
                self._side.control(message, turn)

    def _believed(self, message: SessionMessage, turn: Turn) -> bool:
        """Whether a message is from whom it says, as far as that can be told."""
        if self._conversation.senders.believes(message):
            self._source, self._identity = message.source, message.identity
            return True
        if self._side.obeys(message):
            return True
        turn.refuse(
            f"{message.kind.name} from {message.source.short}: its token is somebody else's", alarming=True
        )
        return False

    def _rarely(self, event: Event, turn: Turn) -> None:
        """Everything but the traffic."""
        encryption = self._conversation.encryption
        match event:
            case Unroutable():
                for message in event.messages:
                    if message.kind is _MSG:
                        self._data.unroutable(message, event.error, turn)
                    else:
                        self._requests.unroutable(message, event.error)
            case Stranded():
                self._data.stranded(event.error, turn)
            case Congestion():
                self._data.congestion(congested=event.congested)
            case SetTimers():
                self._conversation.set_timers(event, turn)
            case CredentialGranted():
                if encryption is not None:
                    encryption.granted(event, turn)
            case Computed():
                if encryption is not None:
                    encryption.computed(turn)
            case Verification():
                if encryption is not None:
                    encryption.verified(turn)
            case _:
                self._side.operate(event, turn)

    def _close_turn(self, turn: Turn) -> None:
        """What gathered for the application becomes effects; a session that ended says so last of all."""
        if turn.answers:
            turn.say_answers(self.session_id)
        self._data.say_outcomes(turn)
        ending = self._ending
        if ending.ended:
            turn.effects.append(SessionEnded(self.session_id, ending.cause))
            turn.effects.append(SessionGone(self.session_id, tuple(ending.farewells)))

    def _after_the_end(self, event: Event, turn: Turn) -> None:
        """Nobody waits forever on a session that is over."""
        error = SessionClosed(session_id=self.session_id)
        if isinstance(event, Publish):
            failed = tuple(Failure(item.handle, error) for item in event.items if item.handle is not None)
            turn.effects.append(Completed(self.session_id, (), failed, len(event.items)))
        elif not isinstance(event, _UNANSWERED):
            handle = getattr(event, "handle", None)
            if handle is not None:
                completed = Completed(self.session_id, (), (Failure(handle, error),))
                inbox = getattr(event, "inbox", None)
                turn.effects.append(completed if inbox is None else Answer(inbox, completed))


_UNANSWERED = (
    BeginSession, Received, Taken, Unroutable, Bound, Congestion, CredentialGranted, Computed, Verification,
    PeerAlive, Moved,
)  # fmt: skip
"""Events that nobody awaits the outcome of."""


def moderator(setting: Setting, destination: Name, handle: int | None, now: float) -> SessionCore:
    """The initiator's core; BeginSession starts it. `handle` completes when the session stands."""
    asked_by = AskedByApplication(handle) if handle is not None else AskedByNobody()
    conversation = Conversation(setting, destination)
    return SessionCore(conversation, Moderator(conversation, asked_by, now))


def controlled_moderator(
    setting: Setting, destination: Name, order: SessionMessage, now: float
) -> SessionCore:
    """The core of a group that a controller ordered with the JOIN_REQUEST `order`; BeginSession starts it."""
    conversation = Conversation(setting, destination)
    return SessionCore(conversation, ControlledModerator(conversation, order, now))


def participant(setting: Setting, destination: Name, invitation: SessionMessage, now: float) -> SessionCore:
    """The invited side's core. `invitation` is the JOIN_REQUEST; Received brings it too, as first event."""
    conversation = Conversation(setting, destination)
    return SessionCore(conversation, Participant(conversation, invitation, now))
