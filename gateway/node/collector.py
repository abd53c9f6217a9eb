"""Has the collector of cycles look at little at a time: a full collection stops the loop for all there is.

    new objects ──► generation 0 ──► generation 1 ──► generation 2 ──► set aside: not looked at again
             700 objects     5 collections     2 collections          until memory has grown

By Python's own rules a full collection looks at every object, some 25 ms for what a node loads at its start
and 10 ms more for each 65,000 names, and peers bring it about. Here it looks at what is new since the last
one, and what survives is set aside. What is set aside is freed as ever when nobody refers to it any more;
only a cycle among it stays, until all is looked at. Nothing on the path of a connection makes one.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

from gateway.node.memory import resident
from identity.log import logger

THRESHOLDS = (700, 5, 2)
"""Objects, and collections of the generation before, that make one due: a full one looks at some 15,000
objects for at most 2 ms. Python's differ by version, and are up to 20 times as many."""
PERIOD = 5.0
"""Seconds between two looks at the memory."""
GROWN = 1.5
"""All is looked at when the process has so many times the memory that it had after the last time, ..."""
LEAST = 32 * 1024 * 1024
"""... and at least so many bytes more."""
QUIET = 0.001
"""A timer that fires this late, in seconds, fires at a bad time: all is looked at later, ..."""
PATIENCE = 12
"""... unless it was so often a bad time before."""


class Growth:
    """When all is to be looked at; pure."""

    def __init__(self, used: int) -> None:
        self._used = used
        self._put_off = 0

    def due(self, used: int, late: float) -> bool:
        """Whether it is now, with so many bytes in use, and a timer that was `late` seconds late."""
        if used < self._used * GROWN + LEAST:
            self._put_off = 0
            return False
        if late > QUIET and self._put_off < PATIENCE:
            self._put_off += 1
            return False
        return True

    def looked(self, used: int) -> None:
        """All was looked at, and this is left."""
        self._used, self._put_off = used, 0


class Collector:
    """Rules over the collector of this process from `start` to `stop`, so it is for programs of ours and not
    for applications that only import the library. `used` tells bytes of memory.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, used: Callable[[], int] = resident) -> None:
        self._loop = loop
        self._used = used
        self._growth = Growth(0)
        self._thresholds = gc.get_threshold()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look at all that there is by now, for the last time but for growth."""
        self._thresholds = gc.get_threshold()
        gc.set_threshold(*THRESHOLDS)
        gc.callbacks.append(_set_aside)
        self._look_at_all()
        self._wait()

    def stop(self) -> None:
        """Leave it to Python's own rules."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            gc.callbacks.remove(_set_aside)
            gc.set_threshold(*self._thresholds)

    def _wait(self) -> None:
        self._timer = self._loop.call_later(PERIOD, self._look, self._loop.time() + PERIOD)

    def _look(self, due: float) -> None:
        if self._growth.due(self._used(), self._loop.time() - due):
            began = self._loop.time()
            self._look_at_all()
            logger.debug("looked for garbage in all memory", seconds=round(self._loop.time() - began, 4))
        self._wait()

    def _look_at_all(self) -> None:
        gc.unfreeze()
        gc.collect()
        # Python puts a full collection off for as long as what is new is a quarter of what the last one left:
        # that was everything, and is nothing now.
        gc.collect()
        self._growth.looked(self._used())


def _set_aside(phase: str, info: dict[str, Any]) -> None:
    """For `gc.callbacks`."""
    if phase == "stop" and info["generation"] == 2:
        gc.freeze()
