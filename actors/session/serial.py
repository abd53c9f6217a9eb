"""Serial numbers of data messages: modulo 2^31, the upper half being publish_to's (`session.md` 7)."""

from __future__ import annotations

MASK = 0x7FFF_FFFF
"""Data ids are 0 .. MASK and wrap to 0."""
HALF = 2**30
"""An id is after another when its forward distance is 1 .. HALF."""
DIRECT_FIRST, DIRECT_LAST = 0x8000_0000, 0xFFFF_FFFE
"""The range that ids of publish_to are drawn from."""


def ahead(last: int, id: int) -> int:
    """How far `id` lies after `last`; 0 when equal, negative when it lies before."""
    distance = (id - last) & MASK
    return distance if distance <= HALF else distance - MASK - 1
