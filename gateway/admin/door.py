"""What stands between a socket and the HTTP server: it bounds connections, and how long one may dawdle.

    first byte of a request ──REQUEST_WAIT──► its headers are there ──ANSWER_WAIT──► the answer is written
    no request at all for IDLE_WAIT: closed

The server library reads for as long as somebody writes; this ends who writes a byte now and then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

from actors.telemetry import Counts, counter

REQUEST_WAIT = 10.0
"""Seconds for the headers of a request."""
ANSWER_WAIT = 30.0
"""Seconds for a body and the answer, which the client has to take."""
IDLE_WAIT = 30.0
CONNECTIONS = 128
"""Open at a time, on each of the port's sockets."""


class AdminCounts(Counts, part="admin"):
    requests: int = counter("Requests to the admin port.")
    refused: int = counter("Requests that were refused: no token, a wrong one, another site's.")
    unread: int = counter("Requests that were no HTTP, or whose line or headers were too long.")
    turned_away: int = counter("Connections closed because there were too many.")
    dawdlers: int = counter("Connections cut because a request or an answer took too long.")
    watchers_dropped: int = counter("Watchers of events that were too slow for them.")


class AdminDoors:
    """All connections of an admin port."""

    def __init__(self, make: Callable[[], Any], counts: AdminCounts, *, most: int = CONNECTIONS) -> None:
        self._make, self.counts, self._most = make, counts, most
        self._open: dict[Any, AdminDoor] = {}
        """By the server's protocol."""

    def __len__(self) -> int:
        return len(self._open)

    def __call__(self) -> AdminDoor:
        """A protocol for one more connection, for `loop.create_server`."""
        return AdminDoor(self, self._make())

    def of(self, protocol: Any) -> AdminDoor | None:
        """The door of a request's protocol."""
        return self._open.get(protocol)

    def opened(self, door: AdminDoor) -> bool:
        """Take it in, unless there are too many."""
        if len(self._open) >= self._most:
            self.counts.turned_away += 1
            return False
        self._open[door.inner] = door
        return True

    def closed(self, door: AdminDoor) -> None:
        self._open.pop(door.inner, None)

    def cut_all(self) -> None:
        """Nobody is waited for any longer."""
        for door in list(self._open.values()):
            door.cut()


class AdminDoor(asyncio.Protocol):
    """One connection: hands everything on, and cuts it when its time is over."""

    def __init__(self, doors: AdminDoors, inner: Any) -> None:
        self._doors, self.inner = doors, inner
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._idle = True
        """Between two requests: the next byte begins one."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        if not self._doors.opened(self):
            transport.abort()
            return
        self._transport = transport
        self._arm(IDLE_WAIT)
        self.inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return
        if self._idle:
            self._idle = False
            self._arm(REQUEST_WAIT)
        self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        return None if self._transport is None else self.inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        if self._transport is not None:
            self._transport = None
            self._doors.closed(self)
            self.inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self.inner.resume_writing()

    # What the server says of requests

    def begun(self) -> None:
        """A request is there; the answer may take its time."""
        self._arm(ANSWER_WAIT)

    def streaming(self) -> None:
        """The answer goes on for as long as the client likes; who writes it watches its time."""
        self._disarm()

    def done(self) -> None:
        """The answer is on its way out, in the time that is left."""
        self._idle = True

    def cut(self) -> None:
        """Close it at once."""
        self._disarm()
        if self._transport is not None:
            self._transport.abort()

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._too_late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        if not self._idle:
            self._doors.counts.dawdlers += 1
        self.cut()


class _Told(logging.Handler):
    """Hands on whose request an error is about, and what kind of error it is."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        super().__init__(logging.ERROR)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        caught = record.exc_info[0] if record.exc_info else None
        address = record.args[0] if isinstance(record.args, tuple) and record.args else ""
        self._tell(str(address), caught.__name__ if caught is not None else record.msg)


def library_log(tell: Callable[[str, str], None]) -> logging.Logger:
    """A log for the server library, which writes a traceback for each request that it cannot read.

    `tell` gets an address and the name of an error in its place.
    """
    log = logging.Logger("admin", logging.ERROR)
    log.addHandler(_Told(tell))
    return log
