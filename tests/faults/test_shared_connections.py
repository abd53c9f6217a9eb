"""Several applications of one process go to the same node, as the README has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from actors.errors import AlreadyConnected, NotConnected
from gateway.api.slim import Slim
from gateway.config import ServerConfig
from gateway.node.data_plane import DataPlane
from identity.errors import ConfigError
from tests.gateway.app_stage import PLAIN, identity, name


@pytest.fixture
async def node() -> AsyncIterator[tuple[DataPlane, str]]:
    plane = DataPlane()
    address = await plane.serve(ServerConfig.read({"endpoint": "127.0.0.1:0", "tls": PLAIN}))
    yield plane, f"http://{address}"
    await plane.close(1.0)


async def test_applications_of_a_process_use_one_connection_until_the_last_leaves(
    node: tuple[DataPlane, str],
) -> None:
    plane, endpoint = node
    config = {"endpoint": endpoint, "tls": PLAIN}
    async with Slim(name("alice"), *identity("alice")) as alice, Slim(name("bob"), *identity("bob")) as bob:
        first, second = await asyncio.gather(alice.connect(config), bob.connect(config))
        assert first == second
        assert len(plane.accepted) == 1
        with pytest.raises(AlreadyConnected):
            await alice.connect(config)
        await alice.disconnect(endpoint)
        with pytest.raises(NotConnected):
            await alice.disconnect(endpoint)
        assert len(plane.accepted) == 1
        async with Slim(name("carol"), *identity("carol"), local_service=True) as carol:
            await carol.connect(config)
            await carol.set_route(name("bob"))
            async with (
                carol.session(name("bob")) as session,
                bob.serve(lambda request: _same(request.payload)),
            ):
                assert (await session.request(b"still here")).payload == b"still here"
        await bob.disconnect(first)
        with pytest.raises(NotConnected):
            await bob.disconnect(endpoint)


async def test_the_same_endpoint_with_other_settings_is_refused_in_the_call(
    node: tuple[DataPlane, str],
) -> None:
    _, endpoint = node
    async with Slim(name("alice"), *identity("alice")) as alice, Slim(name("bob"), *identity("bob")) as bob:
        await alice.connect({"endpoint": endpoint, "tls": PLAIN})
        with pytest.raises(ConfigError, match="with other settings"):
            await bob.connect({"endpoint": endpoint, "tls": PLAIN, "max_message_size": 1000})
        await bob.connect({"endpoint": endpoint, "tls": PLAIN})


async def _same(payload: bytes) -> bytes:
    return payload
