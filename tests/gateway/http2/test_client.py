"""The calling side: targets, and what it says when no call comes about."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import replace

import pytest

from gateway.http2 import (
    CLIENT,
    CallRefused,
    ConnectFailed,
    GrpcStatus,
    connect,
    serve,
)
from gateway.http2.client import parse_target
from identity.errors import ConfigError
from tests.gateway.http2.conftest import Certificate
from tests.gateway.http2.links import WAIT, Accepting, Collector, url
from tests.gateway.http2.peers import METHOD


async def test_tls_without_trust_or_without_tls(certificate: Certificate) -> None:
    async with await serve(Accepting(), METHOD, ssl=certificate.server()) as server:
        with pytest.raises(ConnectFailed) as caught:
            await connect(f"https://localhost:{server.port}", METHOD)
        assert isinstance(caught.value.__cause__, ssl.SSLError)
        with pytest.raises(CallRefused) as refused:
            await connect(url(server), METHOD, timeout=5.0)
        assert refused.value.cause.status is GrpcStatus.UNAVAILABLE


async def test_nobody_answers() -> None:
    quiet = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    target = f"http://127.0.0.1:{quiet.sockets[0].getsockname()[1]}"
    with pytest.raises(CallRefused) as caught:
        await connect(target, METHOD, timeout=0.05)
    assert caught.value.cause.status is GrpcStatus.DEADLINE_EXCEEDED
    task = asyncio.ensure_future(connect(target, METHOD))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    quiet.close()


async def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ConnectFailed, match=target) as caught:
            await connect(target, METHOD)
    assert isinstance(caught.value.__cause__, OSError)


async def test_keepalive_of_a_client_keeps_a_good_connection() -> None:
    handler = Accepting(reply=True)
    limits = replace(CLIENT, keepalive_interval=0.02, keepalive_timeout=WAIT)
    async with await serve(handler, METHOD) as server:
        mine = Collector(await connect(url(server), METHOD, limits=limits))
        await asyncio.sleep(0.2)
        mine.stream.send([b"x"])
        assert await mine.got(1) == [b"x"]
        mine.stream.cancel()


@pytest.mark.parametrize(
    ("text", "authority", "secure"),
    [
        ("http://node:46357", "node:46357", False),
        ("https://node:46357", "node:46357", True),
        ("node:46357", "node:46357", False),
        ("https://node", "node:443", True),
        ("http://[::1]:5/", "[::1]:5", False),
        ("unix:///run/node.sock", "localhost", False),
        ("unix:/run/node.sock", "localhost", False),
    ],
)
def test_targets(text: str, authority: str, secure: bool) -> None:
    target = parse_target(text)
    assert (target.authority, target.secure) == (authority, secure)
    assert target.path == ("/run/node.sock" if text.startswith("unix") else None)


@pytest.mark.parametrize(
    "text", ["", "ftp://x", "http://", "unix:", "http://x:y", "http://x/path", "http://u@x"]
)
def test_bad_targets(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_target(text)
