"""The calling side of the fast link."""

from __future__ import annotations

import asyncio
import socket
import ssl as tls
from collections.abc import Mapping
from types import TracebackType
from typing import NamedTuple
from urllib.parse import urlsplit

from actors.record import record
from actors.routing.budget import ByteBudget
from gateway.http2 import headers
from gateway.http2.connection import Http2Connection
from gateway.http2.endpoint import Http2Role
from gateway.http2.errors import CallRefused, Cause, ConnectFailed, GrpcStatus
from gateway.http2.headers import Headers
from gateway.http2.limits import CLIENT, Counters, Limits, Statistics
from gateway.http2.server import ALPN
from gateway.http2.stream import StreamState
from gateway.http2.transport import ClientStream, Wire
from gateway.surroundings import current
from identity.errors import ConfigError


@record
class DialTarget(NamedTuple):
    """Where to connect to."""

    host: str
    port: int
    path: str | None
    """The unix socket, instead of host and port."""
    secure: bool

    @property
    def authority(self) -> str:
        """What the request says it is for."""
        if self.path is not None:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_target(text: str) -> DialTarget:
    """Read "http://host:port", "https://host:port", "host:port" or "unix:///path". Raises ConfigError."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:").removeprefix("//")
        if not path:
            raise ConfigError(f"{text!r} names no socket; write unix:///path", field="target")
        return DialTarget("", 0, path, secure=False)
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise ConfigError(f"{text!r} is no address: {exc}", field="target") from exc
    if parts.scheme not in ("http", "https") or not host or parts.path.strip("/") or parts.username:
        raise ConfigError(f"{text!r} is no address; write http://host:port or unix:///path", field="target")
    secure = parts.scheme == "https"
    return DialTarget(host, port if port is not None else 443 if secure else 80, None, secure)


class ClientConnection:
    """One connection to a server. Made by `dial`; an asynchronous context manager that closes."""

    def __init__(
        self,
        target: str,
        limits: Limits,
        authority: str | None,
        budget: ByteBudget | None,
        counters: Counters | None,
    ) -> None:
        self._name = target
        self._target = parse_target(target)
        self._authority = authority or self._target.authority
        self._limits = limits
        self._budget = budget
        self._counters = counters or Counters()
        self._loop = asyncio.get_running_loop()
        self._wire: Wire | None = None
        self._secure = False
        self._closed = asyncio.Event()
        self._alone: ClientStream | None = None
        """The stream that this connection is for."""

    def __repr__(self) -> str:
        return f"<ClientConnection to {self._name}>"

    async def __aenter__(self) -> ClientConnection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def usable(self) -> bool:
        """Whether `open` can work: connected, not going away, and below the server's limit of streams."""
        return self._wire is not None and not self._closed.is_set() and self._wire.core.can_open

    def statistics(self) -> Statistics:
        """What the connection did so far, refusals by their rule."""
        return self._counters.snapshot()

    async def open(
        self, method: str, metadata: Mapping[str, str] | None = None, *, timeout: float = 20.0
    ) -> ClientStream:
        """Call `method` and wait until the server has accepted; call `start` on the stream then.

        `metadata` are header fields to add, such as authorization. Raises CallRefused with the server's
        answer (DEADLINE_EXCEEDED: none within `timeout` seconds) and ConfigError for unusable metadata.
        """
        return await self._open(method, metadata or {}, timeout, alone=False)

    async def _open(
        self, method: str, metadata: Mapping[str, str], timeout: float, *, alone: bool
    ) -> ClientStream:
        extra = headers.check_custom(metadata)
        if self._wire is None or not self.usable:
            raise CallRefused(
                self._name, Cause(GrpcStatus.UNAVAILABLE, "the connection takes no new streams")
            )
        scheme = "https" if self._secure else "http"
        fields = headers.request(scheme, self._authority, method, extra)
        stream = ClientStream(self._wire, self._wire.core.open(fields, self._loop.time()), alone=alone)
        self._wire.after()
        if alone:
            self._alone = stream
        try:
            async with asyncio.timeout(timeout):
                await stream.answered()
        except TimeoutError:
            stream.cancel()
            cause = Cause(GrpcStatus.DEADLINE_EXCEEDED, f"no answer within {timeout:g} s", local=True)
            raise CallRefused(self._name, cause) from None
        except asyncio.CancelledError:
            stream.cancel()
            raise
        if stream.cause is not None and not stream.headers:
            raise CallRefused(self._name, stream.cause)
        return stream

    async def close(self) -> None:
        """End the connection and its streams. Idempotent."""
        if self._wire is not None:
            self._wire.core.close("closed by this side")
            self._wire.after()
            try:
                async with asyncio.timeout(1.0):
                    await self._closed.wait()
            except TimeoutError:
                if self._wire is not None:
                    self._wire.abort()
            await self._closed.wait()

    async def _connect(
        self,
        ssl: tls.SSLContext | None,
        server_hostname: str | None,
        sock: socket.socket | None,
        timeout: float,
    ) -> None:
        target = self._target
        if ssl is None and target.secure:
            ssl = tls.create_default_context()
        if ssl is not None:
            ssl.set_alpn_protocols([ALPN])
            server_hostname = server_hostname or target.host or "localhost"
        self._secure = ssl is not None
        if self._secure and self._name.startswith("http://"):
            self._name = f"https{self._name[4:]}"
        name = server_hostname if ssl is not None else None
        try:
            async with asyncio.timeout(timeout):
                if sock is not None:
                    await self._loop.create_connection(
                        self._make_wire, sock=sock, ssl=ssl, server_hostname=name
                    )
                elif target.path is not None:
                    await self._loop.create_unix_connection(
                        self._make_wire, target.path, ssl=ssl, server_hostname=name
                    )
                else:
                    await self._loop.create_connection(
                        self._make_wire, target.host, target.port, ssl=ssl, server_hostname=name
                    )
        except TimeoutError as exc:
            raise ConnectFailed(self._name, f"no connection within {timeout:g} s") from exc
        except OSError as exc:
            raise ConnectFailed(self._name, str(exc)) from exc
        if self._closed.is_set():
            raise ConnectFailed(self._name, "the server does not speak HTTP/2 (ALPN h2)")

    def _make_wire(self) -> Wire:
        age_factor = 0.9 + 0.2 * current().fraction()
        core = Http2Connection(
            Http2Role.CLIENT,
            self._limits,
            self._counters,
            self._loop.time(),
            age_factor=age_factor,
            budget=self._budget,
        )
        self._wire = Wire(core, self, self._loop)
        return self._wire

    # -- WireOwner -----------------------------------------------------------------------------------

    def wire_opened(self, wire: Wire) -> bool:
        """Check that TLS agreed on HTTP/2."""
        self._counters.connections_opened += 1
        ssl_object = wire.get_extra_info("ssl_object")
        if ssl_object is not None and ssl_object.selected_alpn_protocol() != ALPN:
            self._counters.refuse("alpn")
            self._closed.set()
            return False
        return True

    def request_received(self, wire: Wire, state: StreamState, headers: Headers) -> None:
        """Never: servers do not call."""

    def wire_going_away(self, wire: Wire) -> None:
        """`usable` says it; open streams go on, and the one that is alone here may want to know."""
        if self._alone is not None:
            self._alone.going_away()

    def wire_closed(self, wire: Wire) -> None:
        """Let `close` return."""
        self._counters.connections_closed += 1
        self._wire = self._alone = None
        self._closed.set()


