"""Our client and our server over real sockets."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

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
    frames,
    serve,
)
from tests.gateway.http2.conftest import Certificate
from tests.gateway.http2.links import WAIT, Accepting, Collector, settled, url
from tests.gateway.http2.peers import METHOD, data_frame, request


async def test_echo() -> None:
    handler = Accepting(reply=True)
    async with await serve(handler, METHOD) as server:
        mine = Collector(await connect(url(server), METHOD, {"Authorization": "Basic eA=="}))
        mine.stream.send([b"one", b"", b"three"])
        assert await mine.got(3) == [b"one", b"", b"three"]
        assert handler.headers[0]["authorization"] == "Basic eA=="
        assert handler.headers[0][":authority"] == f"127.0.0.1:{server.port}"
        assert mine.batches == 1
        assert isinstance(mine.stream, ClientStream)
        mine.stream.close()
        assert (await mine.closed()).ok
        assert (await handler.calls[0].closed()).ok
        seen = server.statistics()
        assert (seen.messages_received, seen.messages_sent, seen.refusals) == (3, 3, {})


async def test_what_a_turn_sends_leaves_in_one_write_and_arrives_as_one_batch() -> None:
    handler = Accepting()
    async with await serve(handler, METHOD) as server:
        stream = await connect(url(server), METHOD)
        for n in range(100):
            stream.send([bytes([n])])
        theirs = await handler.call()
        assert await theirs.got(100) == [bytes([n]) for n in range(100)]
        assert theirs.batches == 1
        stream.cancel()


async def test_nagle_is_off() -> None:
    handler = Accepting()
    async with await serve(handler, METHOD) as server:
        mine = await connect(url(server), METHOD)
        theirs = await handler.call()
        for stream in (mine, theirs.stream):
            sock = stream.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        mine.cancel()


async def test_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "node.sock")
    async with await serve(Accepting(reply=True), METHOD, path=path):
        mine = Collector(await connect(f"unix://{path}", METHOD))
        mine.stream.send([b"x" * 300_000])
        assert await mine.got(1) == [b"x" * 300_000]
        mine.stream.cancel()
    assert not os.path.exists(path)


async def test_tls(certificate: Certificate) -> None:
    handler = Accepting(reply=True)
    async with await serve(handler, METHOD, ssl=certificate.server()) as server:
        target = f"https://localhost:{server.port}"
        mine = Collector(await connect(target, METHOD, ssl=certificate.client()))
        mine.stream.send([bytes(1_000_000), b"x"])
        assert [len(m) for m in await mine.got(2)] == [1_000_000, 1]
        assert handler.headers[0][":scheme"] == "https"
        assert mine.stream.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        mine.stream.cancel()


async def test_messages_wait_until_the_stream_is_started() -> None:
    handler = Accepting(start=False, reply=True)
    async with await serve(handler, METHOD) as server, await dial(url(server)) as connection:
        opening = asyncio.ensure_future(connection.open(METHOD))
        theirs = await handler.call()
        theirs.start()
        stream = await opening
        theirs.stream.send([b"early"])
        await asyncio.sleep(0.05)
        mine = Collector(stream)
        assert await mine.got(1) == [b"early"]


async def test_a_stream_that_ended_before_it_was_started_tells_so() -> None:
    handler = Accepting(start=False)
    async with await serve(handler, METHOD) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(frames.PREFACE + frames.settings([]) + request(1) + data_frame(1, b"x"))
        theirs = await handler.call()
        writer.write(frames.rst_stream(1, 8))
        await settled(lambda: theirs.stream.cause is not None)
        theirs.start()
        assert theirs.messages == [b"x"]
        assert theirs.cause is not None
        assert theirs.cause.status is GrpcStatus.CANCELLED
        writer.close()
        assert not theirs.stream.send([b"late"])


async def test_a_paused_stream_holds_its_sender_back() -> None:
    handler = Accepting()
    limits = replace(SERVER, stream_window=100_000)
    client_limits = replace(CLIENT, high_water=200_000, low_water=50_000)
    async with await serve(handler, METHOD, limits=limits) as server:
        mine = Collector(await connect(url(server), METHOD, limits=client_limits))
        theirs = await handler.call()
        theirs.stream.pause_reading()
        mine.stream.send([bytes(50_000)] * 10)
        await settled(lambda: mine.stream.unsent == 10 * 50_005 - 100_000)
        assert theirs.messages == []
        assert mine.drained == 0
        theirs.stream.resume_reading()
        assert len(await theirs.got(10)) == 10
        await mine.until(lambda: mine.drained == 1)
        mine.stream.cancel()


async def test_a_peer_that_does_not_read_its_socket_holds_data_in_the_stream() -> None:
    handler = Accepting()
    async with await serve(handler, METHOD) as server:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        sock.connect(("127.0.0.1", server.port))
        sock.setblocking(False)
        opening = frames.PREFACE + frames.settings([(frames.SETTINGS_INITIAL_WINDOW_SIZE, 2**30)])
        sock.sendall(opening + frames.SETTINGS_ACK + frames.window_update(0, 2**30) + request(1))
        theirs = await handler.call()
        total = 30_000_000
        theirs.stream.send([bytes(1_000_000)] * 30)
        await asyncio.sleep(0.1)
        assert theirs.stream.unsent > total / 2
        theirs.stream.close(GrpcStatus.OK, "all sent")
        data = bytearray()
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(WAIT):
            while len(data) < total or not data.endswith(b"all sent" + frames.rst_stream(1, 0)):
                data += await loop.sock_recv(sock, 2**20)
        assert (await theirs.closed()).ok
        assert theirs.drained == 1
        sock.close()


async def test_cancel_reaches_the_other_side() -> None:
    handler = Accepting()
    async with await serve(handler, METHOD) as server:
        mine = Collector(await connect(url(server), METHOD))
        theirs = await handler.call()
        mine.stream.cancel("no more")
        assert (await theirs.closed()).status is GrpcStatus.CANCELLED
        cause = await mine.closed()
        assert (cause.status, cause.message, cause.local) == (GrpcStatus.CANCELLED, "no more", True)
        await settled(lambda: server.connections == 0)


async def test_a_lost_connection_reaches_every_stream() -> None:
    handler = Accepting()
    async with await serve(handler, METHOD) as server:
        connection = await dial(url(server))
        streams = [Collector(await connection.open(METHOD)) for _ in range(3)]
        handler.calls[0].stream._wire.abort()
        for one in [*streams, *handler.calls]:
            assert (await one.closed()).status is GrpcStatus.UNAVAILABLE
        assert not connection.usable
        with pytest.raises(CallRefused, match="takes no new streams"):
            await connection.open(METHOD)
        await connection.close()


async def test_a_callback_that_raises_ends_its_stream_only() -> None:
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))

    class Failing(Accepting):
        def stream_opened(self, stream: ServerStream, headers: Headers) -> None:
            if "fail" in headers:
                stream.start(on_messages=lambda batch: print(1 / 0), on_closed=lambda cause: None)
            else:
                super().stream_opened(stream, headers)

    async with await serve(Failing(reply=True), METHOD) as server, await dial(url(server)) as connection:
        good = Collector(await connection.open(METHOD))
        bad = Collector(await connection.open(METHOD, {"fail": "1"}))
        bad.stream.send([b"secret payload"])
        cause = await bad.closed()
        assert (cause.status, cause.message) == (GrpcStatus.INTERNAL, "the receiver failed")
        assert isinstance(problems[0]["exception"], ZeroDivisionError)
        assert "secret" not in str(problems)
        good.stream.send([b"x"])
        assert await good.got(1) == [b"x"]
