"""Figures of several sides, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; `cpu` is microseconds per message (or session) of each kind of process."""

    stage: str
    value: float
    unit: str
    higher_is_better: bool
    cpu: dict[str, float] = field(default_factory=dict)


def table(columns: Mapping[str, Sequence[Figure]]) -> str:
    """Stage by stage, one column per side; a ratio says how many times better than the first side one is."""
    labels = list(columns)
    heads = ["stage", "unit", *labels, *(f"{label} : {labels[0]}" for label in labels[1:])]
    rows = [heads]
    for figures in zip(*columns.values(), strict=True):
        first = figures[0]
        ratios = [
            figure.value / first.value if first.higher_is_better else first.value / figure.value
            for figure in figures[1:]
        ]
        stage = max((figure.stage for figure in figures), key=len)
        values = [f"{figure.value:,.0f}" for figure in figures]
        rows.append([stage, first.unit, *values, *(f"{ratio:.2f}x" for ratio in ratios)])
        if first.cpu:
            used = [
                " / ".join(f"{figure.cpu[head]:.0f}" for head in sorted(figure.cpu)) for figure in figures
            ]
            totals = [sum(figure.cpu.values()) for figure in figures]
            ratios = [totals[0] / total if total else 0.0 for total in totals[1:]]
            what = f"  CPU each, {' / '.join(sorted(first.cpu))}"
            rows.append([what, "us", *used, *(f"{ratio:.2f}x" for ratio in ratios)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
