"""Where a session actor sends everything about one session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from thespian.actors import ActorAddress

if TYPE_CHECKING:
    from actors.system import LoopSystem


class SessionInbox:
    """Keeps back what comes until there is a Session for it."""

    def __init__(self, system: LoopSystem) -> None:
        self._system = system
        self._kept: list[Any] = []
        self._handler: Callable[[Any], None] | None = None
        self._first: asyncio.Future[Any] = system.loop.create_future()
        self.address = system.inbox(self._take)

    async def first(self) -> Any:
        """The first message: SessionOpened, or why not."""
        return await self._first

    def open(self, handler: Callable[[Any], None]) -> None:
        """Hand what was kept, and what comes, to `handler`."""
        self._handler = handler
        kept, self._kept = self._kept, []
        for message in kept:
            handler(message)

    def close(self) -> None:
        """Nothing more is expected."""
        self._system.close_inbox(self.address)

    def _take(self, message: Any, _: ActorAddress) -> None:
        if self._handler is not None:
            self._handler(message)
        elif not self._first.done():
            self._first.set_result(message)
        else:
            self._kept.append(message)
