"""A listener for the controller's gRPC methods, unary and streaming, on either transport of ours.

Methods know bytes and a RpcCaller; what the caller may do is decided by them. They fail by CallError.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import grpc

from actors.record import record
from actors.routing.budget import ByteBudget
from gateway import http2
from gateway.config import ServerConfig
from gateway.http2.acceptor import shown
from gateway.http2.errors import GrpcStatus
from gateway.http2.headers import read_timeout
from gateway.http2.limits import Counters
from gateway.links.grpc_stream import GrpcStream
from gateway.links.http2_stream import FastServer, Http2Stream
from gateway.links.stream import Stream, StreamStatus, TellRefused
from gateway.links.transport import Server
from gateway.security.contexts import grpc_server_credentials, server_context
from gateway.security.material import TlsSource
from identity.errors import AuthError

HIGH_WATER = 1024 * 1024
"""Bytes unsent at which a stream counts as full."""
CALLS, CALL_RATE = 10_000, 2_000
"""Calls that one connection may make at once, and per second for ever."""
CALL_WORK = 100
"""Units of header work (`gateway.http2.charges`) of a call."""


class CallError(Exception):
    """A call fails: the name of a gRPC status, and a sentence."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@record
class RpcCaller(NamedTuple):
    """Who calls, as the transport knows it."""

    peer: str
    headers: Mapping[str, str]
    """Lower-case names."""
    certificates: bytes
    """The certificates it proved, in PEM, its own first; empty without TLS or without one."""
    remaining: float | None
    """Seconds that it waits for an answer, if it says so."""


Unary = Callable[[bytes, RpcCaller], Awaitable[bytes]]
TakesStream = Callable[[RpcCaller], Awaitable[Callable[[Stream], None]]]
"""Admits a caller and returns what takes its stream."""


@record
class Methods(NamedTuple):
    """What a listener serves, by path."""

    unary: Mapping[str, Unary]
    streams: Mapping[str, TakesStream]


def listen(
    config: ServerConfig, methods: Methods, source: TlsSource, refused: TellRefused | None = None
) -> Server:
    """A listener; `source` is started, `refused` is told of whom TLS does not let in.

    Raises ConfigError or AuthError.
    """
    if config.transport == "grpc":
        return _GrpcCalls(config, methods, source)
    context = None if config.tls.insecure else server_context(config.tls, source)
    return _FastCalls(config, methods, source, context, refused)


class _FastCalls(FastServer):
    """Our own framing."""

    def __init__(
        self,
        config: ServerConfig,
        methods: Methods,
        source: TlsSource,
        context: ssl.SSLContext | None,
        refused: TellRefused | None,
    ) -> None:
        super().__init__(
            config,
            lambda stream: None,
            None,
            context,
            HIGH_WATER,
            ByteBudget(),
            Counters(),
            [*methods.unary, *methods.streams],
            refused,
        )
        if methods.unary:
            # A program that makes a thousand channels is no attack.
            burst, rate = CALLS * CALL_WORK, float(CALL_RATE * CALL_WORK)
            self._limits = replace(self._limits, header_burst=burst, header_rate=rate)
        self._calls, self._source = methods, source

    def stream_opened(self, stream: http2.ServerStream, headers: http2.Headers) -> Any:
        return self._opened(stream, headers)

    async def _opened(self, stream: http2.ServerStream, headers: http2.Headers) -> None:
        path = headers[":path"]
        try:
            caller = self._caller(stream, headers)
            unary = self._calls.unary.get(path)
            if unary is not None:
                await self._answer(stream, unary, caller)
                return
            take = await self._calls.streams[path](caller)
            take(Http2Stream(stream, caller.peer))
        except CallError as error:
            stream.close(GrpcStatus[error.status], error.text)
        except AuthError as error:
            stream.close(GrpcStatus.UNAUTHENTICATED, str(error))

    async def _answer(self, stream: http2.ServerStream, unary: Unary, caller: RpcCaller) -> None:
        request: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

        def arrived(message: bytes | None) -> None:
            if not request.done():
                request.set_result(message)

        stream.start(
            on_messages=lambda batch: arrived(batch[0]),
            on_closed=lambda cause: arrived(None),
            on_ended=lambda: arrived(None),
        )
        message = await request
        if message is None:
            raise CallError("INVALID_ARGUMENT", "a call without a request")
        stream.send([await unary(message, caller)])
        stream.close()

    def _caller(self, stream: http2.ServerStream, headers: http2.Headers) -> RpcCaller:
        peer = shown(stream.get_extra_info("peername"))
        ssl_object = stream.get_extra_info("ssl_object")
        der = ssl_object.getpeercert(binary_form=True) if ssl_object is not None else None
        pem = ssl.DER_cert_to_PEM_cert(der).encode() if der else b""
        return RpcCaller(peer, headers, pem, read_timeout(headers))


