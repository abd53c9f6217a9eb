"""Key material as a type that cannot be shown by accident."""

from __future__ import annotations

import hmac
from typing import NoReturn


class Secret(bytes):
    """Bytes that no log, traceback or debugger line may show; equality takes constant time.

    It is a `bytes`, so every primitive takes it as it is. What is cut from it or joined to it is plain
    bytes again: keep results in a Secret when they are kept at all.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} bytes)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, bytes) and hmac.compare_digest(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]  # a table of secrets would compare them in variable time

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled; save the group with Group.snapshot()")
