"""Who is cancelled while he opens a session leaves none behind, wherever the cancellation meets him."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway import SessionConfiguration
from tests.gateway.app_stage import AppStage, name

CONFIG = SessionConfiguration.PointToPoint()


async def figures(app: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await app.status())["application"]
    return found


@pytest.mark.parametrize("rounds", range(8))
async def test_a_cancelled_create_session_leaves_no_session(process: AppStage, rounds: int) -> None:
    alice, bob = await process.app("alice"), await process.app("bob")
    await alice.status()

    async def create() -> Any:
        # With a turn of the actors on its way the answer comes later.
        alice.data_plane.system.before_turn(lambda: None)
        return await alice.create_session(name("bob"), CONFIG)

    opening = asyncio.ensure_future(create())
    for _ in range(rounds):
        await asyncio.sleep(0)
    opening.cancel()
    (got,) = await asyncio.gather(opening, return_exceptions=True)
    if not isinstance(got, asyncio.CancelledError):
        await got.close(0.0)
    async with asyncio.timeout(5.0):
        for app in (alice, bob):
            while (await figures(app))["sessions"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    if isinstance(got, asyncio.CancelledError):
        assert alice.open_sessions() == []
