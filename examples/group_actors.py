"""Two actors for groups: one that leads, one that watches. `scripted_moderator.py` runs them.

Neither is given anything when it is made: the first message says what it needs, addresses included. So they
run on every system base of Thespian, in this process or in one of their own, and a test can play the others.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from thespian.actors import ActorAddress, ActorExitRequest

from actors.messages.session import (
    CloseSession,
    Completed,
    Delivered,
    EpochChanged,
    Invite,
    MemberJoined,
    MemberLeft,
    Membership,
    OpenSession,
    RemoveMember,
    SessionConfig,
    SessionEnded,
    SessionOpened,
    Taken,
    Watch,
)
from actors.messages.wire import Payload, SessionKind, SessionMessage
from actors.names import Name
from actors.system import LoopActor, handles

GROUP = SessionConfig(SessionKind.MULTICAST, interval=1.0, max_retries=5)


class Begin(NamedTuple):
    """To a Moderator: open the group on `channel` for the application whose actor is `app`."""

    app: Any
    channel: Name
    guests: tuple[Name, ...]
    forbidden: str


class Follow(NamedTuple):
    """To a Watcher: tell me what happens in the session whose actor is `session`."""

    session: Any


class Report(NamedTuple):
    """From either to whoever began it: what has happened; `over` with the last one."""

    text: str
    over: bool = False
    session: Any = None
    """The session's actor, as soon as there is one."""


class Moderator(LoopActor):
    """Admits its guests one by one, removes whoever says the forbidden word, closes when one guest is left.

    It is the session's inbox: everything an application would hear comes here as a message.
    """

    def __init__(self) -> None:
        self._app: Any = None
        self._reader: Any = None
        self._session: Any = None
        self._waiting: deque[Name] = deque()
        self._forbidden = ""
        self._operations = 0
        self._handles: dict[int, str] = {}
        """What is under way, by the number that its outcome will carry."""
        self._removed: set[Name] = set()
        self._closing = False

    @handles(Begin)
    def _on_begin(self, message: Begin, sender: ActorAddress) -> None:
        self._app, self._reader = message.app, sender
        self._waiting.extend(message.guests)
        self._forbidden = message.forbidden.casefold()
        handle = self._handle(f"the group on {message.channel}")
        self.send(self._app, OpenSession(handle, self.myAddress, message.channel, GROUP))

    @handles(SessionOpened)
    def _on_opened(self, message: SessionOpened, _: ActorAddress) -> None:
        self._session = message.address
        self.send(self._session, Watch(self.myAddress))
        self._report("the group is open")
        self._admit_next()

    def _admit_next(self) -> None:
        """One at a time: the next is invited when everybody knows the one before."""
        if self._waiting:
            guest = self._waiting.popleft()
            self.send(self._session, Invite(self._handle(f"inviting {short(guest)}"), guest))

    @handles(Completed)
    def _on_completed(self, message: Completed, _: ActorAddress) -> None:
        failed = {failure.handle: str(failure.error) for failure in message.failed}
        for number in (*message.done, *failed):
            what = self._handles.pop(number, "")
            if number in failed:
                self._report(f"{what} failed: {failed[number]}")
            if what.startswith("inviting"):
                self._admit_next()

    @handles(MemberJoined)
    def _on_joined(self, message: MemberJoined, _: ActorAddress) -> None:
        self._report(f"{short(message.member)} has joined")

    @handles(MemberLeft)
    def _on_left(self, message: MemberLeft, _: ActorAddress) -> None:
        self._report(f"{short(message.member)} is out ({message.cause})")
        # The moderator itself is a member too.
        if len(message.members) <= 2 and not self._waiting and not self._closing:
            self._closing = True
            self.send(self._session, CloseSession(None, 5.0))

    @handles(Delivered)
    def _on_delivered(self, message: Delivered, _: ActorAddress) -> None:
        for item in message.items:
            if isinstance(item, SessionMessage):
                self._heard(item)
        self.send(self._session, Taken(len(message.items)))

    def _heard(self, message: SessionMessage) -> None:
        """The rule of the house."""
        who = message.source
        if isinstance(message.content, Payload) and who not in self._removed:
            text = message.content.blob.decode(errors="replace")
            self._report(f"{short(who)} says: {text}")
            if self._forbidden in text.casefold():
                self._removed.add(who)
                self.send(self._session, RemoveMember(self._handle(f"removing {short(who)}"), who))

    @handles(SessionEnded)
    def _on_ended(self, _: SessionEnded, __: ActorAddress) -> None:
        self._report("the group is closed", over=True)
        self.send(self.myAddress, ActorExitRequest())

    def _handle(self, what: str) -> int:
        self._operations += 1
        self._handles[self._operations] = what
        return self._operations

    def _report(self, text: str, *, over: bool = False) -> None:
        self.send(self._reader, Report(text, over, self._session))


class Watcher(LoopActor):
    """Reports who is in a session that somebody else leads, and every change of it."""

    def __init__(self) -> None:
        self._reader: Any = None

    @handles(Follow)
    def _on_follow(self, message: Follow, sender: ActorAddress) -> None:
        self._reader = sender
        self.send(message.session, Watch(self.myAddress))

    @handles(Membership, MemberJoined, MemberLeft, EpochChanged)
    def _on_change(self, message: Any, _: ActorAddress) -> None:
        self.send(self._reader, Report(f"in the group: {', '.join(map(short, message.members)) or 'nobody'}"))


def short(name: Name) -> str:
    """The last part of a name."""
    return name.strings[2]
