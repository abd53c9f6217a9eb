"""Pairs of old and new: whose turn it is, the arithmetic, and that another tree's processes are measured."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from identity.errors import ConfigError
from tests.benchmarks import paired
from tests.benchmarks.adapters import adapter
from tests.benchmarks.stages import Stage
from tests.benchmarks.table import Figure
from tests.benchmarks.trees import HERE

requires_cpu_clocks = pytest.mark.skipif(
    sys.platform != "linux", reason="the CPU time of other processes is told by Linux"
)


def test_the_median_of_the_ratios_counts_and_not_the_ratio_of_the_medians() -> None:
    pairs = paired.Pairs("a", base=[1.0, 2.0, 10.0], this=[1.2, 2.2, 5.0])
    assert pairs.ratios == pytest.approx([1.2, 1.1, 0.5])
    (row,) = paired.table([pairs]).splitlines()[1:]
    assert row.split() == ["a", "2.00", "2.20", "1.100", "0.500", "to", "1.200", "above", "1.05"]
    assert paired.records([pairs])[0]["median"] == pytest.approx(1.1)


def test_a_stage_counts_with_the_cpu_of_all_its_processes() -> None:
    assert paired.cpu_each([Figure("a", 9.0, "messages/s", True, {"node": 3.0, "sender": 4.0})]) == 7.0
    node = [Figure("a, CPU", 2.5, "us", False), Figure("a, rate", 9.0, "messages/s", True)]
    assert paired.cpu_each(node) == 2.5
    with pytest.raises(OSError, match="does not tell the CPU"):
        paired.cpu_each(node[1:])


async def test_base_and_tree_take_turns() -> None:
    turns: list[str] = []

    async def stage(side: str) -> list[Figure]:
        turns.append(side)
        return [Figure("", float(len(turns)), "us", False)]

    told: list[str] = []
    stages = {"node-x": Stage(stage, (None,))}
    (row,) = await paired.measure(Path("/new"), Path("/old"), stages, told.append, pairs=3)
    assert turns == ["callboard@/old", "callboard@/new"] * 3
    assert (row.base, row.this) == ([1.0, 3.0, 5.0], [2.0, 4.0, 6.0])
    assert told == ["[1/1] node-x: 1.333"]


def test_workloads_are_chosen_by_pattern() -> None:
    assert {"one-way-64", "group-mls", "sessions-1", "node-64", "node-fan-out"} <= set(paired.workloads(1.0))
    assert list(paired.chosen(["node-64", "ping-pong"], 1.0)) == ["ping-pong", "node-64"]
    with pytest.raises(ConfigError, match="no workload is called 'nothing'; there are one-way-64"):
        paired.chosen(["nothing"], 1.0)


def test_a_node_of_another_tree_is_started_on_its_floors() -> None:
    command = adapter("callboard@/somewhere").node_command()
    assert command[3:6] == ["/somewhere", "gateway.cli", "start"]


@requires_cpu_clocks
@pytest.mark.parametrize("workload", ["one-way-64", pytest.param("node-64", marks=pytest.mark.long)])
async def test_a_pair_of_the_same_tree_is_measured(workload: str) -> None:
    stages = paired.chosen([workload], 0.0)
    (row,) = await paired.measure(HERE, HERE, stages, lambda _: None, pairs=1)
    assert row.name == workload
    assert row.base[0] > 0
    assert row.this[0] > 0
