"""An application that disconnects and connects again, over sockets: its sessions go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway import ConnectionLost, Session, SessionConfiguration
from tests.gateway.app_stage import AppStage, name

WAIT = 20.0


@pytest.fixture
async def server() -> AsyncIterator[AppStage]:
    stage = AppStage("server")
    await stage.start()
    yield stage
    await stage.close()


async def heard(session: Session) -> bytes:
    """The next message. Before it an application may be told that it had lost its connection."""
    try:
        return (await session.get_message()).payload
    except ConnectionLost:
        assert not session.over
        return (await session.get_message()).payload


@pytest.mark.parametrize("mls", [False, True], ids=["clear", "mls"])
@pytest.mark.parametrize("group", [False, True], ids=["two", "group"])
@pytest.mark.parametrize("who", [0, 1], ids=["initiator", "invited"])
async def test_a_session_goes_on_both_ways(server: AppStage, group: bool, mls: bool, who: int) -> None:
    alice, bob = apps = [await server.app(each) for each in ("alice", "bob")]
    await server.route(alice, "bob")
    if group:
        mine = await alice.create_session(name("room"), SessionConfiguration.Group(0.5, 10, mls))
        await (await mine.invite(name("bob")))
    else:
        mine = await alice.create_session(name("bob"), SessionConfiguration.PointToPoint(0.5, 10, mls))
        await mine.established
    yours = await bob.listen_for_session(WAIT)
    endpoint = server.client_config["endpoint"]
    await apps[who].disconnect(endpoint)
    await apps[who].connect(server.client_config)
    async with asyncio.timeout(WAIT):
        for sender, receiver in ((mine, yours), (yours, mine)):
            handle = await sender.publish(b"still there?")
            assert await heard(receiver) == b"still there?"
            await handle
