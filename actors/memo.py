"""A memory with a bound, for what repeats: tokens, headers, small commands."""

from __future__ import annotations

from typing import TypeVar

LARGEST = 8192
"""Bytes or characters of a key that is remembered."""

K = TypeVar("K")
V = TypeVar("V")


class Memo(dict[K, V]):
    """What was found, by what it was found from. Full, it starts over: what repeats is soon back.

    Texts and bytes of more than LARGEST are not worth it: they would make it as large as a peer likes.
    It is asked as a dictionary is (`get`, `in`), and filled by `remember` alone. Keys that a peer chooses
    are bytes, texts or names, which Python hashes with a secret (`actors/names.py`), or hold one number.
    """

    __slots__ = ("_bound",)

    def __init__(self, bound: int) -> None:
        super().__init__()
        self._bound = bound

    def remember(self, key: K, value: V) -> V:
        """Keep `value`, and return it."""
        if isinstance(key, bytes | str) and len(key) > LARGEST:
            return value
        if len(self) >= self._bound:
            self.clear()
        self[key] = value
        return value
