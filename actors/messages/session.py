"""What an application, its App actor and its Session actors say to one another.

Three parties, told apart by who may send a record:

- the *application* is the API layer, reached at an *inbox*: an address whose mail goes to ordinary code;
- the *App* actor owns one application name, its identity and the choice of routes;
- a *Session* actor owns one session. The application talks to it directly once it knows its address.

An operation carries a `handle`, an integer that the application chose; its outcome comes back in
`Completed`, at most once. Everything is batched: what one loop turn produced travels in one record.

Flow control, towards the session: `credit` is how many messages may still be published. It starts with
`SessionOpened.credit`, `Completed.credit` gives it back, and publishing without it fails with QueueFull.
Towards the application: the session keeps at most `AppSettings.inbox` messages on their way to it, and
`Taken` says how many of them were consumed. Beyond that reliable messages stay unacknowledged, so that
the peer's window closes; best-effort ones push out the oldest and are counted.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

from actors.messages.wire import SessionKind, SessionMessage
from actors.names import Name
from actors.record import record, renamed
from actors.system import Address
from identity.errors import SlimError

# What describes sessions


@record
class SessionConfig(NamedTuple):
    """How a session behaves (`session.md` 1); times in seconds."""

    session_type: SessionKind
    interval: float | None = None
    """Between two attempts."""
    max_retries: int | None = None
    """Re-sends after the first attempt."""
    mls: bool = False
    metadata: dict[str, str] | None = None

    @property
    def reliable(self) -> bool:
        """Acknowledged, re-sent and ordered: only when both timer values are given."""
        return self.interval is not None and self.max_retries is not None


@record
class AppSettings(NamedTuple):
    """Bounds and times of one application; the defaults are right for most."""

    ping_interval: float = 10.0
    """Seconds between liveness rounds (`session.md` 8)."""
    inbox: int = 32_768
    """Messages on their way to the application, per session."""
    backlog: int = 128
    """Announced sessions that the application has not adopted yet; further invitations wait for a re-send.
    0: it takes none, and leaves who asks for its name without an id to another one of that name."""
    sessions: int = 65_536
    """Sessions open at a time above which invitations are refused; what the application opens itself counts,
    and is never refused."""
    subscription_timeout: float = 10.0
    """Seconds to wait for the node's answer to a subscription (`dataplane.md` 10)."""
    outage: float = 0.0
    """Seconds for which a session survives without a sign of life of the peer, where they are more than three
    rounds of `ping_interval` (30 s). Of two of ours the longer one counts."""
    controllers: tuple[str, ...] | None = None
    """Subjects of the tokens of those who may order groups of us; None: everybody whose token is believed."""


@record
class Outgoing(NamedTuple):
    """One message that an application publishes."""

    blob: bytes
    payload_type: str = ""
    metadata: dict[str, str] | None = None
    handle: int | None = None
    """None: nobody waits for its outcome. A failure is still delivered."""
    to: Name | None = None
    """publish_to: the one member it is for (`session.md` 7.6)."""
    connection: int | None = None
    """publish_to: the connection that member's message came over."""


@record
class Failure(NamedTuple):
    """An operation that did not work."""

    handle: int
    error: SlimError


# Application to its App


@renamed(port="inbox")
@record
class Listen(NamedTuple):
    """SessionAnnounced goes to `inbox` from now on; what waited goes first."""

    inbox: Address


@record
class Require(NamedTuple):
    """From now on: whether sessions of others must be encrypted."""

    mls: bool


@renamed(port="inbox")
@record
class OpenSession(NamedTuple):
    """Create a session. SessionOpened (or a Failure) answers at once; `handle` completes when it stands."""

    handle: int
    inbox: Address
    """Where all about this session goes: SessionOpened, Completed, Delivered, SessionEnded.
    Other operations of the application are answered at the sender's address."""
    destination: Name
    """The peer's name, or the channel."""
    config: SessionConfig


@record
class SubscribeName(NamedTuple):
    """Receive for `name` too, under the application's own id; `connection` is told as well, if given."""

    handle: int
    name: Name
    connection: int | None = None


@record
class UnsubscribeName(NamedTuple):
    """Undo SubscribeName."""

    handle: int
    name: Name
    connection: int | None = None


@record
class SetRoute(NamedTuple):
    """Messages for `name` leave by `connection`."""

    handle: int
    name: Name
    connection: int


@record
class RemoveRoute(NamedTuple):
    """Undo SetRoute."""

    handle: int
    name: Name
    connection: int


