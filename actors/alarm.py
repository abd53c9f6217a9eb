"""How often something is worth a warning, when whoever causes it can do so a thousand times a second."""

from __future__ import annotations

import math

ALARM_PAUSE = 10.0
"""Seconds between two warnings of the same cause."""


class Alarm:
    """One cause of warnings: the first is worth one, then no more than one in ALARM_PAUSE."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = -math.inf

    def is_due(self, now: float) -> bool:
        """Whether to warn now, at `now` seconds of a clock that only grows."""
        if now - self._last < ALARM_PAUSE:
            return False
        self._last = now
        return True
