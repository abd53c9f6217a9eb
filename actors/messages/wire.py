"""What travels between nodes, as values: the records of `dataplane.md` 2, free of any encoding.

The gateway turns bytes into these and back; nothing on this floor knows protobuf.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from actors.names import InstanceId, Key, Name
from actors.record import record

UNSET_PAYLOAD_TYPE = "msg"
"""What an application sees when a message carries no payload type (`session.md` 2)."""

ONE, ALL = 1, 256
"""Fan-out values of the header: 1 is match-one, everything else match-all (`dataplane.md` 6)."""


class SessionKind(IntEnum):
    UNSPECIFIED = 0
    POINT_TO_POINT = 1
    MULTICAST = 2


class MessageType(IntEnum):
    """SessionMessageType (`dataplane.md` 2.4). Everything from DISCOVERY_REQUEST upwards is control."""

    UNSPECIFIED = 0
    MSG = 1
    MSG_ACK = 2
    RTX_REQUEST = 3
    RTX_REPLY = 4
    DISCOVERY_REQUEST = 5
    DISCOVERY_REPLY = 6
    JOIN_REQUEST = 7
    JOIN_REPLY = 8
    LEAVE_REQUEST = 9
    LEAVE_REPLY = 10
    GROUP_ADD = 11
    GROUP_REMOVE = 12
    GROUP_WELCOME = 13
    GROUP_CLOSE = 14
    GROUP_PROPOSAL = 15
    GROUP_ACK = 16
    GROUP_NACK = 17
    PING = 18


# Metadata keys with protocol meaning (`dataplane.md` 2.6); only presence is tested, the value is TRUE.
PUBLISH_TO = "PUBLISH_TO"
LEAVING_SESSION = "LEAVING_SESSION"
DELETE_GROUP = "DELETE_GROUP"
IS_MODERATOR = "IS_MODERATOR"
TRUE = "TRUE"
REPORT_FAILURE = "CALLBOARD_REPORT_FAILURE"
"""On a controller's order, ours: whoever gave it understands ORDER_FAILED (`session.md` 6.6)."""
ORDER_FAILED = "CALLBOARD_ORDER_FAILED"
"""On the GROUP_ACK of such an order: it was not carried out, and why."""
REQUEST_KEY = "callboard-request"
"""On a data message, ours: it is a request, of this number; or the answer to one, "re:" and its number."""
MARKS_ANSWERS = "CALLBOARD_MARKS_ANSWERS"
"""On JOIN_REPLY and GROUP_WELCOME, ours, point to point: its sender marks answers by REQUEST_KEY."""
SINCE = "CALLBOARD_SINCE"
"""On a data message, ours: which new members begin where in its sender's sequence (`session.md` 7.8)."""
ACKNOWLEDGES = "CALLBOARD_ACKNOWLEDGES"
"""On an RTX_REQUEST, ours: it acknowledges nothing. On an RTX_REPLY: acknowledge this (`session.md` 7.4)."""


@record
class Payload(NamedTuple):
    """ApplicationPayload: what an application said. Empty in acknowledgements and requests."""

    payload_type: str = ""
    blob: bytes = b""


@record
class TimerSettings(NamedTuple):
    """How long between attempts (seconds; milliseconds on the wire) and how many re-sends."""

    timeout: float
    max_retries: int


@record
class MlsPayload(NamedTuple):
    """An MLS handshake message (a complete MLSMessage) and the moderator's running number for it."""

    commit_id: int
    content: bytes


@record
class DiscoveryRequest(NamedTuple):
    """Who is there under the destination's name? `destination` is set by controllers only."""

    destination: Name | None = None


@record
class DiscoveryReply(NamedTuple):
    """The message's source is."""


@record
class JoinRequest(NamedTuple):
    """Take part in a session. `channel` is the group's name; absent point to point."""

    mls: bool = False
    timer_settings: TimerSettings | None = None
    channel: Name | None = None
    outage: int = 0
    """Seconds without a sign of life that the session is to survive; 0: it is not said. Ours only."""


