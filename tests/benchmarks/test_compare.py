"""The comparison: every kind of work runs to its end."""

from __future__ import annotations

import pytest

from tests.benchmarks import compare as bench
from tests.benchmarks.processes import Side
from tests.interop.harness import requires_originals

ORIGINALS = Side("originals", "originals")
OURS = Side("callboard", "callboard")
MIXED = Side(node="callboard", applications="originals")

STAGES = {
    "throughput": lambda side: bench.throughput(side, size=64, reliable=True, window=8, count=40),
    "throughput with MLS": lambda side: bench.throughput(
        side, size=64, reliable=True, window=8, count=40, mls=True
    ),
    "round trip": lambda side: bench.round_trip(side, size=64, reliable=False, count=20),
    "fan-out": lambda side: bench.fan_out(side, members=2, size=64, mls=True, window=8, count=20),
    "sessions": lambda side: bench.sessions(side, window=4, count=8),
    "growth": lambda side: bench.growth(side, members=4, measured=2, hosts=2),
}


async def check(side: Side, stage: str) -> None:
    for figure in await STAGES[stage](side):
        assert figure.value > 0
        assert "lost" not in figure.stage


# Messages with MLS are those of the fan-out too.
LONG = {"throughput with MLS"}


@pytest.mark.parametrize(
    "stage", [pytest.param(s, marks=[pytest.mark.long] if s in LONG else []) for s in STAGES]
)
async def test_each_stage_measures_something(stage: str) -> None:
    await check(OURS, stage)


@pytest.mark.parametrize(
    "stage", ["throughput", *(pytest.param(s, marks=pytest.mark.long) for s in list(STAGES)[1:])]
)
@pytest.mark.originals
@requires_originals
async def test_each_stage_measures_the_originals(stage: str) -> None:
    await check(ORIGINALS, stage)


@pytest.mark.originals
@requires_originals
async def test_originals_talk_through_our_node() -> None:
    await check(MIXED, "throughput")


def test_sides_say_what_they_are_made_of() -> None:
    assert [side.label for side in (OURS, MIXED)] == ["callboard", "originals via callboard"]


@pytest.mark.parametrize("stages", [bench.stages, bench.mls_stages, bench.mixed_stages])
def test_scale_bounds_every_stage(stages) -> None:
    assert len(stages(0.0)) == len(stages())
    assert all(stage.measure.keywords.get("count", 20) == 20 for stage in stages(0.0))
