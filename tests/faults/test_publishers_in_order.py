"""Tasks that wait in `publish` go on in the order in which they came."""

from __future__ import annotations

import asyncio
from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.api.waiters import Turns
from tests.gateway.app_stage import AppStage, name


async def test_what_many_tasks_publish_arrives_in_order(process: AppStage) -> None:
    """Each takes its number and publishes; more bytes than may be under way."""
    alice, bob = await process.app("alice"), await process.app("bob")
    here = await alice.session(name("bob"))
    there = await bob.listen_for_session(5)
    numbers = iter(range(400))

    async def publish() -> None:
        for number in numbers:
            await here.publish(b"%d " % number + bytes(20_000))

    tasks = [asyncio.create_task(publish()) for _ in range(50)]
    received = [int((await there.get_message(10)).payload.split()[0]) for _ in range(400)]
    await asyncio.gather(*tasks)
    assert received == list(range(400))


STEPS = st.lists(
    st.one_of(
        st.just("come"),
        st.just("pause"),
        st.integers(0, 5).map(lambda index: ("cancel", index)),
        st.integers(1, 4).map(lambda count: ("room", count)),
    ),
    max_size=60,
)


@given(STEPS)
@settings(max_examples=150)
def test_turns_are_taken_in_order_and_nobody_is_forgotten(steps: list[object]) -> None:
    asyncio.run(play(steps))


async def play(steps: list[object]) -> None:
    room = 0
    gone_on: list[int] = []
    waiting: deque[asyncio.Task[None]] = deque()
    cancelled: set[int] = set()
    came = 0

    def is_room() -> bool:
        return room > 0

    turns = Turns(is_room)

    async def take(number: int) -> None:
        nonlocal room
        await turns.take()
        assert room > 0
        room -= 1
        gone_on.append(number)
        turns.pass_on()

    for step in steps:
        if step == "come":
            waiting.append(asyncio.create_task(take(came), name=str(came)))
            came += 1
        elif step == "pause":
            await asyncio.sleep(0)
        elif isinstance(step, tuple) and step[0] == "cancel":
            open_ones = [task for task in waiting if not task.done()]
            if step[1] < len(open_ones):
                open_ones[step[1]].cancel()
                cancelled.add(int(open_ones[step[1]].get_name()))
        elif isinstance(step, tuple):
            room += step[1]
            turns.wake(step[1])
    for _ in range(2 * came + 2):
        await asyncio.sleep(0)
    assert gone_on == sorted(gone_on)
    left = [number for number in range(came) if number not in gone_on and number not in cancelled]
    # Nobody waits while there is room.
    assert not (left and room), (left, room)
    room += len(left)
    turns.wake(len(left))
    for _ in range(2 * came + 2):
        await asyncio.sleep(0)
    assert [number for number in gone_on if number in left] == left
    await asyncio.gather(*waiting, return_exceptions=True)