@record
class JoinReply(NamedTuple):
    """I do. `key_package` is there when the session uses MLS."""

    key_package: bytes | None = None
    outage: int = 0
    """As in JoinRequest."""


@record
class LeaveRequest(NamedTuple):
    """Leave (from the moderator), or I leave (metadata LEAVING_SESSION)."""

    destination: Name | None = None


@record
class LeaveReply(NamedTuple):
    """Gone."""


@record
class GroupAdd(NamedTuple):
    """To the channel: a member comes. `participants` is the new list with full names."""

    new_participant: Name
    participants: tuple[Name, ...]
    mls: MlsPayload | None = None


@record
class GroupRemove(NamedTuple):
    """To the channel: a member goes. `participants` is the list before the removal."""

    removed_participant: Name
    participants: tuple[Name, ...]
    mls: MlsPayload | None = None


@record
class GroupWelcome(NamedTuple):
    """To the new member: who is in, itself and the moderator included."""

    participants: tuple[Name, ...]
    mls: MlsPayload | None = None


@record
class GroupClose(NamedTuple):
    """To all: the session ends."""

    participants: tuple[Name, ...]


@record
class GroupProposal(NamedTuple):
    """Defined by the protocol, sent by nobody (`session.md` 10)."""

    source: Name | None
    mls_proposal: bytes


@record
class GroupAck(NamedTuple):
    """Done, for GROUP_WELCOME, GROUP_ADD, GROUP_REMOVE and GROUP_CLOSE."""


@record
class GroupNack(NamedTuple):
    """Defined by the protocol, sent by nobody."""


@record
class Ping(NamedTuple):
    """Are you there, and its answer."""


Command = (
    DiscoveryRequest
    | DiscoveryReply
    | JoinRequest
    | JoinReply
    | LeaveRequest
    | LeaveReply
    | GroupAdd
    | GroupRemove
    | GroupWelcome
    | GroupClose
    | GroupProposal
    | GroupAck
    | GroupNack
    | Ping
)


@record
class SessionMessage(NamedTuple):
    """One message of a session (a Publish): all that `session.md` 2 names."""

    source: Name
    destination: Name
    session_type: SessionKind
    kind: MessageType
    session_id: int
    message_id: int
    content: Payload | Command
    fanout: int = ONE
    metadata: dict[str, str] | None = None
    identity: str = ""
    """The sender's token. Sessions leave it empty; the application's actor fills it in when sending."""
    error: bool = False
    """On RTX_REPLY: the message is no longer available."""
    connection: int | None = None
    """Received: the connection it came over. Sent: leave by exactly this connection (forward_to)."""


@record
class Scanned(NamedTuple):
    """What the gateway read of the body of a data message, but for its message id."""

    session_type: int
    kind: int
    session_id: int
    payload_type: str
    blob: int
    """Where the application's bytes begin; they end with the Publish."""


@record
class Head(NamedTuple):
    """What the gateway read of the body of a message up to its content."""

    session_type: int
    kind: int
    session_id: int
    message_id: int
    content: int
    """Where the content field begins."""
    value: int
    """Where its value does."""


@record
class Frame(NamedTuple):
    """A Publish on its way through a node: where it wants to go, and its bytes, which nobody opens.

    The wire form is in two pieces, so that rewriting the header copies no payload.
    """

    key: Key
    instance: InstanceId
    fanout: int
    control: bool
    """A session control message or acknowledgement: never dropped for lack of credit."""
    header: bytes
    """The SLIMHeader field of the Publish, tag and length included, as it is to be written."""
    inner: int
    """How many bytes of `body` belong to the Publish; what follows them is the Message's."""
    body: bytes
    """Everything behind the header: session, content, metadata."""
    scanned: Scanned | Head | None = None
    """On its way in, Scanned of a payload, Head of a command: so far its body need not be read again."""
    message_id: int = 0
    """Known where it is Scanned."""

    @property
    def size(self) -> int:
        """Bytes on the wire, within a few."""
        return len(self.header) + len(self.body) + 4


