"""What a verifier remembers of the tokens it verified: a bounded memory, so that each message of a stream
costs one look-up and a comparison of times.

A token is remembered by its text, a long one by a hash of it: 4096 texts of 2048 characters are 8 MiB.
The text is no identity: one statement can be signed as many texts, and each is verified for itself.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")

VERIFIED_TOKENS = 4096
"""Tokens that one verifier remembers; the least recently used goes first."""
LONGEST_TEXT = 2048
"""Characters up to which a token is remembered by its text. Real ones have 200 to 1500."""
LONGEST_TOKEN = 64 * 1024
"""Nobody verifies longer ones, so none is known."""


class VerifiedTokens(Generic[T]):
    """Verified tokens, each with the time in which it is good and what its verifier wants to know of it.

    Not thread-safe: one event loop owns it.
    """

    __slots__ = ("_entries", "_size")

    def __init__(self, size: int = VERIFIED_TOKENS) -> None:
        self._size = size
        self._entries: OrderedDict[str | bytes, tuple[float, float, T]] = OrderedDict()

    def get(self, token: str, now: float) -> T | None:
        """What was remembered of a token; None for one that is not known, or not good at `now`.

        One that is not good is forgotten: its verifier says why when it looks at it again.
        """
        entries = self._entries
        name: str | bytes = token
        entry = entries.get(token)
        if entry is None:
            if not LONGEST_TEXT < len(token) <= LONGEST_TOKEN:
                return None
            name = _hashed(token)
            entry = entries.get(name)
            if entry is None:
                return None
        if entry[0] <= now <= entry[1]:
            entries.move_to_end(name)
            return entry[2]
        del entries[name]
        return None

    def remember(self, token: str, first: float, last: float, known: T) -> None:
        """A token was verified, and is good from `first` to `last`, both inclusive."""
        self._entries[token if len(token) <= LONGEST_TEXT else _hashed(token)] = (first, last, known)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forget everything: the keys have changed."""
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"VerifiedTokens({len(self)})"


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
