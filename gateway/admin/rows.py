"""What a node shows, as plain rows: the JSON of the admin port, and what commands print.

A row is one entry of a list. Sizes are bytes, times are seconds (`since`: Unix seconds), counts are since the
start of what they count. A name is org/ns/app; an instance id is shown in hex, empty where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from actors.record import record


def plain(row: Any) -> Any:
    """A row as JSON takes it, with those in it."""
    if isinstance(row, tuple) and hasattr(row, "_asdict"):
        return {name: plain(value) for name, value in row._asdict().items()}
    if isinstance(row, tuple):
        return [plain(one) for one in row]
    return row


@record
class BackboneRow(NamedTuple):
    """The link to NATS."""

    url: str
    state: str
    """One of "up" or "down"."""
    connection: int


@record
class ControllerRow(NamedTuple):
    """A controller that the node dials, or is to be dialled by."""

    endpoint: str
    state: str
    """One of "up", "down", or "listening" where the controller calls."""


@record
class LimitRow(NamedTuple):
    """A bound of the node, how much of it is taken, and how often it refused or held back."""

    limit: str
    bound: int | None
    """None: there is no such limit."""
    used: int | None
    """None where it is not known; of limits of one peer or address, what the one with most has."""
    refused: int


@record
class CertificateRow(NamedTuple):
    """A certificate that the node shows."""

    name: str
    where: str
    """The key of the configuration that names it."""
    ends: float
    """Unix seconds."""
    days: float
    """Days that are left; below 0: it has expired."""
    problem: str
    """What is to be said of it; empty while all is well."""


@record
class NodeRow(NamedTuple):
    """The node as a whole."""

    node: str
    version: str
    state: str
    """What it says of itself: serving, or why it does not."""
    since: float
    uptime: float
    listeners: tuple[str, ...]
    connections: int
    accepted: int
    """Of the connections, those that others opened."""
    names: int
    """Names in the subscription table."""
    peers: int
    """Nodes that are joined with this one."""
    actors: int
    """With inboxes, which the list of actors has too."""
    mailboxes: int
    """Messages that wait in all mailboxes."""
    failures: int
    restarts: int
    waiting_bytes: int
    waiting_bound: int
    loop_lag: float
    """The longest that the event loop was late in the last minute."""
    slowest_turn: float
    """The longest turn of the actors in the last minute."""
    memory: int
    """Resident bytes of the process; 0 where the system does not tell."""
    descriptors: int
    descriptors_bound: int
    backbone: BackboneRow | None
    controllers: tuple[ControllerRow, ...]
    limits: tuple[LimitRow, ...]
    certificates: tuple[CertificateRow, ...]
    """Those from files, the first to end first."""


@record
class ConnectionRow(NamedTuple):
    """A stream to a peer: an application's, or another node's."""

    connection: int
    kind: str
    """One of "edge", "peer" (a node), "dialled" (by this node, to no peer), or "backbone"."""
    role: str
    """What the other end said it is: "application", "node", or "unknown"."""
    peer: str
    """Its address."""
    node: str
    """The id of the node at the other end, if it is one."""
    version: str
    identity: str
    """Who it proved to be to the listener; empty where nobody asked."""
    listener: str
    since: float
    names: int
    """How many names it subscribed."""
    frames_in: int
    frames_out: int
    bytes_in: int
    bytes_out: int
    messages_per_second: float
    """That it sends: since it was asked for before, at least a second ago, else since it connected."""
    messages_bound: int | None
    """As many as it may; None: no limit."""
    bytes_per_second: float
    bytes_bound: int | None
    backlog: int
    congested: bool
    pauses: int
    dropped: int
    unrouted: int
    too_large: int
    malformed: int


@record
class RouteRow(NamedTuple):
    """A name, and a connection to which messages for it go."""

    name: str
    id: str
    connection: int
    rank: str
    """One of "local", "edge", "peer" or "by hand"; a message for one goes to the first that has somebody."""
    subscriptions: int


@record
class ApplicationRow(NamedTuple):
    """An instance of a name: one that an application on an edge subscribed, or runs in this process."""

    name: str
    id: str
    connection: int
    where: str
    """One of "here" (in this process) or "edge"."""
    peer: str


@record
class GroupRow(NamedTuple):
    """A name that several instances may have at once, as seen from the node: who would get a message for it.

    A node sees headers. What a group is, its moderator tells where it is an application of ours.
    """

    name: str
    members: int
    """Connections at this node that subscribed the name without an id."""
    peers: int
    """Nodes that told it."""
    moderator: str
    """Who leads it as a group; empty unless an application of ours says so."""
    group_members: int | None
    """How many are in, as its moderator tells."""
    epoch: int | None
    """Its MLS epoch, as its moderator tells."""
    unacknowledged: int | None
    """Messages of its moderator that some member has not acknowledged, as its moderator tells."""
    retransmissions: int | None
    """How often a message of its moderator went to a member again, as its moderator tells."""
    lag: int | None
    """How many messages of its moderator the member that is furthest behind has not acknowledged: what was
    published to it, less what it acknowledged and what was given up."""


@record
class SessionRow(NamedTuple):
    """A session of an application in this process."""

    application: str
    session: int
    kind: str
    """One of "point to point" or "group"."""
    destination: str
    members: int
    epoch: int | None
    """The MLS epoch; none without MLS."""
    figures: Mapping[str, int]
    """What the session counts, by name: unacknowledged, retransmissions, lag (of its own messages, as in
    GroupRow) and others."""


@record
class QueueRow(NamedTuple):
    """A bounded queue."""

    queue: str
    """One of "outbox", "mailbox", "waiting" (all outboxes together), or "watcher" (of the admin port)."""
    owner: str
    """The connection or actor, in words."""
    depth: int
    bound: int
    unit: str
    """One of "bytes" or "messages"."""
    dropped: int | None
    """Of an outbox, the row of its connection tells."""


@record
class ActorRow(NamedTuple):
    """An actor of the node."""

    address: str
    kind: str
    name: str
    state: str
    depth: int
    bound: int
    handled: int
    refused: int
    failures: int
    restarts: int
    children: int
    timers: int
    slowest_turn: float
    """Seconds for which it kept the loop at most, since the admin port looks."""


@record
class PeerRow(NamedTuple):
    """Another node: one that is dialled, or that came in."""

    node: str
    endpoint: str
    """Empty where the other node called."""
    connection: int | None
    state: str
    """One of "joined", "dialling", or what became of the link."""
    cause: str
    attempts: int
    losses: int
    returns: int
    messages_per_second: float = 0.0
    """That it sends, as the row of its connection has it."""
    bytes_per_second: float = 0.0


@record
class CounterRow(NamedTuple):
    """One number of the registry, as `/metrics` shows it."""

    name: str
    help: str
    labels: Mapping[str, str]
    value: float


@record
class RatesRow(NamedTuple):
    """What happened in the last second: for charts."""

    time: float
    """Unix seconds."""
    state: str
    connections: int
    names: int
    loop_lag: float
    frames_in: float
    """Each a second, from here on."""
    frames_out: float
    bytes_in: float
    bytes_out: float
    unrouted: float
    dropped: float
