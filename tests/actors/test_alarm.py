from __future__ import annotations

from actors.alarm import ALARM_PAUSE, BURST, REMEMBERED, RETRY_PAUSE, SOURCE_PAUSE, Alarm, SourceAlarms


def test_a_line_about_a_source_is_a_warning_when_it_is_due() -> None:
    alarms = SourceAlarms()
    assert alarms.level("one", 0.0) == ("WARNING", "")
    assert alarms.level("one", 0.0) == ("DEBUG", "")
    assert alarms.level(None, 0.0) == ("DEBUG", "")
    assert alarms.level("one", SOURCE_PAUSE) == ("WARNING", " (1 more were not told)")


def test_the_first_is_worth_a_warning_and_then_one_in_a_while() -> None:
    alarm = Alarm()
    assert [alarm.is_due(now) for now in (5.0, 5.0, 5.0 + ALARM_PAUSE / 2, 5.0 + ALARM_PAUSE)] == [
        True, False, False, True,
    ]  # fmt: skip


def test_a_source_is_warned_about_once_in_its_pause() -> None:
    alarms = SourceAlarms()
    assert [alarms.is_due("one", now) for now in (0.0, 0.5, SOURCE_PAUSE, SOURCE_PAUSE + 0.1)] == [
        True,
        False,
        True,
        False,
    ]
    assert alarms.told() == " (2 more were not told)"
    assert alarms.told() == ""


def test_invented_sources_share_a_bound() -> None:
    alarms = SourceAlarms()
    assert sum(alarms.is_due(source, 0.0) for source in range(10_000)) == BURST
    assert len(alarms._warned) == BURST
    assert alarms.is_due("another", SOURCE_PAUSE)


def test_what_is_tried_again_is_warned_about_once_in_a_longer_pause() -> None:
    alarms = SourceAlarms(RETRY_PAUSE)
    assert [alarms.is_due("one", float(second)) for second in range(11)] == [True] + [False] * 10
    assert alarms.is_due("another", 10.5)
    assert alarms.told() == " (10 more were not told)"
    assert alarms.is_due("one", RETRY_PAUSE)


def test_a_longer_pause_remembers_no_more_sources_than_its_bound() -> None:
    alarms = SourceAlarms(RETRY_PAUSE)
    for number in range(10 * REMEMBERED):
        assert alarms.is_due(number, float(number))
    assert len(alarms._recent) == REMEMBERED
