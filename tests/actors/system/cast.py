"""The actors, records and vocabulary that the tests of the system share.

They stand in a module of their own because Thespian's multiprocTCPBase imports actor classes by name in
other processes. No actor here uses anything that Thespian does not offer, `LoopActor`s excepted.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

import msgpack
from thespian.actors import (
    Actor,
    ActorAddress,
    ChildActorExited,
    DeadEnvelope,
    PoisonMessage,
    ThespianWatch,
    WakeupMessage,
    WatchMessage,
)
from thespian.initmsgs import initializing_messages
from thespian.transient import transient
from thespian.troupe import troupe

from actors.messages import routing, session, wire
from actors.messages.session import (
    CloseSession,
    Completed,
    Delivered,
    Invite,
    MemberJoined,
    MemberLeft,
    Membership,
    OpenSession,
    RemoveMember,
    SessionEnded,
    SessionOpened,
    Taken,
    Watch,
)
from actors.messages.vocabulary import Vocabulary
from actors.messages.wire import MessageType, Payload, SessionKind, SessionMessage
from actors.names import Name
from actors.system import LoopActor, address_from_text, address_to_text
from examples import group_actors


@dataclass(frozen=True, slots=True)
class Say:
    """Something to answer with the same text and a mark."""

    text: str


@dataclass(frozen=True, slots=True)
class Said:
    text: str


@dataclass(frozen=True, slots=True)
class Add:
    amount: int


@dataclass(frozen=True, slots=True)
class Get:
    """Ask for the number an actor keeps."""


@dataclass(frozen=True, slots=True)
class Number:
    value: int


@dataclass(frozen=True, slots=True)
class Make:
    """Create a child and answer with its address."""


@dataclass(frozen=True, slots=True)
class Made:
    child: ActorAddress


@dataclass(frozen=True, slots=True)
class Fail:
    """Raise, for the first `times` times it is handled."""

    times: int


@dataclass(frozen=True, slots=True)
class Wake:
    """Answer after some seconds, through a wake-up."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Tell:
    """Send `text` in a Say to somebody else."""

    target: ActorAddress
    text: str


@dataclass(frozen=True, slots=True)
class Events:
    """What an actor has seen, as text."""

    seen: tuple[str, ...]


RECORDS = (Say, Said, Add, Get, Number, Make, Made, Fail, Wake, Tell, Events)


OURS = Vocabulary.of(wire, routing, session, group_actors)
"""What the product's own actors say, those of the examples included."""
OURS.extend(
    ActorAddress,
    lambda address: address_to_text(address).encode(),
    lambda data: address_from_text(data.decode()),
)


class Words:
    """A vocabulary: every record of this module as [number, fields], and what the product's actors say."""

    def pack(self, message: Any) -> bytes:
        if message in OURS:
            return b"+" + OURS.pack(message)
        values = [getattr(message, field.name) for field in fields(message)]
        return msgpack.packb([RECORDS.index(type(message)), *values], default=_address)

    def unpack(self, data: bytes) -> Any:
        if data[:1] == b"+":
            return OURS.unpack(data[1:])
        number, *values = msgpack.unpackb(data, ext_hook=_unpack_address, use_list=False)
        return RECORDS[number](*values)


def _address(value: Any) -> msgpack.ExtType:
    if isinstance(value, ActorAddress):
        return msgpack.ExtType(1, address_to_text(value).encode())
    raise TypeError(type(value).__name__)


def _unpack_address(code: int, data: bytes) -> ActorAddress:
    assert code == 1
    return address_from_text(data.decode())


class Echo(Actor):
    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
        if isinstance(msg, Say):
            self.send(sender, Said(msg.text + "!"))


class Counter(Actor):
    """Adds, and tells the sum; fails on request."""

    def __init__(self) -> None:
        self.value = 0
        self.failed = 0

    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
        if isinstance(msg, Add):
            self.value += msg.amount
        elif isinstance(msg, Get):
            self.send(sender, Number(self.value))
        elif isinstance(msg, Fail):
            if self.failed < msg.times:
                self.failed += 1
                raise RuntimeError("asked to fail")
            self.send(sender, Number(self.failed))


class Parent(Actor):
    """Makes Echo children, passes texts on to them, and remembers what it saw of them."""

    child_class: type[Actor] | str = Echo

    def __init__(self) -> None:
        self.seen: list[str] = []

    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
        if isinstance(msg, Make):
            self.child = self.createActor(self.child_class)
            self.asker = sender
            self.send(self.child, Say("born"))
        elif isinstance(msg, Said):
            # The first word of a child tells where it really is, on every base.
            self.send(self.asker, Made(sender))
        elif isinstance(msg, Tell):
            self.send(msg.target, Say(msg.text))
        elif isinstance(msg, ChildActorExited):
            event = "child exited" if msg.childAddress == self.child else "stranger exited"
            # multiprocTCPBase may tell it twice: by the child's last message and by its process's end.
            if event not in self.seen:
                self.seen.append(event)
        elif isinstance(msg, PoisonMessage):
            self.seen.append(f"poison {type(msg.poisonMessage).__name__}")
        elif isinstance(msg, Get):
            self.send(sender, Events(tuple(self.seen)))


class Stillborn(Actor):
    def __init__(self) -> None:
        raise RuntimeError("never born")


