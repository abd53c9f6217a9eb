"""Handlers and collectors for tests that use sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.http2 import CallStream, Cause, Headers, Http2Server, ServerStream

WAIT = 10.0


def url(server: Http2Server) -> str:
    return f"http://127.0.0.1:{server.port}"


async def settled(condition: Callable[[], bool]) -> None:
    """Wait for something that nothing announces, such as the other side's socket."""
    async with asyncio.timeout(WAIT):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


class Collector:
    """Takes what a stream brings and lets a test wait for it."""

    def __init__(self, stream: CallStream, *, start: bool = True, reply: bool = False) -> None:
        self.stream = stream
        self.messages: list[bytes] = []
        self.batches = 0
        self.drained = 0
        self.cause: Cause | None = None
        self._reply = reply
        self._news = asyncio.Event()
        if start:
            self.start()

    def start(self) -> None:
        self.stream.start(on_messages=self._got, on_closed=self._ended, on_drained=self._drain)

    def _got(self, batch: list[bytes]) -> None:
        self.messages += batch
        self.batches += 1
        self._news.set()
        if self._reply:
            self.stream.send(batch)

    def _ended(self, cause: Cause) -> None:
        assert self.cause is None
        self.cause = cause
        self._news.set()

    def _drain(self) -> None:
        self.drained += 1
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def got(self, count: int) -> list[bytes]:
        """The messages, once there are `count`."""
        await self.until(lambda: len(self.messages) >= count)
        return self.messages

    async def closed(self) -> Cause:
        await self.until(lambda: self.cause is not None)
        assert self.cause is not None
        return self.cause


class Accepting:
    """Accepts every call and keeps the streams."""

    def __init__(self, *, reply: bool = False, start: bool = True) -> None:
        self.calls: list[Collector] = []
        self.headers: list[Headers] = []
        self._reply = reply
        self._start = start
        self._news = asyncio.Event()

    def stream_opened(self, stream: ServerStream, headers: Headers) -> None:
        self.headers.append(headers)
        self.calls.append(Collector(stream, start=self._start, reply=self._reply))
        self._news.set()

    async def call(self, number: int = 0) -> Collector:
        async with asyncio.timeout(WAIT):
            while len(self.calls) <= number:
                self._news.clear()
                await self._news.wait()
        return self.calls[number]
