"""Waiters: everybody who can take something is woken."""

from __future__ import annotations

import asyncio

import pytest

from gateway.api.waiters import Waiters


async def waiting(waiters: Waiters, count: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(waiters.wait()) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_they_are_woken_in_order_one_for_each_thing() -> None:
    waiters = Waiters()
    first, second, third = await waiting(waiters, 3)
    waiters.wake(2)
    await asyncio.gather(first, second)
    assert not third.done()
    waiters.wake_all()
    await third


async def test_one_that_is_woken_and_cancelled_hands_its_turn_on() -> None:
    waiters = Waiters()
    first, second = await waiting(waiters, 2)
    waiters.wake(1)
    first.cancel()
    await asyncio.wait_for(second, 1)
    assert first.cancelled()


async def test_one_that_is_cancelled_and_then_passed_by() -> None:
    waiters = Waiters()
    first, second = await waiting(waiters, 2)
    first.cancel()
    waiters.wake(1)
    await asyncio.wait_for(second, 1)
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_deadline_ends_a_wait_and_takes_no_turn() -> None:
    waiters = Waiters()
    with pytest.raises(TimeoutError):
        await waiters.wait(asyncio.get_running_loop().time() + 0.01)
    (task,) = await waiting(waiters, 1)
    waiters.wake(1)
    await asyncio.wait_for(task, 1)
