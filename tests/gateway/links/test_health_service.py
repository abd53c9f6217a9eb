"""`grpc.health.v1` on the data port, asked by the gRPC library's own client."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from gateway.links.health_service import CHECK, WATCH, service_of
from gateway.links.stream import METHOD_PATH
from tests.gateway.planes import TRANSPORTS, serving

SERVING, NOT_SERVING, UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"
MESSAGES = METHOD_PATH.split("/")[1].encode()


def asking(service: bytes) -> bytes:
    return b"\x0a" + bytes((len(service),)) + service if service else b""


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_node_tells_whether_it_serves_until_it_ends(transport: str) -> None:
    async with (
        serving({"insecure": True}, transport=transport) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        asyncio.timeout(20),
    ):
        check, watch = channel.unary_unary(CHECK), channel.unary_stream(WATCH)
        assert [await check(asking(name)) for name in (b"", MESSAGES)] == [SERVING, SERVING]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await check(asking(b"another"))
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        with pytest.raises(grpc.aio.AioRpcError) as broken:
            await check(b"\x0a\x63short")
        assert broken.value.code() is grpc.StatusCode.INVALID_ARGUMENT

        known, unknown = watch(asking(MESSAGES)), watch(asking(b"another"))
        assert [await known.read(), await unknown.read()] == [SERVING, UNKNOWN]
        server.node.health.end("draining")
        assert await known.read() == NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as over:
            await known.read()
        assert over.value.code() is grpc.StatusCode.UNAVAILABLE
        assert await check(b"") == NOT_SERVING


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_health_is_told_to_who_proves_nothing(transport: str) -> None:
    auth = {"type": "basic", "username": "u", "password": "p"}
    async with (
        serving({"insecure": True}, transport=transport, auth=auth) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        asyncio.timeout(20),
    ):
        assert await channel.unary_unary(CHECK)(b"") == SERVING


async def test_watches_do_not_hold_up_the_end_of_a_node() -> None:
    async with (
        serving({"insecure": True}, transport="fast") as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        asyncio.timeout(5),
    ):
        watch = channel.unary_stream(WATCH)(b"")
        assert await watch.read() == SERVING
        await server.node.drain(30.0)
        assert await watch.read() == NOT_SERVING


@pytest.mark.parametrize(
    "request_bytes", [b"\x0a", b"\x0a\x80", b"\x12\x00", b"\x0a\x01ab", b"\x0a\x01\xff", b"x" * 999]
)
def test_what_is_no_request_is_refused(request_bytes: bytes) -> None:
    with pytest.raises(ValueError):
        service_of(request_bytes)
