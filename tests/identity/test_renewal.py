"""When tokens are renewed and failures are tried again: decisions, with a clock that is a number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import renewal
from identity.renewal import RenewalSchedule, backoff


def test_a_token_is_replaced_after_two_thirds_of_its_life() -> None:
    assert RenewalSchedule().renewed(1000.0, 1300.0) == pytest.approx(200.0)
    assert RenewalSchedule().renewed(1000.0, 1000.0) == 0.1
    assert RenewalSchedule().renewed(1000.0, 999.0) == 1.0


def test_failures_back_off_and_stay_within_the_life_of_the_token() -> None:
    schedule = RenewalSchedule()
    schedule.renewed(0.0, 100_000.0)
    assert [schedule.failed(10.0) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert schedule.failed(100_000.0 - 10.0) == pytest.approx(9.0)
    assert schedule.failed(200_000.0) == 1.0


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(0, 200))
def test_the_next_attempt_always_comes_before_the_end(now: float, life: float, failures: int) -> None:
    schedule = RenewalSchedule()
    assert schedule.renewed(now, now + life) <= max(0.1, life)
    for _ in range(failures):
        pause = schedule.failed(now)
        assert 0.1 <= pause <= 30.0
        assert pause <= max(0.1, 0.91 * life) or life == 0 or pause == 1.0


def test_of_many_failures_few_are_told() -> None:
    schedule = RenewalSchedule()
    told = []
    for number in range(1, 1001):
        schedule.failed(0.0)
        if schedule.is_told:
            told.append(number)
    assert told == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    schedule.renewed(0.0, 10.0)
    schedule.failed(0.0)
    assert schedule.is_told


async def test_a_pause_is_over_when_the_clock_says_so_or_its_seconds_have_gone_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passed = now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal passed, now
        passed += seconds
        if passed == 10.0:
            now = 7200.0

    monkeypatch.setattr(renewal.asyncio, "sleep", sleep)
    schedule = RenewalSchedule()
    await schedule.wait(schedule.renewed(now, 3600.0), lambda: now)
    assert passed == 10.0
    await schedule.wait(schedule.renewed(now, now + 18.0), lambda: -7200.0)
    assert passed == 22.0


def test_a_success_starts_the_pauses_again() -> None:
    schedule = RenewalSchedule()
    schedule.renewed(0.0, 1000.0)
    schedule.failed(1.0)
    schedule.failed(2.0)
    assert schedule.failures == 2
    schedule.renewed(3.0, 1000.0)
    assert (schedule.failures, schedule.failed(4.0)) == (0, 1.0)


def test_pauses_double_up_to_the_longest() -> None:
    assert [backoff(n, 0.05, 1.6) for n in range(1, 8)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 1.6]
    assert backoff(100_000, 1.0, 30.0) == 30.0
    assert backoff(3, 1.0, 30.0, factor=1) == 1.0
