"""The accepting side: refusals, limits, age and closing."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from typing import Any

import pytest

from gateway.http2 import (
    SERVER,
    CallRefused,
    ClientStream,
    ConnectFailed,
    GrpcStatus,
    Headers,
    ServerStream,
    connect,
    dial,
    frames,
    serve,
)
from gateway.http2.errors import PeerIdentityRefused
from tests.gateway.http2.conftest import Certificate
from tests.gateway.http2.links import WAIT, Accepting, Collector, settled, url
from tests.gateway.http2.peers import METHOD, data_frame, frame, read_frames, request


async def test_tls_without_http2_is_refused(certificate: Certificate) -> None:
    async with await serve(Accepting(), METHOD, ssl=certificate.server()) as server:
        reader, writer = await asyncio.open_connection("localhost", server.port, ssl=certificate.client())
        assert await asyncio.wait_for(reader.read(), WAIT) == b""
        writer.close()
        assert server.statistics().refusals == {"alpn": 1}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    plain = await asyncio.start_server(answer, "localhost", 0, ssl=certificate.server())
    port = plain.sockets[0].getsockname()[1]
    with pytest.raises(ConnectFailed, match="does not speak HTTP/2"):
        await connect(f"https://localhost:{port}", METHOD, ssl=certificate.client())
    plain.close()


@pytest.mark.parametrize(
    ("error", "rule", "cause"),
    [
        (PeerIdentityRefused("not wanted"), "identity", "the peer's identity is refused: not wanted"),
        (ssl.SSLError(ssl.SSL_ERROR_SSL, "no"), "handshake", "no"),
        (ssl.SSLCertVerificationError(ssl.SSL_ERROR_SSL, "no"), "handshake", "no"),
    ],
    ids=["a check of ours", "TLS", "a certificate"],
)
async def test_who_refuses_a_handshake_is_told_by_its_error(
    certificate: Certificate, error: ssl.SSLError, rule: str, cause: str
) -> None:
    class Failing(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            raise error

    context = certificate.server()
    context.sslobject_class = Failing
    told: list[tuple[str, str]] = []
    refused = asyncio.Event()

    def note(rule: str, address: str, cause: str) -> None:
        told.append((rule, cause))
        refused.set()

    async with await serve(Accepting(), METHOD, ssl=context, refused=note) as server:
        with pytest.raises((ConnectFailed, CallRefused)):
            await connect(f"https://localhost:{server.port}", METHOD, ssl=certificate.client())
        await asyncio.wait_for(refused.wait(), WAIT)
    assert told == [(rule, cause)]


class Refusing:
    """Answers calls as the header "how" says, at once or after a turn."""

    def __init__(self, *, later: bool) -> None:
        self._later = later

    def stream_opened(self, stream: ServerStream, headers: Headers) -> Any:
        if self._later:
            return self._decide(stream, headers["how"])
        self._answer(stream, headers["how"])
        return None

    async def _decide(self, stream: ServerStream, how: str) -> None:
        await asyncio.sleep(0)
        self._answer(stream, how)

    def _answer(self, stream: ServerStream, how: str) -> None:
        match how:
            case "http":
                stream.refuse(401)
            case "grpc":
                stream.close(GrpcStatus.PERMISSION_DENIED, "not \u00fcou")
            case _:
                raise RuntimeError("a bug")


@pytest.mark.parametrize("rest", ["nothing", "a message"])
async def test_a_call_that_is_refused_at_once_may_have_ended_in_the_same_read(rest: str) -> None:
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    async with await serve(Refusing(later=False), METHOD) as server, asyncio.timeout(WAIT):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(frames.PREFACE + frames.settings([]))
        for stream_id in (1, 3):
            call = request(stream_id, end=rest == "nothing", how="http")
            writer.write(call if rest == "nothing" else call + data_frame(stream_id, b"hello", end=True))
            data = b""
            while not any(one.kind == frames.HEADERS for one in read_frames(data)):
                chunk = await reader.read(4096)
                assert chunk, "the connection was closed"
                data += chunk
        writer.close()
    assert not problems


@pytest.mark.parametrize("later", [False, True])
async def test_refusals(later: bool) -> None:
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    async with await serve(Refusing(later=later), METHOD) as server, await dial(url(server)) as connection:
        with pytest.raises(CallRefused) as caught:
            await connection.open(METHOD, {"how": "http"})
        assert (caught.value.cause.status, caught.value.cause.http_status) == (
            GrpcStatus.UNAUTHENTICATED,
            401,
        )
        with pytest.raises(CallRefused, match="PERMISSION_DENIED: not \u00fcou"):
            await connection.open(METHOD, {"how": "grpc"})
        assert problems == []
        with pytest.raises(CallRefused, match="INTERNAL: the server failed"):
            await connection.open(METHOD, {"how": "raise"})
        assert isinstance(problems[0]["exception"], RuntimeError)
        with pytest.raises(CallRefused, match="UNIMPLEMENTED: the only method here is"):
            await connection.open("/other/Method", {"how": "grpc"})
        assert connection.usable


async def test_a_connection_too_many() -> None:
    async with await serve(Accepting(), METHOD, limits=replace(SERVER, max_connections=2)) as server:
        kept = [await dial(url(server)) for _ in range(2)]
        with pytest.raises(CallRefused):
            await connect(url(server), METHOD)
        assert server.statistics().refusals == {"max_connections": 1}
        await kept.pop().close()
        await settled(lambda: server.connections == 1)
        stream = await connect(url(server), METHOD)
        stream.start(on_messages=lambda batch: None, on_closed=lambda cause: None)
        stream.cancel()
        await kept.pop().close()


async def test_http1_is_told_off() -> None:
    async with await serve(Accepting(), METHOD) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), WAIT)
        assert read_frames(answer)[-1].kind == frames.GOAWAY
        writer.close()
        assert server.statistics().refusals == {"preface": 1}


async def test_close_lets_streams_end_within_the_grace() -> None:
    handler = Accepting(reply=True)
    server = await serve(handler, METHOD)
    mine = Collector(await connect(url(server), METHOD))
    closing = asyncio.ensure_future(server.close(grace=WAIT))
    await asyncio.sleep(0.05)
    mine.stream.send([b"still"])
    assert await mine.got(1) == [b"still"]
    assert isinstance(mine.stream, ClientStream)
    mine.stream.close()
    assert (await mine.closed()).ok
    await asyncio.wait_for(closing, WAIT)
    assert server.connections == 0
    with pytest.raises(ConnectFailed):
        await connect(f"http://127.0.0.1:{handler.headers[0][':authority'].split(':')[1]}", METHOD)


async def test_close_without_grace_ends_streams_as_unavailable() -> None:
    server = await serve(Accepting(), METHOD)
    mine = Collector(await connect(url(server), METHOD))
    await server.close()
    await server.close()
    assert (await mine.closed()).status is GrpcStatus.UNAVAILABLE


async def test_keepalive_notices_a_dead_peer() -> None:
    handler = Accepting()
    limits = replace(SERVER, keepalive_interval=0.05, keepalive_timeout=0.05)
    async with await serve(handler, METHOD, limits=limits) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(frames.PREFACE + frames.settings([]) + frames.SETTINGS_ACK + request(1))
        theirs = await handler.call()
        assert (await theirs.closed()).message == "no answer to a ping"
        answer = await asyncio.wait_for(reader.read(), WAIT)
        assert frames.PING in [one.kind for one in read_frames(answer)]
        writer.close()


async def test_the_age_of_a_connection_ends_it_with_its_grace() -> None:
    limits = replace(SERVER, max_age=0.05, max_age_grace=0.05)
    async with await serve(Accepting(), METHOD, limits=limits) as server:
        mine = Collector(await connect(url(server), METHOD))
        cause = await mine.closed()
        assert cause.status is GrpcStatus.UNAVAILABLE


async def test_a_flood_harms_nobody_else() -> None:
    async with await serve(Accepting(reply=True), METHOD) as server:
        mine = Collector(await connect(url(server), METHOD))
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(frames.PREFACE + frames.settings([]) + frame(frames.PING, 0, 0, bytes(8)) * 20_000)
        try:
            await asyncio.wait_for(reader.read(), WAIT)
        except ConnectionResetError:
            pass  # it was closed with bytes unread
        writer.close()
        mine.stream.send([b"x"])
        assert await mine.got(1) == [b"x"]
        assert server.statistics().refusals == {"ping_flood": 1}
        mine.stream.cancel()


async def test_many_idle_connections() -> None:
    handler = Accepting()
    async with await serve(handler, METHOD) as server:
        streams = [await connect(url(server), METHOD) for _ in range(200)]
        assert server.connections == 200
        for stream in streams:
            stream.cancel()
        await settled(lambda: server.connections == 0)
        seen = server.statistics()
        assert (seen.connections_opened, seen.connections_closed, seen.streams_closed) == (200, 200, 200)
