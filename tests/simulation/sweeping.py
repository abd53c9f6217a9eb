"""Plays many seeds, in several processes, and keeps what they showed in files: so a long run can go on later.

sweep(profiles, range(20_000), folder)     blocks of seeds ──► FOLDER/PROFILE.jsonl, a line for each
table(before, after)                       what shows each kind, per thousand seeds, in both folders
"""

from __future__ import annotations

import gc
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.simulation.kinds import KINDS, kinds
from tests.simulation.player import play
from tests.simulation.shortcuts import shortcuts

BLOCK = 50
"""Seeds that one process plays at a time."""


@dataclass(slots=True)
class Shown:
    """What the seeds of a block, or of many, showed."""

    seeds: int = 0
    seconds: float = 0.0
    """Virtual seconds."""
    took: float = 0.0
    """Seconds of processes."""
    by_kind: dict[str, list[int]] = field(default_factory=dict)
    """The seeds that showed each kind."""
    texts: dict[str, str] = field(default_factory=dict)
    """A finding of the first of them."""

    def add(self, other: Shown) -> None:
        """These and those of `other`."""
        self.seeds += other.seeds
        self.seconds += other.seconds
        self.took += other.took
        for kind, seeds in other.by_kind.items():
            self.by_kind.setdefault(kind, []).extend(seeds)
        self.texts = other.texts | self.texts

    def per_thousand(self, kind: str) -> float:
        return 1000 * len(self.by_kind.get(kind, ())) / self.seeds if self.seeds else 0.0


def collect_between() -> None:
    """What a scenario leaves behind is in circles. To look for them by count, while it is played, takes more
    than a tenth of its time: who plays many collects after each."""
    gc.collect()
    gc.freeze()
    gc.disable()


def play_block(profile: str, first: int, last: int) -> Shown:
    """Play the seeds from `first` to `last`, without it."""
    logging.disable(logging.ERROR)
    collect_between()
    began, shown = time.perf_counter(), Shown(last - first)
    with shortcuts():
        for seed in range(first, last):
            result = play(profile, seed)
            gc.collect()
            shown.seconds += result.seconds
            for kind in sorted(kinds(result.findings, profile)):
                shown.by_kind.setdefault(kind, []).append(seed)
                shown.texts.setdefault(kind, "; ".join(finding.text for finding in result.findings)[:400])
    shown.took = time.perf_counter() - began
    return shown


def read(folder: Path, profile: str) -> dict[int, Shown]:
    """The blocks of a profile that were played, by their first seed. A line that was cut does not count."""
    path, blocks = folder / f"{profile}.jsonl", {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            first, block = json.loads(line)
        except ValueError:
            continue
        blocks[first] = Shown(**block)
    return blocks


def sweep(
    profiles: Iterable[str], seeds: range, folder: Path, processes: int = os.cpu_count() or 1
) -> Iterator[str]:
    """Play what is not in `folder` yet. Yields a line for each profile that is done."""
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(processes) as pool:
        for profile in profiles:
            done = read(folder, profile)
            open_blocks = {}
            for first in range(seeds.start, seeds.stop, BLOCK):
                last = min(first + BLOCK, seeds.stop)
                if first not in done or done[first].seeds < last - first:
                    open_blocks[pool.submit(play_block, profile, first, last)] = first
            with (folder / f"{profile}.jsonl").open("a") as file:
                for block in as_completed(open_blocks):
                    # In front, too: the line before may have been cut.
                    file.write("\n" + json.dumps([open_blocks[block], asdict(block.result())]) + "\n")
                    file.flush()
            yield summary(profile, total(folder, profile))


def total(folder: Path, profile: str) -> Shown:
    """All blocks of a profile together."""
    whole = Shown()
    for _, block in sorted(read(folder, profile).items()):
        whole.add(block)
    return whole


def summary(profile: str, shown: Shown) -> str:
    """What a profile showed, and how fast it was."""
    took = shown.took or 1.0
    speed = f"{shown.seeds / took:.1f} scenarios/s, {shown.seconds / took:.0f} virtual s/s for each process"
    lines = [f"{profile:<10} {shown.seeds} seeds, {speed}"]
    for kind, seeds in sorted(shown.by_kind.items()):
        lines.append(f"  {kind:<10} {shown.per_thousand(kind):6.1f} of 1000: {seeds[:5]}")
        lines.append(f"             {shown.texts[kind][:160]}")
    return "\n".join(lines)


def table(folders: Sequence[Path], profiles: Sequence[str]) -> str:
    """Seeds per thousand that show each kind, by profile; with two folders, before and after."""
    totals = [[total(folder, profile) for folder in folders] for profile in profiles]
    played = [
        (profile, shown)
        for profile, shown in zip(profiles, totals, strict=True)
        if any(s.seeds for s in shown)
    ]
    others = {kind for _, shown in played for each in shown for kind in each.by_kind} - set(KINDS)
    columns = [*KINDS, *sorted(others)]
    rows = [["profile", "seeds", *columns]]
    for profile, shown in played:
        seeds = " / ".join(str(each.seeds) for each in shown)
        rows.append([profile, seeds, *(_cell(shown, kind) for kind in columns)])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---" * len(rows[0]) + "|")
    return "\n".join(lines)


def _cell(shown: Sequence[Shown], kind: str) -> str:
    figures = [each.per_thousand(kind) for each in shown if each.seeds]
    return " / ".join(f"{figure:.1f}" for figure in figures) if any(figures) else ""
