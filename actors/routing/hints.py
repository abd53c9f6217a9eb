"""What one connection says of why somebody is not reached, and what it passes on. Pure.

A Hint goes between ends of ours only: some originals die of what they do not expect. About one name there is
one in a second at most (`SourceAlarms`), however often the peer asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actors.alarm import SourceAlarms
from actors.messages.wire import ControlRecord, Frame, Hint, HintReason, Role
from actors.names import Name
from actors.routing.link import Link
from actors.routing.negotiation import Negotiator
from actors.routing.view import RouteView


class ConnectionHints:
    """Of the connection `index`; `negotiator` knows its peer, `link` reads frames, `routes` keeps hints."""

    __slots__ = ("_alarms", "_index", "_link", "_negotiator", "_routes")

    def __init__(self, index: int, link: Link, negotiator: Negotiator, routes: RouteView) -> None:
        self._index = index
        self._link = link
        self._negotiator = negotiator
        self._routes = routes
        self._alarms = SourceAlarms()

    def nobody(self, frame: Frame, now: float) -> Hint | None:
        """Nobody has the name that a frame is for: what to tell who asks, unless it was told just now."""
        asked = self._link.asked(frame) if self._may(frame, now) else None
        if asked is None:
            return None
        source, name = asked
        return Hint(HintReason.NOBODY, name, source)

    def forbidden(self, frame: Frame, ends: tuple[Name, Name] | None, now: float) -> Hint | None:
        """The rules of the node forbid a frame: what to tell who sent it."""
        if ends is None or not self._may(frame, now):
            return None
        return Hint(HintReason.FORBIDDEN, ends[1], ends[0])

    def held_up(self, frames: Sequence[Any], reason: HintReason) -> Hint | None:
        """What to tell an application of ours that is not read for a while."""
        if self._negotiator.peer_role is not Role.APPLICATION:
            return None
        ends = next((self._link.ends(one) for one in frames if type(one) is Frame), None)
        return None if ends is None else Hint(reason, ends[1], ends[0])

    def may_pass(self, hint: Hint, now: float) -> bool:
        """Whether a hint of the peer goes on: one for a source in a second. What does is kept, too."""
        if not self._alarms.is_due(hint.about, now):
            return False
        self._remember(hint, now)
        return True

    def understood(self, records: Sequence[ControlRecord]) -> Sequence[ControlRecord]:
        """Those of some records that the peer may be sent."""
        if self._negotiator.peer_role is Role.UNKNOWN:
            return tuple(one for one in records if type(one) is not Hint)
        return records

    def _may(self, frame: Frame, now: float) -> bool:
        """Whether the peer knows hints, and was given none about this name just now."""
        known = self._negotiator.peer_role is not Role.UNKNOWN
        return known and self._alarms.is_due(frame.key, now)

    def _remember(self, hint: Hint, now: float) -> None:
        """Keep what an application said of another one, if this connection leads to it."""
        about = hint.about
        targets = self._routes.exact(about.key, about.instance)
        if targets is not None and self._index in targets.all:
            self._routes.past.tell(hint, now)
