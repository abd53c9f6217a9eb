"""How well the event loop of a node keeps its time, while somebody wants to know.

    every PERIOD seconds a timer ──► how late it fired ──► the largest of the last minute

A loop that is busy, or that something blocks, is late with its timers as with its sockets.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

PERIOD = 0.25
"""Seconds between two looks."""
WINDOW = 60.0
"""Seconds for which the largest is remembered."""


class Largest:
    """The largest of the numbers of the last minute, in steps of a sixth of it. Time is an argument."""

    def __init__(self, window: float = WINDOW, steps: int = 6) -> None:
        self._step = window / steps
        self._steps: deque[tuple[int, float]] = deque(maxlen=steps + 1)
        self._count = steps

    def add(self, number: float, now: float) -> None:
        """One more."""
        step = int(now / self._step)
        if self._steps and self._steps[-1][0] == step:
            number = max(number, self._steps.pop()[1])
        self._steps.append((step, number))

    def get(self, now: float) -> float:
        """The largest; 0 without any."""
        oldest = int(now / self._step) - self._count
        return max((number for step, number in self._steps if step > oldest), default=0.0)


class LoopLag:
    """Looks at the running loop from `start` to `stop`. `clock`: seconds that only grow."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float]) -> None:
        self._loop, self._clock = loop, clock
        self._largest = Largest()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look."""
        due = self._clock() + PERIOD
        self._timer = self._loop.call_later(PERIOD, self._look, due)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def seconds(self) -> float:
        """The longest that a timer was late in the last minute."""
        return self._largest.get(self._clock())

    def _look(self, due: float) -> None:
        now = self._clock()
        self._largest.add(max(0.0, now - due), now)
        self.start()
