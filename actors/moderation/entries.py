"""What stands in a moderator's journal: one record for each thing that must not be forgotten."""

from __future__ import annotations

import sys
from typing import NamedTuple

from actors.messages import moderation, session, wire
from actors.messages.moderation import Wish
from actors.messages.session import Outgoing, SessionConfig
from actors.messages.vocabulary import Vocabulary
from actors.names import Name
from actors.record import record
from actors.session import crypto
from actors.session.crypto import KeptGroup
from actors.session.membership import kept, tasks
from actors.session.membership.kept import KeptModerator, KeptRequest, SaidMessage
from actors.system import Address, address_from_text, address_to_text

# Of the session


@record
class GroupOpened(NamedTuple):
    """A group was opened; whose it is."""

    session_id: int
    channel: Name
    config: SessionConfig
    identity: str
    """The id of the application's identity: its instance id follows from it."""
    at: float
    """Unix seconds; who joins later waits for pings from then on."""


@record
class GroupKept(NamedTuple):
    """The MLS group in a new epoch."""

    epoch: int
    group: KeptGroup
    generation: int
    """Of ours, the first that was not used in it."""


@record
class MembershipKept(NamedTuple):
    """The membership after a step of a task, and the group if it is in a new epoch: one is not without the
    other."""

    moderator: KeptModerator
    group: GroupKept | None = None


@record
class AnswersKept(NamedTuple):
    """Who still has to answer what is under way."""

    open: tuple[KeptRequest, ...]


@record
class Reserved(NamedTuple):
    """Message ids and generations below these may be used from now on."""

    ids: int
    epoch: int
    generations: int


@record
class DataSaid(NamedTuple):
    """A data message is about to leave."""

    said: SaidMessage


@record
class DataAcknowledged(NamedTuple):
    """Everybody has these, or they were given up."""

    ids: tuple[int, ...]


@record
class DataKept(NamedTuple):
    """Nobody is awaited for these any more, but who asked for them may ask again."""

    ids: tuple[int, ...]


@record
class PingSent(NamedTuple):
    """The members were asked whether they are there; they wait for the next time."""

    at: float
    """Unix seconds."""


@record
class GroupOver(NamedTuple):
    """The group was closed."""


# Of the script


@record
class MessageOf(NamedTuple):
    """A message was dealt with."""

    source: Name
    id: int
    direct: bool


@record
class Started(NamedTuple):
    """`on_start` was dealt with."""


@record
class Known(NamedTuple):
    """The script was told that `member` came, or went."""

    member: Name
    there: bool


@record
class Fired(NamedTuple):
    """A timer was dealt with."""

    name: str


@record
class Reported(NamedTuple):
    """Something that was reported was dealt with."""

    lost: bool = False
    """That members of a group were lost."""


@record
class TheEnd(NamedTuple):
    """`on_close` was dealt with."""


DealtWith = MessageOf | Started | Known | Fired | Reported | TheEnd


@record
class Step(NamedTuple):
    """An event was dealt with: the hook's state and wishes, which are all there or not at all."""

    what: DealtWith
    state: bytes | None = None
    """None: as it was."""
    operations: tuple[tuple[int, Wish], ...] = ()
    """Changes of the membership to make, and the end, by their numbers."""
    outgoing: tuple[Outgoing, ...] = ()
    """To be said; their handles are their numbers."""
    timers: tuple[tuple[str, float], ...] = ()
    """Names, and when they are due in Unix seconds."""


@record
class OperationOver(NamedTuple):
    """The first of the operations is over."""

    number: int


@record
class HeardOf(NamedTuple):
    """How far a member was heard."""

    member: Name
    last: int
    direct: tuple[int, ...]


@record
class Summary(NamedTuple):
    """All of it: what a journal that is written anew begins with."""

    opened: GroupOpened | None
    moderator: KeptModerator | None
    group: GroupKept | None
    next_id: int
    generation: int
    reserved: Reserved
    said: tuple[SaidMessage, ...]
    asked: float
    started: bool
    state: bytes | None
    numbers: int
    operations: tuple[tuple[int, Wish], ...]
    outgoing: tuple[Outgoing, ...]
    timers: tuple[tuple[str, float], ...]
    known: tuple[Name, ...]
    heard: tuple[HeardOf, ...]
    lost: tuple[Name, ...]
    over: bool


Entry = (
    GroupOpened
    | MembershipKept
    | AnswersKept
    | Reserved
    | DataSaid
    | DataAcknowledged
    | DataKept
    | PingSent
    | GroupOver
    | Step
    | OperationOver
    | Summary
)

ENTRIES = Vocabulary.of(wire, session, moderation, crypto, tasks, kept, sys.modules[__name__])
"""Packs and unpacks entries."""
ENTRIES.extend(
    Address,
    lambda address: address_to_text(address).encode(),
    lambda data: address_from_text(data.decode()),
)
