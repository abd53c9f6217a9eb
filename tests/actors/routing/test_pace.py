"""How fast a peer may send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.routing.pace import HELD, RECENT, Pace, SendingLimits


def test_without_limits_there_is_nothing_to_ask() -> None:
    limits = SendingLimits()
    assert not limits.active
    limits.take(5, None)
    assert limits.active
    limits.take(None, None)
    limits.hold_back(yes=True)
    assert limits.active
    limits.hold_back(yes=False)
    assert not limits.active


def test_a_second_at_once_and_then_the_rate() -> None:
    pace = Pace(SendingLimits(100, None))
    assert pace.spend(100, 10**9, 0.0) == 0.0
    assert pace.spend(50, 0, 0.0) == pytest.approx(0.5)
    assert pace.spend(50, 0, 1.0) == 0.0


def test_bytes_count_by_themselves() -> None:
    pace = Pace(SendingLimits(None, 1000))
    assert pace.spend(10**6, 1000, 0.0) == 0.0
    assert pace.spend(1, 2000, 0.0) == pytest.approx(2.0)


def test_who_is_held_back_is_read_now_and_then_and_nodes_are_held_back_for_memory_alone() -> None:
    limits = SendingLimits(1, 1)
    pace = Pace(limits)
    assert pace.spend(1000, 1000, 0.0, node=True) == 0.0
    limits.hold_back(yes=True)
    assert pace.spend(1000, 1000, 0.0, node=True) == HELD


@given(st.lists(st.tuples(st.integers(1, 500), st.floats(0, 3)), max_size=30), st.integers(1, 1000))
def test_who_waits_as_told_sends_no_more_than_the_rate_and_a_second(
    batches: list[tuple[int, float]], rate: int
) -> None:
    pace, now, sent = Pace(SendingLimits(rate, None)), 100.0, 0
    for count, pause in batches:
        now += pause
        wait = pace.spend(count, 0, now)
        assert wait >= 0.0
        sent += count
        now += wait
        assert sent <= rate * (now - 100.0 + 1.0) + 1e-6


def test_who_sent_most_in_a_second_is_remembered_for_a_while() -> None:
    limits = SendingLimits(messages_per_second=100)
    one, other = Pace(limits), Pace(limits)
    assert limits.most(0.0) == (0, 0)
    one.spend(10, 5000, 1.0)
    one.spend(30, 1, 1.9)
    other.spend(20, 9000, 1.5)
    assert limits.most(2.0) == (40, 9000)
    one.spend(5, 5, 2.1)
    assert limits.most(2.1) == (40, 9000)
    assert limits.most(1.0 + RECENT) == (0, 0)
    one.spend(1, 1, 20.0)
    assert limits.most(20.0) == (1, 1)
