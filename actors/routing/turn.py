"""One turn of the route table's core: what it is told of the time, and what it wants done."""

from __future__ import annotations

from typing import Any, NamedTuple

from thespian.actors import ActorAddress

from actors.messages.wire import Subscription, SubscriptionAck
from actors.names import Name
from actors.record import record
from actors.routing.pieces import PIECE


@record
class Notice(NamedTuple):
    """Something about a peer that people should know."""

    text: str
    peer: str
    connection: int
    cause: str = ""


@record
class NameRefused(NamedTuple):
    """A connection asked for a name to lead to it, and it does not. `peer` is its address, if it has one."""

    name: Name
    connection: int
    peer: str
    cause: str


class RouteTurn:
    """One turn of the core: its time, and what is to be done about it."""

    __slots__ = ("notices", "now", "refused", "room", "told", "written")

    def __init__(self, now: float) -> None:
        self.now = now
        self.written: list[tuple[int, Subscription | SubscriptionAck]] = []
        """Records to write, by connection."""
        self.told: list[tuple[ActorAddress, Any]] = []
        self.notices: list[Notice] = []
        """What people are to read."""
        self.refused: list[NameRefused] = []
        """To other processes, and not by the rules: our own applications are told in their calls, and of what
        the rules forbid the door has a line."""
        self.room = PIECE
        """How many names of long jobs it may still work on."""

    def write(self, connection: int, record: Subscription | SubscriptionAck) -> None:
        """Write a record of the protocol on a connection."""
        self.written.append((connection, record))

    def tell(self, address: ActorAddress, message: Any) -> None:
        """Send a message to an actor."""
        self.told.append((address, message))
