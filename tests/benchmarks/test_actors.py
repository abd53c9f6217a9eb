"""The benchmark runs and prints; what it measures is no test's business."""

from __future__ import annotations

from tests.benchmarks.actors import Figure, measure, table


async def test_every_figure_is_measured() -> None:
    figures = await measure(scale=10_000)
    assert all(figure.value > 0 for figure in figures)
    assert len(table(figures).splitlines()) == len(figures)


def test_the_table_is_aligned() -> None:
    assert table([Figure("a", 1.0, "us"), Figure("longer", 1234567.0, "/s")]).splitlines() == [
        "a                  1  us",
        "longer     1.235e+06  /s",
    ]
