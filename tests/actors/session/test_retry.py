from __future__ import annotations

from actors.session.retry import CONTROL, Attempt, ResendPolicy, Review, control_policy, data_policy, review


def test_data_is_tried_again_only_when_both_values_are_given() -> None:
    assert data_policy(2.0, 3) == ResendPolicy(2.0, 3)
    assert data_policy(2.0, 0) == ResendPolicy(2.0, 0)
    assert data_policy(2.0, None) is data_policy(None, 3) is data_policy(None, None) is None


def test_control_always_is() -> None:
    assert control_policy(None, None) == CONTROL == ResendPolicy(1.0, 10)
    assert control_policy(2.0, None) == ResendPolicy(2.0, 10)
    assert control_policy(None, 0) == ResendPolicy(1.0, 0)


def test_one_attempt_for_each_retry_then_it_has_failed() -> None:
    attempt = Attempt(ResendPolicy(2.0, 2), 10.0)
    assert attempt.deadline == 12.0
    assert review([attempt], 11.9) == Review([], [], 12.0)
    assert review([attempt], 12.0) == Review([attempt], [], 14.0)
    assert review([attempt], 14.5) == Review([attempt], [], 16.5)
    assert review([attempt], 16.5) == Review([], [attempt], None)


def test_each_keeps_the_policy_that_it_began_with_and_the_earliest_counts() -> None:
    slow, quick, spent = (Attempt(ResendPolicy(*values), 0.0) for values in ((5.0, 1), (1.0, 3), (1.0, 0)))
    assert review([slow, quick, spent], 1.0) == Review([quick], [spent], 2.0)
    assert review([slow, quick], 5.0) == Review([slow, quick], [], 6.0)
