"""Listening: what a data plane keeps of its servers."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from actors.errors import AlreadyConnected, NotConnected
from gateway.config import ServerConfig
from gateway.node.data_plane import DataPlane


def listening(endpoint: str = "127.0.0.1:0", **options: Any) -> ServerConfig:
    return ServerConfig.read({"endpoint": endpoint, "tls": {"insecure": True}, **options})


async def test_listeners_are_known_by_their_endpoint(plane: DataPlane) -> None:
    first = await plane.serve(listening())
    with pytest.raises(NotConnected, match=r"server not found: 127\.0\.0\.1:9"):
        await plane.stop_server("127.0.0.1:9")
    await plane.stop_server("127.0.0.1:0")
    with pytest.raises(NotConnected):
        await plane.stop_server("127.0.0.1:0")
    assert await plane.serve(listening(first)) == first
    with pytest.raises(AlreadyConnected):
        await plane.serve(listening(first))


async def test_further_listeners_at_port_0_are_known_by_their_addresses(plane: DataPlane) -> None:
    addresses = {await plane.serve(listening()) for _ in range(3)}
    assert len(addresses) == 3
    await plane.stop_server("127.0.0.1:0")
    stopped = 0
    for address in addresses:
        with contextlib.suppress(NotConnected):
            await plane.stop_server(address)
            stopped += 1
    assert stopped == 2


async def test_a_listener_that_cannot_be_had_leaves_its_endpoint_free(plane: DataPlane) -> None:
    taken = await plane.serve(listening())
    other = DataPlane()
    with pytest.raises(OSError, match=r"\d"):
        await other.serve(listening(taken))
    await plane.stop_server("127.0.0.1:0")
    await other.serve(listening(taken))
    await other.close(0.5)
