"""A moderator is killed and started again: the members, originals among them, notice a pause only."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from tests.interop.harness import requires_originals
from tests.interop.led_group import LedGroup, led_group

pytestmark = [pytest.mark.originals, requires_originals]

STEPS = (
    "Discovering",
    "BindingChannel",
    "Founding",
    "Joining",
    "Welcoming",
    "Telling",
    "Dismissing",
    "TakingLeave",
)
MOMENTS = ("before", "noted", "sent")


async def killed_at(group: LedGroup, step: str, moment: str, down: float) -> None:
    """One group from its founding to its end, with one death of its moderator."""
    number = f"{step}-{moment}-{down:g}"
    for member in group.members.values():
        member.heard.clear()
    await group.start(number, CALLBOARD_TEST_KILL=f"{step} {moment}")
    if step == "TakingLeave":
        await group.members["carl"].wait_for("complete", 40.0)
        await group.end()
    assert await group.ended() == -9
    await asyncio.sleep(down)
    await group.start(number)
    if step != "TakingLeave":
        await group.members["carl"].wait_for("complete", 60.0)
        await group.check("hello")
        await group.end()
    assert await group.ended(60.0) == 0, group.said
    for member in group.members.values():
        await member.wait_ended(20.0)
    carl = group.members["carl"].heard
    assert not [line for line in carl if line.startswith("failed")]
    assert [line for line in carl if line.startswith("gone")] == ["gone: ben removed"]
    ticks = [int(line[5:]) for line in carl if line.startswith("tick ")]
    assert not ticks or ticks == list(range(ticks[0], ticks[-1] + 1))
    assert not group.seen.violations()


async def killed_at_random(group: LedGroup, kills: int, down: float, seed: int, *, first: str = "") -> None:
    """One group whose moderator dies over and over, while a member comes and goes; once at the step and
    moment `first`, before that."""
    random = Random(seed)
    if first:
        await group.start(f"random{seed}", CALLBOARD_TEST_FOREVER="1", CALLBOARD_TEST_KILL=first)
        assert await group.ended() == -9
        await asyncio.sleep(down)
    await group.start(f"random{seed}", CALLBOARD_TEST_FOREVER="1")
    await group.leading()
    for kill in range(kills):
        await asyncio.sleep(random.uniform(0.0, 3.0))
        await group.kill()
        await asyncio.sleep(down)
        await group.start(f"random{seed}", CALLBOARD_TEST_FOREVER="1")
        await group.leading()
        if kill % 5 == 4:
            heard = group.members["carl"]
            await heard.wait_for("complete", 40.0, since=len(heard.heard))
        assert not group.seen.violations()
    await group.kill()
    # From here on ben stays.
    await group.start(f"random{seed}")
    carl = group.members["carl"]
    await carl.wait_for("complete", 60.0, since=len(carl.heard))
    await group.check("still here")
    await group.end()
    assert await group.ended(60.0) == 0
    assert not [said for said in group.said if "was lost" in said], "the machine was too slow for this test"
    ticks = [int(line[5:]) for line in carl.heard if line.startswith("tick ")]
    assert ticks == list(range(ticks[0], ticks[-1] + 1))
    assert not [line for line in carl.heard if line.startswith("failed")]
    assert {line for line in carl.heard if line.startswith("gone")} <= {"gone: ben removed"}
    assert not group.seen.violations()
    assert len(group.seen.ciphertexts) > kills


async def test_a_moderator_killed_at_a_step_and_at_random_goes_on(tmp_path: Path) -> None:
    async with led_group(tmp_path) as group:
        await killed_at_random(group, 1, 0.1, 1, first="Telling sent")


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("down", [2.0, 15.0])
@pytest.mark.parametrize("moment", MOMENTS)
async def test_each_step(tmp_path: Path, moment: str, down: float) -> None:
    async with led_group(tmp_path) as group:
        for step in STEPS:
            await killed_at(group, step, moment, down)


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("seed", range(4))
async def test_two_hundred_kills_at_random(tmp_path: Path, seed: int) -> None:
    async with led_group(tmp_path) as group:
        await killed_at_random(group, 50, 2.0, seed)


@pytest.mark.long
@pytest.mark.timeout(3000)
async def test_a_moderator_that_is_away_for_long_offers_the_group_anew(tmp_path: Path) -> None:
    async with led_group(tmp_path) as group:
        await group.start("long")
        carl = group.members["carl"]
        await carl.wait_for("complete", 40.0)
        await group.kill()
        await asyncio.sleep(45.0)
        before = len(carl.heard)
        await group.start("long")
        await carl.wait_for("complete", 60.0, since=before)
        await group.check("hello again")
        await group.end()
        assert await group.ended(60.0) == 0
        assert any("the group was lost" in said for said in group.said)
        assert not group.seen.violations()
