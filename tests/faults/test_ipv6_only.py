"""A machine on which localhost is ::1 and nothing else: listening, dialling, and what addresses look like."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from typing import Any

import pytest

from gateway.api.serving import Request
from gateway.config import ServerConfig
from gateway.node.data_plane import DataPlane
from gateway.security.door import host_of
from tests.gateway.app_stage import PLAIN, connected
from tests.gateway.controller.stage import FakeNode, controller
from tests.gateway.planes import TRANSPORTS


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as one:
            one.bind(("::1", 0))
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")


async def same(request: Request[bytes]) -> bytes:
    return request.payload


async def talk(held: AsyncExitStack, address: str) -> None:
    """Two applications at a node, by its address."""
    bob = await held.enter_async_context(connected("org/six/bob", address))
    alice = await held.enter_async_context(connected("org/six/alice", address))
    await held.enter_async_context(bob.serve(same))
    await alice.set_route("org/six/bob")
    async with alice.session("org/six/bob") as session:
        assert (await session.request(b"hello")).payload == b"hello"


async def listening(held: AsyncExitStack, endpoint: str, transport: str) -> tuple[DataPlane, str]:
    plane = DataPlane()
    held.push_async_callback(plane.close, 0.1)
    config = {"endpoint": endpoint, "tls": PLAIN, "transport": transport}
    return plane, await plane.serve(ServerConfig.read(config))


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_address_of_version_6_in_brackets(transport: str) -> None:
    async with AsyncExitStack() as held:
        plane, address = await listening(held, "[::1]:0", transport)
        assert address.startswith("[::1]:")
        await talk(held, address)
        assert {host_of(link.peer) for link in plane.links.values()} == {"::1"}


async def test_a_host_that_has_no_other_address(monkeypatch: pytest.MonkeyPatch) -> None:
    loop: Any = asyncio.get_running_loop()
    real, asked = loop.getaddrinfo, []

    async def only_version_6(host: Any, port: Any, **more: Any) -> Any:
        if host == "localhost":
            asked.append(host)
            host, more["family"] = "::1", socket.AF_INET6
        return await real(host, port, **more)

    monkeypatch.setattr(loop, "getaddrinfo", only_version_6)
    async with AsyncExitStack() as held:
        _, address = await listening(held, "localhost:0", "fast")
        port = address.rpartition(":")[2]
        await talk(held, f"localhost:{port}")
    assert len(asked) >= 3


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_controller_tells_a_node_how_another_one_is_reached_that_called_by_version_6(
    transport: str,
) -> None:
    async with (
        controller(transport, southbound={"httpHost": "::1"}) as made,
        FakeNode(made.southbound, "one") as one,
        FakeNode(made.southbound, "two") as two,
    ):
        assert made.southbound.startswith("[::1]:")
        await two.registered()
        await one.registered()
        (link,) = (await one.command()).connections_to_create
        port = two.register.connection_details[0].endpoint.rpartition(":")[2]
        assert link.connection_id == f"http://[::1]:{port}"
