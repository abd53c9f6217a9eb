"""Runs of nodes: the later one has the place, whoever calls how often."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.incarnations import NODES_BOUND, RUNS_BOUND, Incarnations


def test_a_new_run_is_later_than_all_before_it() -> None:
    runs = Incarnations()
    for run in (7, 3, 9):
        runs.met("node", run)
    assert not runs.is_earlier("node", 9, 7)
    assert not runs.is_earlier("node", 4, 9), "a run that nobody has met"
    assert runs.is_earlier("node", 7, 3)
    assert runs.is_earlier("node", 3, 9)
    assert not runs.is_earlier("node", 3, 3)
    assert not runs.is_earlier("another", 7, 3)


@given(st.lists(st.integers(0, RUNS_BOUND - 1), max_size=60))
def test_the_place_changes_hands_no_more_often_than_there_are_runs(calls: list[int]) -> None:
    runs, there, changes = Incarnations(), None, 0
    for run in calls:
        runs.met("node", run)
        if there is None or (run != there and not runs.is_earlier("node", run, there)):
            there, changes = run, changes + 1
    assert changes <= len(set(calls))


def test_what_is_known_is_bounded() -> None:
    runs = Incarnations()
    for number in range(2 * NODES_BOUND):
        runs.met(f"node {number}", 1)
    for run in range(1, 2 * RUNS_BOUND):
        runs.met("node", run)
    assert not runs.is_earlier("node 0", 1, 1)
    assert not runs.is_earlier("node", 1, 2)
    assert runs.is_earlier("node", RUNS_BOUND, RUNS_BOUND + 1)
