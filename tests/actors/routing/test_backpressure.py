"""Why a peer is not read, and until when: the link is the witness."""

from __future__ import annotations

from typing import Any

import pytest

from actors.messages.wire import ONE, Frame, HintReason, SubscriptionAck
from actors.names import Name
from actors.routing.backpressure import Backpressure
from actors.routing.pace import HELD, SendingLimits

BOB = Name("org", "ns", "bob")
FRAMES = (Frame(BOB.key, BOB.instance, ONE, False, b"", 1, b"x"), SubscriptionAck(1, success=True))
LEFT, RIGHT = 2, 3
PATIENCE = 0.25


class WitnessLink:
    peer = "fake"

    def __init__(self) -> None:
        self.reading: list[bool] = []

    def pause(self) -> None:
        self.reading.append(False)

    def resume(self) -> None:
        self.reading.append(True)


class Timer:
    """A wake-up that was asked for."""

    def __init__(self, seconds: float, payload: Any) -> None:
        self.seconds = seconds
        self.payload = payload
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Stage:
    def __init__(self, **limits: int) -> None:
        self.link = WitnessLink()
        self.limits = SendingLimits(**limits)
        self.timers: list[Timer] = []
        self.pressure = Backpressure(1, self.link, self.limits, PATIENCE)

    def after(self, seconds: float, payload: Any) -> Timer:
        self.timers.append(Timer(seconds, payload))
        return self.timers[-1]

    def slow_down(self, now: float = 0.0, *, node: bool = False) -> tuple[bool, HintReason | None]:
        return self.pressure.slow_down(FRAMES, now, self.after, node=node)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_the_peer_waits_once_for_all_that_are_congested(stage: Stage) -> None:
    assert stage.pressure.is_read
    assert [stage.pressure.congested(one, stage.after) for one in (LEFT, RIGHT, LEFT)] == [True, False, False]
    stage.pressure.drained(LEFT)
    assert stage.link.reading == [False]
    assert not stage.pressure.is_read
    stage.pressure.drained(RIGHT)
    stage.pressure.drained(RIGHT)
    assert stage.link.reading == [False, True]
    assert [timer.cancelled for timer in stage.timers] == [True]


def test_the_patience_with_receivers_ends(stage: Stage) -> None:
    stage.pressure.congested(LEFT, stage.after)
    (timer,) = stage.timers
    assert timer.seconds == PATIENCE
    stage.pressure.woken(timer.payload)
    assert stage.link.reading == [False, True]
    # The receiver is forgotten: congested once more, it makes the peer wait anew.
    assert stage.pressure.congested(LEFT, stage.after)


def test_the_table_is_asked_for_one_echo_at_a_time(stage: Stage) -> None:
    assert [stage.pressure.await_table() for _ in range(2)] == [True, False]
    stage.pressure.echoed()
    assert stage.link.reading == [False, True]
    assert stage.pressure.await_table()


def test_who_sends_too_fast_waits_as_long_as_its_pace_says() -> None:
    stage = Stage(messages_per_second=1)
    assert stage.slow_down() == (True, HintReason.TOO_FAST)
    (timer,) = stage.timers
    assert timer.seconds == 1.0
    # What was read before is there still; nobody is told, or stopped, twice.
    assert stage.slow_down() == (False, None)
    assert stage.limits.slowed["messages_per_second"] == 1
    stage.pressure.woken(timer.payload)
    assert stage.link.reading == [False, True]


def test_why_is_told_now_and_then() -> None:
    stage = Stage(bytes_per_second=1)
    told = []
    for now in (0.0, 5.0, 10.0):
        told.append(stage.pressure.slow_down(FRAMES * 1000, now, stage.after, node=False))
        stage.pressure.woken(stage.timers[-1].payload)
    assert told == [(True, HintReason.TOO_FAST), (True, None), (True, HintReason.TOO_FAST)]


def test_a_node_is_slowed_for_memory_alone() -> None:
    stage = Stage(messages_per_second=1)
    assert stage.slow_down(node=True) == (False, None)
    stage.limits.hold_back(yes=True)
    assert stage.slow_down(node=True) == (True, HintReason.MEMORY)
    assert stage.timers[-1].seconds == HELD


@pytest.mark.parametrize("first", ["receivers", "table", "pace"])
def test_it_is_read_when_nothing_holds_it_up_any_more(first: str) -> None:
    stage = Stage(messages_per_second=1)
    stage.pressure.congested(LEFT, stage.after)
    stage.pressure.await_table()
    stage.slow_down()
    ends = {
        "receivers": lambda: stage.pressure.drained(LEFT),
        "table": stage.pressure.echoed,
        "pace": lambda: stage.pressure.woken(stage.timers[-1].payload),
    }
    ends.pop(first)()
    for end in ends.values():
        assert not stage.pressure.is_read
        end()
    assert stage.pressure.is_read
    assert stage.link.reading == [False, False, False, True]
