"""CompletionHandle: the outcome of an operation that goes on after the call returned (`api.md` 4.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from datetime import timedelta

from actors.errors import SlimTimeout
from gateway.api.arguments import seconds

Told = Callable[[BaseException], object]
"""Is called with an error."""


class CompletionHandle:
    """Await it for the outcome: None, or the error raised. It may be awaited often and by several tasks.

    It costs no future until somebody waits. A failure that nobody awaits is not reported: for published
    messages `get_message` raises it too.
    """

    __slots__ = ("_done", "_error", "_waiters")

    def __init__(self) -> None:
        self._done = False
        self._error: BaseException | None = None
        self._waiters: list[asyncio.Future[None] | Told] | None = None

    @classmethod
    def completed(cls, error: BaseException | None = None) -> CompletionHandle:
        """A handle whose outcome is known already."""
        handle = cls()
        handle.finish(error)
        return handle

    def finish(self, error: BaseException | None = None) -> None:
        """Set the outcome; the first one stands. Called by whoever made the handle."""
        if self._done:
            return
        self._done, self._error = True, error
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not asyncio.isfuture(waiter):
                if error is not None:
                    waiter(error)
            elif not waiter.done():
                waiter.set_result(None)

    def done(self) -> bool:
        """Whether the outcome is known."""
        return self._done

    def when_failed(self, tell: Told) -> None:
        """Call `tell` with the error if it fails, or has failed; it must not raise."""
        if self._done:
            if self._error is not None:
                tell(self._error)
            return
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(tell)

    def __await__(self) -> Generator[object, None, None]:
        if not self._done:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            if self._waiters is None:
                self._waiters = []
            self._waiters.append(waiter)
            yield from waiter
        if self._error is not None:
            raise self._error

    async def wait(self) -> None:
        """Wait for the outcome."""
        await self

    async def wait_for(self, timeout: timedelta | float | None) -> None:
        """Wait for at most `timeout` (seconds). Raises SlimTimeout when it is not known by then."""
        try:
            async with asyncio.timeout(seconds(timeout)) as limit:
                await self
        except TimeoutError as exc:
            if not limit.expired():
                raise
            raise SlimTimeout("timed out waiting for completion") from exc

    def __repr__(self) -> str:
        state = "pending" if not self._done else f"failed: {self._error}" if self._error else "done"
        return f"<CompletionHandle {state}>"
