"""Sweeps go on where they stopped, and their tables say what was seen."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from tests.simulation.sweeping import BLOCK, Shown, read, summary, sweep, table, total


def keep(folder: Path, profile: str, blocks: dict[int, Shown]) -> None:
    folder.mkdir()
    lines = [json.dumps([first, asdict(block)]) for first, block in blocks.items()]
    (folder / f"{profile}.jsonl").write_text("\n".join(lines))


def test_a_sweep_plays_only_what_is_missing(tmp_path: Path) -> None:
    folder = tmp_path / "there"
    keep(folder, "perfect", {0: Shown(BLOCK, 5000.0, 2.0, {"c": [7]}, {"c": "seven"})})
    with (folder / "perfect.jsonl").open("a") as file:
        file.write('\n[50, {"seeds": 5')  # the machine went down
    (line,) = sweep(["perfect"], range(BLOCK + 2), folder, processes=1)
    assert f"{BLOCK + 2} seeds" in line
    assert "[7]" in line
    assert sorted(read(folder, "perfect")) == [0, BLOCK]
    assert total(folder, "perfect").seconds > 5000


def test_a_table_has_both_columns(tmp_path: Path) -> None:
    keep(tmp_path / "before", "loss", {0: Shown(50, 1.0, 1.0, {"c": [1, 2], "twice": [3]}, {})})
    keep(tmp_path / "after", "loss", {0: Shown(100, 1.0, 1.0, {"c": [1]}, {})})
    lines = table([tmp_path / "before", tmp_path / "after"], ["perfect", "loss"]).splitlines()
    assert len(lines) == 3
    assert "| loss | 50 / 100 |" in lines[2]
    assert "| 40.0 / 10.0 |" in lines[2]
    assert lines[2].endswith("| 20.0 / 0.0 |")


def test_a_summary_says_how_fast_it_was() -> None:
    assert "25.0 scenarios/s, 500 virtual s/s" in summary("loss", Shown(50, 1000.0, 2.0))
