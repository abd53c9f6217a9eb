"""What somebody sees who looks at messages: where each goes, or why it does not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from actors.messages.routing import FramesIn, LinkLost, LinkRestored
from actors.messages.wire import ALL, Frame, Hint, HintReason
from actors.names import Name
from actors.routing.tap import left_out
from tests.actors.routing.test_connection import BOB, HIGH, LEFT, ME, RIGHT, Stage, data

ALICE = Name("org", "ns", "alice", 7)


class Looking:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, Frame, tuple[int, ...]]] = []
        self.lost: list[tuple[int, list[Frame], str]] = []

    def routed(self, connection: int, frame: Frame, targets: Sequence[int]) -> None:
        self.seen.append((connection, frame, tuple(targets)))

    def dropped(self, connection: int, frames: Sequence[Frame], cause: str) -> None:
        self.lost.append((connection, list(frames), cause))


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    yield made
    await made.system.shutdown(1.0)


@pytest.fixture
def tap(stage: Stage) -> Looking:
    made = stage.routes.view.tap = Looking()
    return made


async def test_each_message_is_told_with_its_targets(stage: Stage, tap: Looking) -> None:
    await stage.attached(LEFT, RIGHT)
    first, second = data(b"1"), data(b"2", ALL)
    await stage.tell(FramesIn((first, second)))
    (one, copies) = tap.seen
    assert one in [(ME, first, (LEFT,)), (ME, first, (RIGHT,))]
    assert copies == (ME, second, (LEFT, RIGHT))


async def test_a_message_for_nobody_is_told_too(stage: Stage, tap: Looking) -> None:
    await stage.attached()
    await stage.tell(FramesIn((data(),)))
    assert tap.seen == [(ME, data(), ())]


async def test_what_a_slow_receiver_does_not_take_is_told(stage: Stage, tap: Looking) -> None:
    await stage.attached()
    stage.link.backlog = 2 * HIGH
    await stage.tell(stage.forward(data()))
    stage.now = 1.0
    await stage.tell(stage.forward(data(b"late")))
    assert tap.lost == [(ME, [data(b"late")], "the receiver has been slow for too long")]


async def test_what_is_too_large_is_told(stage: Stage, tap: Looking) -> None:
    await stage.attached()
    await stage.tell(stage.forward(data(b"x" * 101), data()))
    assert tap.lost == [(ME, [data(b"x" * 101)], "larger than the 100 bytes that the link takes")]


async def test_what_goes_to_a_link_that_is_down_is_told(stage: Stage, tap: Looking) -> None:
    await stage.attached()
    await stage.tell(LinkLost("cut"), stage.forward(data()))
    assert tap.lost == [(ME, [data()], "the link is down: cut")]
    await stage.tell(LinkRestored(), stage.forward(data()))
    assert len(tap.lost) == 1


def test_what_is_left_out_is_found_by_identity() -> None:
    one, same = data(), data()
    assert left_out([one, same], [same]) == [one]
    assert left_out([one], [one]) == []


# What applications say of one another


async def test_why_an_application_refuses_is_remembered(stage: Stage) -> None:
    await stage.attached(ME)
    await stage.tell(FramesIn((Hint(HintReason.SECRET, BOB, ALICE),)))
    (told,) = stage.routes.view.past.told(ALICE.key, BOB.key, 0.0)
    assert (told.about, told.of, told.reason) == (BOB, ALICE, HintReason.SECRET)


async def test_nobody_speaks_for_another(stage: Stage) -> None:
    await stage.attached(LEFT)
    await stage.tell(FramesIn((Hint(HintReason.SECRET, BOB, ALICE),)))
    assert stage.routes.view.past.told(ALICE.key, BOB.key, 0.0) == []


async def test_refusals_are_taken_no_faster_than_they_are_passed_on(stage: Stage) -> None:
    await stage.attached(ME)
    hints = [Hint(HintReason.SECRET, BOB, ALICE.with_id(id)) for id in range(100)]
    await stage.tell(FramesIn(tuple(hints)))
    assert stage.routes.view.past.figures()["told"] == 1
