from __future__ import annotations

from actors.alarm import ALARM_PAUSE, Alarm


def test_the_first_is_worth_a_warning_and_then_one_in_a_while() -> None:
    alarm = Alarm()
    assert [alarm.is_due(now) for now in (5.0, 5.0, 5.0 + ALARM_PAUSE / 2, 5.0 + ALARM_PAUSE)] == [
        True, False, False, True,
    ]  # fmt: skip
