"""Peers whose link was ended in order a moment ago, perhaps for another link that they saw before us.

When two nodes dial each other one of the two links gives way, and its end may be here before the other link
is known. So nobody is told of a loss until PARTING seconds have passed.
"""

from __future__ import annotations

from actors.routing.turn import Notice, RouteTurn

PARTING = 0.5
_ENDED = "OK"
"""How the cause of an end in order begins."""


class Partings:
    """Losses that are not told yet, by node id, the oldest first."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[float, Notice]] = {}

    def lost(self, notice: Notice, turn: RouteTurn) -> None:
        """A peer is reached no more: told now, or later unless it comes back."""
        self._waiting.pop(notice.peer, None)
        if notice.cause.startswith(_ENDED):
            self._waiting[notice.peer] = (turn.now + PARTING, notice)
        else:
            turn.notices.append(notice)

    def back(self, node_id: str) -> bool:
        """A peer is there: whether its loss was not told yet."""
        return self._waiting.pop(node_id, None) is not None

    def next_deadline(self) -> float | None:
        """When `expire` wants to be called."""
        return next(iter(self._waiting.values()), (None,))[0]

    def expire(self, turn: RouteTurn) -> None:
        """Tell of those that did not come back."""
        for node_id, (deadline, notice) in list(self._waiting.items()):
            if deadline <= turn.now:
                del self._waiting[node_id]
                turn.notices.append(notice)
