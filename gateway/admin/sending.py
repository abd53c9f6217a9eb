"""How fast peers send, from what was counted when somebody looked before: nothing is counted for it."""

from __future__ import annotations

from typing import NamedTuple

from actors.memo import Memo
from actors.record import record

APART = 1.0
"""Seconds that two looks are apart at least of which a rate is made."""
REMEMBERED = 20_000
"""Connections of which the last looks are remembered."""


@record
class _Look(NamedTuple):
    at: float
    messages: int
    size: int


class Sending:
    """The looks at connections, by their indices. Time is an argument."""

    def __init__(self) -> None:
        self._looks: Memo[int, tuple[_Look, _Look]] = Memo(REMEMBERED)
        """The one of which rates are made now, and the last one."""

    def rates(self, index: int, messages: int, size: int, *, since: float, now: float) -> tuple[float, float]:
        """Messages and bytes a second. The first time: since it connected, at `since`."""
        look, start = _Look(now, messages, size), _Look(since, 0, 0)
        base, last = self._looks.get(index) or (start, start)
        if now - last.at >= APART:
            base, last = last, look
            self._looks.remember(index, (base, last))
        passed = max(now - base.at, APART)
        return max(0, messages - base.messages) / passed, max(0, size - base.size) / passed
