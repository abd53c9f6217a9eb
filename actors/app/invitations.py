"""What an application does about messages that belong to no session of its own (`session.md` 4.1, 4.2, 9.4).

Discovery is answered without state; a JOIN_REQUEST becomes an invitation; sessions that ended are remembered
for a while, so that peers who missed our last words get them again. Everything else is dropped.

Whoever invites is a stranger: what it sets is brought within bounds (`actors/session/bounds.py`), what cannot
be used is refused here, and an id that was an encrypted session's is never that of a clear one afterwards.
An invitation serves once: whoever read it on its way cannot have the session again by it when that is over.

    JOIN_REQUEST ─► unfinished ──(the session stands)──► announced ──(adopted)──► the application's
                    └ together at most the backlog ─────────────┘

With the backlog full an invitation takes the place of an unfinished one: the oldest of the source that has
most of them. So what nobody goes on with keeps nobody out; announced sessions keep their places.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from actors.app.effects import Invitation
from actors.app.turn import AppTurn
from actors.messages.session import SessionConfig, SessionGone
from actors.messages.wire import (
    IS_MODERATOR,
    ORDER_FAILED,
    REPORT_FAILURE,
    DiscoveryReply,
    DiscoveryRequest,
    GroupAck,
    HintReason,
    JoinRequest,
    MessageType,
    SessionKind,
    SessionMessage,
)
from actors.names import Key, Name
from actors.session.bounds import bounded
from actors.session.senders import Senders
from actors.telemetry import Counts, counter

SESSION_IDS = 2**32 - 1 - 1000
"""Session ids are drawn below this number; those above are reserved."""
TOMBSTONES = 1024
TOMBSTONE_TIME = 120.0
"""Seconds for which an ended session answers repeated requests."""
ENCRYPTED_KNOWN = 16_384
"""Ids of encrypted sessions that are remembered."""
REQUESTS_KNOWN = 16_384
"""Invitations to sessions that stood which are remembered: nobody comes in by one of them again."""

_DISCOVERY_REQUEST, _DISCOVERY_REPLY = MessageType.DISCOVERY_REQUEST, MessageType.DISCOVERY_REPLY
_JOIN_REQUEST = MessageType.JOIN_REQUEST
_GROUP, _PAIR = SessionKind.MULTICAST, SessionKind.POINT_TO_POINT


class InvitationCounts(Counts, part="invitation"):
    clamped: int = counter("Invitations whose timers had to be brought within bounds.")
    displaced: int = counter("Invitations that nobody went on with and that made way for another one.")
    tombstones_dropped: int = counter("Ended sessions forgotten before their time: too many had ended.")


@dataclass(slots=True)
class Promises:
    """What invitations are held to as long as the application lives."""

    mls_required: bool = False
    """Whether a session without MLS is refused."""
    controllers: tuple[str, ...] | None = None
    """Subjects of those who may order groups of us; None: of everybody."""
    encrypted: OrderedDict[int, None] = field(default_factory=OrderedDict)
    """Ids of sessions with MLS, over or not; no more than ENCRYPTED_KNOWN."""
    requests: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    """Invitations by which a session stood, over or not; no more than REQUESTS_KNOWN."""


class Tombstones:
    """Last words of ended sessions, by session id; bounded in number and time."""

    def __init__(self, counts: InvitationCounts) -> None:
        self._counts = counts
        self._farewells: OrderedDict[int, tuple[float, tuple[SessionMessage, ...]]] = OrderedDict()

    def bury(self, session_id: int, farewells: tuple[SessionMessage, ...], now: float) -> None:
        if not farewells:
            return
        self._farewells[session_id] = (now + TOMBSTONE_TIME, farewells)
        self._farewells.move_to_end(session_id)
        if len(self._farewells) > TOMBSTONES:
            _, (until, _) = self._farewells.popitem(last=False)
            if until > now:
                self._counts.tombstones_dropped += 1

    def answer(self, message: SessionMessage, now: float) -> SessionMessage | None:
        """What we said when this request came for the first time."""
        until, farewells = self._farewells.get(message.session_id, (0.0, ()))
        if until <= now:
            self._farewells.pop(message.session_id, None)
            return None
        for farewell in farewells:
            if farewell.message_id == message.message_id and farewell.destination == message.source:
                return farewell._replace(connection=message.connection)
        return None


class Invitations:
    """The names of one application, and the decisions above. `draw(bound)` is a random number below it."""

    def __init__(
        self,
        local: Name,
        draw: Callable[[int], int],
        *,
        mls: bool,
        backlog: int,
        senders: Senders | None = None,
        counts: InvitationCounts | None = None,
        promises: Promises | None = None,
    ) -> None:
        self.local = local
        self.promises = promises or Promises()
        self._unfinished: dict[int, Name] = {}
        """By whom we were invited to sessions that do not stand yet, oldest first."""
        self._requests: dict[int, bytes] = {}
        """By what invitation, of the same sessions."""
        self._announced: set[int] = set()
        """Sessions that stand and were not adopted yet."""
        self._senders = senders or Senders()
        self._names: dict[Key, int] = {local.key: 1}
        self._draw = draw
        self._mls = mls
        self._backlog = backlog
        self.counts = counts or InvitationCounts()
        self._tombstones = Tombstones(self.counts)

    def take_name(self, name: Name) -> None:
        """Answer for `name` too; counted."""
        self._names[name.key] = self._names.get(name.key, 0) + 1

    def give_up_name(self, name: Name) -> None:
        left = self._names.get(name.key, 0) - 1
        if left > 0:
            self._names[name.key] = left
        else:
            self._names.pop(name.key, None)

    def draw_session_id(self, taken: Callable[[int], bool]) -> int:
        while True:
            session_id = self._draw(SESSION_IDS)
            if not taken(session_id):
                return session_id

    # The backlog

    @property
    def unadopted(self) -> int:
        """How many sessions were announced and not adopted yet."""
        return len(self._announced)

    def begun(self, invitation: SessionMessage) -> None:
        """It was taken: the session is being joined."""
        self._unfinished[invitation.session_id] = invitation.source
        self._requests[invitation.session_id] = _mark(invitation)

    def announced(self, session_id: int) -> None:
        """It stands, and the application is told."""
        if self._unfinished.pop(session_id, None) is not None:
            self._announced.add(session_id)
        request, known = self._requests.pop(session_id, None), self.promises.requests
        if request is not None:
            known[request] = None
            if len(known) > REQUESTS_KNOWN:
                known.popitem(last=False)

    def is_announced(self, session_id: int) -> bool:
        """Whether the application was told of it and has not adopted it yet."""
        return session_id in self._announced

    def adopted(self, session_id: int) -> None:
        """The application took it, or nobody will: its place is free."""
        self.over(session_id)
        self._announced.discard(session_id)

    def over(self, session_id: int) -> None:
        """It is over. If it was announced, the application adopts it all the same."""
        self._unfinished.pop(session_id, None)
        self._requests.pop(session_id, None)

    def encrypts(self, session_id: int) -> None:
        """From now on no clear session has this id."""
        encrypted = self.promises.encrypted
        encrypted[session_id] = None
        if len(encrypted) > ENCRYPTED_KNOWN:
            encrypted.popitem(last=False)

    # Messages

    def handle(self, event: SessionMessage | SessionGone, turn: AppTurn) -> None:
        """A verified message of no known session came (or a DISCOVERY_REQUEST of any); or a session ended."""
        if isinstance(event, SessionGone):
            self._tombstones.bury(event.session_id, event.farewells, turn.now)
            return
        kind, content = event.kind, event.content
        if kind is _DISCOVERY_REQUEST and isinstance(content, DiscoveryRequest):
            self._discovered(event, turn)
        elif kind is _JOIN_REQUEST and isinstance(content, JoinRequest):
            self._invited(event, content, turn)
        elif kind in (MessageType.GROUP_CLOSE, MessageType.LEAVE_REQUEST):
            farewell = self._tombstones.answer(event, turn.now)
            if farewell is not None:
                turn.send(farewell)

    def _discovered(self, message: SessionMessage, turn: AppTurn) -> None:
        if message.destination.key not in self._names:
            return
        if not self._backlog and not message.destination.has_id:
            # Asked again in a moment, another one that has the name may answer.
            return
        reply = SessionMessage(
            message.destination.of_instance(self.local.instance),
            message.source,
            message.session_type,
            _DISCOVERY_REPLY,
            message.session_id,
            message.message_id,
            DiscoveryReply(),
            connection=message.connection,
        )
        turn.send(reply)

    def _invited(self, message: SessionMessage, request: JoinRequest, turn: AppTurn) -> None:
        if message.destination.key not in self._names:
            return
        decision = self._judged(message, request)
        if isinstance(decision, Invitation):
            turn.invite(decision)
            return
        decision = f"invitation of {message.source} to session {message.session_id}: {decision}"
        turn.refuse(decision)
        if REPORT_FAILURE in (message.metadata or {}):
            turn.send(_declined(message, decision, self.local))
        if request.mls and not self._mls:
            turn.hint(HintReason.NO_MLS, message, message.destination)
        elif self.promises.mls_required and not request.mls:
            turn.hint(HintReason.MLS_WANTED, message, message.destination)

    def _judged(self, message: SessionMessage, request: JoinRequest) -> Invitation | str:
        """What the invitation asks for, or why it cannot be taken."""
        if request.mls and not self._mls:
            return "it asks for MLS, which this application is not set up for"
        if self.promises.mls_required and not request.mls:
            return "it is not encrypted, and this application requires MLS"
        if not request.mls and message.session_id in self.promises.encrypted:
            return "it asks for clear text where there was encryption"
        if _mark(message) in self.promises.requests:
            return "it has served already"
        if not self._backlog:
            return "this application takes no sessions"
        if len(self._announced) >= self._backlog:
            return f"{self._backlog} announced sessions wait for listen_for_session already"
        if message.session_type is _GROUP:
            if request.channel is None:
                return "it names no channel"
            destination = request.channel.without_id()
        elif message.session_type is _PAIR:
            destination = message.source
        else:
            return "of unknown type"
        timers, metadata = request.timer_settings, message.metadata
        if timers is not None:
            within = bounded(timers)
            if within is None:
                return f"its interval is {timers.timeout:g} s"
            timers, changed = within
            self.counts.clamped += changed
        leads = metadata is not None and IS_MODERATOR in metadata
        if not leads and not self._senders.believes(message):
            return "its token is somebody else's"
        if metadata is not None and leads:
            ours = (IS_MODERATOR, REPORT_FAILURE)
            metadata = {key: value for key, value in metadata.items() if key not in ours} or None
            if message.session_type is not _GROUP:
                return "only groups have a moderator"
            if self.promises.controllers is not None:
                subject = self._senders.subject(message.identity)
                if subject is None:
                    return "its token proves no subject, and not everybody may order groups of us"
                if subject not in self.promises.controllers:
                    return f"{subject!r} may not order groups of us"
        config = SessionConfig(
            message.session_type,
            timers.timeout if timers is not None else None,
            timers.max_retries if timers is not None else None,
            request.mls,
            metadata,
        )
        return Invitation(message, config, destination, leads, self._makes_way())

    def _makes_way(self) -> int | None:
        """The unfinished session whose place another one needs, if one does."""
        if len(self._unfinished) + len(self._announced) < self._backlog:
            return None
        self.counts.displaced += 1
        inviter, _ = Counter(self._unfinished.values()).most_common(1)[0]
        return next(id for id, whose in self._unfinished.items() if whose == inviter)


def _mark(request: SessionMessage) -> bytes:
    """What one invitation has and no other. Peers choose it: bytes, whose hash they cannot."""
    return b"%d %d " % (request.session_id, request.message_id) + request.source.instance


def _declined(order: SessionMessage, why: str, local: Name) -> SessionMessage:
    """Why a controller of ours does not get the group that it ordered (`session.md` 6.6)."""
    return SessionMessage(
        order.destination.with_id(local.id),
        order.source,
        order.session_type,
        MessageType.GROUP_ACK,
        order.session_id,
        order.message_id,
        GroupAck(),
        metadata={ORDER_FAILED: why},
        connection=order.connection,
    )
