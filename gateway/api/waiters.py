"""Tasks that wait until there is something to take."""

from __future__ import annotations

import asyncio
from collections import deque


class Waiters:
    """Whoever waits is woken in order, one for each thing that can be taken.

    One that is woken and cancelled, or timed out, in the same moment hands its turn to the next.
    """

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def wait(self, deadline: float | None = None) -> None:
        """Until woken; look again then whether there is something. Raises TimeoutError at `deadline`, a
        time of the loop's clock."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            if deadline is None:
                await waiter
            else:
                async with asyncio.timeout_at(deadline):
                    await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                self.wake(1)
            raise
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def wake(self, count: int) -> None:
        """Let `count` of them look."""
        while self._waiting and count > 0:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                count -= 1

    def wake_all(self) -> None:
        self.wake(len(self._waiting))
