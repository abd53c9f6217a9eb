"""What the actors of a node say to one another: connections, the route table, and the node itself."""

from __future__ import annotations

from typing import Any, NamedTuple

from actors.messages.wire import (
    ControlRecord,
    Frame,
    GroupLed,
    Inbound,
    Introduction,
    NodeInquiry,
    SessionMessage,
    Subscription,
    SubscriptionAck,
)
from actors.names import Name
from actors.record import record
from actors.system import Address
from identity.errors import SlimError


@record
class FramesIn(NamedTuple):
    """Link to its Connection: what one read brought, in order."""

    frames: tuple[Inbound, ...]


@record
class LinkDrained(NamedTuple):
    """Link to its Connection: the backlog fell below the low-water mark."""


@record
class Start(NamedTuple):
    """To a new Connection: attach to the route table and begin to read."""


@record
class LinkLost(NamedTuple):
    """Dialled link to its Connection: the stream broke; the link goes on dialling."""

    cause: str


@record
class LinkClosed(NamedTuple):
    """Link to its Connection: the stream is over. `cause` is for people."""

    cause: str


@record
class LinkRestored(NamedTuple):
    """Dialled link to its Connection: a new stream stands in the place of a lost one."""


@record
class LinkMoved(NamedTuple):
    """Dialled link to its Connection: another stream stands in the place of one that will end."""


@record
class Forward(NamedTuple):
    """Connection or App to a Connection or App: put these out, in order.

    `sender` is the connection they came in by, `reply_to` its actor's address for Congested and Drained.
    """

    frames: tuple[Frame | SessionMessage, ...]
    sender: int
    reply_to: Address


@record
class Transmit(NamedTuple):
    """To a Connection or an App: these records of the protocol itself, to be written or to be taken."""

    records: tuple[ControlRecord, ...]


@record
class Congested(NamedTuple):
    """Connection to one that forwards to it: my outbox is above its high-water mark."""

    connection: int


@record
class TooLarge(NamedTuple):
    """Connection to one that forwards to it: these are over my link's limit (bytes) and were not written."""

    frames: tuple[Frame, ...]
    limit: int


@record
class Undelivered(NamedTuple):
    """The backbone to one that forwards to it: nobody there has the name of these now."""

    frames: tuple[Frame, ...]


@record
class Unanswered(NamedTuple):
    """Link of the backbone to its Connection: nobody there has the name of these, which `asker` sent."""

    frames: tuple[Frame, ...]
    asker: Address
    again: bool = False
    """They were sent before."""


@record
class Drained(NamedTuple):
    """Connection to one that it told Congested: there is room again."""

    connection: int


@record
class Attach(NamedTuple):
    """Connection or App to the RouteTable: I exist. The answer is Attached."""

    connection: int
    address: Address
    local: bool
    dialled: bool = False
    """We opened it: its routes survive a loss of the stream and are sent again."""
    peer: str = ""
    """What all streams of one TCP connection have in common; empty: nothing, it stands alone."""
    backbone: bool = False
    """It may lead to any name."""


@record
class Attached(NamedTuple):
    """RouteTable to a Connection or App: others can reach you by your index."""

    connection: int


@record
class Detach(NamedTuple):
    """Connection or App to the RouteTable: I am gone, and so is all that was subscribed through me."""

    connection: int
    cause: str = ""
    error: SlimError | None = None
    """What applications are told who have nobody else to wait for: set by connections that we dialled."""


@record
class ConnectionGone(NamedTuple):
    """RouteTable to an App: this connection will not come back, and the table is without it already."""

    connection: int
    error: SlimError


@record
class Echo(NamedTuple):
    """Connection to the RouteTable, and back: all that I sent before is done."""


@record
class Reattach(NamedTuple):
    """Dialled connection to the RouteTable: the stream is new; send again what had been forwarded."""

    connection: int


@record
class Negotiated(NamedTuple):
    """Connection to the RouteTable: the peer told its link id and version (`dataplane.md` 4)."""

    connection: int
    link_id: str
    version: str
    node: Introduction | None = None
    """The other end is a node, and may be a peer of this one."""


