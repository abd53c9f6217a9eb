"""What a controller says to the services around it, and they to it (`controller.md` 4 to 6).

Names are the three texts of a name; an instance id of None stands for any instance. Durations and times are
seconds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from actors.record import record
from actors.system import Address

Triple = tuple[str, str, str]
"""The three components of a name, as texts."""


@record
class Held(NamedTuple):
    """A name that a node has: of an application, or of a channel."""

    name: Triple
    id: int | None = None


@record
class NodeAddress(NamedTuple):
    """One listener of a node, as it registered it. `endpoint` gives the port, the rest the hosts."""

    endpoint: str
    tls: bool = False
    local: str = ""
    external: str = ""
    group: str = ""


@record
class DrawnLink(NamedTuple):
    """A connection that a node is to open. `config` is the JSON of its client configuration."""

    connection_id: str
    config: str


@record
class Direction(NamedTuple):
    """Messages for this name leave by this connection."""

    name: Triple
    id: int | None
    connection_id: str


@record
class ItemOutcome(NamedTuple):
    """What became of one item of a Configure. `error` is empty when it succeeded."""

    item: str | Direction
    error: str = ""


@record
class GroupSeen(NamedTuple):
    """A group that an application of ours leads by itself."""

    channel: str
    moderators: tuple[str, ...]
    members: tuple[str, ...]
    epoch: int = 0


# From the nodes


@record
class NodeRegistered(NamedTuple):
    """A node has registered: its stream is `inbox` from now on, and any other one of it is over."""

    node: str
    addresses: tuple[NodeAddress, ...]
    group: str
    inbox: Address
    host: str = ""
    """Where its stream comes from."""
    version: str = ""
    """Of Callboard; empty for an original."""
    backbone: str = ""
    subject: str = ""
    """Who it proved to be."""
    boot: int = 0
    """Drawn at its start; 0 for an original."""


@record
class NodeGone(NamedTuple):
    """The stream `inbox` of a node has ended."""

    node: str
    inbox: Address
    cause: str


@record
class NodeForgotten(NamedTuple):
    """A node has deregistered: it will not come back."""

    node: str
    inbox: Address


@record
class NamesTold(NamedTuple):
    """A node reports a change of the names that its own applications have."""

    node: str
    gained: tuple[Held, ...]
    lost: tuple[Held, ...]


@record
class NamesListed(NamedTuple):
    """All names that a node has: `own` of its own applications, `remote` what leaves by which endpoint."""

    node: str
    own: tuple[Held, ...]
    remote: tuple[Direction, ...] = ()


@record
class GroupsTold(NamedTuple):
    """All groups that applications of a node lead by themselves."""

    node: str
    groups: tuple[GroupSeen, ...]


@record
class Configured(NamedTuple):
    """A node has done, or tried, what a Configure said."""

    node: str
    command: int
    links: tuple[ItemOutcome, ...]
    routes: tuple[ItemOutcome, ...]


@record
class OrderDone(NamedTuple):
    """A node tells what became of an order. `status` is the name of a gRPC status, OK for success."""

    node: str
    order: int
    status: str = "OK"
    text: str = ""


# To the nodes


@record
class Configure(NamedTuple):
    """Open these connections, set and withdraw these routes, close those connections."""

    command: int
    links: tuple[DrawnLink, ...] = ()
    routes: tuple[Direction, ...] = ()
    withdrawn: tuple[Direction, ...] = ()
    closed: tuple[str, ...] = ()


@record
class Order(NamedTuple):
    """Have the moderator do something with its channel. `verb`: create, delete, add or remove."""

    order: int
    verb: str
    channel: str
    moderators: tuple[str, ...]
    participant: str = ""


@record
class NamesWanted(NamedTuple):
    """Tell all names that you have; the answer is NamesListed."""


@record
class Superseded(NamedTuple):
    """Another stream of this node has taken over: end this one."""

    cause: str


# What programs ask. The answer to each is a Result or a Refusal.


@record
class Asked(NamedTuple):
    """A question of a program, and until when it waits (on the controller's clock)."""

    question: Any
    deadline: float


@record
class Result(NamedTuple):
    """Done. `before` and `after` are for the audit, empty when nothing changed."""

    value: Any = None
    before: str = ""
    after: str = ""


@record
class Refusal(NamedTuple):
    """Not done: the name of a gRPC status, and why."""

    status: str
    text: str


@record
class AddRoute(NamedTuple):
    """Route a name from `node` to another node, or by a connection given in full."""

    node: str
    name: Triple
    id: int | None
    destination: str = ""
    connection: DrawnLink | None = None


@record
class DeleteRoute(NamedTuple):
    """Undo AddRoute."""

    node: str
    name: Triple
    id: int | None
    destination: str = ""
    connection_id: str = ""


@record
class CreateConnection(NamedTuple):
    """Have a node open a connection, and wait until it has."""

    node: str
    connection: DrawnLink


@record
class CreateSubscription(NamedTuple):
    """Route a name by a connection made before, and wait until the node has."""

    node: str
    route: Direction


@record
class DeleteSubscription(NamedTuple):
    """Undo CreateSubscription."""

    node: str
    subscription_id: str


@record
class CreateChannel(NamedTuple):
    """Make a moderator's application lead a new group. An empty `channel` is made up."""

    moderators: tuple[str, ...]
    channel: str = ""


@record
class DeleteChannel(NamedTuple):
    """Close a group."""

    channel: str


@record
class AddParticipant(NamedTuple):
    """Invite somebody."""

    channel: str
    participant: str


@record
class DeleteParticipant(NamedTuple):
    """Remove somebody."""

    channel: str
    participant: str


@record
class DeregisterNode(NamedTuple):
    """Forget a node and everything that concerns it."""

    node: str


@record
class ListNodes(NamedTuple):
    """All nodes; the value is a tuple of NodeShown."""


@record
class ListRoutes(NamedTuple):
    """Routes from and to these nodes (empty: any); the value is a tuple of RouteShown."""

    source: str = ""
    destination: str = ""


@record
class ListChannels(NamedTuple):
    """All channels; the value is a tuple of ChannelShown."""


@record
class ListParticipants(NamedTuple):
    """Who is in a channel; the value is a tuple of names."""

    channel: str


@record
class NodeShown(NamedTuple):
    """A node as it is known."""

    id: str
    connected: bool
    addresses: tuple[NodeAddress, ...]
    detail: str


@record
class RouteShown(NamedTuple):
    """A route as it is wanted and acknowledged."""

    id: str
    source: str
    destination: str
    endpoint: str
    name: str
    status: str
    reason: str
    attempts: int
    automatic: bool


@record
class ChannelShown(NamedTuple):
    """A channel, or a group that is only looked at (`read_only`)."""

    channel: str
    moderators: tuple[str, ...]
    members: tuple[str, ...]
    epoch: int = 0
    read_only: bool = False
    node: str = ""
