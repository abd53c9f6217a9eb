"""One event loop in a thread, for callers that are not asynchronous.

All blocking twins of the process share it: it is started by the first of them, belongs to the process that
started it (a forked child starts its own), and is stopped when the interpreter exits.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from identity.spiffe.errors import ArgumentError

_STOP_SECONDS = 2.0

_T = TypeVar("_T")

_lock = threading.Lock()  # between threads that make their first call at the same time
_running: _LoopThread | None = None


def run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine in the background loop and wait for its result; an interrupt cancels it.

    Raises what the coroutine raises, and ArgumentError inside the background loop itself, where waiting for
    it would never end.
    """
    loop = background_loop()
    try:
        inside = asyncio.get_running_loop() is loop
    except RuntimeError:
        inside = False
    if inside:
        coroutine.close()
        raise ArgumentError("a blocking call inside the background loop would wait for itself")
    future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def background_loop() -> asyncio.AbstractEventLoop:
    """The loop of this process, started if it does not run yet."""
    global _running
    with _lock:
        if _running is None or _running.pid != os.getpid():
            _running = _LoopThread()
        return _running.loop


class _LoopThread:
    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="callboard-spiffe", daemon=True)
        self._thread.start()
        atexit.register(self._stop)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until_complete(asyncio.sleep(0))

    def _stop(self) -> None:
        if self.pid == os.getpid():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(_STOP_SECONDS)