@record
class NodeLinkSettled(NamedTuple):
    """RouteTable to a Connection with a node at the other end: whether it is the link that stays.

    `outcome` is joined (it is), superseded (another link to that node stays), displaced (a later run of that
    node has called), itself (we called ourselves) or namesake (two nodes have that id, and this one
    does not stay).
    """

    outcome: str
    node_id: str


@record
class NodeLinkLost(NamedTuple):
    """Connection to the RouteTable: the stream to a node broke, or it has been silent for too long."""

    connection: int
    cause: str


@record
class RouteByHand(NamedTuple):
    """To the RouteTable: messages for `name` leave by `connection` too, or no more.

    Without id it stands for all ids; `org/ns/*` for all applications of a namespace, `org/*/*` of an
    organisation.
    """

    name: Name
    connection: int
    present: bool = True


@record
class RulesChanged(NamedTuple):
    """To the RouteTable: other rules by name are in force; hold what is in the table against them."""


@record
class AnnounceNames(NamedTuple):
    """To the RouteTable: tell the names of this node's edges over `connection`, whoever is there."""

    connection: int


@record
class Subscribing(NamedTuple):
    """Connection or App to the RouteTable: a subscription arrived on this connection."""

    connection: int
    subscription: Subscription


@record
class Acknowledged(NamedTuple):
    """Connection to the RouteTable: the peer acknowledged a subscription that we forwarded."""

    connection: int
    ack: SubscriptionAck


@record
class RouteEntry(NamedTuple):
    """Whether a connection is a target of a name, with its instance id."""

    name: Name
    connection: int
    local: bool
    """An application of this process."""
    present: bool = True
    edge: bool = True
    """The connection is an edge of this node: an application, or a stream that is no node link."""


@record
class WatchRoutes(NamedTuple):
    """To the RouteTable: tell `inbox` by RoutesChanged what is in the table, then what changes.

    For those who cannot read the table where it is: another process, another node.
    """

    inbox: Address


@record
class RoutesChanged(NamedTuple):
    """RouteTable to who watches it: what has changed, each (name, connection) once."""

    entries: tuple[RouteEntry, ...]
    complete: bool = False
    """This is all there is: forget what was told before."""


@record
class Sweep(NamedTuple):
    """The route table to itself: the mailbox has come round, send what the changes brought about."""


@record
class Status(NamedTuple):
    """Ask for figures; the answer is a StatusReport with the same tag."""

    tag: int = 0


@record
class StatusReport(NamedTuple):
    """Figures by name, for people and tests."""

    figures: dict[str, Any]
    tag: int = 0


@record
class Opened(NamedTuple):
    """To the Gateway: the link with this index is there; give it a Connection."""

    connection: int
    dialled_as: str | None = None
    """Our link id, when we dialled."""
    observer: Address | None = None
    """Who wants to be told ConnectionState, beside the Gateway."""
    as_node: bool = False
    """We dialled it as a node, not as an application."""
    backbone: bool = False
    """It is the node's link to the backbone."""


@record
class ConnectionState(NamedTuple):
    """Connection to its observers: where it stands. One of the words below, and why."""

    connection: int
    state: str
    """attached (reading), negotiated, lost (dialling again), restored, closed (for good).

    Of a connection with a node at the other end also the outcomes of NodeLinkSettled, and refused.
    """
    detail: str = ""


@record
class GroupReported(NamedTuple):
    """Connection to its observers: the application that dialled us leads a group, as told."""

    connection: int
    group: GroupLed


@record
class Inquired(NamedTuple):
    """Connection to who asks and answers for the node: the node at the other end asks, or answers."""

    connection: int
    inquiry: NodeInquiry


@record
class Gather(NamedTuple):
    """Ask the Gateway for every connection's figures; the answer is a StatusReport."""


@record
class Close(NamedTuple):
    """Close now; `cause` is for people."""

    cause: str
