"""Stages run side by side, and each is told of."""

from __future__ import annotations

from tests.benchmarks.stages import Stage, median_run, side_by_side
from tests.benchmarks.table import Figure, Wanted


async def test_each_stage_is_measured_for_one_side_after_the_other() -> None:
    order: list[tuple[str, int]] = []

    def stage(name: str) -> Stage:
        async def measure(side: int) -> list[Figure]:
            order.append((name, side))
            return [Figure(name, float(side), "us", False)]

        return Stage(measure, (Wanted(2.0),))

    told: list[str] = []
    text = await side_by_side({"theirs": 1000, "ours": 500}, [stage("a"), stage("b")], told.append)
    assert order == [("a", 1000), ("a", 500), ("b", 1000), ("b", 500)]
    assert told[0] == "[1/2] theirs: a: 1,000 us"
    assert told[3] == "[2/2] ours: b: 500 us"
    assert [line.split() for line in text.splitlines()[2:]] == [
        [name, "us", "1,000", "500", "2.00x", "2x"] for name in "ab"
    ]


async def test_sides_take_turns_and_the_median_counts() -> None:
    values = {"theirs": iter([9.0, 1.0, 5.0]), "ours": iter([2.0, 3.0, 100.0])}
    order: list[str] = []

    async def measure(side: str) -> list[Figure]:
        order.append(side)
        return [Figure("a", next(values[side]), "us", False)]

    text = await side_by_side(
        {side: side for side in values}, [Stage(measure, (None,), repeats=3)], lambda _: None
    )
    assert order == ["theirs", "ours"] * 3
    assert text.splitlines()[2].split() == ["a", "us", "5.0", "3.0", "1.67x"]


def test_of_an_even_number_of_runs_the_lower_median_counts() -> None:
    runs = [[Figure("a", value, "us", False)] for value in (4.0, 1.0, 3.0, 2.0)]
    assert median_run(runs)[0].value == 2.0
    assert median_run([[], []]) == []
