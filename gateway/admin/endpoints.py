"""What the admin port serves below /api/v1: one line for each; the OpenAPI document is made of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol

from actors.names import Name
from actors.record import record
from actors.routing.shares import NAME_BOUND
from gateway.admin.access import AdminRole
from gateway.admin.explain import Explanation, explanation
from gateway.admin.facts import NodeFacts
from gateway.admin.message_trace import LONGEST, SECONDS, TraceRow
from gateway.admin.paging import BadQuery, Page, Query
from gateway.admin.rows import (
    ActorRow,
    ApplicationRow,
    ConnectionRow,
    CounterRow,
    GroupRow,
    NodeRow,
    PeerRow,
    QueueRow,
    RouteRow,
    SessionRow,
)
from gateway.admin.view import NodeView

SESSIONS_NOTE = (
    "A node routes by headers: it knows neither which sessions two applications have, nor what is in them. "
    "These are the sessions of applications in the node's own process; of others, ask them."
)
GROUPS_NOTE = (
    "Names that were subscribed without an id, and who would get a message for them. Members behind other "
    "nodes, and epochs, are known to the moderator of a group."
)


class NotThere(LookupError):
    """What a request is about does not exist. The text says what."""


class CannotBe(ValueError):
    """What was asked for does not fit what it is about. The text says why."""


class AdminDesk(Protocol):
    """What an endpoint may use."""

    view: NodeView

    async def kick(self, connection: int, cause: str) -> None:
        """Close a connection that others opened. Raises NotThere, CannotBe."""

    async def inquire(self, source: Name, target: Name) -> list[NodeFacts]:
        """What the node knows about a message from one name to another, and then what its peers do."""

    def drain(self) -> None:
        """Let the node end as it does at SIGTERM."""

    def link(self, role: AdminRole) -> str:
        """The address of a page that logs a browser in, once. Raises CannotBe."""


Arguments = Mapping[str, Any]
"""What the path and the query hold, and the members of the body."""


@record
class Watching(NamedTuple):
    """GET of what happens, as server-sent events: one `row` each, until the client leaves or time is over."""

    path: str
    row: type
    summary: str
    query: Mapping[str, str] = {}
    """What may be asked for, and what it is."""


@record
class Listing(NamedTuple):
    """GET of a list, in pages."""

    path: str
    row: type
    list: Callable[[NodeView, Query], Awaitable[Page[Any]]]
    summary: str
    note: str = ""
    """What the list cannot show."""


@record
class Reading(NamedTuple):
    """GET of one thing."""

    path: str
    row: type
    read: Callable[[AdminDesk, Arguments], Awaitable[Any]]
    summary: str
    query: Mapping[str, str] = {}
    """What has to be asked for, and what it is."""


@record
class AdminAction(NamedTuple):
    """POST of an operator."""

    path: str
    act: Callable[[AdminDesk, Arguments], Awaitable[Mapping[str, Any]]]
    summary: str
    body: Mapping[str, str] = {}
    """Members of the body, which are texts and may be left out, and what they are."""


async def _node(desk: AdminDesk, _: Arguments) -> NodeRow:
    return desk.view.node()


async def _connection(desk: AdminDesk, arguments: Arguments) -> ConnectionRow:
    row = await desk.view.connection(number_of(arguments))
    if not row.connection:
        raise NotThere(f"there is no connection {arguments['connection']}")
    return row


async def _kick(desk: AdminDesk, arguments: Arguments) -> Mapping[str, Any]:
    number = number_of(arguments)
    await desk.kick(number, arguments.get("cause") or "closed by an operator")
    return {"connection": number}


async def _drain(desk: AdminDesk, _: Arguments) -> Mapping[str, Any]:
    desk.drain()
    return {"state": "draining"}


async def _link(desk: AdminDesk, arguments: Arguments) -> Mapping[str, Any]:
    role = arguments.get("role") or "reader"
    if role not in ("reader", "operator"):
        raise CannotBe("role: reader or operator")
    return {"url": desk.link(AdminRole[role.upper()])}


async def _explain(desk: AdminDesk, arguments: Arguments) -> Explanation:
    return explanation(await desk.inquire(name_of(arguments, "from"), name_of(arguments, "to")))


def name_of(arguments: Arguments, what: str) -> Name:
    """A name of the query. Raises BadQuery."""
    try:
        return Name.parse(str(arguments.get(what, ""))[:NAME_BOUND])
    except ValueError as error:
        raise BadQuery(f"{what}: {error}") from None


def number_of(arguments: Arguments) -> int:
    """The index of a connection in a path. Raises NotThere."""
    text = arguments["connection"]
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise NotThere("a connection is a number")
    return int(text)


LISTINGS = (
    Listing("/connections", ConnectionRow, NodeView.connections, "Streams to applications and nodes"),
    Listing("/applications", ApplicationRow, NodeView.applications, "Instances of names at this node"),
    Listing("/sessions", SessionRow, NodeView.sessions, "Sessions of this process", SESSIONS_NOTE),
    Listing("/groups", GroupRow, NodeView.groups, "Names that several may have at once", GROUPS_NOTE),
    Listing("/routes", RouteRow, NodeView.routes, "Which name leads to which connection"),
    Listing("/queues", QueueRow, NodeView.queues, "Queues that hold something, or dropped something"),
    Listing("/actors", ActorRow, NodeView.actors, "Actors and inboxes"),
    Listing("/peers", PeerRow, NodeView.peers, "Other nodes"),
    Listing("/counters", CounterRow, NodeView.counters, "All counters of the registry"),
)
READINGS = (
    Reading("/node", NodeRow, _node, "The node as a whole"),
    Reading("/connections/{connection}", ConnectionRow, _connection, "One connection"),
    Reading(
        "/explain",
        Explanation,
        _explain,
        "Why a message from one name reaches another, or does not",
        {"from": "the name of the sender, org/ns/app", "to": "the name that it is for"},
    ),
)
TRACE = Watching(
    "/trace",
    TraceRow,
    "Messages from and to one name, as the node routes them, and why they are dropped",
    {"name": "org/ns/app, or one instance of it", "seconds": f"at most {LONGEST:g}; {SECONDS:g} unless said"},
)
ACTIONS = (
    AdminAction(
        "/connections/{connection}/kick",
        _kick,
        "Close a connection that others opened",
        {"cause": "why, told to the other end"},
    ),
    AdminAction("/drain", _drain, "Take no calls any more, let applications leave, and end"),
    AdminAction("/links", _link, "A one-time link for a browser", {"role": "reader (default) or operator"}),
)
