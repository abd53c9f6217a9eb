"""Where keys, nonces and ids are drawn from when nobody says: the system's randomness, or a test's."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import ContextVar

RandomBytes = Callable[[int], bytes]
"""Draws that many bytes, like `os.urandom`."""

_ambient: ContextVar[RandomBytes] = ContextVar("randomness", default=os.urandom)


def ambient() -> RandomBytes:
    """That of the running task."""
    return _ambient.get()


def enter(random: RandomBytes) -> None:
    """Let it be `ambient` in this context, and in all tasks begun from it."""
    _ambient.set(random)
