"""Erlang's restart intensity, with a back-off: numbers in, numbers out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.system.supervision import Restarts, Supervision


def test_the_backoff_doubles_up_to_its_cap() -> None:
    restarts = Restarts(Supervision(max_restarts=6, period=60, backoff=0.1, backoff_max=1.0))
    assert [restarts.failed(0.0) for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_one_failure_more_than_allowed_within_a_period_gives_up() -> None:
    restarts = Restarts(Supervision(max_restarts=2, period=10))
    assert restarts.failed(0.0) is not None
    assert restarts.failed(5.0) is not None
    assert restarts.failed(9.9) is None


def test_a_restart_is_forgotten_after_the_period_and_the_backoff_starts_afresh() -> None:
    restarts = Restarts(Supervision(max_restarts=2, period=10, backoff=0.1))
    assert [restarts.failed(0.0), restarts.failed(0.0), restarts.failed(10.0)] == [0.1, 0.2, 0.1]


def test_no_restarts_at_all_may_be_the_rule() -> None:
    assert Restarts(Supervision(max_restarts=0)).failed(0.0) is None


def test_very_many_restarts_overflow_nothing() -> None:
    restarts = Restarts(Supervision(max_restarts=10_000, backoff=0.1, backoff_max=5.0))
    assert [restarts.failed(0.0) for _ in range(3000)][-1] == 5.0


def test_any_number_may_be_allowed_and_few_are_remembered() -> None:
    restarts = Restarts(Supervision(max_restarts=None, period=60, backoff=0.1, backoff_max=1.0))
    assert [restarts.failed(0.0) for _ in range(3000)][-1] == 1.0
    assert len(restarts._recent) < 100


@pytest.mark.parametrize(
    "numbers", [{"max_restarts": -1}, {"period": 0}, {"backoff": -1}, {"backoff": 2, "backoff_max": 1}]
)
def test_senseless_numbers_are_refused(numbers: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Supervision(**numbers)  # type: ignore[arg-type]


@given(st.lists(st.floats(0, 100)), st.integers(0, 5), st.floats(0.1, 50))
def test_there_are_never_more_restarts_than_allowed_in_any_period(
    pauses: list[float], allowed: int, period: float
) -> None:
    restarts, now, granted = Restarts(Supervision(max_restarts=allowed, period=period)), 0.0, []
    for pause in pauses:
        now += pause
        if restarts.failed(now) is not None:
            granted.append(now)
        assert sum(1 for moment in granted if now - moment < period) <= allowed
