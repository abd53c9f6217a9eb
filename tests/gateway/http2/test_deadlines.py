from __future__ import annotations

from dataclasses import replace

from gateway.http2.deadlines import Deadlines, Due
from gateway.http2.limits import Limits

PLAIN = Limits(handshake_timeout=10, idle_timeout=None, stall_timeout=None)


def opened(limits: Limits, *, stream: bool = True) -> Deadlines:
    deadlines = Deadlines(limits, 0.0, age_factor=1.0)
    deadlines.established = True
    if stream:
        deadlines.stream_opened(0.0)
    return deadlines


def test_nothing_is_due_without_limits() -> None:
    assert opened(PLAIN).next() is None


def test_the_handshake() -> None:
    deadlines = Deadlines(PLAIN, 5.0, age_factor=1.0)
    assert deadlines.next() == 15.0
    assert deadlines.due(14.9) == []
    assert deadlines.due(15.0) == [Due.HANDSHAKE]
    deadlines.established = True
    assert deadlines.next() is None


def test_a_ping_waits_for_silence_and_an_answer_is_anything() -> None:
    deadlines = opened(replace(PLAIN, keepalive_interval=60, keepalive_timeout=5))
    deadlines.last_read = 30.0
    assert deadlines.due(60.0) == []
    assert deadlines.next() == 90.0
    assert deadlines.due(90.0) == [Due.PING]
    assert deadlines.next() == 95.0
    deadlines.last_read = 92.0
    assert deadlines.due(95.0) == []
    assert deadlines.next() == 152.0
    assert deadlines.due(152.0) == [Due.PING]
    assert deadlines.due(157.0) == [Due.DEAD]


def test_idleness_counts_only_without_streams() -> None:
    deadlines = opened(replace(PLAIN, idle_timeout=100), stream=False)
    assert deadlines.next() == 100.0
    deadlines.stream_opened(50.0)
    assert deadlines.next() is None
    deadlines.idle_since = 70.0
    assert deadlines.due(169.9) == []
    assert deadlines.due(170.0) == [Due.IDLE]


def test_stalls_are_looked_for_twice_per_timeout() -> None:
    deadlines = opened(replace(PLAIN, stall_timeout=40))
    assert deadlines.due(20.0) == [Due.CHECK]
    assert deadlines.next() == 40.0


def test_age_and_the_steps_of_going_away_are_due_once() -> None:
    deadlines = Deadlines(replace(PLAIN, max_age=100), 0.0, age_factor=1.1)
    deadlines.established = True
    assert deadlines.due(109.0) == []
    assert deadlines.due(111.0) == [Due.AGE]
    deadlines.last_call_at, deadlines.grace_at = 112.0, 113.0
    assert deadlines.due(120.0) == [Due.LAST_CALL, Due.GRACE]
    assert deadlines.next() is None


def test_a_blocked_socket() -> None:
    deadlines = opened(replace(PLAIN, stall_timeout=40), stream=False)
    deadlines.blocked_since = 10.0
    assert deadlines.due(49.0) == []
    assert deadlines.due(50.0) == [Due.BLOCKED]
