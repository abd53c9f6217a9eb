"""When a stream is opened again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.spiffe.errors import ArgumentError
from identity.spiffe.retry import FINAL_CODES, Reconnect, RetryPolicy


def ends(reconnect: Reconnect, *, life: float, code: str | None = "UNAVAILABLE") -> float | None:
    reconnect.opened(1000.0)
    return reconnect.ended(1000.0 + life, code)


def test_short_lives_are_followed_by_growing_pauses() -> None:
    reconnect = Reconnect(RetryPolicy())
    pauses = [ends(reconnect, life=0.5) for _ in range(8)]
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


def test_a_steady_life_starts_the_count_again_and_is_followed_at_once() -> None:
    reconnect = Reconnect(RetryPolicy())
    for _ in range(5):
        ends(reconnect, life=9.9)
    assert ends(reconnect, life=10.0) == 0.0
    assert ends(reconnect, life=0.0) == pytest.approx(0.1)


def test_an_agent_that_ends_each_stream_in_peace_is_not_flooded() -> None:
    reconnect = Reconnect(RetryPolicy())
    assert sum(ends(reconnect, life=0.01, code=None) or 0.0 for _ in range(20)) > 60.0


@pytest.mark.parametrize("code", sorted(FINAL_CODES))
def test_final_answers_are_not_asked_for_again(code: str) -> None:
    assert ends(Reconnect(RetryPolicy()), life=100.0, code=code) is None


def test_attempts_end_at_their_limit() -> None:
    reconnect = Reconnect(RetryPolicy(max_retries=3))
    assert [ends(reconnect, life=0.0) is None for _ in range(4)] == [False, False, False, True]


@given(st.floats(0.001, 10), st.floats(1, 1e6), st.lists(st.floats(0, 20), max_size=40), st.integers(0, 2000))
def test_pauses_stay_within_their_limits(base: float, factor: float, lives: list[float], before: int) -> None:
    reconnect = Reconnect(RetryPolicy(0, base, factor, max_backoff=10.0))
    for life in [*([0.0] * before), *lives]:
        pause = ends(reconnect, life=life)
        assert pause is not None
        assert 0.0 <= pause <= 10.0


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"max_retries": -1}, "max_retries"),
        ({"base_backoff_in_seconds": 0}, "base_backoff_in_seconds"),
        ({"base_backoff_in_seconds": 9, "max_backoff": 5}, "base_backoff_in_seconds"),
        ({"backoff_factor": 0.5}, "backoff_factor"),
    ],
)
def test_an_unusable_policy_names_its_field(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        RetryPolicy(**options)
    assert caught.value.field == field
