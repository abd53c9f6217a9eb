"""What an application does about messages that belong to no session of its own (`session.md` 4.1, 4.2, 9.4).

Discovery is answered without state; a JOIN_REQUEST becomes an invitation; sessions that ended are remembered
for a while, so that peers who missed our last words get them again. Everything else is dropped.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from actors.messages.session import SessionConfig
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
from actors.session.effects import Refused
from actors.telemetry import Counts, counter

SESSION_IDS = 2**32 - 1 - 1000
"""Session ids are drawn below this number; those above are reserved."""
TOMBSTONES = 1024
TOMBSTONE_TIME = 120.0
"""Seconds for which an ended session answers repeated requests."""


class Invitation(NamedTuple):
    """Effect: make a Participant for this JOIN_REQUEST."""

    message: SessionMessage
    config: SessionConfig
    destination: Name
    """The channel, or the initiator point to point."""
    leads: bool = False
    """A controller makes us the group's moderator (6.6): make a ControlledModerator."""


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
        self._names: dict[Key, int] = {local.key: 1}
        self._draw = draw
        self._mls = mls
        self._backlog = backlog
        self._tombstones = Tombstones(counts or InvitationCounts())

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

    def gone(self, session_id: int, farewells: tuple[SessionMessage, ...], now: float) -> None:
        """A session ended."""
        self._tombstones.bury(session_id, farewells, now)

    def unclaimed(self, message: SessionMessage, now: float) -> SessionMessage | Invitation | Refused | None:
        """Decide about a verified message of no known session (or a DISCOVERY_REQUEST of any)."""
        kind, content = message.kind, message.content
        if kind is MessageType.DISCOVERY_REQUEST and isinstance(content, DiscoveryRequest):
            return self._discovered(message)
        if kind is MessageType.JOIN_REQUEST and isinstance(content, JoinRequest):
            return self._invited(message, content)
        if kind in (MessageType.GROUP_CLOSE, MessageType.LEAVE_REQUEST):
            return self._tombstones.answer(message, now)
        return None

    def _discovered(self, message: SessionMessage) -> SessionMessage | None:
        if message.destination.key not in self._names:
            return None
        return SessionMessage(
            message.destination.with_id(self.local.id),
            message.source,
            message.session_type,
            MessageType.DISCOVERY_REPLY,
            message.session_id,
            message.message_id,
            DiscoveryReply(),
            connection=message.connection,
        )

    def _invited(self, message: SessionMessage, request: JoinRequest) -> Invitation | Refused | None:
        if message.destination.key not in self._names:
            return None
        who = f"invitation of {message.source} to session {message.session_id}"
        if request.enable_mls and not self._mls:
            return Refused(f"{who}: it asks for MLS, which this application is not set up for")
        if len(self.invited) >= self._backlog:
            return Refused(f"{who}: {self._backlog} announced sessions wait for listen_for_session already")
        if message.session_type is SessionKind.MULTICAST:
            if request.channel is None:
                return Refused(f"{who}: it names no channel")
            destination = request.channel.without_id()
        elif message.session_type is SessionKind.POINT_TO_POINT:
            destination = message.source
        else:
            return Refused(f"{who}: of unknown type")
        timers, metadata = request.timer_settings, message.metadata
        leads = metadata is not None and IS_MODERATOR in metadata
        if metadata is not None and leads:
            metadata = {key: value for key, value in metadata.items() if key != IS_MODERATOR} or None
            if message.session_type is not SessionKind.MULTICAST:
                return Refused(f"{who}: only groups have a moderator")
        config = SessionConfig(
            message.session_type,
            timers.timeout if timers is not None else None,
            timers.max_retries if timers is not None else None,
            request.enable_mls,
            metadata,
        )
        return Invitation(message, config, destination, leads)
