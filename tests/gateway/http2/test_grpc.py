"""Conformance with the gRPC library, both ways: its clients at our server, our client at its server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest

from gateway.http2 import (
    CLIENT,
    SERVER,
    CallRefused,
    ClientStream,
    GrpcStatus,
    Headers,
    ServerStream,
    connect,
    dial,
    serve,
)
from tests.gateway.http2.conftest import Certificate
from tests.gateway.http2.links import WAIT, Accepting, Collector, settled
from tests.gateway.http2.peers import METHOD

MAX_MESSAGE = 4 * 1024 * 1024
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
# The library keeps channels with equal options to one target in one connection.
SMALL_WINDOWS = [
    ("grpc.http2.lookahead_bytes", 1024),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.max_frame_size", 16384),
]

Call = Any
TINY = {"stream_window": 5000, "connection_window": 65_535}


# -- Its clients at our server ---------------------------------------------------------------------------


@asynccontextmanager
async def channel(port: int, options: list[tuple[str, Any]] = UNLIMITED) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as one:
        yield one


def call(one: grpc.aio.Channel, method: str = METHOD, **how: Any) -> Call:
    return one.stream_stream(method)(timeout=how.pop("timeout", WAIT), **how)


async def test_response_headers_come_before_any_message() -> None:
    handler = Accepting(reply=True)
    async with await serve(handler, METHOD) as server, channel(server.port) as one:
        its = call(one, metadata=(("authorization", "Bearer x"), ("x-bin", b"\x00\xff")))
        assert await asyncio.wait_for(its.initial_metadata(), WAIT) is not None
        assert handler.headers[0]["authorization"] == "Bearer x"
        assert handler.headers[0]["x-bin"] == "AP8"
        await its.write(b"hello")
        assert await its.read() == b"hello"
        await its.done_writing()
        assert await its.read() is grpc.aio.EOF
        assert await its.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("limits", [SERVER, replace(SERVER, **TINY)])
@pytest.mark.parametrize("options", [UNLIMITED, UNLIMITED + SMALL_WINDOWS])
async def test_messages_of_all_sizes(limits: Any, options: list[tuple[str, Any]]) -> None:
    sizes = [0, 1, 100, 16_379, 16_384, 70_000, 1_000_000, MAX_MESSAGE]
    async with (
        await serve(Accepting(reply=True), METHOD, limits=limits) as server,
        channel(server.port, options) as one,
    ):
        its = call(one)
        for size in sizes:
            message = bytes(size // 2) + b"x" * (size - size // 2)
            await its.write(message)
            assert await its.read() == message
        await its.done_writing()
        assert await its.code() is grpc.StatusCode.OK


async def test_a_burst_each_way_at_once() -> None:
    messages = [b"%d" % n * (n % 300) for n in range(2000)]
    handler = Accepting(reply=True)
    async with (
        await serve(handler, METHOD, limits=replace(SERVER, **TINY)) as server,
        channel(server.port) as one,
    ):
        its = call(one)

        async def write() -> None:
            for message in messages:
                await its.write(message)
            await its.done_writing()

        writing = asyncio.ensure_future(write())
        assert [message async for message in its] == messages
        await writing


async def test_a_message_over_the_limit() -> None:
    async with await serve(Accepting(), METHOD) as server, channel(server.port) as one:
        its = call(one)
        await its.write(bytes(MAX_MESSAGE + 1))
        with pytest.raises(grpc.aio.AioRpcError):
            await its.read()
        assert await its.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "4194305 bytes; the limit is 4194304" in await its.details()
        second = call(one)
        await second.initial_metadata()
        second.cancel()


@pytest.mark.parametrize(
    ("refuse", "code", "details"),
    [
        (lambda s: s.refuse(401), grpc.StatusCode.UNAUTHENTICATED, "401"),
        (lambda s: s.refuse(503), grpc.StatusCode.UNAVAILABLE, "503"),
        (
            lambda s: s.close(GrpcStatus.PERMISSION_DENIED, "50% n\u00f6"),
            grpc.StatusCode.PERMISSION_DENIED,
            "50% n\u00f6",
        ),
    ],
)
async def test_refusals(refuse: Callable[[ServerStream], None], code: grpc.StatusCode, details: str) -> None:
    class Refusing:
        def stream_opened(self, stream: ServerStream, headers: Headers) -> None:
            refuse(stream)

    async with await serve(Refusing(), METHOD) as server, channel(server.port) as one:
        its = call(one)
        assert await its.code() is code
        assert details in await its.details()


async def test_another_method_and_compression() -> None:
    async with await serve(Accepting(), METHOD) as server, channel(server.port) as one:
        assert await call(one, "/other/Method").code() is grpc.StatusCode.UNIMPLEMENTED
        assert await call(one, compression=grpc.Compression.Gzip).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_status_after_messages() -> None:
    handler = Accepting()
    async with await serve(handler, METHOD) as server, channel(server.port) as one:
        its = call(one)
        theirs = await handler.call()
        theirs.stream.send([b"x" * 100_000] * 10)
        assert isinstance(theirs.stream, ServerStream)
        theirs.stream.close(GrpcStatus.ABORTED, "enough")
        got = []
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for message in its:
                got.append(len(message))
        assert got == [100_000] * 10
        assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.ABORTED, "enough")


async def test_its_deadline_ends_the_stream() -> None:
    handler = Accepting()
    async with await serve(handler, METHOD) as server, channel(server.port) as one:
        its = call(one, timeout=0.1)
        assert await its.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        cause = await handler.calls[0].closed()
        assert cause.status in (GrpcStatus.CANCELLED, GrpcStatus.DEADLINE_EXCEEDED)


async def test_its_cancellation_ends_the_stream() -> None:
    handler = Accepting()
    async with await serve(handler, METHOD) as server, channel(server.port) as one:
        its = call(one)
        await its.initial_metadata()
        its.cancel()
        assert (await handler.calls[0].closed()).status is GrpcStatus.CANCELLED


async def test_its_channel_closed_ends_the_stream() -> None:
    handler = Accepting()
    async with await serve(handler, METHOD) as server:
        async with channel(server.port) as one:
            its = call(one)
            await its.initial_metadata()
        assert not (await handler.calls[0].closed()).ok


async def test_our_goaway_lets_its_streams_end() -> None:
    handler = Accepting(reply=True)
    server = await serve(handler, METHOD)
    async with channel(server.port) as one:
        its = call(one)
        await its.initial_metadata()
        closing = asyncio.ensure_future(server.close(grace=WAIT))
        await its.write(b"still")
        assert await its.read() == b"still"
        await its.done_writing()
        assert await its.code() is grpc.StatusCode.OK
        await asyncio.wait_for(closing, WAIT)


async def test_our_end_is_unavailable_to_it() -> None:
    server = await serve(Accepting(), METHOD)
    async with channel(server.port) as one:
        its = call(one)
        await its.initial_metadata()
        await server.close()
        assert await its.code() is grpc.StatusCode.UNAVAILABLE


async def test_its_keepalive_pings_are_welcome() -> None:
    options = [
        ("grpc.keepalive_time_ms", 100),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    async with await serve(Accepting(reply=True), METHOD) as server, channel(server.port, options) as one:
        its = call(one)
        await its.initial_metadata()
        await asyncio.sleep(0.4)
        await its.write(b"x")
        assert await its.read() == b"x"
        its.cancel()


async def test_a_paused_stream_holds_it_back_and_not_its_neighbour() -> None:
    handler = Accepting(reply=True)
    async with await serve(handler, METHOD) as server, channel(server.port) as one:
        first = call(one)
        await first.initial_metadata()
        second = call(one)
        handler.calls[0].stream.pause_reading()
        sent = 0

        async def write() -> None:
            nonlocal sent
            for _ in range(100):
                await first.write(bytes(100_000))
                sent += 1

        writing = asyncio.ensure_future(write())
        for n in range(20):
            await second.write(bytes(n))
            assert await second.read() == bytes(n)
        assert sent < 30
        handler.calls[0].stream.resume_reading()
        for _ in range(100):
            assert len(await first.read()) == 100_000
        await writing


async def test_too_many_streams_wait_at_its_side() -> None:
    handler = Accepting(reply=True)
    async with (
        await serve(handler, METHOD, limits=replace(SERVER, max_streams=2)) as server,
        channel(server.port) as one,
    ):

        async def use(its: Call) -> None:
            await its.write(b"x")
            assert await its.read() == b"x"
            await its.done_writing()
            assert await its.code() is grpc.StatusCode.OK

        await asyncio.gather(*(use(call(one)) for _ in range(5)))
        assert server.statistics().streams_opened >= 5


async def test_tls(certificate: Certificate) -> None:
    async with await serve(Accepting(reply=True), METHOD, ssl=certificate.server()) as server:
        credentials = grpc.ssl_channel_credentials(certificate.authority.read_bytes())
        async with grpc.aio.secure_channel(f"localhost:{server.port}", credentials, options=UNLIMITED) as one:
            its = call(one)
            await its.write(bytes(1_000_000))
            assert len(await its.read()) == 1_000_000
            its.cancel()


async def test_a_unix_socket(tmp_path: Any) -> None:
    path = str(tmp_path / "node.sock")
    async with (
        await serve(Accepting(reply=True), METHOD, path=path),
        grpc.aio.insecure_channel(f"unix://{path}") as one,
    ):
        its = call(one)
        await its.write(b"x")
        assert await its.read() == b"x"
        its.cancel()


async def calls_in_turn(count: int) -> None:
    async with await serve(Accepting(reply=True), METHOD) as server, channel(server.port) as one:
        for n in range(count):
            its = call(one)
            await its.write(b"%d" % n)
            assert await its.read() == b"%d" % n
            if n % 3 == 0:
                its.cancel()
                continue
            await its.done_writing()
            assert await its.read() is grpc.aio.EOF
            assert await its.code() is grpc.StatusCode.OK
        await settled(lambda: server.statistics().streams_closed == count)
        assert server.connections == 1
        assert server.statistics().refusals == {}


async def test_500_calls_in_turn() -> None:
    await calls_in_turn(500)


@pytest.mark.long
async def test_10_000_calls_in_turn() -> None:
    await calls_in_turn(10_000)


# -- Our client at its server ----------------------------------------------------------------------------


class Its:
    """A server of the gRPC library with one method."""

    def __init__(self, behaviour: Callable[[Any, grpc.aio.ServicerContext], Any]) -> None:
        self.behaviour = behaviour

    @asynccontextmanager
    async def run(
        self, options: list[tuple[str, Any]] = UNLIMITED, credentials: Any = None
    ) -> AsyncIterator[tuple[grpc.aio.Server, int]]:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0), *options])
        service, method = METHOD.strip("/").split("/")

        async def handle(requests: Any, context: grpc.aio.ServicerContext) -> Any:
            async for answer in self.behaviour(requests, context):
                yield answer

        handlers = {method: grpc.stream_stream_rpc_method_handler(handle)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        if credentials is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            port = server.add_secure_port("127.0.0.1:0", credentials)
        await server.start()
        try:
            yield server, port
        finally:
            await server.stop(None)


async def echo(requests: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
    await context.send_initial_metadata((("x-hello", "there"),))
    async for message in requests:
        yield message


@pytest.mark.parametrize("limits", [CLIENT, replace(CLIENT, **TINY)])
@pytest.mark.parametrize("options", [UNLIMITED, UNLIMITED + SMALL_WINDOWS])
async def test_our_messages_of_all_sizes(limits: Any, options: list[tuple[str, Any]]) -> None:
    sizes = [0, 1, 100, 16_379, 16_384, 70_000, 1_000_000, MAX_MESSAGE]
    async with Its(echo).run(options) as (_, port):
        stream = await connect(f"http://127.0.0.1:{port}", METHOD, limits=limits)
        assert stream.headers["x-hello"] == "there"
        mine = Collector(stream)
        stream.send([bytes(size) for size in sizes])
        assert [len(m) for m in await mine.got(len(sizes))] == sizes
        stream.close()
        assert (await mine.closed()).ok


async def test_our_burst_of_small_messages() -> None:
    messages = [b"%d" % n for n in range(3000)]
    async with Its(echo).run() as (_, port):
        mine = Collector(await connect(f"http://127.0.0.1:{port}", METHOD))
        mine.stream.send(messages)
        assert await mine.got(len(messages)) == messages
        mine.stream.cancel()


async def test_its_refusals_and_statuses() -> None:
    async def refuse(requests: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        metadata = dict(context.invocation_metadata())
        if metadata["how"] == "at once":
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "50% n\u00f6")
        yield b"one"
        await context.abort(grpc.StatusCode.DATA_LOSS, "lost")

    async with Its(refuse).run() as (_, port), await dial(f"http://127.0.0.1:{port}") as connection:
        with pytest.raises(CallRefused) as caught:
            await connection.open(METHOD, {"how": "at once"})
        assert (caught.value.cause.status, caught.value.cause.message) == (
            GrpcStatus.UNAUTHENTICATED,
            "50% n\u00f6",
        )
        mine = Collector(await connection.open(METHOD, {"how": "later"}))
        cause = await mine.closed()
        assert mine.messages == [b"one"]
        assert (cause.status, cause.message) == (GrpcStatus.DATA_LOSS, "lost")
        with pytest.raises(CallRefused) as caught:
            await connection.open("/other/Method")
        assert caught.value.cause.status is GrpcStatus.UNIMPLEMENTED


async def test_our_cancellation_reaches_it() -> None:
    ended = asyncio.Event()

    async def wait(requests: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        try:
            await context.send_initial_metadata(())
            async for message in requests:
                yield message
        finally:
            ended.set()

    async with Its(wait).run() as (_, port):
        mine = Collector(await connect(f"http://127.0.0.1:{port}", METHOD))
        mine.stream.send([b"hello"])
        assert await mine.got(1) == [b"hello"]
        mine.stream.cancel()
        await asyncio.wait_for(ended.wait(), WAIT)


async def test_its_message_over_our_limit() -> None:
    async def send(requests: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        yield b"x"
        yield bytes(MAX_MESSAGE + 1)

    async with Its(send).run() as (_, port):
        mine = Collector(await connect(f"http://127.0.0.1:{port}", METHOD))
        assert (await mine.closed()).status is GrpcStatus.RESOURCE_EXHAUSTED
        assert mine.messages == [b"x"]


async def test_our_message_over_its_limit() -> None:
    async with Its(echo).run([("grpc.max_receive_message_length", 1000)]) as (_, port):
        mine = Collector(await connect(f"http://127.0.0.1:{port}", METHOD))
        mine.stream.send([bytes(1001)])
        assert (await mine.closed()).status is GrpcStatus.RESOURCE_EXHAUSTED


async def test_its_goaway_lets_our_streams_end() -> None:
    async with Its(echo).run() as (server, port), await dial(f"http://127.0.0.1:{port}") as connection:
        mine = Collector(await connection.open(METHOD))
        stopping = asyncio.ensure_future(server.stop(WAIT))
        await settled(lambda: not connection.usable)
        mine.stream.send([b"still"])
        assert await mine.got(1) == [b"still"]
        assert isinstance(mine.stream, ClientStream)
        mine.stream.close()
        assert (await mine.closed()).ok
        await stopping


async def test_its_end_is_unavailable_to_us() -> None:
    async with Its(echo).run() as (server, port):
        mine = Collector(await connect(f"http://127.0.0.1:{port}", METHOD))
        await server.stop(None)
        assert (await mine.closed()).status in (GrpcStatus.UNAVAILABLE, GrpcStatus.CANCELLED)


async def test_its_age_limit() -> None:
    options = [("grpc.max_connection_age_ms", 100), ("grpc.max_connection_age_grace_ms", 100)]
    async with Its(echo).run(options) as (_, port):
        mine = Collector(await connect(f"http://127.0.0.1:{port}", METHOD))
        assert (await mine.closed()).status is GrpcStatus.UNAVAILABLE


async def test_our_paused_stream_holds_it_back() -> None:
    sent = 0

    async def send(requests: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            yield bytes(100_000)
            sent += 1

    async with Its(send).run() as (_, port):
        mine = Collector(await connect(f"http://127.0.0.1:{port}", METHOD))
        mine.stream.pause_reading()
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < 50
        mine.stream.resume_reading()
        assert len(await mine.got(100)) == 100
        assert (await mine.closed()).ok


async def test_our_tls(certificate: Certificate) -> None:
    credentials = grpc.ssl_server_credentials([(certificate.key.read_bytes(), certificate.cert.read_bytes())])
    async with Its(echo).run(credentials=credentials) as (_, port):
        mine = Collector(await connect(f"https://localhost:{port}", METHOD, ssl=certificate.client()))
        mine.stream.send([bytes(500_000)])
        assert [len(m) for m in await mine.got(1)] == [500_000]
        mine.stream.cancel()


async def our_calls_in_turn(count: int) -> None:
    async with Its(echo).run() as (_, port), await dial(f"http://127.0.0.1:{port}") as connection:
        for n in range(count):
            mine = Collector(await connection.open(METHOD))
            mine.stream.send([b"%d" % n])
            assert await mine.got(1) == [b"%d" % n]
            assert isinstance(mine.stream, ClientStream)
            if n % 3 == 0:
                mine.stream.cancel()
            else:
                mine.stream.close()
                assert (await mine.closed()).ok
        assert connection.statistics().refusals == {}
        assert connection.statistics().streams_opened == count


async def test_our_500_calls_in_turn() -> None:
    await our_calls_in_turn(500)


@pytest.mark.long
async def test_our_10_000_calls_in_turn() -> None:
    await our_calls_in_turn(10_000)