class _GrpcCalls:
    """The gRPC library."""

    def __init__(self, config: ServerConfig, methods: Methods, source: TlsSource) -> None:
        self._config, self._methods, self._source = config, methods, source
        self._server: grpc.aio.Server | None = None

    async def start(self) -> str:
        config = self._config
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", config.max_message_size),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_metadata_size", config.max_header_list_size),
                ("grpc.so_reuseport", 0),
                ("grpc.http2.min_ping_interval_without_data_ms", 5000),
                ("grpc.http2.max_ping_strikes", 0),
            ]
        )
        server.add_generic_rpc_handlers((_Handlers(self),))
        target = config.target()
        where = f"unix:{target}" if isinstance(target, str) else f"{_bracketed(target[0])}:{target[1]}"
        try:
            if config.tls.insecure:
                port = server.add_insecure_port(where)
            else:
                port = server.add_secure_port(where, grpc_server_credentials(self._source))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {where}: address in use or not ours") from error
        await server.start()
        self._server = server
        return where if isinstance(target, str) else f"{_bracketed(target[0])}:{port}"

    async def stop(self, grace: float) -> None:
        if self._server is not None:
            await self._server.stop(grace)

    def handler(self, path: str) -> grpc.RpcMethodHandler | None:
        """What the library calls for a method."""
        unary = self._methods.unary.get(path)
        if unary is not None:
            return grpc.unary_unary_rpc_method_handler(self._unary(unary))
        take = self._methods.streams.get(path)
        return None if take is None else grpc.stream_stream_rpc_method_handler(self._stream(take))

    def _unary(self, unary: Unary) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def call(request: bytes, context: Any) -> bytes:
            try:
                return await unary(request, self._caller(context))
            except CallError as error:
                await context.abort(grpc.StatusCode[error.status], error.text)
            except AuthError as error:
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
            raise AssertionError("abort raises")

        return call

    def _stream(self, admit: TakesStream) -> Callable[[Any, Any], Awaitable[None]]:
        async def call(_requests: Any, context: Any) -> None:
            try:
                take = await admit(self._caller(context))
            except CallError as error:
                await context.abort(grpc.StatusCode[error.status], error.text)
            except AuthError as error:
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
            await context.send_initial_metadata(())
            stream = GrpcStream(context.read, context.write, context.peer())
            context.add_done_callback(lambda _: stream.lost("the peer is gone"))
            take(stream)
            try:
                await stream.ended.wait()
            finally:
                stream.lost("the peer is gone")
            if stream.status is not StreamStatus.OK:
                code = next(code for code in grpc.StatusCode if code.value[0] == stream.status)
                await context.abort(code, stream.message)

        return call

    def _caller(self, context: Any) -> RpcCaller:
        headers = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        found = context.auth_context()
        leaf = b"".join(found.get("x509_pem_cert", ()))
        chain = b"".join(found.get("x509_pem_cert_chain", ()))
        if self._source.checks_spiffe_ids:
            self._source.check_peer(leaf + chain.replace(leaf, b"") if leaf else chain)
        peer = context.peer().partition(":")[2]
        return RpcCaller(peer, headers, leaf or chain, context.time_remaining())


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """The methods of a listener, as the library looks for them."""

    def __init__(self, calls: _GrpcCalls) -> None:
        self._calls = calls

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler | None:
        return self._calls.handler(handler_call_details.method)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
