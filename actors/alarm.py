"""How often something is worth a warning, when whoever causes it can do so a thousand times a second."""

from __future__ import annotations

import math
from collections import OrderedDict

ALARM_PAUSE = 10.0
"""Seconds between two warnings of the same cause."""
SOURCE_PAUSE = 1.0
"""Seconds between two warnings about the same source."""
RETRY_PAUSE = 30.0
"""Seconds between two warnings that the same is not reached for the same reason: longer than a session takes
to give up, so that one attempt is worth one."""
BURST = 10
"""Warnings about all sources together in SOURCE_PAUSE."""
REMEMBERED = 64
"""Sources of which is known when they were last warned about, where that counts for longer."""


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


class SourceAlarms:
    """Warnings about sources, which cost nothing to invent.

    In SOURCE_PAUSE one about each, and BURST about all; no more than BURST sources are remembered. `pause` is
    a longer one for each source: for what is tried again and again, and fails for the same reason. Of those
    the last REMEMBERED are known.
    """

    __slots__ = ("_pause", "_recent", "_since", "_warned", "silenced")

    def __init__(self, pause: float = SOURCE_PAUSE) -> None:
        self._pause = pause
        self._recent: OrderedDict[object, float] = OrderedDict()
        self._since = -math.inf
        self._warned: set[object] = set()
        self.silenced = 0
        """Warnings that were none since the last one."""

    def is_due(self, source: object, now: float) -> bool:
        """Whether to warn about `source` now, at `now` seconds of a clock that only grows."""
        if now - self._since >= SOURCE_PAUSE:
            self._since = now
            self._warned.clear()
        if len(self._warned) >= BURST or source in self._warned or self._is_recent(source, now):
            self.silenced += 1
            return False
        self._warned.add(source)
        if self._pause > SOURCE_PAUSE:
            self._recent[source] = now
            self._recent.move_to_end(source)
            if len(self._recent) > REMEMBERED:
                self._recent.popitem(last=False)
        return True

    def _is_recent(self, source: object, now: float) -> bool:
        last = self._recent.get(source)
        return last is not None and now - last < self._pause

    def level(self, source: object | None, now: float) -> tuple[str, str]:
        """The level of a line about `source` (None: not worth a warning), and what to end its text with."""
        if source is None or not self.is_due(source, now):
            return "DEBUG", ""
        return "WARNING", self.told()

    def told(self) -> str:
        """How many were silenced, to end a warning with; from now on they are counted anew."""
        silenced, self.silenced = self.silenced, 0
        return f" ({silenced} more were not told)" if silenced else ""
