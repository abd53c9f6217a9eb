"""CPU per message beside an older revision (`callboard bench paired`), in pairs.

The workloads are those of `compare`, Callboard alone, and of `node`. Old and new take turns, so that what the
machine does meanwhile falls on both; each pair has a ratio, and the median of the ratios counts. Both trees
are started the same way (`on_tree`), and generator and sink of the node's workloads are this tree's.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from identity.errors import ConfigError
from tests.benchmarks import compare, node
from tests.benchmarks.processes import Side
from tests.benchmarks.stages import Stage
from tests.benchmarks.table import Figure

PAIRS = 9
BOUND = 1.05
"""The median ratio above which a workload is marked."""


class Pairs(NamedTuple):
    """A workload's CPU, in microseconds per message (or session) of all processes that are measured."""

    name: str
    base: list[float]
    this: list[float]

    @property
    def ratios(self) -> list[float]:
        """This tree to its base, pair by pair."""
        return [this / base for base, this in zip(self.base, self.this, strict=True)]


def workloads(scale: float) -> dict[str, Stage]:
    """What can be measured in pairs; of `node` the stages take a broker, of `compare` a side."""
    return {stage.name: stage for stage in (*compare.stages(scale), *node.stages(scale)) if stage.name}


def chosen(patterns: Sequence[str], scale: float) -> dict[str, Stage]:
    """The workloads that match one of the patterns (all, without any). Raises ConfigError for one in vain."""
    known = workloads(scale)
    for pattern in patterns:
        if not fnmatch.filter(known, pattern):
            names = ", ".join(known)
            raise ConfigError(f"no workload is called {pattern!r}; there are {names}", field="workload")
    return {
        name: stage
        for name, stage in known.items()
        if not patterns or any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
    }


def cpu_each(figures: Sequence[Figure]) -> float:
    """Microseconds of CPU per message, of a stage's figures. Raises OSError where the system tells none."""
    for figure in figures:
        if figure.cpu:
            return sum(figure.cpu.values())
        if figure.unit == "us" and not figure.higher_is_better:
            return figure.value
    raise OSError("this system does not tell the CPU time of other processes")


async def once(name: str, stage: Stage, tree: Path) -> float:
    """One run of a workload upon the floors of `tree`."""
    key = f"callboard@{tree}"
    return cpu_each(await stage.measure(key if name.startswith("node-") else Side(key, key)))


async def measure(
    tree: Path,
    base: Path,
    stages: Mapping[str, Stage],
    progress: Callable[[str], None],
    *,
    pairs: int = PAIRS,
) -> list[Pairs]:
    """Measure each stage (by its name) `pairs` times, base and tree in turns."""
    found = []
    for number, (name, stage) in enumerate(stages.items(), 1):
        made = Pairs(name, [], [])
        for _ in range(pairs):
            made.base.append(await once(name, stage, base))
            made.this.append(await once(name, stage, tree))
        found.append(made)
        progress(f"[{number}/{len(stages)}] {name}: {median(made.ratios):.3f}")
    return found


def table(found: Sequence[Pairs]) -> str:
    """The medians for people, and between which ratios the pairs were; a ratio above `BOUND` is marked."""
    width = max(len("CPU per message, us"), *(len(one.name) for one in found))
    lines = [f"{'CPU per message, us':<{width}}{'base':>10}{'this tree':>11}{'ratio':>8}   of the pairs"]
    for one in found:
        ratios = one.ratios
        line = f"{one.name:<{width}}{median(one.base):>10.2f}{median(one.this):>11.2f}{median(ratios):>8.3f}"
        line += f"   {min(ratios):.3f} to {max(ratios):.3f}"
        lines.append(line + (f"   above {BOUND}" if median(ratios) > BOUND else ""))
    return "\n".join(lines)


def records(found: Sequence[Pairs]) -> list[dict[str, Any]]:
    """The figures for programs."""
    return [{**one._asdict(), "ratios": one.ratios, "median": median(one.ratios)} for one in found]
