"""Two ends of a stream inside one process: for tests, and as the smallest example of a transport."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from gateway.http2.messages import Message
from gateway.links.stream import StreamHandler, StreamStatus


def pair(loop: asyncio.AbstractEventLoop) -> tuple[MemoryStream, MemoryStream]:
    """Two connected streams. What one sends the other receives in the next turn of the loop."""
    one, two = MemoryStream(loop), MemoryStream(loop)
    one.other, two.other = two, one
    return one, two


class MemoryStream:
    """One end. `unsent` counts what the other end has not taken, because it is paused or not started."""

    other: MemoryStream

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handler: StreamHandler | None = None
        self._low = 0
        self._inbox: deque[Message] = deque()
        self._inbox_bytes = 0
        self._paused = False
        self._armed = False
        self._closed: str | None = None
        self._told = False

    @property
    def unsent(self) -> int:
        return self.other._inbox_bytes

    @property
    def peer(self) -> str:
        return "memory"

    @property
    def certificate(self) -> bytes:
        return b""

    @property
    def subject(self) -> str:
        return ""

    def start(
        self, handler: StreamHandler, low_water: int, on_ended: Callable[[], None] | None = None
    ) -> None:
        self._handler, self._low = handler, low_water
        self._arm()

    def send(self, messages: Sequence[Message]) -> None:
        if self._closed is None:
            self.other._inbox.extend(messages)
            self.other._inbox_bytes += sum(map(len, messages))
            self.other._arm()

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._arm()

    def close(self, status: StreamStatus = StreamStatus.OK, message: str = "") -> None:
        for end in (self, self.other):
            if end._closed is None:
                end._closed = message or status.name
                end._arm()

    def abort(self, message: str) -> None:
        self.other._take()
        self.close(StreamStatus.UNAVAILABLE, message)

    def _arm(self) -> None:
        if not self._armed:
            self._armed = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._armed = False
        handler = self._handler
        if handler is None or self._told:
            return
        # Like a real transport, hand out what came before the end even if nobody wanted to read on.
        if self._inbox and (not self._paused or self._closed is not None):
            handler.stream_messages(self._take())
            if self.other._handler is not None and self.other._closed is None:
                self.other._handler.stream_drained()
        if self._closed is not None:
            self._told = True
            handler.stream_closed(self._closed)

    def _take(self) -> list[bytes]:
        batch = [bytes(message) for message in self._inbox]
        self._inbox.clear()
        self._inbox_bytes = 0
        return batch
