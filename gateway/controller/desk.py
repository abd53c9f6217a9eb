"""What both services of the controller share: asking its actor, with a deadline and an audit line."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from actors.messages.controller import Asked, Refusal, Result
from actors.system import Address, AskFailed, LoopSystem
from gateway.controller.audit import Audit
from gateway.controller.calls import CallError

PATIENCE = 70.0
"""Seconds that a question without a deadline of its own waits: longer than any order takes."""
MARGIN = 0.1
"""The answer to a call with a deadline is given by this many seconds, or a tenth of them, before it."""


class Desk:
    """Questions to the controller's actor. `clock` is the actor's."""

    def __init__(
        self,
        system: LoopSystem,
        controller: Address,
        audit: Audit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.system = system
        self.controller = controller
        self.audit = audit
        self._clock = clock
        self._changes: set[asyncio.Task[Any]] = set()

    async def ask(self, question: Any, remaining: float | None = None) -> Any:
        """The value of a Result. Raises CallError."""
        reply = await self._ask(question, remaining)
        if isinstance(reply, Refusal):
            raise CallError(reply.status, reply.text)
        return reply.value

    async def change(self, who: str, where: str, question: Any, remaining: float | None = None) -> Any:
        """Ask for a change: the audit gets its line, whether the caller still waits or not. Raises
        CallError."""
        task = asyncio.ensure_future(self._change(who, where, question, remaining))
        self._changes.add(task)
        task.add_done_callback(self._changed)
        return await asyncio.shield(task)

    def _changed(self, task: asyncio.Task[Any]) -> None:
        self._changes.discard(task)
        if not task.cancelled():
            # Where nobody waits any more, nobody is to hear why it failed either.
            task.exception()

    async def _change(self, who: str, where: str, question: Any, remaining: float | None) -> Any:
        reply: Result | Refusal | None = None
        try:
            reply = await self._ask(question, remaining)
        finally:
            self.audit.change(who, where, question, reply)
        if isinstance(reply, Refusal):
            raise CallError(reply.status, reply.text)
        return reply.value

    async def _ask(self, question: Any, remaining: float | None) -> Result | Refusal:
        limit = PATIENCE if remaining is None else min(PATIENCE, remaining)
        limit = max(0.0, limit - min(MARGIN, limit / 10))
        try:
            # The actor answers at the deadline; a little later it has failed to.
            reply = await self.system.ask(
                self.controller, Asked(question, self._clock() + limit), max(0.01, limit + MARGIN / 2)
            )
        except TimeoutError:
            return Refusal("DEADLINE_EXCEEDED", f"no answer within {limit:g} s")
        except AskFailed as error:
            return Refusal("INTERNAL", f"the controller failed: {type(error).__name__}")
        assert isinstance(reply, Result | Refusal)
        return reply
