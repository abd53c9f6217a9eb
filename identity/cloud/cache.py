"""Credentials kept until shortly before they expire (`identity.md` 8.4)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")

EARLY = 300.0
"""Seconds before its expiry at which a credential is fetched anew."""


class Cached(Generic[T]):
    """One value with an end, and at most one fetch of it in flight.

    The value belongs to a key (role, audience...): a request for another key replaces it. A value that ends
    within EARLY seconds, or names no end, is handed out once and not kept.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._key: Hashable = None
        self._value: T | None = None
        self._until = 0.0
        self._lock = asyncio.Lock()  # against two callers fetching at the same time

    def __repr__(self) -> str:
        return f"<Cached {'value' if self._value is not None else 'nothing'}>"

    async def get(self, key: Hashable, fetch: Callable[[], Awaitable[tuple[T, float | None]]]) -> T:
        """The kept value of `key`, or the one that `fetch` brings with its expiry (Unix seconds)."""
        async with self._lock:
            if self._value is not None and self._key == key and self._clock() < self._until:
                return self._value
            self._value = None
            value, expires_at = await fetch()
            if expires_at is not None:
                self._key, self._value, self._until = key, value, expires_at - EARLY
            return value
