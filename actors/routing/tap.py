"""Somebody who looks at messages as a node routes them: what a Connection tells, and nothing else.

There is none nearly always, and then a batch of messages costs one look at the route table's view.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from actors.messages.wire import Frame


class Tap(Protocol):
    """Who looks. It must be quick and raise nothing: it is called where messages are routed."""

    def routed(self, connection: int, frame: Frame, targets: Sequence[int]) -> None:
        """`frame` came in by `connection` and leaves by `targets`; by none where nobody has the name."""

    def dropped(self, connection: int, frames: Sequence[Frame], cause: str) -> None:
        """These were to leave by `connection` and do not."""


def show_routed(tap: Tap, connection: int, come: Iterable[Any], out: Mapping[int, Sequence[Any]]) -> None:
    """Tell of each frame among what came in by `connection` where it goes; `out` has the frames by target."""
    targets: dict[int, list[int]] = {}
    for target, frames in out.items():
        for frame in frames:
            targets.setdefault(id(frame), []).append(target)
    for one in come:
        if type(one) is Frame:
            tap.routed(connection, one, sorted(targets.get(id(one), ())))


def left_out(frames: Sequence[Frame], kept: Sequence[Frame]) -> list[Frame]:
    """Those of `frames` that are not among `kept`."""
    there = set(map(id, kept))
    return [frame for frame in frames if id(frame) not in there]
