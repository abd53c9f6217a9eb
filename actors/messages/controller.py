"""What a controller says to the services around it, and they to it (`controller.md` 4 to 6).

Names are the three texts of a name; an instance id of None stands for any instance. Durations and times are
seconds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Triple = tuple[str, str, str]
"""The three components of a name, as texts."""


class Held(NamedTuple):
    """A name that a node has: of an application, or of a channel."""

    name: Triple
    id: int | None = None


class NodeAddress(NamedTuple):
    """One listener of a node, as it registered it. `endpoint` gives the port, the rest the hosts."""

    endpoint: str
    tls: bool = False
    local: str = ""
    external: str = ""
    group: str = ""


class DrawnLink(NamedTuple):
    """A connection that a node is to open. `config` is the JSON of its client configuration."""

    connection_id: str
    config: str


class Direction(NamedTuple):
    """Messages for this name leave by this connection."""

    name: Triple
    id: int | None
    connection_id: str


class ItemOutcome(NamedTuple):
    """What became of one item of a Configure. `error` is empty when it succeeded."""

    item: str | Direction
    error: str = ""


class GroupSeen(NamedTuple):
    """A group that an application of ours leads by itself."""

    channel: str
    moderators: tuple[str, ...]
    members: tuple[str, ...]
    epoch: int = 0


# From the nodes


class NodeRegistered(NamedTuple):
    """A node has registered: its stream is `inbox` from now on, and any other one of it is over."""

    node: str
    addresses: tuple[NodeAddress, ...]
    group: str
    inbox: Any
    host: str = ""
    """Where its stream comes from."""
    version: str = ""
    """Of Callboard; empty for an original."""
    backbone: str = ""
    subject: str = ""
    """Who it proved to be."""
    boot: int = 0
    """Drawn at its start; 0 for an original."""


class NodeGone(NamedTuple):
    """The stream `inbox` of a node has ended."""

    node: str
    inbox: Any
    cause: str


class NodeForgotten(NamedTuple):
    """A node has deregistered: it will not come back."""

    node: str
    inbox: Any


class NamesTold(NamedTuple):
    """A node reports a change of the names that its own applications have."""

    node: str
    gained: tuple[Held, ...]
    lost: tuple[Held, ...]


class NamesListed(NamedTuple):
    """All names that a node has: `own` of its own applications, `remote` what leaves by which endpoint."""

    node: str
    own: tuple[Held, ...]
    remote: tuple[Direction, ...] = ()


class GroupsTold(NamedTuple):
    """All groups that applications of a node lead by themselves."""

    node: str
    groups: tuple[GroupSeen, ...]


class Configured(NamedTuple):
    """A node has done, or tried, what a Configure said."""

    node: str
    command: int
    links: tuple[ItemOutcome, ...]
    routes: tuple[ItemOutcome, ...]


class OrderDone(NamedTuple):
    """A node tells what became of an order. `status` is the name of a gRPC status, OK for success."""

    node: str
    order: int
    status: str = "OK"
    text: str = ""


# To the nodes


class Configure(NamedTuple):
    """Open these connections, set and withdraw these routes, close those connections."""

    command: int
    links: tuple[DrawnLink, ...] = ()
    routes: tuple[Direction, ...] = ()
    withdrawn: tuple[Direction, ...] = ()
    closed: tuple[str, ...] = ()


class Order(NamedTuple):
    """Have the moderator do something with its channel. `verb`: create, delete, add or remove."""

    order: int
    verb: str
    channel: str
    moderators: tuple[str, ...]
    participant: str = ""


class NamesWanted(NamedTuple):
    """Tell all names that you have; the answer is NamesListed."""


class Superseded(NamedTuple):
    """Another stream of this node has taken over: end this one."""

    cause: str


# What programs ask. The answer to each is a Result or a Refusal.


class Asked(NamedTuple):
    """A question of a program, and until when it waits (on the controller's clock)."""

    question: Any
    deadline: float


class Result(NamedTuple):
    """Done. `before` and `after` are for the audit, empty when nothing changed."""

    value: Any = None
    before: str = ""
    after: str = ""


class Refusal(NamedTuple):
    """Not done: the name of a gRPC status, and why."""

    status: str
    text: str


class AddRoute(NamedTuple):
    """Route a name from `node` to another node, or by a connection given in full."""

    node: str
    name: Triple
    id: int | None
    destination: str = ""
    connection: DrawnLink | None = None


class DeleteRoute(NamedTuple):
    """Undo AddRoute."""

    node: str
    name: Triple
    id: int | None
    destination: str = ""
    connection_id: str = ""


class CreateConnection(NamedTuple):
    """Have a node open a connection, and wait until it has."""

    node: str
    connection: DrawnLink


class CreateSubscription(NamedTuple):
    """Route a name by a connection made before, and wait until the node has."""

    node: str
    route: Direction


class DeleteSubscription(NamedTuple):
    """Undo CreateSubscription."""

    node: str
    subscription_id: str


class CreateChannel(NamedTuple):
    """Make a moderator's application lead a new group. An empty `channel` is made up."""

    moderators: tuple[str, ...]
    channel: str = ""


class DeleteChannel(NamedTuple):
    """Close a group."""

    channel: str


class AddParticipant(NamedTuple):
    """Invite somebody."""

    channel: str
    participant: str


class DeleteParticipant(NamedTuple):
    """Remove somebody."""

    channel: str
    participant: str


class DeregisterNode(NamedTuple):
    """Forget a node and everything that concerns it."""

    node: str


class ListNodes(NamedTuple):
    """All nodes; the value is a tuple of NodeShown."""


class ListRoutes(NamedTuple):
    """Routes from and to these nodes (empty: any); the value is a tuple of RouteShown."""

    source: str = ""
    destination: str = ""


class ListChannels(NamedTuple):
    """All channels; the value is a tuple of ChannelShown."""


class ListParticipants(NamedTuple):
    """Who is in a channel; the value is a tuple of names."""

    channel: str


class NodeShown(NamedTuple):
    """A node as it is known."""

    id: str
    connected: bool
    addresses: tuple[NodeAddress, ...]
    detail: str


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


class ChannelShown(NamedTuple):
    """A channel, or a group that is only looked at (`read_only`)."""

    channel: str
    moderators: tuple[str, ...]
    members: tuple[str, ...]
    epoch: int = 0
    read_only: bool = False
    node: str = ""
