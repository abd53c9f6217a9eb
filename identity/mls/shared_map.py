"""A mapping that is cheap to copy when it has changed little.

Each epoch has its own view of a group's keys and identities, and two epochs differ in one or two members. So
the bulk is shared, never changed, and a copy takes along only what differs from it; once that is more than
MAX_CHANGES entries, the next copy starts from a bulk of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar, cast

K = TypeVar("K")
V = TypeVar("V")

MAX_CHANGES = 64


class SharedMap(Generic[K, V]):
    """Keys to values, of which none is `None`; in no particular order."""

    __slots__ = ("_bulk", "_changes", "_length")

    def __init__(self) -> None:
        self._bulk: dict[K, V] = {}
        self._changes: dict[K, V | None] = {}
        self._length = 0

    def copy(self) -> SharedMap[K, V]:
        """An independent copy."""
        if len(self._changes) > MAX_CHANGES:
            self.settle()
        new: SharedMap[K, V] = SharedMap()
        new._bulk = self._bulk
        new._changes = self._changes.copy()
        new._length = self._length
        return new

    def settle(self) -> None:
        """Make all changes so far the bulk: for after filling, so that the first copy need not."""
        bulk = self._bulk | self._changes
        for key in [key for key, value in self._changes.items() if value is None]:
            del bulk[key]
        self._bulk = cast("dict[K, V]", bulk)
        self._changes = {}

    def __len__(self) -> int:
        return self._length

    def __contains__(self, key: K) -> bool:
        return self.get(key) is not None

    def get(self, key: K) -> V | None:
        """The value of a key, or `None`."""
        return self._changes[key] if key in self._changes else self._bulk.get(key)

    def items(self) -> Iterator[tuple[K, V]]:
        """All keys with their values."""
        for key, value in self._bulk.items():
            if key not in self._changes:
                yield key, value
        for key, changed in self._changes.items():
            if changed is not None:
                yield key, changed

    def __setitem__(self, key: K, value: V) -> None:
        self._length += key not in self
        self._changes[key] = value

    def __delitem__(self, key: K) -> None:
        if key not in self:
            raise KeyError(key)
        self._length -= 1
        self._changes[key] = None