@record
class Subscription(NamedTuple):
    """Subscribe or Unsubscribe (`dataplane.md` 5)."""

    subscribe: bool
    source: Name
    destination: Name
    identity: str = ""
    subscription_id: int = 0
    """0: no acknowledgement wanted."""
    recv_from: int | None = None
    forward_to: int | None = None


class Role(IntEnum):
    """What stands at the other end of a link. Originals do not say."""

    UNKNOWN = 0
    APPLICATION = 1
    NODE = 2


@record
class Introduction(NamedTuple):
    """What an end of a link says about itself where it is one of ours (`backbone.md`, peers)."""

    role: Role
    node_id: str = ""
    boot: int = 0
    """Drawn when the node starts: tells a restarted node from one that calls twice."""
    token: str = ""
    """What lets a node in where a token is asked for."""
    refusal: str = ""
    """In an answer: why the node is not let in."""

    def __repr__(self) -> str:
        return f"Introduction({self.role.name}, {self.node_id!r})"


@record
class LinkNegotiation(NamedTuple):
    """Who dialled, and what it speaks (`dataplane.md` 4)."""

    link_id: str
    slim_version: str
    is_reply: bool = False
    introduction: Introduction | None = None


@record
class SubscriptionAck(NamedTuple):
    """The outcome of a Subscription that carried an id."""

    subscription_id: int
    success: bool
    error: str = ""


class HintReason(IntEnum):
    """Why somebody is not reached."""

    NOBODY = 1
    SECRET = 2
    KEY = 3
    AUDIENCE = 4
    ISSUER = 5
    SUBJECT = 6
    TIME = 7
    KIND = 8
    TOKEN = 9
    MLS_WANTED = 10
    NO_MLS = 11
    KEYS = 12
    FORBIDDEN = 13
    TOO_FAST = 14
    MEMORY = 15
    SUITE = 16


OF_NODES = frozenset({HintReason.NOBODY, HintReason.FORBIDDEN, HintReason.TOO_FAST, HintReason.MEMORY})
"""What a node says itself; the other reasons are those of the application that a hint is about."""
HELD_UP = frozenset({HintReason.TOO_FAST, HintReason.MEMORY})
"""Nothing is refused, what is sent comes later."""


@record
class Hint(NamedTuple):
    """Why the application `destination` does not reach `about`: from who knows it, and proving nothing.

    Ours: it goes only over links whose other end introduced itself as one of ours.
    """

    reason: HintReason
    about: Name
    destination: Name


@record
class GroupFigures(NamedTuple):
    """What the session that leads a group counts of its own messages."""

    unacknowledged: int
    """Messages under way that some member has not acknowledged."""
    retransmissions: int
    """How often a message went to a member again."""
    lag: int
    """How many messages under way the member that is furthest behind has not acknowledged."""


@record
class GroupLed(NamedTuple):
    """A group that an application leads by itself, told to the node that it dialled: the newest replaces all.

    Ours: it goes only to nodes of ours.
    """

    number: int
    """Tells the groups of one connection apart."""
    channel: Name
    moderator: Name
    members: tuple[Name, ...] = ()
    epoch: int = 0
    """0 without MLS."""
    over: bool = False
    figures: GroupFigures | None = None
    """None where they are not told."""


@record
class NodeInquiry(NamedTuple):
    """What one node asks its peer about two names, and with `facts` the answer.

    Ours: it goes only over node links.
    """

    number: int
    """Of the question."""
    source: Name
    target: Name
    node: str = ""
    """Who is asked, where it is not the peer itself but one that it knows."""
    facts: bytes | None = None
    """Empty: the one that was asked does not answer."""


ControlRecord = Subscription | SubscriptionAck | LinkNegotiation | Hint | GroupLed | NodeInquiry
"""What ends of a link say to each other, beside messages."""
Inbound = Frame | ControlRecord
"""What a connection receives from its link."""
