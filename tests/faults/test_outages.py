"""An outage: sessions survive it for as long as one of both sides says, and no longer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.messages.session import AppSettings
from gateway.api.session import Session
from gateway.config import ClientConfig, ServerConfig
from gateway.testing import World

BOB = "org/demo/bob"


async def _same(request: Any) -> bytes:
    return bytes(request.payload)


async def outage(world: World, seconds: float, alice: float, bob: float) -> tuple[Session, float]:
    """A session of two applications with these patiences, after bob was not to be reached for `seconds`."""
    node = await world.node()
    settings = [AppSettings(outage=one) for one in (alice, bob)]
    asking = await world.application("org/demo/alice", node, settings=settings[0])
    answering = await world.application(BOB, node, settings=settings[1])

    async def serving() -> None:
        await answering.serve(_same)

    world.host("bob").run(serving)
    await asking.set_route(BOB)
    session = await asking.session(BOB)
    await session.request(b"before")
    world.line("bob", node).cut()
    began = world.now
    async with asyncio.timeout(seconds):
        while session.closed_because is None:  # noqa: ASYNC110 (time is virtual)
            await asyncio.sleep(1)
    return session, world.now - began


@pytest.mark.parametrize(("alice", "bob"), [(0.0, 0.0), (45.0, 0.0), (0.0, 45.0)])
def test_a_session_bears_the_longer_patience_of_both(alice: float, bob: float) -> None:
    _, lasted = World(1).run(lambda world: outage(world, 200, alice, bob))
    least = max(30.0, alice, bob)
    assert least <= lasted < least + 20


def test_a_session_goes_on_after_an_outage_that_was_to_be_survived() -> None:
    World(1).run(survived)


async def survived(world: World) -> None:
    with pytest.raises(TimeoutError):
        await outage(world, 90, 120.0, 0.0)
    world.heal()
    session = world.host("alice").applications[0].open_sessions()[0]
    assert (await session.request(b"after", timeout=30)).payload == b"after"
    assert session.closed_because is None


def test_both_sides_notice_a_dead_network_within_a_minute_unless_told_otherwise() -> None:
    client = ClientConfig.read({"endpoint": "http://127.0.0.1:1"}).keepalive
    server = ServerConfig.read({"endpoint": "127.0.0.1:1", "tls": {"insecure": True}}).keepalive
    assert 0 < client.ping + client.timeout <= 30
    assert 0 < server.ping + server.timeout <= 60
    off = ClientConfig.read({"endpoint": "http://127.0.0.1:1", "keepalive": {"http2_keepalive": 0}})
    assert off.keepalive.ping == 0