@record
class CloseApp(NamedTuple):
    """Close every session gracefully within `grace` seconds, then go. Completed answers."""

    handle: int
    grace: float = 60.0


# Application to a Session (scripts may send these too, with an inbox of their own)


@renamed(port="inbox")
@record
class Adopt(NamedTuple):
    """Everything about this announced session goes to `inbox` from now on; what waited goes first."""

    inbox: Address


@record
class Publish(NamedTuple):
    """Send these, in order."""

    items: tuple[Outgoing, ...]


@record
class Taken(NamedTuple):
    """The application consumed this many delivered items."""

    items: int


@renamed(port="inbox")
@record
class Invite(NamedTuple):
    """Add `name` to the group (moderator only). The outcome goes to `inbox`, or else to the session's."""

    handle: int
    name: Name
    inbox: Address | None = None


@renamed(port="inbox")
@record
class RemoveMember(NamedTuple):
    """Take `name` (compared without id) out of the group (moderator only)."""

    handle: int
    name: Name
    inbox: Address | None = None


@record
class SetTimers(NamedTuple):
    """Other timer values for messages sent from now on; both None: best effort."""

    handle: int
    interval: float | None
    max_retries: int | None


@record
class CloseSession(NamedTuple):
    """End the session: no new messages, await acknowledgements for at most `grace` seconds, say goodbye."""

    handle: int | None
    """None: nobody waits for it."""
    grace: float = 60.0


@renamed(port="inbox")
@record
class Watch(NamedTuple):
    """Tell `inbox` about membership: at once a Membership, then every change."""

    inbox: Address


@renamed(port="inbox")
@record
class Unwatch(NamedTuple):
    """Undo Watch."""

    inbox: Address


# App or Session to the application


@record
class GroupBegun(NamedTuple):
    """The application leads a group by itself: to whom the node tells of groups."""

    session: Address
    moderator: Name
    channel: Name


@record
class WatchEnded(NamedTuple):
    """The session that was watched is over."""

    session_id: int


@renamed(room="credit")
@record
class SessionOpened(NamedTuple):
    """The session that OpenSession asked for exists here; whether the peer joins, its handle will tell."""

    handle: int
    session_id: int
    address: Address
    """The Session actor."""
    source: Name
    """The local end."""
    destination: Name
    config: SessionConfig
    credit: int


@renamed(room="credit")
@record
class SessionAnnounced(NamedTuple):
    """To the application's inbox: somebody invited us, and the session stands. Adopt it."""

    session_id: int
    address: Address
    source: Name
    destination: Name
    """The initiator point to point, the channel in a group."""
    config: SessionConfig
    credit: int


@renamed(room="credit")
@record
class Completed(NamedTuple):
    """Outcomes of operations, and credit for further messages."""

    session_id: int | None
    """None: operations of the application itself."""
    done: tuple[int, ...] = ()
    """Handles of operations that worked."""
    failed: tuple[Failure, ...] = ()
    credit: int = 0


@record
class Delivered(NamedTuple):
    """Messages for the application, in order, and errors in the place where its next receive meets them.

    `connection` of a message is the one it came over, `content` the clear payload.
    """

    session_id: int
    items: tuple[SessionMessage | SlimError, ...]


@record
class SessionEnded(NamedTuple):
    """The last word of a session, after everything else; every operation it knew has been answered.

    What crossed this record on its way is answered too, for LINGER seconds (`actors/session/actor.py`).
    """

    session_id: int
    cause: SlimError | None = None
    """None: the application closed it."""


# Session to whoever watches


@record
class Membership(NamedTuple):
    """Who is in, the local end included, full names."""

    session_id: int
    members: tuple[Name, ...]
    epoch: int | None = None
    """The MLS epoch; None without MLS, or before there is a group."""
    fingerprint: str = ""
    marks_answers: bool = False
    """Point to point: whether the peer marks its answers to requests."""


@record
class MemberJoined(NamedTuple):
    """A member came; `members` is the list with it."""

    session_id: int
    member: Name
    members: tuple[Name, ...]
    marks_answers: bool = False
    """Point to point: whether it marks its answers to requests."""
    claims: dict[str, Any] | None = None
    """Told by a moderator: what the token said, which was verified, with which it agreed to join."""


@record
class MemberLeft(NamedTuple):
    """A member went; `members` is the list without it. `cause` is for people."""

    session_id: int
    member: Name
    members: tuple[Name, ...]
    cause: str = ""


@record
class EpochChanged(NamedTuple):
    """The MLS group moved on. `fingerprint` is equal for all members of the epoch.

    `members` have its keys, whether or not they have taken part yet.
    """

    session_id: int
    epoch: int
    members: tuple[Name, ...]
    cause: str = ""
    fingerprint: str = ""


