"""Says who blocks an event loop, and for how long.

While a handler computes or waits without `await`, nothing else happens in its loop: messages are not taken
and not acknowledged, pings not answered. Nothing in the loop can see that; a thread can. It asks the loop for
a sign of life each PERIOD seconds, and when none comes it looks where the loop's thread is.
"""

from __future__ import annotations

import asyncio
import sys
import sysconfig
import threading
import time
from weakref import WeakKeyDictionary

from identity.log import logger

PERIOD = 1.0
"""Seconds between two looks."""
BLOCKED = 1.0
"""Seconds without a turn of the loop from which on it is blocked."""

_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


class LoopWatch:
    """Watches the loop of the running thread, for as long as somebody `use`s it."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, period: float = PERIOD, blocked: float = BLOCKED
    ) -> None:
        self._period, self._blocked = period, blocked
        self._loop = loop
        self._watched = threading.get_ident()
        self._users = 0
        self._over = threading.Event()

    def use(self) -> None:
        """One more who wants it watched."""
        self._users += 1
        if self._users == 1:
            self._over = threading.Event()
            run, name = self._run, "callboard loop watch"
            threading.Thread(target=run, args=(self._over,), name=name, daemon=True).start()

    def leave(self) -> None:
        """One less."""
        self._users -= 1
        if not self._users:
            self._over.set()
            _watches.pop(self._loop, None)

    def _run(self, over: threading.Event) -> None:
        while not over.wait(self._period):
            alive, began = threading.Event(), time.monotonic()
            try:
                self._loop.call_soon_threadsafe(alive.set)
            except RuntimeError:
                return
            if alive.wait(self._blocked):
                continue
            place = where(self._watched)
            if over.is_set() or self._loop.is_closed() or not self._loop.is_running():
                return
            logger.warning(
                "the event loop is blocked, and with it all sessions: await what takes long, or run it in a "
                "thread (asyncio.to_thread)",
                place=place,
            )
            while not alive.wait(self._period):
                if over.is_set() or self._loop.is_closed():
                    return
            blocked = round(time.monotonic() - began, 1)
            logger.warning("the event loop was blocked", seconds=blocked, place=place)


def where(thread: int) -> str:
    """Where a thread is: the innermost place that is in no library, else the innermost."""
    frame = sys._current_frames().get(thread)
    found = ""
    while frame is not None:
        code = frame.f_code
        place = f"{code.co_qualname} ({code.co_filename}:{frame.f_lineno})"
        if not code.co_filename.startswith((*_LIBRARIES, "<")):
            return place
        found = found or place
        frame = frame.f_back
    return found or "something"


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopWatch] = WeakKeyDictionary()


def loop_watch(loop: asyncio.AbstractEventLoop) -> LoopWatch:
    """That of `loop`, which runs in this thread."""
    return _watches.setdefault(loop, LoopWatch(loop))
