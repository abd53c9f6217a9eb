"""Our own HTTP/2 framing (`gateway.http2`) as a transport: the fast one."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from actors.errors import CannotConnect
from actors.routing.budget import ByteBudget
from gateway import http2
from gateway.codec import is_data
from gateway.config import MIB, ClientConfig, ServerConfig
from gateway.config.client import ADDRESS_WAIT
from gateway.http2.acceptor import PerHost, shown
from gateway.http2.errors import Cause, GrpcStatus, Http2Error
from gateway.http2.limits import Counters
from gateway.links.addresses import Resolve, Rotation, connected, is_address, resolve
from gateway.links.health import Health
from gateway.links.health_service import CHECK, WATCH, answer
from gateway.links.proxy import tunnel
from gateway.links.stream import METHOD_PATH, Stream, StreamHandler, StreamStatus, TellRefused
from gateway.security.auth import claimed
from identity.errors import AuthError

# `high_water - 1` below: the transport calls a stream full above its mark, the actors from the mark on.
_UNSENT_MESSAGES = 4
"""A stream may hold this many times the largest message unsent before the transport itself gives it up."""


_TOLD_CONNECTIONS = 256
"""Connections beyond those that a node may have, which are told so; further ones are closed unread."""


class Http2Stream:
    """One call of ours, as a Stream."""

    __slots__ = ("_handler", "_peer", "_reason", "_state", "_stream", "send", "subject")

    def __init__(self, stream: http2.ServerStream | http2.ClientStream, peer: str, subject: str = "") -> None:
        self.subject = subject
        self._stream = stream
        self._state = stream.state
        self._state.droppable = is_data
        self.send = stream.send
        self._peer = peer
        self._handler: StreamHandler | None = None
        self._reason = ""

    @property
    def unsent(self) -> int:
        # Asked twice for every batch: straight from the state, not through the properties between.
        send_buffer = self._state.send_buffer
        return 0 if send_buffer is None else send_buffer.size

    @property
    def peer(self) -> str:
        return self._peer

    @property
    def certificate(self) -> bytes:
        wire = self._stream.get_extra_info("ssl_object")
        return b"" if wire is None else wire.getpeercert(binary_form=True) or b""

    def start(
        self, handler: StreamHandler, low_water: int, on_ended: Callable[[], None] | None = None
    ) -> None:
        self._handler = handler
        self._stream.start(
            on_messages=handler.stream_messages,
            on_closed=self._closed,
            on_ended=on_ended,
            on_drained=handler.stream_drained,
        )

    def when_going_away(self, callback: Callable[[], None]) -> None:
        if isinstance(self._stream, http2.ClientStream):
            self._stream.when_going_away(callback)

    def pause_reading(self) -> None:
        self._stream.pause_reading()

    def resume_reading(self) -> None:
        self._stream.resume_reading()

    def close(self, status: StreamStatus = StreamStatus.OK, message: str = "") -> None:
        self._reason = self._reason or message
        if isinstance(self._stream, http2.ServerStream):
            self._stream.close(GrpcStatus(status), message)
        elif status is StreamStatus.OK:
            self._stream.close()
        else:
            self._stream.cancel(message)

    def abort(self, message: str) -> None:
        self._reason = self._reason or message
        self._stream.cancel(message)

    def _closed(self, cause: Cause) -> None:
        assert self._handler is not None
        self._handler.stream_closed(self._reason or ("the peer ended the stream" if cause.ok else str(cause)))


class FastServer:
    """Listens with our own framing and hands each new stream to `accept`."""

    def __init__(
        self,
        config: ServerConfig,
        accept: Callable[[Stream], None],
        authenticate: Callable[[dict[str, str]], Awaitable[str]] | None,
        context: ssl.SSLContext | None,
        high_water: int,
        budget: ByteBudget,
        counters: Counters,
        methods: str | Collection[str] = METHOD_PATH,
        refused: TellRefused | None = None,
        connections: int = http2.SERVER.max_connections,
        health: Health | None = None,
        per_address: PerHost | None = None,
    ) -> None:
        self._per_address = per_address
        keepalive = config.keepalive
        served = (methods,) if isinstance(methods, str) else methods
        self._methods = frozenset(served if health is None else (*served, CHECK, WATCH))
        self._refused = refused
        self._health = health
        self._limits = replace(
            http2.SERVER,
            max_message=config.max_message_size,
            max_partial=max(16 * MIB, config.max_message_size),
            max_streams=config.max_concurrent_streams,
            max_connections=connections + _TOLD_CONNECTIONS,
            max_header_list=config.max_header_list_size,
            max_frame=min(config.max_frame_size, 2**24 - 1),
            high_water=high_water - 1,
            low_water=high_water // 4,
            max_unsent=max(64 * MIB, _UNSENT_MESSAGES * config.max_message_size),
            max_connection_unsent=max(64 * MIB, _UNSENT_MESSAGES * config.max_message_size),
            keepalive_interval=keepalive.ping or None,
            keepalive_timeout=keepalive.timeout,
            idle_timeout=keepalive.max_connection_idle or None,
            max_age=keepalive.max_connection_age or None,
            max_age_grace=keepalive.max_connection_age_grace or None,
        )
        self._target = config.target()
        self._accept, self._authenticate = accept, authenticate
        self._context = context
        self._budget, self._counters = budget, counters
        self._server: http2.Http2Server | None = None

    async def start(self) -> str:
        """Listen. Returns the address with the port in use. Raises OSError."""
        target = self._target
        serve = partial(
            http2.serve,
            self,
            self._methods,
            ssl=self._context,
            limits=self._limits,
            budget=self._budget,
            counters=self._counters,
            refused=self._refused,
            per_host=self._per_address,
        )
        if isinstance(target, str):
            self._server = await serve(path=target)
            return f"unix://{target}"
        host, port = target
        self._server = await serve(host=host, port=port)
        shown = f"[{host}]" if ":" in host else host
        return f"{shown}:{self._server.port}"

    async def stop(self, grace: float) -> None:
        """Accept nothing more; streams that are still open after `grace` seconds are cut."""
        if self._server is not None:
            await self._server.close(grace)

    def figures(self) -> dict[str, Any]:
        """What the transport counted, refusals by their rule."""
        if self._server is None:
            return {}
        statistics = self._server.statistics()
        return {"connections": self._server.connections, "refusals": dict(statistics.refusals)}

    def stream_opened(self, stream: http2.ServerStream, headers: http2.Headers) -> Any:
        """A peer called: accept it at once, or after its authentication was checked."""
        if self._health is not None and headers[":path"] in (CHECK, WATCH):
            return answer(self._health, stream, headers[":path"])
        if self._authenticate is None:
            self._take(stream)
            return None
        return self._check(stream, dict(headers))

    async def _check(self, stream: http2.ServerStream, headers: dict[str, str]) -> None:
        assert self._authenticate is not None
        try:
            subject = await self._authenticate(headers)
        except AuthError as error:
            stream.refuse(401)
            if self._refused is not None:
                self._refused("authentication", _peer(stream), str(error), claimed(headers))
        else:
            self._take(stream, subject)

    def _take(self, stream: http2.ServerStream, subject: str = "") -> None:
        self._accept(Http2Stream(stream, _peer(stream), subject))


_ERRNO = re.compile(r"\[Errno -?\d+\] ")
"""What Python puts before the words of the system."""


def _in_words(error: Http2Error | OSError) -> str:
    """Why a dial came to nothing, as the system says it: each event loop has sentences of its own."""
    known = error.__cause__ if isinstance(error, http2.ConnectFailed) else error
    if isinstance(known, ConnectionError) and known.errno:
        return os.strerror(known.errno)
    return _ERRNO.sub("", error.reason if isinstance(error, http2.ConnectFailed) else str(error))


def _peer(stream: http2.ServerStream) -> str:
    return shown(stream.get_extra_info("peername"))


class FastDialler:
    """Opens streams to one endpoint with our own framing."""

    def __init__(
        self,
        config: ClientConfig,
        headers: Callable[[], Awaitable[list[tuple[str, str]]]],
        context: Callable[[], ssl.SSLContext] | None,
        high_water: int,
        budget: ByteBudget,
        counters: Counters,
        method: str = METHOD_PATH,
        find: Resolve = resolve,
    ) -> None:
        self._config = config
        self._find, self._turns = find, Rotation()
        self._method = method
        self._headers = headers
        self._context = context
        self._budget, self._counters = budget, counters
        keepalive = config.keepalive
        self._limits = replace(
            http2.CLIENT,
            max_message=config.max_message_size,
            max_partial=max(16 * MIB, config.max_message_size),
            high_water=high_water - 1,
            low_water=high_water // 4,
            max_unsent=max(64 * MIB, _UNSENT_MESSAGES * config.max_message_size),
            max_connection_unsent=max(64 * MIB, _UNSENT_MESSAGES * config.max_message_size),
            keepalive_interval=keepalive.ping or None,
            keepalive_timeout=keepalive.timeout,
        )

    async def dial(self) -> Stream:
        """A new stream. Raises CannotConnect saying why there is none."""
        try:
            async with asyncio.timeout(self._config.dial_timeout):
                stream = await self._dial()
        except TimeoutError as exc:
            raise CannotConnect(self._config.endpoint, "no answer in time") from exc
        except (Http2Error, OSError) as exc:
            cause = _in_words(exc)
            raise CannotConnect(self._config.endpoint, cause) from exc
        _keep_alive(stream.get_extra_info("socket"), self._config.keepalive.tcp)
        return Http2Stream(stream, self._config.endpoint)

    async def _dial(self) -> http2.ClientStream:
        config = self._config
        target = config.target()
        where = f"unix://{target}" if isinstance(target, str) else _url(*target)
        if isinstance(target, str) or is_address(target[0]):
            return await self._call(where, None if isinstance(target, str) else target)
        if config.proxy is not None:
            return await self._call(where, target)
        found = await self._find(*target)
        if len(found) == 1:
            return await self._call(where, target)
        return await self._first_of(found, where)

    async def _first_of(self, found: Sequence[Any], where: str) -> http2.ClientStream:
        """A call to the first address of a name that answers, beginning behind the one that did last."""
        share = min(ADDRESS_WAIT, self._config.dial_timeout / len(found))
        *others, final = self._turns.order(found)
        for one in others:
            try:
                async with asyncio.timeout(share):
                    return await self._call_one(one, where)
            except (TimeoutError, Http2Error, OSError):
                continue
        return await self._call_one(final, where)

    async def _call_one(self, address: Any, where: str) -> http2.ClientStream:
        stream = await self._call(where, None, await connected(address))
        self._turns.take(address)
        return stream

    async def _call(
        self, where: str, target: tuple[str, int] | None, sock: socket.socket | None = None
    ) -> http2.ClientStream:
        config = self._config
        headers = {key.lower(): value for key, value in await self._headers()}
        context = self._context() if self._context is not None else None
        if config.proxy is not None and target is not None:
            sock = await tunnel(config.proxy, *target)
        return await http2.connect(
            where,
            self._method,
            headers,
            ssl=context,
            server_hostname=config.server_name,
            authority=config.origin,
            sock=sock,
            limits=self._limits,
            budget=self._budget,
            timeout=config.dial_timeout,
            counters=self._counters,
        )


def _keep_alive(sock: Any, idle: float) -> None:
    """Have the kernel probe a TCP connection that says nothing for `idle` seconds; 0: leave it alone."""
    if sock is not None and idle and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, round(idle)))


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
