"""What a session delivered and its application has not received yet.

    session actor ── Delivered ──► Incoming ── take ──► application
                  ◄─ Taken(n) ───

Bound: the session actor keeps at most `AppSettings.inbox` items on their way; Taken gives places back, in
batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from actors.messages.session import Taken
from actors.messages.wire import SessionMessage
from gateway.api.session_line import SessionLine
from gateway.api.waiters import Waiters
from identity.errors import SlimError

TAKEN_BATCH = 64
"""Received items are reported in batches of this many, or of half the bound."""

Item = SessionMessage | SlimError


class Incoming:
    """`line` leads to the session actor; `bound` is the bound above."""

    def __init__(self, line: SessionLine, bound: int) -> None:
        self.items: deque[Item] = deque()
        self.over = False
        self._stopped = False
        self._line = line
        self.taken = 0
        """Items received since the last report."""
        self.batch = min(TAKEN_BATCH, max(1, bound // 2))
        """When to report: at half of the bound at most, which what is not reported yet must never fill."""
        self._receivers = Waiters()

    def add(self, items: Iterable[Item], count: int) -> None:
        """`count` items were delivered."""
        self.items.extend(items)
        self._receivers.wake(count)

    def end(self) -> None:
        """Nothing more will be delivered; what is there may still be received."""
        self.over = True
        self._receivers.wake_all()

    def stop(self) -> None:
        """Whoever receives comes to an end with what is there."""
        self._stopped = True
        self._receivers.wake_all()

    async def wait(self, deadline: float | None) -> bool:
        """Wait for an item. Returns whether there is one: False at the end, or when stopped.

        Raises TimeoutError at `deadline`, a time of the loop's clock.
        """
        while not self.items:
            if self.over or self._stopped:
                return False
            await self._receivers.wait(deadline)
        return True

    def take(self) -> Item:
        """The next item; there must be one."""
        item = self.items.popleft()
        self.taken += 1
        if self.taken >= self.batch:
            self.report()
        return item

    def report(self) -> None:
        """Give the places of what was received back."""
        self._line.tell(Taken(self.taken))
        self.taken = 0
