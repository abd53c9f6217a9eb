"""What an application does about messages that belong to no session of its own (`session.md` 4.1, 4.2, 9.4).

Discovery is answered without state; a JOIN_REQUEST becomes an invitation; sessions that ended are remembered
for a while, so that peers who missed our last words get them again. Everything else is dropped.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from actors.app.effects import Invitation
from actors.app.turn import AppTurn
from actors.messages.session import SessionConfig, SessionGone
from actors.messages.wire import (
    IS_MODERATOR,
    DiscoveryReply,
    DiscoveryRequest,
    JoinRequest,
    MessageType,
    SessionKind,
    SessionMessage,
)
from actors.names import Key, Name
from actors.telemetry import Counts, counter

SESSION_IDS = 2**32 - 1 - 1000
"""Session ids are drawn below this number; those above are reserved."""
TOMBSTONES = 1024
TOMBSTONE_TIME = 120.0
"""Seconds for which an ended session answers repeated requests."""


class InvitationCounts(Counts, part="invitation"):
    tombstones_dropped: int = counter("Ended sessions forgotten before their time: too many had ended.")


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
        counts: InvitationCounts | None = None,
    ) -> None:
        self.local = local
        self.invited: set[int] = set()
        """Sessions that were invited and not adopted yet: the backlog."""
        self.mls_required = False
        """Whether a session without MLS is refused."""
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

    def handle(self, event: SessionMessage | SessionGone, turn: AppTurn) -> None:
        """A verified message of no known session came (or a DISCOVERY_REQUEST of any); or a session ended."""
        if isinstance(event, SessionGone):
            self._tombstones.bury(event.session_id, event.farewells, turn.now)
            return
        kind, content = event.kind, event.content
        if kind is MessageType.DISCOVERY_REQUEST and isinstance(content, DiscoveryRequest):
            self._discovered(event, turn)
        elif kind is MessageType.JOIN_REQUEST and isinstance(content, JoinRequest):
            self._invited(event, content, turn)
        elif kind in (MessageType.GROUP_CLOSE, MessageType.LEAVE_REQUEST):
            farewell = self._tombstones.answer(event, turn.now)
            if farewell is not None:
                turn.send(farewell)

    def _discovered(self, message: SessionMessage, turn: AppTurn) -> None:
        if message.destination.key not in self._names:
            return
        reply = SessionMessage(
            message.destination.with_id(self.local.id),
            message.source,
            message.session_type,
            MessageType.DISCOVERY_REPLY,
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
        else:
            turn.refuse(decision)

    def _judged(self, message: SessionMessage, request: JoinRequest) -> Invitation | str:
        """What the invitation asks for, or why it cannot be taken."""
        who = f"invitation of {message.source} to session {message.session_id}"
        if request.mls and not self._mls:
            return f"{who}: it asks for MLS, which this application is not set up for"
        if self.mls_required and not request.mls:
            return f"{who}: it is not encrypted, and this application requires MLS"
        if len(self.invited) >= self._backlog:
            return f"{who}: {self._backlog} announced sessions wait for listen_for_session already"
        if message.session_type is SessionKind.MULTICAST:
            if request.channel is None:
                return f"{who}: it names no channel"
            destination = request.channel.without_id()
        elif message.session_type is SessionKind.POINT_TO_POINT:
            destination = message.source
        else:
            return f"{who}: of unknown type"
        timers, metadata = request.timer_settings, message.metadata
        leads = metadata is not None and IS_MODERATOR in metadata
        if metadata is not None and leads:
            metadata = {key: value for key, value in metadata.items() if key != IS_MODERATOR} or None
            if message.session_type is not SessionKind.MULTICAST:
                return f"{who}: only groups have a moderator"
        config = SessionConfig(
            message.session_type,
            timers.timeout if timers is not None else None,
            timers.max_retries if timers is not None else None,
            request.mls,
            metadata,
        )
        return Invitation(message, config, destination, leads)
