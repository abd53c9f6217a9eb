"""Methods that have another name now."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def renamed(name: str, method: Callable[P, R], now: str = "") -> Callable[P, R]:
    """`method` under its former `name`, which warns."""
    new = now or method.__name__

    @functools.wraps(method)
    def former(*values: P.args, **more: P.kwargs) -> R:
        warnings.warn(f"{name} is called {new} now", DeprecationWarning, stacklevel=2)
        return method(*values, **more)

    former.__doc__ = f"`{new}` under its name of 0.6, which warns. Deprecated since 0.2."
    return former
