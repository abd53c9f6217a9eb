"""The stage: it leads a group the way its script decides. Pure: `stage_actor.py` is the shell.

    session ─► event ─► [queue] ─► script ─► Decided ─► step noted ─► wishes
                                                                      ├─ messages ─► session, as it has credit
                                                                      ├─ changes ──► session, one at a time
                                                                      └─ timers

One event is at the script at a time; `book` says what was decided and is not done. A script that died is told
where it was and gets the event again that it had not decided about. The same goes for a stage that died, if
its book is a journal's.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Any, NamedTuple, Protocol

from actors.errors import ParticipantExists, ParticipantNotFound, QueueFull
from actors.messages.moderation import (
    Curtain,
    Decided,
    GroupLost,
    InviteFailed,
    Knocked,
    LeadGroup,
    Schedule,
    TimerDue,
)
from actors.messages.session import (
    CloseSession,
    Completed,
    Delivered,
    EpochChanged,
    Invite,
    MemberJoined,
    MemberLeft,
    Membership,
    Outgoing,
    Publish,
    RemoveMember,
    SessionEnded,
    SetRoute,
    Taken,
)
from actors.messages.wire import Payload, SessionMessage
from actors.moderation.book import Book
from actors.moderation.entries import (
    DealtWith,
    Entry,
    Fired,
    Known,
    MessageOf,
    OperationOver,
    Reported,
    Started,
    Step,
    TheEnd,
)
from actors.names import Name
from actors.record import record
from actors.session.serial import MASK
from identity.errors import SlimError

OUTGOING = 8192
"""Messages that may wait to be said; a hook that wants more fails."""
OPERATIONS = 1024
"""Changes of the membership that may wait; a hook that wants more fails."""

ROUTE_AGAIN = -1
"""The handle of a route whose invitation is under way; nobody waits for it."""


class Party(Enum):
    """Whom something is for."""

    SCRIPT = "the script"
    SESSION = "the session"
    APP = "the application's actor"


@record
class ToParty(NamedTuple):
    """Send this."""

    party: Party
    message: Any


@record
class LogLine(NamedTuple):
    """Say this in the log."""

    level: str
    text: str
    cause: str


StageEffect = ToParty | LogLine


class Notes(Protocol):
    """Where decisions are noted: a journal, or the memory of this process."""

    book: Book

    def append(self, *entries: Entry) -> None:
        """Note these in the book, and wherever else; what rests on them has not left yet."""


class InMemory:
    """Notes that end with this process."""

    def __init__(self) -> None:
        self.book = Book()

    def append(self, *entries: Entry) -> None:
        for entry in entries:
            self.book.apply(entry)


class StageTurn:
    """When it is (Unix seconds), and what is to be done about what happened, in order."""

    __slots__ = ("effects", "now")

    def __init__(self, now: float) -> None:
        self.now = now
        self.effects: list[StageEffect] = []

    def tell(self, party: Party, message: Any) -> None:
        self.effects.append(ToParty(party, message))

    def report(self, level: str, text: str, cause: str = "") -> None:
        self.effects.append(LogLine(level, text, cause))


class Stage:
    """Of one group and its script. `connection` is where invitations leave by; None: by the node's routes."""

    def __init__(self, notes: Notes, channel: Name, *, connection: int | None, resumed: bool) -> None:
        self._notes = notes
        self._book = book = notes.book
        self._channel = channel
        self._connection = connection
        self._resumed = resumed
        self._local = channel
        self._events: deque[Any] = deque()
        self._at_script: Any = None
        """The event that the script has not decided about."""
        self._script_there = self._opened = False
        self._credit = 0
        self._said = set(book.said_handles()) if resumed else set()
        """Handles of messages that are at the session."""
        self._operation: int | None = None
        """The number of the change that is at the session, or whose failure the script is to hear of."""
        self._open_handles = book.moderator.handles if resumed and book.moderator is not None else frozenset()
        self._members: tuple[Name, ...] = ()
        self._closing = False
        self.over = False
        """Whether the script has dealt with the end."""

    # The life of the session and of the script

    def opened(self, local: Name, credit: int, turn: StageTurn) -> None:
        """The session exists, or existed: the script may be told of it."""
        self._opened, self._local = True, local
        self._credit = credit - len(self._said)
        if self._script_there:
            self.script_there(turn)

    def stands(self, turn: StageTurn) -> None:
        """The group is open, or open again."""
        book = self._book
        if not book.started:
            self._events.append(Curtain())
        elif book.lost:
            self._events.append(GroupLost(book.lost))
        if self._resumed and book.operations and book.operations[0][0] in self._open_handles:
            self._operation, wish = book.operations[0]
            if isinstance(wish, Invite) and self._connection is not None:
                turn.tell(Party.APP, SetRoute(ROUTE_AGAIN, wish.name, self._connection))
        self.progress(turn)

    def script_there(self, turn: StageTurn) -> None:
        """A script was made, or made again: tell it where it is."""
        book = self._book
        self._script_there = True
        if not self._opened:
            return
        turn.tell(Party.SCRIPT, LeadGroup(self._channel, self._local, tuple(book.known), book.state))
        if self._at_script is not None:
            turn.tell(Party.SCRIPT, self._at_script)
        self.progress(turn)

    def script_gone(self) -> None:
        """It died, and is made again."""
        self._script_there = False

    # Events

    def handle(self, message: Any, turn: StageTurn) -> None:
        """Something of the session, or of somebody who knocks."""
        match message:
            case Membership():
                self._compare(message)
            case MemberJoined() | MemberLeft():
                self._members = message.members
                self._events.append(message)
            case EpochChanged() | Knocked():
                self._events.append(message)
            case SessionEnded():
                self._events.append(message)
                self._closing = True
            case Delivered():
                self._delivered(message, turn)
            case Completed():
                self._completed(message, turn)
        self.progress(turn)

    def expire(self, turn: StageTurn) -> None:
        """Take up the timers that are due."""
        waiting = {event.name for event in self._events if isinstance(event, TimerDue)}
        if isinstance(self._at_script, TimerDue):
            waiting.add(self._at_script.name)
        for name, due in self._book.timers.items():
            if due <= turn.now and name not in waiting:
                self._events.append(TimerDue(name))
        self.progress(turn)

    def next_deadline(self) -> float | None:
        """When `expire` is to be called next, in Unix seconds."""
        waiting = {event.name for event in (*self._events, self._at_script) if isinstance(event, TimerDue)}
        return min((due for name, due in self._book.timers.items() if name not in waiting), default=None)

    def decided(self, message: Decided, turn: StageTurn) -> None:
        """The script has dealt with an event."""
        event, self._at_script = self._at_script, None
        if event is None:
            return
        if message.failed:
            turn.report("ERROR", "script failed", message.failed)
            message = Decided()
        elif (refusal := self._refusal(message)) is not None:
            turn.report("ERROR", "script wants too much", str(refusal))
            message = Decided()
        self._note(event, message, turn)
        if isinstance(event, SessionMessage):
            turn.tell(Party.SESSION, Taken(1))
        if isinstance(event, SessionEnded):
            self.over = True
        self.progress(turn)

    # Private

    def progress(self, turn: StageTurn) -> None:
        """Whatever can go on does."""
        if self._script_there and self._opened and self._at_script is None and self._events:
            self._at_script = self._events.popleft()
            turn.tell(Party.SCRIPT, self._at_script)
        if self._closing:
            return
        self._say(turn)
        self._operate(turn)

    def _say(self, turn: StageTurn) -> None:
        items = []
        for number, item in self._book.outgoing.items():
            if self._credit <= 0:
                break
            if number not in self._said:
                self._said.add(number)
                self._credit -= 1
                items.append(item)
        if items:
            turn.tell(Party.SESSION, Publish(tuple(items)))

    def _operate(self, turn: StageTurn) -> None:
        """The next change of the membership, when the one before is over."""
        if self._operation is not None or not self._book.operations:
            return
        number, wish = self._book.operations[0]
        if isinstance(wish, CloseSession) and len(self._book.outgoing.keys() - self._said):
            return
        self._operation = number
        match wish:
            case Invite() if self._connection is not None:
                turn.tell(Party.APP, SetRoute(number, wish.name, self._connection))
            case Invite():
                turn.tell(Party.SESSION, Invite(number, wish.name))
            case RemoveMember():
                turn.tell(Party.SESSION, RemoveMember(number, wish.name))
            case CloseSession():
                turn.tell(Party.SESSION, CloseSession(number, wish.grace))
            case _:
                raise AssertionError(wish)

    def _completed(self, message: Completed, turn: StageTurn) -> None:
        self._credit += message.credit
        outcomes: dict[int, SlimError | None] = dict.fromkeys(message.done)
        outcomes.update((failure.handle, failure.error) for failure in message.failed)
        for number, error in outcomes.items():
            if number == self._operation:
                self._operated(number, error, turn, routed=message.session_id is None)
            elif number in self._said:
                self._said.discard(number)
                self._book.was_said(number)
                if error is not None:
                    turn.report("WARNING", "message not delivered", str(error))

    def _operated(self, number: int, error: SlimError | None, turn: StageTurn, *, routed: bool) -> None:
        wish = self._book.operations[0][1]
        if routed and error is None:
            assert isinstance(wish, Invite)
            turn.tell(Party.SESSION, Invite(number, wish.name))
            return
        again = self._resumed and isinstance(error, ParticipantExists | ParticipantNotFound)
        # Done before we died, and not noted.
        self._resumed = False
        if isinstance(wish, Invite) and error is not None and not again:
            # Over when the script has dealt with it: if we die before, it is tried again.
            self._events.append(InviteFailed(wish.name, error))
            return
        self._operation = None
        self._notes.append(OperationOver(number))
        if error is not None and not again and not isinstance(error, ParticipantNotFound):
            turn.report("WARNING", "member not removed", str(error))

    def _delivered(self, message: Delivered, turn: StageTurn) -> None:
        for item in message.items:
            if isinstance(item, SessionMessage) and isinstance(item.content, Payload):
                self._events.append(item)
            else:
                turn.report("INFO", "from the group", str(item))
                turn.tell(Party.SESSION, Taken(1))

    def _compare(self, message: Membership) -> None:
        """Who is in, as we come: what the script was not told of is told now."""
        self._members = message.members
        others = [name for name in message.members if name != self._local]
        removed = {wish.name.key for _, wish in self._book.operations if isinstance(wish, RemoveMember)}
        for name in [name for name in self._book.known if name not in others]:
            # Of what happened as we died nobody knows more than what was wanted.
            cause = "removed" if name.key in removed else "left"
            self._events.append(MemberLeft(message.session_id, name, message.members, cause))
        for name in others:
            if name not in self._book.known and self._book.is_present(name):
                self._events.append(MemberJoined(message.session_id, name, message.members))

    def _refusal(self, decided: Decided) -> SlimError | None:
        wanted = sum(isinstance(wish, Outgoing) for wish in decided.wishes)
        if wanted and len(self._book.outgoing) + wanted > OUTGOING:
            return QueueFull("messages of a script", OUTGOING)
        if len(self._book.operations) + len(decided.wishes) - wanted > OPERATIONS:
            return QueueFull("operations of a script", OPERATIONS)
        return None

    def _note(self, event: Any, decided: Decided, turn: StageTurn) -> None:
        """The step that `decided` is, with its wishes numbered."""
        what = _dealt_with(event)
        number = self._book.numbers
        operations, outgoing, timers = [], [], []
        for wish in decided.wishes:
            match wish:
                case Schedule():
                    timers.append((wish.name, turn.now + wish.seconds))
                case Outgoing():
                    number += 1
                    outgoing.append(wish._replace(handle=number))
                case _:
                    number += 1
                    operations.append((number, wish))
        entries: list[Entry] = []
        if what is not None or decided != Decided():
            noted = Reported() if what is None else what
            entries.append(Step(noted, decided.state, tuple(operations), tuple(outgoing), tuple(timers)))
        if isinstance(event, InviteFailed) and self._operation is not None:
            # Behind the step: of two entries a power cut may leave the first.
            entries.append(OperationOver(self._operation))
            self._operation = None
        if entries:
            self._notes.append(*entries)


def _dealt_with(event: Any) -> DealtWith | None:
    """What is noted of an event; None: nothing, if nothing came of it."""
    match event:
        case SessionMessage():
            return MessageOf(event.source, event.message_id, event.message_id > MASK)
        case Curtain():
            return Started()
        case MemberJoined():
            return Known(event.member, there=True)
        case MemberLeft():
            return Known(event.member, there=False)
        case TimerDue():
            return Fired(event.name)
        case GroupLost():
            return Reported(lost=True)
        case SessionEnded():
            return TheEnd()
    return None
