"""Whether a node takes calls: known here, told by the admin port and by `grpc.health.v1` on the data port."""

from __future__ import annotations

import asyncio


class Health:
    """Not serving until it listens, and no more from when it is told to end."""

    def __init__(self) -> None:
        self.reason = "starting"
        """Why it does not serve; empty while it does."""
        self.over = False
        """Whether it will never serve again."""
        self._changed = asyncio.Event()

    @property
    def serving(self) -> bool:
        return not self.reason

    def listening(self) -> None:
        """It takes calls now."""
        if not self.over:
            self._set("")

    def end(self, reason: str) -> None:
        """It takes no calls any more. The first reason stays."""
        if not self.over:
            self.over = True
            self._set(reason)

    async def changed(self) -> None:
        """Return at the next change."""
        await self._changed.wait()

    def _set(self, reason: str) -> None:
        if reason == self.reason:
            return
        self.reason = reason
        # One event for each change: set, and replaced.
        self._changed.set()
        self._changed = asyncio.Event()
