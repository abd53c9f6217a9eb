"""Who accepts sessions may demand that they are encrypted."""

from __future__ import annotations

from typing import Any

import pytest

from actors.errors import HandshakeFailed, SlimTimeout
from gateway import ConfigError
from tests.gateway.app_stage import AppStage, name

BOB = name("bob")
QUICK: dict[str, Any] = {"timeout": 0.05, "max_retries": 2}


@pytest.mark.parametrize("group", [False, True])
async def test_a_session_in_clear_is_refused(stage: AppStage, group: bool) -> None:
    alice, bob = await stage.app("alice"), await stage.app("bob")
    await stage.route(alice, "bob")
    bob.require(mls=True)
    if group:
        async with alice.group("org/default/channel", [BOB], **QUICK) as session:
            assert isinstance(session.invited[BOB], HandshakeFailed)
    else:
        with pytest.raises(HandshakeFailed):
            await alice.session(BOB, **QUICK)
    with pytest.raises(SlimTimeout):
        await bob.listen_for_session(0.05)
    async with alice.session(BOB, mls=True) as session:
        there = await bob.listen_for_session(5)
        assert (there.id, there.session_config.mls_enabled) == (session.id, True)


async def test_one_announced_before_is_turned_away(process: AppStage) -> None:
    alice, bob = await process.app("alice"), await process.app("bob")
    clear = await alice.session(BOB)
    bob.require(mls=True)
    with pytest.raises(SlimTimeout):
        await bob.listen_for_session(0.05)
    assert [message async for message in clear] == []


async def test_what_runs_goes_on_and_it_may_be_taken_back(process: AppStage) -> None:
    alice, bob = await process.app("alice"), await process.app("bob")
    here = await alice.session(BOB)
    there = await bob.listen_for_session(5)
    bob.require(mls=True)
    await (await here.publish(b"still"))
    assert (await there.get_message(5)).payload == b"still"
    bob.require(mls=False)
    async with alice.session(BOB):
        await bob.listen_for_session(5)


async def test_the_value_is_checked(process: AppStage) -> None:
    bob = await process.app("bob")
    with pytest.raises(ConfigError, match="mls"):
        bob.require(mls="yes")  # type: ignore[arg-type]
