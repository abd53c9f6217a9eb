"""The accepting side of the fast link."""

from __future__ import annotations

import asyncio
import os
import ssl as tls
from collections.abc import Collection, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol

from actors.routing.budget import ByteBudget
from gateway.http2.acceptor import Acceptor, PerHost, Refused, shown, tcp_sockets, unix_socket
from gateway.http2.connection import Http2Connection
from gateway.http2.endpoint import Http2Role
from gateway.http2.errors import GrpcStatus
from gateway.http2.headers import Headers
from gateway.http2.limits import SERVER, Counters, Limits, Statistics
from gateway.http2.stream import StreamState
from gateway.http2.transport import ServerStream, Wire
from gateway.surroundings import current

ALPN = "h2"


class CallHandler(Protocol):
    """Decides about calls. What it may want to know of a caller is in the headers and `get_extra_info`."""

    def stream_opened(self, stream: ServerStream, headers: Headers) -> Coroutine[Any, Any, None] | None:
        """A client called. Call `stream.start`, `stream.refuse` or `stream.close`, now or later.

        May be a coroutine function; it runs as a task then. If it raises, the call ends with INTERNAL.
        """


class Http2Server:
    """Listens, and keeps the connections. Made by `serve`; an asynchronous context manager that closes."""

    def __init__(
        self,
        handler: CallHandler,
        method: str | Collection[str],
        limits: Limits,
        budget: ByteBudget | None,
        counters: Counters | None,
        refused: Refused | None = None,
        per_host: PerHost | None = None,
    ) -> None:
        self._refused, self._per_host = refused, per_host
        self._handler = handler
        self._methods = frozenset((method,) if isinstance(method, str) else method)
        self._limits = limits
        self._budget = budget
        self._counters = counters or Counters()
        self._loop = asyncio.get_running_loop()
        self._wires: set[Wire] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._acceptor: Acceptor | None = None
        self._path: str | None = None
        self._closing = False
        self._all_closed = asyncio.Event()
        self._all_closed.set()

    def __repr__(self) -> str:
        where = self._path or ", ".join(f"{host}:{port}" for host, port in self.addresses)
        return f"<Http2Server on {where}: {len(self._wires)} connections>"

    async def __aenter__(self) -> Http2Server:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each listening TCP socket."""
        sockets = [] if self._acceptor is None or self._path is not None else self._acceptor.sockets
        return [one.getsockname()[:2] for one in sockets]

    @property
    def port(self) -> int:
        """The TCP port of the first socket, for a server that was given port 0."""
        return self.addresses[0][1]

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._wires)

    def statistics(self) -> Statistics:
        """What all connections did since the start, refusals by their rule."""
        return self._counters.snapshot()

    async def close(self, grace: float = 0.0) -> None:
        """Stop accepting, let streams run on for `grace` seconds, end the rest (UNAVAILABLE). Idempotent."""
        self._closing = True
        if self._acceptor is not None:
            await self._acceptor.close()
            if self._path is not None:
                with suppress(FileNotFoundError):
                    os.unlink(self._path)
        if grace > 0:
            self._drain(grace)
            with suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self._all_closed.wait()
        for wire in list(self._wires):
            wire.core.close("the server is shutting down")
            wire.after()
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._all_closed.wait()
        for wire in list(self._wires):
            wire.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._all_closed.wait()

    def _drain(self, grace: float) -> None:
        for wire in list(self._wires):
            wire.core.drain(self._loop.time(), grace)
            wire.after()

    # -- What `serve` needs --------------------------------------------------------------------------

    async def _listen(
        self, host: str | None, port: int, path: str | None, ssl: tls.SSLContext | None
    ) -> None:
        sockets = await tcp_sockets(host, port) if path is None else [unix_socket(path)]
        self._path = path
        self._acceptor = Acceptor(
            sockets,
            self._make_wire,
            ssl,
            handshake_timeout=self._limits.handshake_timeout,
            limit=self._limits.max_connections,
            busy=lambda: len(self._wires),
            counters=self._counters,
            refused=self._refused,
            per_host=self._per_host,
        )

    def _make_wire(self) -> Wire:
        age_factor = 0.9 + 0.2 * current().fraction()
        core = Http2Connection(
            Http2Role.SERVER,
            self._limits,
            self._counters,
            self._loop.time(),
            age_factor=age_factor,
            budget=self._budget,
        )
        return Wire(core, self, self._loop)

    # -- WireOwner -----------------------------------------------------------------------------------

    def wire_opened(self, wire: Wire) -> bool:
        """Take a connection, unless there are too many or it speaks something else."""
        self._wires.add(wire)
        self._all_closed.clear()
        self._counters.connections_opened += 1
        if len(self._wires) > self._limits.max_connections:
            self._counters.refuse("max_connections")
            return False
        if self._closing:
            return False
        ssl_object = wire.get_extra_info("ssl_object")
        if ssl_object is not None and ssl_object.selected_alpn_protocol() != ALPN:
            self._counters.refuse("alpn")
            if self._refused is not None:
                self._refused(
                    "alpn", shown(wire.get_extra_info("peername")), "the peer does not offer HTTP/2"
                )
            return False
        return True

    def request_received(self, wire: Wire, state: StreamState, headers: Headers) -> None:
        """Ask the handler about a call."""
        stream = ServerStream(wire, state)
        if headers[":path"] not in self._methods:
            self._counters.refuse("method")
            only = "the only method here is" if len(self._methods) == 1 else "the methods here are"
            stream.close(GrpcStatus.UNIMPLEMENTED, f"{only} {', '.join(sorted(self._methods))}")
            return
        try:
            decision = self._handler.stream_opened(stream, headers)
        except Exception as exc:
            self._handler_failed(wire, stream, exc)
            return
        if decision is not None:
            task = self._loop.create_task(self._decide(wire, stream, decision))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _decide(self, wire: Wire, stream: ServerStream, decision: Coroutine[Any, Any, None]) -> None:
        try:
            await decision
        except Exception as exc:
            self._handler_failed(wire, stream, exc)

    def _handler_failed(self, wire: Wire, stream: ServerStream, exc: Exception) -> None:
        wire.report(f"the handler failed at {stream!r}", exc)
        stream.close(GrpcStatus.INTERNAL, "the server failed")

    def wire_going_away(self, wire: Wire) -> None:
        """Nothing to do: the connection ends with its last stream."""

    def wire_closed(self, wire: Wire) -> None:
        """Forget a connection."""
        self._wires.discard(wire)
        if self._acceptor is not None:
            self._acceptor.left(wire)
        self._counters.connections_closed += 1
        if not self._wires:
            self._all_closed.set()


async def serve(
    handler: CallHandler,
    method: str | Collection[str],
    *,
    host: str | None = "127.0.0.1",
    port: int = 0,
    path: str | None = None,
    ssl: tls.SSLContext | None = None,
    limits: Limits = SERVER,
    budget: ByteBudget | None = None,
    counters: Counters | None = None,
    refused: Refused | None = None,
    per_host: PerHost | None = None,
) -> Http2Server:
    """Listen for calls of one gRPC method, such as "/package.Service/Method", or of several.

    Listens on a TCP `host` (None: all interfaces) and `port` (0: any free one), or on the unix socket
    `path` when that is given. `ssl` turns TLS on; its ALPN protocols are set to HTTP/2. `budget` bounds what
    waits on all connections that share it, `counters` may be those of others too, `refused` is told of
    connections that TLS did not let in, `per_host` counts those of each host, at whatever server. Raises
    OSError when the address cannot be had.
    """
    if ssl is not None:
        ssl.set_alpn_protocols([ALPN])
    server = Http2Server(handler, method, limits, budget, counters, refused, per_host)
    await server._listen(host, port, path, ssl)
    return server
