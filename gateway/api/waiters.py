"""Tasks that wait: until there is something to take, or for their turn."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable

from gateway.node import forks


class Waiters:
    """Whoever waits is woken in order, one for each thing that can be taken.

    One that is woken and cancelled, or timed out, in the same moment hands its turn to the next.
    """

    def __init__(self) -> None:
        self._birth = forks.birth()
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def wait(self, deadline: float | None = None) -> None:
        """Until woken; look again then whether there is something. Raises TimeoutError at `deadline`, a
        time of the loop's clock, and NotConnected in a child of the process that it was made in."""
        forks.check(self._birth)
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


class Turns:
    """Tasks go on in the order in which they came, each as soon as there is room for it.

    `room()` tells whether one more may go on. A task that comes while others wait does not overtake them,
    though there be room at that moment.
    """

    def __init__(self, room: Callable[[], bool]) -> None:
        self._room = room
        self._last_ticket = 0
        self.waiting: list[tuple[int, asyncio.Future[None]]] = []
        """A heap: who came first has the lowest ticket. Cancelled futures leave when their turn comes."""
        self.woken = 0
        """Of these, how many were woken and have not gone on yet."""

    def __len__(self) -> int:
        """How many tasks wait."""
        return sum(not waiter.done() for _, waiter in self.waiting) + self.woken

    async def take(self) -> None:
        """Return when it is the caller's turn. It takes the room without awaiting, and then passes on."""
        if not self.woken and self._next() is None and self._room():
            return
        self._last_ticket = ticket = self._last_ticket + 1
        while True:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self.waiting, (ticket, waiter))
            if self._room() and not self.woken:
                # Found while going back into the queue behind somebody who came before.
                self.wake(1)
            try:
                await waiter
            except BaseException:
                if waiter.done() and not waiter.cancelled():
                    self.woken -= 1
                    self.wake(1)
                raise
            self.woken -= 1
            first = self._next()
            if self._room() and (first is None or first > ticket):
                return

    def _next(self) -> int | None:
        """The ticket of who is next."""
        while self.waiting and self.waiting[0][1].done():
            heapq.heappop(self.waiting)
        return self.waiting[0][0] if self.waiting else None

    def pass_on(self) -> None:
        """The room was taken; whoever is next may find some too."""
        if not self.woken and self._room():
            self.wake(1)

    def wake(self, count: int) -> None:
        """Let the next `count` of them see whether there is room."""
        waiting = self.waiting
        while waiting and count > 0:
            _, waiter = heapq.heappop(waiting)
            if not waiter.done():
                waiter.set_result(None)
                self.woken += 1
                count -= 1

    def wake_all(self) -> None:
        """Let all of them see."""
        self.wake(len(self.waiting))
