"""The one way from an actor to something that must be awaited (a token endpoint, a key set).

An actor never awaits: it hands the awaitable over with a function that is called, in the loop's thread,
with the outcome. That function sends the actor a message and does nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

Done = Callable[[Any, Exception | None], object]
"""Called with the result and None, or with None and the error."""


class SpawnTask(Protocol):
    """Runs a coroutine on the actor's behalf."""

    def __call__(self, coroutine: Coroutine[Any, Any, Any], done: Done) -> None: ...


class Tasks:
    """SpawnTask on a loop (by default the running one); owns its tasks. A cancelled task calls nobody."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, coroutine: Coroutine[Any, Any, Any], done: Done) -> None:
        loop = self._loop or asyncio.get_running_loop()
        task = loop.create_task(self._run(coroutine, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # One that is cancelled before its first step would never be awaited.
        task.add_done_callback(lambda _: coroutine.close())

    def __len__(self) -> int:
        return len(self._tasks)

    def cancel(self) -> None:
        """Cancel what still runs. Idempotent."""
        for task in self._tasks:
            task.cancel()

    @staticmethod
    async def _run(coroutine: Coroutine[Any, Any, Any], done: Done) -> None:
        try:
            result = await coroutine
        except Exception as error:
            done(None, error)
        else:
            done(result, None)