async def dial(
    target: str,
    *,
    ssl: tls.SSLContext | None = None,
    server_hostname: str | None = None,
    authority: str | None = None,
    sock: socket.socket | None = None,
    limits: Limits = CLIENT,
    budget: ByteBudget | None = None,
    timeout: float = 20.0,
    counters: Counters | None = None,
) -> ClientConnection:
    """Connect to a server, for any number of calls. See `parse_target` for the forms of `target`.

    TLS is used for https targets and whenever `ssl` is given; its ALPN protocols are set to HTTP/2.
    `server_hostname` is the name to expect in the certificate, when that is not the target's host, and
    `authority` what requests say they are for. `sock` is used, and owned, when it is connected already.
    `budget` bounds what waits on all connections that share it, `counters` may be those of others too.
    Raises ConnectFailed, also when it takes longer than `timeout` seconds, and ConfigError.
    """
    connection = ClientConnection(target, limits, authority, budget, counters)
    await connection._connect(ssl, server_hostname, sock, timeout)
    return connection


async def connect(
    target: str,
    method: str,
    metadata: Mapping[str, str] | None = None,
    *,
    ssl: tls.SSLContext | None = None,
    server_hostname: str | None = None,
    authority: str | None = None,
    sock: socket.socket | None = None,
    limits: Limits = CLIENT,
    budget: ByteBudget | None = None,
    timeout: float = 20.0,
    counters: Counters | None = None,
) -> ClientStream:
    """Connect and make one call, with a connection of its own that ends with the stream.

    Arguments and errors are those of `dial` and `ClientConnection.open`. Call `start` on the stream next.
    """
    connection = await dial(
        target,
        ssl=ssl,
        server_hostname=server_hostname,
        authority=authority,
        sock=sock,
        limits=limits,
        budget=budget,
        timeout=timeout,
        counters=counters,
    )
    try:
        return await connection._open(method, metadata or {}, timeout, alone=True)
    except BaseException:
        await connection.close()
        raise
