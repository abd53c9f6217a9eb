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


class Scene:
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
def scene() -> Scene:
    return Scene()


def test_the_peer_waits_once_for_all_that_are_congested(scene: Scene) -> None:
    assert scene.pressure.is_read
    assert [scene.pressure.congested(one, scene.after) for one in (LEFT, RIGHT, LEFT)] == [True, False, False]
    scene.pressure.drained(LEFT)
    assert scene.link.reading == [False]
    assert not scene.pressure.is_read
    scene.pressure.drained(RIGHT)
    scene.pressure.drained(RIGHT)
    assert scene.link.reading == [False, True]
    assert [timer.cancelled for timer in scene.timers] == [True]


def test_the_patience_with_receivers_ends(scene: Scene) -> None:
    scene.pressure.congested(LEFT, scene.after)
    (timer,) = scene.timers
    assert timer.seconds == PATIENCE
    scene.pressure.woken(timer.payload)
    assert scene.link.reading == [False, True]
    # The receiver is forgotten: congested once more, it makes the peer wait anew.
    assert scene.pressure.congested(LEFT, scene.after)


def test_the_table_is_asked_for_one_echo_at_a_time(scene: Scene) -> None:
    assert [scene.pressure.await_table() for _ in range(2)] == [True, False]
    scene.pressure.echoed()
    assert scene.link.reading == [False, True]
    assert scene.pressure.await_table()


def test_who_sends_too_fast_waits_as_long_as_its_pace_says() -> None:
    scene = Scene(messages_per_second=1)
    assert scene.slow_down() == (True, HintReason.TOO_FAST)
    (timer,) = scene.timers
    assert timer.seconds == 1.0
    # What was read before is there still; nobody is told, or stopped, twice.
    assert scene.slow_down() == (False, None)
    assert scene.limits.slowed["messages_per_second"] == 1
    scene.pressure.woken(timer.payload)
    assert scene.link.reading == [False, True]


def test_why_is_told_now_and_then() -> None:
    scene = Scene(bytes_per_second=1)
    told = []
    for now in (0.0, 5.0, 10.0):
        told.append(scene.pressure.slow_down(FRAMES * 1000, now, scene.after, node=False))
        scene.pressure.woken(scene.timers[-1].payload)
    assert told == [(True, HintReason.TOO_FAST), (True, None), (True, HintReason.TOO_FAST)]


def test_a_node_is_slowed_for_memory_alone() -> None:
    scene = Scene(messages_per_second=1)
    assert scene.slow_down(node=True) == (False, None)
    scene.limits.hold_back(yes=True)
    assert scene.slow_down(node=True) == (True, HintReason.MEMORY)
    assert scene.timers[-1].seconds == HELD


@pytest.mark.parametrize("first", ["receivers", "table", "pace"])
def test_it_is_read_when_nothing_holds_it_up_any_more(first: str) -> None:
    scene = Scene(messages_per_second=1)
    scene.pressure.congested(LEFT, scene.after)
    scene.pressure.await_table()
    scene.slow_down()
    ends = {
        "receivers": lambda: scene.pressure.drained(LEFT),
        "table": scene.pressure.echoed,
        "pace": lambda: scene.pressure.woken(scene.timers[-1].payload),
    }
    ends.pop(first)()
    for end in ends.values():
        assert not scene.pressure.is_read
        end()
    assert scene.pressure.is_read
    assert scene.link.reading == [False, False, False, True]
