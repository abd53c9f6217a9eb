"""Counting instructions: the arithmetic, and that a count of two same trees says that they are the same."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.benchmarks import counted, instructions, places
from tests.benchmarks.trees import HERE, on_tree

requires_valgrind = pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")


def test_the_difference_of_two_lengths_has_no_start_up_in_it() -> None:
    start_up, each = 1_000_000, 250
    runs = [(count, start_up + each * count) for count in (10, 50)]
    assert instructions.per_message(*runs) == each


def test_parts_are_told_apart_by_their_marks(tmp_path: Path) -> None:
    """A row has three parts, of which the first, the warming, is left out."""
    for number, counted_ in enumerate([10**9, 100, 500, 10**9, 30, 50], 1):
        (tmp_path / f"part.{number}").write_text(f"events: Ir\n\ntotals: {counted_}\n")
    done = {"rows": [["a", 10, 50], ["b", 1, 2]]}
    assert instructions.read(done, tmp_path / "part") == {"a": 10.0, "b": 20.0}


def test_a_ratio_above_the_bound_is_marked() -> None:
    rows = [instructions.Count("a", 104.0, 100.0), instructions.Count("b", 103.0, 100.0)]
    first, second = instructions.table(rows).splitlines()[1:]
    assert first.split() == ["a", "100", "104", "1.0400", "above", "1.03"]
    assert second.split() == ["b", "100", "103", "1.0300"]
    assert instructions.records(rows)[0] == {"name": "a", "instructions": 104.0, "base": 100.0, "ratio": 1.04}


def test_a_scale_leaves_a_short_and_a_long_run() -> None:
    assert all(0 < row.short < row.long for scale in (0.0, 0.1, 1.0) for row in counted.chosen([], scale))
    assert [row.name for row in counted.chosen(["lone*process"], 0.0)] == ["lone message in process"]


def test_a_name_is_found_at_its_first_place_that_there_is() -> None:
    assert places.found("gateway.nowhere:Slim", "gateway:Nobody", "gateway:Slim").__name__ == "Slim"
    with pytest.raises(ImportError, match="none of gateway:Nobody is there"):
        places.found("gateway:Nobody")


def test_every_row_does_its_work_upon_the_floors_it_is_given() -> None:
    command = on_tree(HERE, "tests.benchmarks.counted", '{"rows": [], "scale": 0.0, "layout": 1}')
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/")
    assert done.returncode == 0, done.stderr
    for row in counted.ROWS:
        assert f'"{row.name}"' in done.stdout
    assert str(HERE / "gateway") in done.stdout


def test_floors_from_elsewhere_are_refused(tmp_path: Path) -> None:
    done = subprocess.run(on_tree(tmp_path, "this"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"not from {tmp_path}" in done.stderr.splitlines()[-1]


@requires_valgrind
@pytest.mark.long
async def test_a_hop_is_counted() -> None:
    (row,) = await instructions.measure(HERE, rows=["actors hop"], scale=0.1, layouts=1)
    assert 1_000 < row.instructions < 1_000_000
    assert row.ratio is None


@requires_valgrind
@pytest.mark.timeout(300)
@pytest.mark.long
async def test_the_same_tree_counts_the_same() -> None:
    (row,) = await instructions.measure(HERE, HERE, rows=["codec parse 64 B"], scale=0.5)
    assert row.ratio == pytest.approx(1.0, abs=0.02)
