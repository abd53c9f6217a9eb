"""The requests of a session that are not answered yet (`Session.request`).

A request carries a number under REQUEST_KEY in its metadata; the answer carries "re:" and that number. A peer
that does not mark its answers sends an ordinary message: what was under way when it had not acknowledged the
request is none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from actors.errors import SlimTimeout
from actors.messages.wire import REQUEST_KEY, SessionMessage
from gateway.api.completion import CompletionHandle
from identity.errors import SlimError

M = TypeVar("M")
_ANSWER = "re:"


class OpenRequests(Generic[M]):
    """Those of one session, numbered by `number`; `marked` if what has no mark could be anybody's."""

    def __init__(self, number: Callable[[], int], *, marked: bool) -> None:
        self._number = number
        self.marked = marked
        """Whether answers are known to be marked, and nothing else is one."""
        self._waiting: dict[str, asyncio.Future[M]] = {}
        self._sent: dict[str, CompletionHandle] = {}

    def __len__(self) -> int:
        """How many wait for their answer."""
        return len(self._waiting)

    async def ask(
        self, send: Callable[[str], Awaitable[CompletionHandle]], limit: float | None, session_id: int
    ) -> M:
        """Have one more sent, with its number, and wait for the answer for at most `limit` seconds.

        Raises SlimTimeout, and what `send` or the handle that it returns raises.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[M] = loop.create_future()
        key = self.add(answer)
        try:
            handle = await send(key)
            self.sent(key, handle)
            failure = asyncio.ensure_future(handle.wait())
            try:
                # The acknowledgement may come first; only its failure ends the wait early.
                deadline = None if limit is None else loop.time() + limit
                waits: set[asyncio.Future[Any]] = {answer, failure}
                await asyncio.wait(waits, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
                if not answer.done() and failure.done():
                    failure.result()
                    left = None if deadline is None else max(0.0, deadline - loop.time())
                    await asyncio.wait({answer}, timeout=left)
            finally:
                failure.cancel()
            if not answer.done():
                raise SlimTimeout(f"timed out waiting for the answer to request {key}", session_id=session_id)
            return answer.result()
        finally:
            self.discard(key)

    def add(self, answer: asyncio.Future[M]) -> str:
        """One more; its number."""
        key = str(self._number())
        self._waiting[key] = answer
        return key

    def sent(self, key: str, handle: CompletionHandle) -> None:
        """It is under way; `handle` is done when it is acknowledged."""
        self._sent[key] = handle

    def discard(self, key: str) -> None:
        """Nobody waits for this one any more."""
        self._waiting.pop(key, None)
        self._sent.pop(key, None)

    def answered(self, item: SessionMessage | SlimError) -> asyncio.Future[M] | None:
        """Who waits for this message; None if it answers nothing."""
        if isinstance(item, SlimError) or not self._waiting:
            return None
        mark = (item.metadata or {}).get(REQUEST_KEY)
        if mark is None:
            key = None if self.marked else self._oldest_acknowledged()
        elif mark.startswith(_ANSWER):
            self.marked, key = True, mark.removeprefix(_ANSWER)
        else:
            return None
        answer = None if key is None else self._waiting.pop(key, None)
        return None if answer is None or answer.done() else answer

    def _oldest_acknowledged(self) -> str | None:
        return next((key for key in self._waiting if key in self._sent and self._sent[key].done()), None)

    def end(self, error: SlimError) -> None:
        """The session is over."""
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(error)
                # Who asked may hear it from `publish` first, and never look here.
                answer.exception()
