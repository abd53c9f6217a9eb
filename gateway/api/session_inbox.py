"""Where a session actor sends everything about one session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from thespian.actors import ActorAddress

from actors.messages.session import CloseSession, Completed, SessionEnded, SessionOpened

if TYPE_CHECKING:
    from actors.system import LoopSystem


class SessionInbox:
    """Keeps back what comes until there is a Session for it."""

    def __init__(self, system: LoopSystem) -> None:
        self._system = system
        self._kept: list[tuple[Any, ActorAddress]] = []
        self._first: asyncio.Future[Any] | None = None
        """There while somebody waits for it."""
        self.address = system.inbox(self._take)

    async def first(self) -> Any:
        """The first message: SessionOpened, or why not. Whoever gives up waiting has the session closed."""
        if not self._kept:
            self._first = self._system.loop.create_future()
            try:
                await self._first
            except asyncio.CancelledError:
                self.open(self._unwanted)
                raise
        message, _ = self._kept.pop(0)
        return message

    def _unwanted(self, message: Any, _: ActorAddress) -> None:
        if isinstance(message, SessionOpened):
            self._system.tell(message.address, CloseSession(None, 0.0), self.address)
        elif isinstance(message, SessionEnded) or (isinstance(message, Completed) and message.failed):
            self.close()

    def open(self, handler: Callable[[Any, ActorAddress], None]) -> None:
        """Hand what was kept to `handler`, and let what comes go straight there."""
        self._system.redirect_inbox(self.address, handler)
        kept, self._kept = self._kept, []
        for message, sender in kept:
            handler(message, sender)

    def close(self) -> None:
        """Nothing more is expected."""
        self._system.close_inbox(self.address)

    def _take(self, message: Any, sender: ActorAddress) -> None:
        self._kept.append((message, sender))
        if self._first is not None and not self._first.done():
            self._first.set_result(None)
