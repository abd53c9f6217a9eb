"""A service that listens at several addresses: the next is taken when one is gone, or says that it goes."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from actors.errors import CannotConnect, ConnectionLost
from actors.messages.routing import ConnectionState
from gateway.api.slim import Slim
from gateway.config import ClientConfig, ServerConfig
from gateway.node.data_plane import DataPlane
from gateway.surroundings import Surroundings
from identity.errors import ConfigError
from tests.gateway.app_stage import PLAIN, identity, name
from tests.gateway.planes import TRANSPORTS

WAIT = 10.0
QUICK = {"base": 20, "factor": 1.5, "max_delay": "100ms"}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@asynccontextmanager
async def node(
    endpoint: str = "127.0.0.1:0", transport: str = "fast"
) -> AsyncIterator[tuple[DataPlane, str]]:
    plane = DataPlane()
    config = {"endpoint": endpoint, "tls": PLAIN, "transport": transport}
    try:
        yield plane, f"http://{await plane.serve(ServerConfig.read(config))}"
    finally:
        await plane.close(0.5)


class States:
    """What happens to the connections of a data plane."""

    def __init__(self, plane: DataPlane) -> None:
        self.seen: list[str] = []
        self._news = asyncio.Event()
        plane.observe(self._take)

    def _take(self, state: ConnectionState) -> None:
        self.seen.append(state.state)
        self._news.set()

    async def until(self, *states: str) -> None:
        async with asyncio.timeout(WAIT):
            while not set(states) <= set(self.seen):
                self._news.clear()
                await self._news.wait()


async def _same(request: Any) -> bytes:
    return bytes(request.payload)


async def test_the_next_address_is_taken_when_one_is_gone() -> None:
    async with node() as (first, at_first), node() as (second, at_second):
        await second.peer([ClientConfig.read({"endpoint": at_first})])
        async with (
            Slim(name("bob"), *identity("bob"), local_service=True, connect=at_second) as bob,
            Slim(
                name("alice"),
                *identity("alice"),
                local_service=True,
                connect={"endpoint": at_first, "alternatives": [at_second], "backoff": QUICK},
            ) as alice,
            bob.serve(_same),
        ):
            states = States(alice.data_plane)
            await alice.set_route(name("bob"))
            async with alice.session(name("bob")) as session:
                assert (await session.request(b"1")).payload == b"1"
                await first.close(0.5)
                await states.until("restored")
                assert (await session.request(b"2", timeout=WAIT)).payload == b"2"
                assert session.closed_because is None
            peers = [one["peer"] for one in (await alice.status())["connections"].values()]
            assert peers == [at_second]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_draining_node_is_left_before_its_stream_ends_and_sessions_go_on(transport: str) -> None:
    async with node(transport=transport) as (first, at_first), node() as (second, at_second):
        await second.peer([ClientConfig.read({"endpoint": at_first, "transport": transport})])
        both = {"endpoint": at_first, "alternatives": [at_second], "transport": transport}
        async with (
            Slim(name("bob"), *identity("bob"), local_service=True, connect=both) as bob,
            Slim(name("alice"), *identity("alice"), local_service=True, connect=both) as alice,
            bob.serve(_same),
        ):
            states = [States(app.data_plane) for app in (alice, bob)]
            await alice.set_route(name("bob"))
            async with alice.session(name("bob")) as session:
                assert (await session.request(b"before")).payload == b"before"
                draining = asyncio.ensure_future(first.drain(WAIT))
                sent = 0
                while not draining.done():
                    said = b"%d" % sent
                    assert (await session.request(said, timeout=WAIT)).payload == said
                    sent += 1
                await draining
                assert sent > 1
                assert (await session.request(b"after")).payload == b"after"
            for one in states:
                await one.until("moved")
                assert "lost" not in one.seen
            peers = [one["peer"] for one in (await alice.status())["connections"].values()]
            assert peers == [at_second]


async def test_a_name_with_several_records_is_tried_to_the_last() -> None:
    async with node() as (plane, endpoint):
        port = int(endpoint.rpartition(":")[2])
        asked: list[str] = []

        async def resolve(host: str, _: int) -> list[Any]:
            asked.append(host)
            dead = free_port()
            stream = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
            return [(*stream, ("127.0.0.1", dead)), (*stream, ("127.0.0.1", port))]

        around = dataclasses.replace(Surroundings(), resolve=resolve)
        client = DataPlane(surroundings=around)
        try:
            await client.connect(ClientConfig.read({"endpoint": f"http://nodes.example:{port}"}))
            assert asked == ["nodes.example"]
            assert len(plane.accepted) == 1
        finally:
            await client.close(0.5)


async def test_all_causes_stand_in_the_error_when_no_address_answers() -> None:
    ports = free_port(), free_port()
    endpoints = [f"http://127.0.0.1:{port}" for port in ports]
    app = Slim(name("app"), *identity("app"), local_service=True, connect=endpoints, wait=0)
    with pytest.raises(CannotConnect) as refused:
        await app.__aenter__()
    for endpoint in endpoints:
        assert f"{endpoint}: " in str(refused.value)
    assert app.closed


async def test_a_first_connection_is_waited_for_as_long_as_asked_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = free_port()
    config = {"endpoint": f"http://127.0.0.1:{port}", "backoff": QUICK}

    async def later() -> DataPlane:
        async with asyncio.timeout(WAIT):
            while "waiting for a node" not in caplog.text:  # noqa: ASYNC110 (the log has no event)
                await asyncio.sleep(0.01)
        plane = DataPlane()
        await plane.serve(ServerConfig.read({"endpoint": f"127.0.0.1:{port}", "tls": PLAIN}))
        return plane

    starting = asyncio.ensure_future(later())
    async with Slim(name("app"), *identity("app"), local_service=True, connect=config) as app:
        plane = await starting
        assert len(app.data_plane.dialled()) == 1
        assert f"http://127.0.0.1:{port}" in caplog.text
    assert not plane.accepted
    await plane.close(0.5)


async def test_without_waiting_the_first_refusal_is_the_answer() -> None:
    async with Slim(name("app"), *identity("app"), local_service=True) as app:
        with pytest.raises(ConnectionLost):
            await app.connect(f"http://127.0.0.1:{free_port()}")


def test_endpoints_are_checked_in_the_call() -> None:
    pair = identity("app")
    for wrong, what in ((5, "expected a dict, an endpoint"), ([], "no endpoint"), ([1], "expected a dict")):
        with pytest.raises(ConfigError, match=f"connect: {what}"):
            Slim(name("app"), *pair, connect=wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="outage: expected seconds above 0"):
        Slim(name("app"), *pair, outage=0)
    with pytest.raises(ConfigError, match="alternatives: https:// for all"):
        ClientConfig.read({"endpoint": "http://127.0.0.1:1", "alternatives": ["https://127.0.0.1:2"]})
