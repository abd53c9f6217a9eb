from __future__ import annotations

from actors.messages.wire import Frame
from actors.names import NO_INSTANCE, key_of
from actors.routing.outbox import HIGH, PATIENCE, Admitted, Outbox

KEY = key_of(1, 2, 3)
DATA = Frame(KEY, NO_INSTANCE, 1, False, b"h", 4, b"data")
CONTROL = Frame(KEY, NO_INSTANCE, 1, True, b"h", 7, b"control")


def test_with_room_everything_is_accepted() -> None:
    assert Outbox().admit([DATA, CONTROL], HIGH - 1, 0) == Admitted([DATA, CONTROL], False, False)


def test_above_the_high_water_mark_the_sender_pauses() -> None:
    outbox = Outbox()
    assert outbox.admit([DATA], HIGH, 0) == Admitted([DATA], True, False)
    assert outbox.congested


def test_after_patience_data_is_dropped_and_counted_and_control_is_not() -> None:
    outbox = Outbox()
    outbox.admit([DATA], HIGH, 0)
    assert outbox.admit([DATA, CONTROL, DATA], HIGH, PATIENCE) == Admitted([CONTROL], False, False)
    assert outbox.dropped == 2


def test_at_the_hard_mark_data_is_dropped_at_once() -> None:
    outbox = Outbox()
    assert outbox.admit([DATA], 4 * HIGH, 0) == Admitted([], True, False)
    assert outbox.dropped == 1


def test_a_peer_that_takes_not_even_control_is_given_up() -> None:
    outbox = Outbox()
    assert not outbox.admit([CONTROL], 8 * HIGH, 0).overwhelmed
    assert outbox.admit([CONTROL], 8 * HIGH, PATIENCE).overwhelmed


def test_draining_is_a_fresh_start() -> None:
    outbox = Outbox()
    outbox.admit([DATA], HIGH, 0)
    outbox.drained()
    assert not outbox.congested
    assert outbox.admit([DATA], HIGH, 100) == Admitted([DATA], True, False)
