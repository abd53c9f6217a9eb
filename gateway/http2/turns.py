"""Lets those with little to do go first.

A connection that has more to do than a turn of the loop has room for goes on when its turn comes again. All
such connections of a loop stand in one queue, and one of them goes on at a time: between two of them a lone
message of somebody else is read, routed and written, whose way would else be crossed at every step, by each.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from weakref import WeakKeyDictionary

PASSES = 3
"""Turns of the loop in which a lone message is through a node: one reads it, one routes it, one writes it."""


_waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, deque[Callable[[], None]]] = WeakKeyDictionary()
"""Who goes on later, by loop; at most one callback of each connection or stream at a time."""


def call_after_others(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    """Have a connection go on when others have had their turn: `PASSES` turns after the one before it in the
    queue, or from now."""
    waiting = _waiting.setdefault(loop, deque())
    waiting.append(callback)
    if len(waiting) == 1:
        loop.call_soon(_pass, loop, waiting, PASSES)


def _pass(loop: asyncio.AbstractEventLoop, waiting: deque[Callable[[], None]], turns: int) -> None:
    if turns > 1:
        loop.call_soon(_pass, loop, waiting, turns - 1)
        return
    try:
        waiting[0]()
    finally:
        del waiting[0]
        if waiting:
            loop.call_soon(_pass, loop, waiting, PASSES)
