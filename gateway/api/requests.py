"""OpenRequests of a session that are not answered yet (`Session.request`).

A request carries a number under REQUEST_KEY in its metadata; the answer carries "re:" and that number. A peer
that does not know of this answers with an ordinary message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from actors.messages.wire import SessionMessage
from gateway.api.message import REQUEST_KEY
from identity.errors import SlimError

M = TypeVar("M")


class OpenRequests(Generic[M]):
    """Those of one session, numbered by `number`; `marked_only` when an answer without a mark could be
    anybody's."""

    def __init__(self, number: Callable[[], int], *, marked_only: bool) -> None:
        self._number = number
        self._marked_only = marked_only
        self._waiting: dict[str, asyncio.Future[M]] = {}

    def __len__(self) -> int:
        """How many wait for their answer."""
        return len(self._waiting)

    def add(self, answer: asyncio.Future[M]) -> str:
        """One more; its number."""
        key = str(self._number())
        self._waiting[key] = answer
        return key

    def discard(self, key: str) -> None:
        """Nobody waits for this one any more."""
        self._waiting.pop(key, None)

    def answered(self, item: SessionMessage | SlimError) -> asyncio.Future[M] | None:
        """Who waits for this message; None if it answers nothing."""
        if isinstance(item, SlimError) or not self._waiting:
            return None
        mark = (item.metadata or {}).get(REQUEST_KEY)
        if mark is None and not self._marked_only:
            mark = "re:" + next(iter(self._waiting))
        answer = self._waiting.pop(mark.removeprefix("re:"), None) if mark and mark[:3] == "re:" else None
        return None if answer is None or answer.done() else answer

    def end(self, error: SlimError) -> None:
        """The session is over."""
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(error)
                # Who asked may hear it from `publish` first, and never look here.
                answer.exception()
