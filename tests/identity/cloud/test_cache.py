"""Values kept until five minutes before their end."""

from __future__ import annotations

import asyncio

import pytest

from identity.cloud.cache import EARLY, Cached


class Source:
    def __init__(self, expires_at: float | None) -> None:
        self.expires_at = expires_at
        self.fetched = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> tuple[str, float | None]:
        await self.gate.wait()
        self.fetched += 1
        return f"secret-{self.fetched}", self.expires_at


async def test_kept_until_five_minutes_before_expiry() -> None:
    now = [1000.0]
    cached: Cached[str] = Cached(lambda: now[0])
    source = Source(expires_at=1000.0 + EARLY + 60)
    assert await cached.get("k", source) == "secret-1"
    now[0] += 59.9
    assert await cached.get("k", source) == "secret-1"
    now[0] += 0.1
    assert await cached.get("k", source) == "secret-2"


@pytest.mark.parametrize("expires_at", [None, 1000.0 + EARLY, 0.0])
async def test_what_ends_soon_or_names_no_end_is_not_kept(expires_at: float | None) -> None:
    cached: Cached[str] = Cached(lambda: 1000.0)
    source = Source(expires_at)
    assert [await cached.get("k", source), await cached.get("k", source)] == ["secret-1", "secret-2"]


async def test_another_key_replaces_the_value() -> None:
    cached: Cached[str] = Cached(lambda: 0.0)
    source = Source(1e9)
    assert await cached.get("a", source) == "secret-1"
    assert await cached.get("b", source) == "secret-2"
    assert await cached.get("a", source) == "secret-3"


async def test_one_fetch_serves_all_who_wait() -> None:
    cached: Cached[str] = Cached(lambda: 0.0)
    source = Source(1e9)
    source.gate.clear()
    waiting = [asyncio.create_task(cached.get("k", source)) for _ in range(5)]
    await asyncio.sleep(0)
    source.gate.set()
    assert await asyncio.gather(*waiting) == ["secret-1"] * 5


async def test_failure_and_cancellation_leave_it_usable() -> None:
    cached: Cached[str] = Cached(lambda: 0.0)

    async def failing() -> tuple[str, float]:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await cached.get("k", failing)
    source = Source(1e9)
    source.gate.clear()
    task = asyncio.create_task(cached.get("k", source))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    source.gate.set()
    assert await cached.get("k", source) == "secret-1"
    assert "secret" not in repr(cached)
