"""CompletionHandle: awaited often, by several, with limits."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from gateway import CompletionHandle, SlimTimeout
from gateway.api.completion import seconds


async def test_all_who_wait_get_the_outcome() -> None:
    handle = CompletionHandle()
    waits = [asyncio.ensure_future(handle.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not handle.done()
    handle.finish()
    assert await asyncio.gather(*waits) == [None] * 3
    assert await handle is None
    assert handle.done()


async def test_the_first_outcome_stands() -> None:
    handle = CompletionHandle.completed(ValueError("first"))
    handle.finish()
    for _ in range(2):
        with pytest.raises(ValueError, match="first"):
            await handle


async def test_one_who_gives_up_takes_nothing_from_others() -> None:
    handle = CompletionHandle()
    other = asyncio.ensure_future(handle.wait())
    with pytest.raises(SlimTimeout, match="timed out waiting for completion"):
        await handle.wait_for(timedelta(milliseconds=10))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(handle, 0.01)
    handle.finish()
    await other


async def test_a_timeout_that_is_the_outcome_is_told_from_ours() -> None:
    failure = SlimTimeout("timed out far away")
    handle = CompletionHandle()
    asyncio.get_running_loop().call_later(0.01, handle.finish, failure)
    with pytest.raises(SlimTimeout) as caught:
        await handle.wait_for(5)
    assert caught.value is failure


async def test_no_limit_is_no_limit() -> None:
    handle = CompletionHandle()
    asyncio.get_running_loop().call_soon(handle.finish)
    await handle.wait_for(None)


@pytest.mark.parametrize(
    ("handle", "shown"),
    [
        (CompletionHandle(), "pending"),
        (CompletionHandle.completed(), "done"),
        (CompletionHandle.completed(ValueError("no")), "failed: no"),
    ],
)
def test_repr(handle: CompletionHandle, shown: str) -> None:
    assert repr(handle) == f"<CompletionHandle {shown}>"


@pytest.mark.parametrize(
    ("given", "expected"), [(None, None), (2, 2), (0.5, 0.5), (timedelta(minutes=1), 60)]
)
def test_seconds(given: timedelta | float | None, expected: float | None) -> None:
    assert seconds(given) == expected


async def test_whoever_wants_to_know_of_failures_is_told_once() -> None:
    told: list[BaseException] = []
    error = SlimTimeout("late")
    handle = CompletionHandle()
    handle.when_failed(told.append)
    waiting = asyncio.ensure_future(handle.wait())
    await asyncio.sleep(0)
    handle.finish(error)
    handle.finish(None)
    with pytest.raises(SlimTimeout):
        await waiting
    assert told == [error]
    handle.when_failed(told.append)
    assert told == [error, error]
    done = CompletionHandle.completed()
    done.when_failed(told.append)
    good = CompletionHandle()
    good.when_failed(told.append)
    good.finish()
    assert told == [error, error]
