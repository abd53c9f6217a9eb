"""Stages, measured for one side after the other, so that what disturbs a stage disturbs all sides of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from gateway.bench.table import Figure, Wanted, table

S = TypeVar("S")


class Stage(NamedTuple):
    """Something to measure for a side, and a target (or None) for each figure that comes of it."""

    measure: Callable[[Any], Awaitable[list[Figure]]]
    wanted: Sequence[Wanted | None]


async def side_by_side(
    sides: Mapping[str, S], stages: Sequence[Stage], progress: Callable[[str], None]
) -> str:
    """Measure every stage for every side (by label); the table. `progress` is told each figure."""
    columns: dict[str, list[Figure]] = {label: [] for label in sides}
    wanted: list[Wanted | None] = []
    for number, stage in enumerate(stages, 1):
        for label, side in sides.items():
            figures = await stage.measure(side)
            columns[label] += figures
            progress(f"[{number}/{len(stages)}] {label}: {'; '.join(map(str, figures))}")
        wanted += stage.wanted[: len(figures)]
    return table(columns, wanted)
