"""What a sender keeps for those who may ask again: nothing that everybody has, however large it was.

What it does keep has its bounds in number and bytes (`tests/actors/session/test_sender.py`).
"""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from gateway import Session, SessionConfiguration
from tests.gateway.app_stage import AppStage, name

MIB = 1024 * 1024
WAIT = 20.0
SAID = 12
"""Messages of a mebibyte."""


@pytest.fixture
async def server() -> AsyncIterator[AppStage]:
    stage = AppStage("server")
    await stage.start()
    yield stage
    await stage.close()


async def say(session: Session, hearing: Session) -> int:
    """Say all, have it acknowledged and read. Returns the bytes that are held afterwards."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    async with asyncio.timeout(WAIT):
        for number in range(SAID):
            handle = await session.publish(bytes([number]) * MIB)
            assert len((await hearing.get_message()).payload) == MIB
            await handle
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return held


@pytest.mark.parametrize("group", [False, True], ids=["two", "group"])
async def test_what_everybody_has_is_not_kept(server: AppStage, group: bool) -> None:
    alice, bob = [await server.app(each) for each in ("alice", "bob")]
    await server.route(alice, "bob")
    if group:
        mine = await alice.create_session(name("room"), SessionConfiguration.Group(1.0, 10))
        await (await mine.invite(name("bob")))
    else:
        mine = await alice.create_session(name("bob"), SessionConfiguration.PointToPoint(1.0, 10))
        await mine.established
    yours = await bob.listen_for_session(WAIT)
    assert await say(mine, yours) < 3 * MIB
