"""The loop as one process sees it: what is begun through it runs there, whoever begins it.

A test calls applications of several hosts from one task of its own. What it begins in them (a turn of the
actors, a timer, a task) must stop with the host it was begun on, and not with the test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple

from gateway.testing.loop import VirtualLoop

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class SiteLoop(asyncio.AbstractEventLoop):
    """`context` is the site's: it stands in where no context is given."""

    def __init__(self, loop: VirtualLoop, context: Context) -> None:
        self._loop = loop
        self._context = context

    def time(self) -> float:
        return self._loop.time()

    def call_soon(self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> Any:
        return self._loop.call_soon(callback, *args, context=context or self._context)

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Any:
        return self._loop.call_soon_threadsafe(callback, *args, context=context or self._context)

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Any:
        return self._loop.call_later(delay, callback, *args, context=context or self._context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Any:
        return self._loop.call_at(when, callback, *args, context=context or self._context)

    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
        **_: Any,
    ) -> asyncio.Task[T]:
        return self._loop.create_task(coro, name=name, context=context or self._context.copy())

    def create_future(self) -> asyncio.Future[Any]:
        return self._loop.create_future()

    def is_running(self) -> bool:
        return self._loop.is_running()

    def is_closed(self) -> bool:
        return self._loop.is_closed()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self._loop.call_exception_handler(context)

    def get_debug(self) -> bool:
        return False


def loop_of(loop: VirtualLoop, context: Context) -> asyncio.AbstractEventLoop:
    """`loop` for what runs in `context`."""
    return SiteLoop(loop, context)  # type: ignore[abstract]  # the actors ask for no more
