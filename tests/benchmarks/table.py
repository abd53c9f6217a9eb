"""Figures of several sides, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Wanted(NamedTuple):
    """A target: how many times better than the first side, or a bound for the value itself, or both."""

    ratio: float | None = None
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; `cpu` is microseconds per message (or session) of each kind of process."""

    stage: str
    value: float
    unit: str
    higher_is_better: bool
    cpu: dict[str, float] = field(default_factory=dict)

    def over(self, first: Figure) -> float:
        """How many times better this is than the same figure of the first side."""
        better, worse = (self, first) if self.higher_is_better else (first, self)
        return better.value / worse.value if worse.value else float("inf")

    def __str__(self) -> str:
        return f"{self.stage}: {_number(self.value)} {self.unit}"


def table(columns: Mapping[str, Sequence[Figure]], wanted: Sequence[Wanted | None] = ()) -> str:
    """Stage by stage, one column per side; a ratio says how many times better than the first side one is.

    `wanted` has a target for each figure of the last side; what it misses is marked.
    """
    labels = list(columns)
    ratio_heads = [f"{label} : {labels[0]}" for label in labels[1:]] if len(labels) > 2 else ["ratio"]
    heads = ["stage", "unit", *labels, *ratio_heads[: len(labels) - 1]]
    rows = [[*heads, "wanted"] if wanted else heads]
    targets = wanted or [None] * len(columns[labels[0]])
    for figures, target in zip(zip(*columns.values(), strict=True), targets, strict=True):
        first, others = figures[0], figures[1:]
        stage = max((figure.stage for figure in figures), key=len)
        values = [_number(figure.value) for figure in figures]
        ratios = [f"{figure.over(first):.2f}x" for figure in others]
        rows.append([stage, first.unit, *values, *ratios, *([_verdict(figures, target)] if wanted else [])])
        if first.cpu:
            used = [
                " / ".join(_number(figure.cpu[head]) for head in sorted(figure.cpu)) for figure in figures
            ]
            totals = [sum(figure.cpu.values()) for figure in figures]
            ratios = [f"{totals[0] / total if total else 0.0:.2f}x" for total in totals[1:]]
            what = f"  CPU each, {' / '.join(sorted(first.cpu))}"
            rows.append([what, "us", *used, *ratios, *([""] if wanted else [])])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _verdict(figures: Sequence[Figure], target: Wanted | None) -> str:
    """The target of the last figure, with a mark when that misses it."""
    if target is None:
        return ""
    last = figures[-1]
    texts, missed = [], False
    if target.ratio is not None and len(figures) > 1:
        texts.append(f"{target.ratio:g}x")
        missed = last.over(figures[0]) < target.ratio
    if target.value is not None:
        texts.append(_number(target.value))
        missed |= last.value < target.value if last.higher_is_better else last.value > target.value
    return ("missed: " if missed else "") + ", ".join(texts)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
