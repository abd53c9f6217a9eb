"""What the streams of a node's controllers say to its control agent, and hear from it (`controller.md` 4).

Orders are those of `actors/messages/controller.py`; an Order is asked, the answer is an OrderDone.
"""

from __future__ import annotations

from typing import NamedTuple

from actors.messages.routing import RouteEntry
from actors.messages.wire import SessionMessage
from actors.names import Name
from actors.record import record
from actors.system import Address


@record
class Leading(NamedTuple):
    """Messages for `name` leave by a connection of this node."""

    name: Name
    connection: int


@record
class Lead(NamedTuple):
    """Set routes, and withdraw others. The answer is Led."""

    routes: tuple[Leading, ...] = ()
    withdrawn: tuple[Leading, ...] = ()


@record
class Led(NamedTuple):
    """What became of a Lead: for each route, set ones first, why it failed; empty where it did not."""

    errors: tuple[str, ...]


@record
class FollowNames(NamedTuple):
    """Tell `inbox` by NamesTold which names this node's own applications have, then what changes."""

    inbox: Address


@record
class UnfollowNames(NamedTuple):
    """Undo FollowNames."""

    inbox: Address


@record
class TableWanted(NamedTuple):
    """What is in the route table, with the texts of names? The answer is TableTold."""


@record
class TableTold(NamedTuple):
    """The table. `local` is said of connections of applications, in this process or over a link."""

    entries: tuple[RouteEntry, ...]


@record
class ReportVerified(NamedTuple):
    """The agent to itself: keys had to be fetched, and the sender of this report is proved."""

    report: SessionMessage
