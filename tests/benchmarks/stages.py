"""Stages, measured for one side after the other, so that what disturbs a stage disturbs all sides of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from tests.benchmarks.table import Figure, Wanted, table

S = TypeVar("S")


class Stage(NamedTuple):
    """Something to measure for a side, and a target (or None) for each figure that comes of it."""

    measure: Callable[[Any], Awaitable[list[Figure]]]
    wanted: Sequence[Wanted | None]
    repeats: int = 1
    """How often each side is measured, in turns; the run whose first figure is the median counts."""
    name: str = ""
    """What it is called where one is chosen (`callboard bench paired`)."""


async def side_by_side(
    sides: Mapping[str, S], stages: Sequence[Stage], progress: Callable[[str], None]
) -> str:
    """Measure every stage for every side (by label); the table. `progress` is told each figure."""
    columns: dict[str, list[Figure]] = {label: [] for label in sides}
    wanted: list[Wanted | None] = []
    for number, stage in enumerate(stages, 1):
        runs: dict[str, list[list[Figure]]] = {label: [] for label in sides}
        for _ in range(stage.repeats):
            for label, side in sides.items():
                figures = await stage.measure(side)
                runs[label].append(figures)
                progress(f"[{number}/{len(stages)}] {label}: {'; '.join(map(str, figures))}")
        for label in sides:
            figures = median_run(runs[label])
            columns[label] += figures
        wanted += stage.wanted[: len(figures)]
    return table(columns, wanted)


def median_run(runs: Sequence[list[Figure]]) -> list[Figure]:
    """The run whose first figure has the (lower) median value."""
    in_order = sorted(runs, key=lambda figures: [figure.value for figure in figures[:1]])
    return in_order[(len(runs) - 1) // 2]
