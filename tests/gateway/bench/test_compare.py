"""The comparison: every kind of work runs to its end, and the table says what was measured."""

from __future__ import annotations

import pytest

from gateway.bench import compare as bench
from gateway.bench.processes import Side
from gateway.bench.table import Figure, table
from tests.interop.harness import requires_originals

ORIGINALS = Side("originals", "originals")


def test_the_ratio_says_how_many_times_better() -> None:
    def column(rate: float, delay: float) -> list[Figure]:
        return [
            Figure("one way", rate, "messages/s", True, {"node": 4.0, "sender": rate / 100}),
            Figure("ping-pong", delay, "us", False),
        ]

    lines = table({"theirs": column(1000, 90), "ours": column(2000, 30)}).splitlines()
    assert [line.split() for line in lines if not line.startswith("-")] == [
        ["stage", "unit", "theirs", "ours", "ours", ":", "theirs"],
        ["one", "way", "messages/s", "1,000", "2,000", "2.00x"],
        ["CPU", "each,", "node", "/", "sender", "us", "4", "/", "10", "4", "/", "20", "0.58x"],
        ["ping-pong", "us", "90", "30", "3.00x"],
    ]


@pytest.mark.parametrize(
    "stage",
    [
        pytest.param(
            lambda: bench.throughput(ORIGINALS, size=64, reliable=True, window=8, count=40), id="throughput"
        ),
        pytest.param(
            lambda: bench.throughput(ORIGINALS, size=64, reliable=True, window=8, count=40, mls=True),
            id="throughput with MLS",
        ),
        pytest.param(lambda: bench.round_trip(ORIGINALS, size=64, reliable=False, count=20), id="round trip"),
        pytest.param(
            lambda: bench.fan_out(ORIGINALS, members=2, size=64, mls=True, window=8, count=20), id="fan-out"
        ),
        pytest.param(lambda: bench.sessions(ORIGINALS, window=4, count=8), id="sessions"),
        pytest.param(lambda: bench.growth(ORIGINALS, members=5, hosts=2), id="growth"),
    ],
)
@pytest.mark.originals
@requires_originals
async def test_each_stage_measures_something(stage) -> None:
    for figure in await stage():
        assert figure.value > 0
        assert "lost" not in figure.stage