# App to a Session


@record
class IdentityRotated(NamedTuple):
    """What the application proves its identity with was replaced; messages carry the new one from now on."""

    generation: int


@record
class Received(NamedTuple):
    """Verified messages of this session, in order of arrival."""

    messages: tuple[SessionMessage, ...]


@record
class Unroutable(NamedTuple):
    """These could not leave: nothing leads to their destination, or no token is at hand."""

    messages: tuple[SessionMessage, ...]
    error: SlimError


@record
class Stranded(NamedTuple):
    """The connection that led to this session's peers is gone for good, and no other leads to them."""

    error: SlimError


@record
class Moved(NamedTuple):
    """Connections that led to this session's peers are gone, and another one takes their place."""

    gone: tuple[int, ...]
    connection: int


@record
class Bound(NamedTuple):
    """The outcome of a Bind with a subscription."""

    name: Name
    error: SlimError | None = None


@record
class CredentialGranted(NamedTuple):
    """The token that CredentialWanted asked for, or why there is none."""

    token: str = ""
    error: SlimError | None = None

    def __repr__(self) -> str:
        return f"Credential(token of {len(self.token)} characters, error={self.error!r})"


@record
class Verification(NamedTuple):
    """The App's verifier has looked at the tokens of VerificationWanted; what it found, it now knows."""


@record
class PeerAlive(NamedTuple):
    """Asked outside the session, `peer` (a full name) answered that it is there."""

    peer: Name


@record
class BeginSession(NamedTuple):
    """To a new Session of our own: discover, or wait for invitations to make."""


@record
class Resolved(NamedTuple):
    """To the App, from a task it started: the outcome of what could not be had at once."""

    tag: int
    token: str = ""
    error: SlimError | None = None

    def __repr__(self) -> str:
        return f"Resolved(tag={self.tag}, token of {len(self.token)} characters, error={self.error!r})"


@record
class Congestion(NamedTuple):
    """Whether some connection that this application sends to has its outbox above the high-water mark."""

    congested: bool


# A Session to itself


@record
class Computed(NamedTuple):
    """It is time to go on with a long piece of cryptography."""


# Session to its App


@record
class Outbound(NamedTuple):
    """Put these out, in order; the App fills in the identity and finds the way."""

    messages: tuple[SessionMessage, ...]


@record
class PutOut(NamedTuple):
    """App to a session: all of one Outbound has left."""


@record
class TokenRenewed(NamedTuple):
    """Session to its App: its messages leave with another token than before."""


@record
class Bind(NamedTuple):
    """Routes and channel subscriptions of a session, kept by the App until Unbind or the session's end."""

    name: Name
    connection: int
    subscribe: bool = False
    """Also receive for `name` (a channel), announced on `connection`."""


@record
class Unbind(NamedTuple):
    """Undo Bind."""

    name: Name


@record
class Announce(NamedTuple):
    """This session was invited and stands: tell the application."""

    opened: SessionAnnounced


@renamed(port="inbox")
@record
class Adopted(NamedTuple):
    """The application took over an announced session; its inbox, should the Session fail."""

    session_id: int
    inbox: Address


@record
class CredentialWanted(NamedTuple):
    """Obtain a token that carries `claims` (the MLS credential); Credential answers."""

    claims: dict[str, Any]


@record
class VerificationWanted(NamedTuple):
    """Have the verifier fetch what it needs to judge these tokens, each at its Unix time; Verification
    answers. For credentials of MLS."""

    tokens: tuple[tuple[str, float], ...]

    def __repr__(self) -> str:
        return f"VerificationWanted({len(self.tokens)} tokens)"


@record
class AskPeer(NamedTuple):
    """Ask `peer` (a full name) whether it is there; PeerAlive says so if it answers. One question serves all
    sessions that ask (`docs/signs-of-life.md`)."""

    peer: Name


@record
class SessionGone(NamedTuple):
    """The session is over. `farewells` answer repeated requests of peers who missed our last words."""

    session_id: int
    farewells: tuple[SessionMessage, ...] = ()


_RENAMED = {"Remove": RemoveMember, "Credential": CredentialGranted, "SessionType": SessionKind}
"""Names of version 0.1; they go with 0.3."""


def __getattr__(name: str) -> Any:
    renamed = _RENAMED.get(name)
    if renamed is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(f"{__name__}.{name} is called {renamed.__name__} now", DeprecationWarning, stacklevel=2)
    return renamed