class ParentOfStillborn(Actor):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
        if isinstance(msg, Make):
            self.createActor(Stillborn)
        elif isinstance(msg, ChildActorExited):
            self.seen.append("child exited")
        elif isinstance(msg, Get):
            self.send(sender, Events(tuple(self.seen)))


class Grandparent(Parent):
    """Its child is a Parent that makes a child too, on its first word."""

    child_class = "tests.actors.system.cast.FamilyParent"


class FamilyParent(Parent):
    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
        if isinstance(msg, Say):
            self.above = sender
            self.child = self.createActor(Echo)
            self.send(self.child, Say("born"))
        elif isinstance(msg, Said):
            self.send(self.above, Said("grandchild"))


class Sleeper(Actor):
    """Answers late, through wakeupAfter."""

    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
        if isinstance(msg, Wake):
            self.asker = sender
            self.wakeupAfter(timedelta(seconds=msg.seconds), "payload")
        elif isinstance(msg, WakeupMessage):
            self.send(self.asker, Said(f"{msg.payload} {msg.delayPeriod.total_seconds()}"))


class Mourner(Actor):
    """Handles dead letters."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
        if isinstance(msg, Make):
            self.handleDeadLetters(True)
            self.send(sender, Said("ready"))
        elif isinstance(msg, DeadEnvelope):
            self.seen.append(type(msg.deadMessage).__name__)
        elif isinstance(msg, Get):
            self.send(sender, Events(tuple(self.seen)))


class Talker(Actor):
    """Passes a text on to somebody else and answers its own asker with the reply."""

    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
        if isinstance(msg, Tell):
            self.asker = sender
            self.send(msg.target, Say(msg.text))
        elif isinstance(msg, Said):
            self.send(self.asker, Said(f"he said {msg.text}"))
        elif isinstance(msg, PoisonMessage):
            self.send(self.asker, Said(f"poison {type(msg.poisonMessage).__name__}"))


class Choker(Actor):
    """Raises on every Say."""

    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
        if isinstance(msg, Say):
            raise RuntimeError("cannot swallow that")


class Diarist(LoopActor):
    """Writes down, in a list it is given, the types of what it receives."""

    def __init__(self, diary: list[str], name: str = "") -> None:
        self.diary = diary
        self.prefix = name

    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
        self.diary.append(self.prefix + type(msg).__name__)


class Reader(Actor):
    """Watches a file number and reads one byte per report."""

    def __init__(self, fileno: int, read: list[bytes]) -> None:
        self.fileno = fileno
        self.read = read

    def receiveMessage(self, msg: Any, sender: ActorAddress) -> ThespianWatch | None:
        if isinstance(msg, Make):
            return ThespianWatch([self.fileno])
        if isinstance(msg, WatchMessage):
            assert msg.ready == [self.fileno]
            self.read.append(os.read(self.fileno, 1))
            return ThespianWatch([self.fileno])
        return None


@initializing_messages([("greeting", Say), ("start", Add, True)], initdone="begin")
class Initialized(Actor):
    """Takes two messages before any other, by Thespian's decorator."""

    begun = 0

    def begin(self) -> None:
        self.begun += 1

    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
        if isinstance(msg, Get):
            self.send(sender, Number(self.start.amount + self.begun))


@transient(timedelta(seconds=0.02))
class Transient(Echo):
    """Ends by itself after a moment, by Thespian's decorator."""


@troupe(max_count=3, idle_count=1)
class Worker(Echo):
    """One of several behind one address, by Thespian's decorator."""


class House(Actor):
    """Plays an application's actor and its one group: whoever is invited comes, and says what it is told.

    A Say is "guest: text", said by that guest; a Get is answered by what the group's leader has taken.
    """

    def __init__(self) -> None:
        self.members: tuple[Name, ...] = (Name("org", "house", "leader", 1),)
        self.watchers: list[ActorAddress] = []
        self.taken = 0

    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
        match msg:
            case OpenSession():
                self.leader = msg.inbox
                opened = (msg.handle, 1, self.myAddress, self.members[0], msg.destination, msg.config, 8)
                self.send(msg.inbox, SessionOpened(*opened))
            case Watch():
                self.watchers.append(msg.inbox)
                self.send(msg.inbox, Membership(1, self.members))
            case Invite():
                self.members += (msg.name.with_id(len(self.members) + 1),)
                self.changed(MemberJoined(1, self.members[-1], self.members))
                self.send(self.leader, Completed(1, (msg.handle,)))
            case RemoveMember():
                self.members = tuple(member for member in self.members if member != msg.name)
                self.changed(MemberLeft(1, msg.name, self.members, "removed"))
                self.send(self.leader, Completed(1, (msg.handle,)))
            case Say():
                guest, _, text = msg.text.partition(": ")
                (who,) = [member for member in self.members if member.strings[2] == guest]
                said = Payload("msg", text.encode())
                kinds = (SessionKind.MULTICAST, MessageType.MSG)
                message = SessionMessage(who, self.members[0], *kinds, 1, 7, said)
                self.send(self.leader, Delivered(1, (message,)))
            case Taken():
                self.taken += msg.items
            case Get():
                self.send(sender, Number(self.taken))
            case CloseSession():
                self.send(self.leader, SessionEnded(1))

    def changed(self, event: MemberJoined | MemberLeft) -> None:
        for watcher in self.watchers:
            self.send(watcher, event)
