from __future__ import annotations

import pytest

from actors.errors import MessageLost
from actors.messages.wire import (
    ACKNOWLEDGES,
    PUBLISH_TO,
    SINCE,
    TRUE,
    MessageType,
    Payload,
    SessionKind,
    SessionMessage,
)
from actors.names import Name
from actors.session.beginnings import mark
from actors.session.bounds import WIDEST_GAP
from actors.session.receiver import (
    DIRECT_KNOWN,
    HELD,
    HELD_BYTES,
    INBOX_BYTES,
    DataReceiver,
    PayloadCipher,
)
from actors.session.retry import ResendPolicy
from actors.session.serial import MASK
from actors.session.turn import Turn
from identity.errors import CryptoError, SlimError

ME, BOB, CAROL = Name("o", "n", "me", 1), Name("o", "n", "bob", 2), Name("o", "n", "carol", 3)
ROOM = Name("o", "n", "room")
GROUP = SessionKind.MULTICAST
MSG, ACK, RTX, REPLY = MessageType.MSG, MessageType.MSG_ACK, MessageType.RTX_REQUEST, MessageType.RTX_REPLY


class Ear:
    """A receiver and what came out of it."""

    def __init__(
        self,
        *,
        space: int = 100_000,
        reliable: bool = True,
        from_start: bool = True,
        cipher: PayloadCipher | None = None,
    ) -> None:
        policy = ResendPolicy(1.0, 1) if reliable else None
        self.receiver = DataReceiver(ME, GROUP, 7, space=space, policy=policy, cipher=cipher)
        self.turn = Turn()
        self.receiver.admit(BOB, from_start=from_start)

    def hear(self, *ids: int, kind: MessageType = MSG, source: Name = BOB, **fields: object) -> Ear:
        for id in ids:
            fields = {"metadata": None, "error": False, **fields}
            message = SessionMessage(source, ME, GROUP, kind, 7, id, Payload("", b"%d" % id), connection=4)
            message = message._replace(**fields)
            take = self.receiver.message if kind is MSG else self.receiver.reply
            take(message, self.turn)
        return self

    def expire(self, now: float) -> Ear:
        self.turn.now = now
        self.receiver.expire(self.turn)
        return self

    def taken(self, count: int) -> Ear:
        self.receiver.taken(count, self.turn)
        return self

    @property
    def heard(self) -> list[int | str]:
        return [i.message_id if isinstance(i, SessionMessage) else type(i).__name__ for i in self.items]

    @property
    def items(self) -> list[SessionMessage | SlimError]:
        return self.turn.items

    @property
    def out(self) -> list[SessionMessage]:
        return [effect for effect in self.turn.effects if isinstance(effect, SessionMessage)]

    def sent(self, kind: MessageType) -> list[int]:
        return [message.message_id for message in self.out if message.kind is kind]


def test_in_order_is_delivered_and_acknowledged() -> None:
    ear = Ear().hear(1, 2, 3)
    assert ear.heard == [1, 2, 3]
    assert ear.sent(ACK) == [1, 2, 3]
    ack = ear.out[0]
    assert (ack.source, ack.destination, ack.fanout, ack.content, ack.metadata, ack.connection) == (
        ME, BOB, 1, Payload(), None, 4,
    )  # fmt: skip


def test_a_stream_may_be_joined_late_and_earlier_messages_are_not_claimed() -> None:
    ear = Ear(from_start=False).hear(40, 41, 39, destination=ROOM)
    assert ear.heard == [40, 41]
    assert ear.sent(ACK) == [40, 41]


def test_what_was_missed_while_coming_in_is_taken_when_it_is_sent_to_us_alone() -> None:
    ear = Ear(from_start=False).hear(40, 39, 39, 41)
    assert ear.heard == [40, 39, 41]
    assert ear.sent(ACK) == [40, 39, 39, 41]


def test_a_new_member_that_is_told_where_it_begins_asks_for_what_it_lacks() -> None:
    since = {SINCE: mark({ME: 38, CAROL: 12}, 40), "k": "v"}
    ear = Ear(from_start=False).hear(40, destination=ROOM, metadata=since)
    assert (ear.heard, ear.sent(RTX), ear.sent(ACK)) == ([], [38, 39], [40])
    ear.hear(39, 37, 38, metadata=since)
    assert ear.heard == [37, 38, 39, 40]
    assert [item.metadata for item in ear.items] == [{"k": "v"}] * 4  # type: ignore[union-attr]
    ear.hear(41, destination=ROOM, metadata={SINCE: mark({ME: 30}, 41)})
    assert ear.heard[-1] == 41
    assert ear.items[-1].metadata is None  # type: ignore[union-attr]


@pytest.mark.parametrize("since", ["", "x", mark({CAROL: 38}, 40), mark({ME: 41}, 40), mark({ME: 1}, 40)[1:]])
def test_what_does_not_tell_where_we_begin_changes_nothing(since: str) -> None:
    ear = Ear(from_start=False).hear(40, destination=ROOM, metadata={SINCE: since})
    assert (ear.heard, ear.sent(RTX)) == ([40], [])


def test_a_beginning_too_far_back_is_not_believed() -> None:
    ear = Ear(from_start=False).hear(WIDEST_GAP + 1, metadata={SINCE: mark({ME: 1}, WIDEST_GAP + 1)})
    assert (ear.heard, ear.sent(RTX)) == ([WIDEST_GAP + 1], [])


def test_what_is_gone_from_before_our_beginning_is_no_loss() -> None:
    since = {SINCE: mark({ME: 44}, 41)}
    ear = Ear(from_start=False).hear(40, 42, 45, destination=ROOM)
    ear.hear(41, kind=REPLY, error=True, metadata=since)
    assert ear.heard == [40, 42]
    ear.hear(43, 44, kind=REPLY, error=True)
    assert ear.heard == [40, 42, "MessageLost", 45]
    assert ear.sent(ACK) == [40, 42, 45]
    ear.hear(41, destination=ROOM)
    assert ear.sent(ACK) == [40, 42, 45]


def test_the_first_message_of_a_known_stream_may_come_second() -> None:
    ear = Ear().hear(2, 1)
    assert ear.heard == [1, 2]
    assert ear.sent(RTX) == [1]


def test_duplicates_are_acknowledged_and_not_delivered() -> None:
    ear = Ear().hear(1, 2, 1, 2, 4, 4)
    assert ear.heard == [1, 2]
    assert ear.sent(ACK) == [1, 2, 1, 2, 4, 4]


def test_a_gap_is_asked_for_once_and_filled_in_order() -> None:
    ear = Ear().hear(1, 4, 6, 5)
    assert ear.sent(RTX) == [2, 3, 5]
    assert ear.heard == [1]
    ear.hear(3, kind=REPLY).hear(2, kind=REPLY)
    assert ear.heard == [1, 2, 3, 4, 5, 6]
    assert ear.sent(ACK) == [1, 4, 6, 5]


def test_a_late_message_fills_its_hole_too() -> None:
    ear = Ear().hear(1, 3, 2)
    assert ear.heard == [1, 2, 3]
    assert ear.receiver._streams[BOB].requests == {}


def test_a_reply_delivers_as_a_message() -> None:
    ear = Ear().hear(1, 3).hear(2, kind=REPLY)
    assert isinstance(ear.items[1], SessionMessage)
    assert ear.items[1].kind is MSG


def test_replies_nobody_asked_for_are_ignored() -> None:
    ear = Ear().hear(1).hear(2, 9, kind=REPLY)
    assert ear.heard == [1]
    assert ear.sent(ACK) == [1]


def test_what_its_sender_no_longer_has_is_lost_and_the_stream_goes_on() -> None:
    ear = Ear().hear(1, 4).hear(2, kind=REPLY, error=True).hear(3, kind=REPLY)
    assert ear.heard == [1, "MessageLost", 3, 4]
    lost = ear.items[1]
    assert isinstance(lost, MessageLost)
    assert "message lost: 7" in str(lost)
    assert lost.message_id == 2


def test_requests_are_repeated_and_then_the_message_is_lost() -> None:
    ear = Ear().hear(1, 3)
    assert ear.receiver.next_deadline() == 1.0
    assert ear.expire(1.0).sent(RTX) == [2, 2]
    assert ear.expire(2.0).heard == [1, "MessageLost", 3]
    assert ear.receiver.next_deadline() is None
    assert ear.hear(4).heard[-1] == 4


def test_a_message_that_was_given_up_behind_another_hole_may_still_come() -> None:
    ear = Ear().hear(1, 4).hear(3, kind=REPLY, error=True)
    assert ear.hear(3).hear(2).heard == [1, 2, 3, 4]


def test_ids_wrap() -> None:
    ear = Ear(from_start=False).hear(MASK - 1, MASK, 0, 2, 1)
    assert ear.heard == [MASK - 1, MASK, 0, 1, 2]
    assert ear.sent(RTX) == [1]


def test_a_jump_beyond_the_reorder_bound_costs_the_oldest_holes() -> None:
    ear = Ear().hear(1, 3, 2 + WIDEST_GAP + 1)
    assert ear.heard[:3] == [1, "MessageLost", 3]
    assert len(ear.receiver._streams[BOB].requests) < WIDEST_GAP
    far = Ear().hear(1, 2**29)
    assert far.heard == [1, "MessageLost"]
    assert len(far.sent(RTX)) == WIDEST_GAP - 1


def test_strangers_are_not_answered() -> None:
    ear = Ear().hear(1, source=CAROL)
    assert (ear.out, ear.heard, ear.receiver.dropped) == ([], [], 1)


def test_who_goes_leaves_what_it_said_behind_a_hole() -> None:
    ear = Ear().hear(1, 3, 6)
    ear.receiver.expel(BOB, ear.turn)
    assert ear.heard == [1, "MessageLost", 3, "MessageLost", "MessageLost", 6]
    ear.expire(1.0)
    assert ear.sent(RTX) == [2, 4, 5]


def test_the_end_delivers_what_is_acknowledged_though_there_is_no_room() -> None:
    ear = Ear(space=1).hear(1, 2, 5)
    assert (ear.heard, ear.sent(ACK)) == ([1], [1, 5])
    ear.receiver.finish(ear.turn)
    assert ear.heard == [1, 2, "MessageLost", "MessageLost", 5]
    assert ear.receiver.held == 0
    assert ear.hear(6).heard[-1] == 5


def test_a_reply_is_acknowledged_when_its_sender_expects_it_and_the_sign_is_not_delivered() -> None:
    ear = Ear().hear(1, 4)
    assert [m.metadata for m in ear.out if m.kind is RTX] == [{ACKNOWLEDGES: TRUE}] * 2
    ear.hear(2, kind=REPLY)
    assert ear.sent(ACK) == [1, 4]
    ear.hear(3, kind=REPLY, metadata={ACKNOWLEDGES: TRUE, "k": "v"})
    assert ear.sent(ACK) == [1, 4, 3]
    assert ear.heard == [1, 2, 3, 4]
    assert ear.items[2].metadata == {"k": "v"}  # type: ignore[union-attr]


def test_what_was_given_up_as_lost_is_not_acknowledged_when_it_comes_after_all() -> None:
    ear = Ear().hear(1, 3)
    for now in (1.0, 2.0):
        ear.expire(now)
    assert ear.heard == [1, "MessageLost", 3]
    ear.hear(2, 3)
    assert ear.heard == [1, "MessageLost", 3]
    assert ear.sent(ACK) == [1, 3, 3]
    assert ear.receiver.dropped == 1


def test_of_a_wide_gap_nothing_is_acknowledged_later_that_was_given_up() -> None:
    ear = Ear().hear(1, WIDEST_GAP + 10)
    ear.hear(5)
    assert ear.sent(ACK) == [1, WIDEST_GAP + 10]


def test_whoever_comes_back_starts_afresh() -> None:
    ear = Ear().hear(1, 2)
    ear.receiver.expel(BOB, ear.turn)
    ear.receiver.admit(BOB, from_start=True)
    assert ear.hear(1).heard == [1, 2, 1]


def test_best_effort_neither_acknowledges_nor_orders() -> None:
    ear = Ear(reliable=False).hear(5, 3, 9)
    assert ear.heard == [5, 3, 9]
    assert ear.out == []


def test_publish_to_is_unordered_and_acknowledged_by_its_key() -> None:
    ear = Ear().hear(0x9000_0000, 0x8000_0000, 0x9000_0000, metadata={PUBLISH_TO: TRUE, "k": "v"})
    assert ear.heard == [0x9000_0000, 0x8000_0000]
    assert ear.sent(ACK) == [0x9000_0000, 0x8000_0000, 0x9000_0000]
    assert ear.out[0].metadata == {PUBLISH_TO: TRUE}
    assert ear.items[0].metadata == {PUBLISH_TO: TRUE, "k": "v"}  # type: ignore[union-attr]


def test_the_memory_of_direct_ids_is_bounded() -> None:
    ear = Ear().hear(*range(2**31, 2**31 + DIRECT_KNOWN + 10), metadata={PUBLISH_TO: TRUE})
    assert len(ear.receiver._streams[BOB].direct) == DIRECT_KNOWN


# The application is slow.


def test_without_room_messages_are_held_and_not_acknowledged() -> None:
    ear = Ear(space=2).hear(1, 2, 3, 4, 3)
    assert ear.heard == [1, 2]
    assert ear.sent(ACK) == [1, 2]
    ear.taken(1)
    assert ear.heard == [1, 2, 3]
    assert ear.sent(ACK) == [1, 2, 3]
    ear.hear(3, 4)
    assert ear.sent(ACK) == [1, 2, 3, 3]
    ear.taken(5)
    assert ear.heard == [1, 2, 3, 4]


def test_beyond_what_can_be_held_the_sender_keeps_it() -> None:
    ear = Ear(space=0).hear(*range(1, HELD + 100))
    assert ear.receiver.held == HELD
    assert ear.receiver.dropped == 99
    assert ear.out == []
    ear.taken(10_000).hear(*range(HELD + 1, HELD + 100))
    assert ear.heard == list(range(1, HELD + 100))


def test_best_effort_pushes_out_the_oldest() -> None:
    ear = Ear(space=0, reliable=False).hear(*range(1, HELD + 4))
    assert ear.receiver.dropped == 3
    assert ear.taken(1).heard == [4]


def test_order_survives_a_hole_that_is_filled_while_there_is_no_room() -> None:
    ear = Ear(space=1).hear(1, 3, 4, 2, 5)
    assert ear.heard == [1]
    assert ear.taken(9).heard == [1, 2, 3, 4, 5]
    assert sorted(ear.sent(ACK)) == [1, 2, 3, 4, 5]


# Encryption.


def decrypt_once() -> PayloadCipher:
    seen: set[int] = set()

    def open(message: SessionMessage, _: Turn) -> Payload:
        if message.message_id in seen or message.message_id == 66:
            raise CryptoError("no")
        seen.add(message.message_id)
        return Payload("clear", b"clear")

    return PayloadCipher(open, lambda message: True)


def test_duplicates_are_recognised_before_they_are_decrypted() -> None:
    ear = Ear(cipher=decrypt_once()).hear(1, 1, 3, 3, 2)
    assert ear.heard == [1, 2, 3]
    assert ear.sent(ACK) == [1, 1, 3, 3, 2]
    assert ear.receiver.undecryptable == 0


def test_replies_are_decrypted_too() -> None:
    ear = Ear(cipher=decrypt_once()).hear(1, 3).hear(2, kind=REPLY)
    assert all(item.content == Payload("clear", b"clear") for item in ear.items)  # type: ignore[union-attr]


@pytest.mark.parametrize("from_start", [True, False])
def test_what_cannot_be_decrypted_is_not_acknowledged(from_start: bool) -> None:
    ear = Ear(cipher=decrypt_once(), from_start=from_start).hear(66)
    assert (ear.heard, ear.sent(ACK), ear.receiver.undecryptable) == ([], [], 1)


LARGE = Payload("", b"x" * (4 * 1024 * 1024))
"""One object, however often it is received: the test needs no memory."""


def test_large_messages_are_held_when_the_application_takes_none() -> None:
    fit = INBOX_BYTES // len(LARGE.blob)
    ear = Ear().hear(*range(1, fit + 3), content=LARGE)
    assert len(ear.heard) == fit
    assert ear.receiver.held == 2
    assert ear.sent(ACK) == ear.heard
    ear.taken(1)
    assert len(ear.heard) == fit + 1
    ear.taken(fit + 1)
    assert ear.heard == list(range(1, fit + 3)) == ear.sent(ACK)


def test_large_messages_beyond_what_is_held_stay_with_their_sender() -> None:
    fit = INBOX_BYTES // len(LARGE.blob) + HELD_BYTES // len(LARGE.blob)
    ear = Ear().hear(*range(1, fit + 10), content=LARGE)
    assert ear.receiver.bytes == INBOX_BYTES + HELD_BYTES
    assert ear.receiver.dropped == 9
    ear.taken(INBOX_BYTES // len(LARGE.blob)).hear(*range(fit + 1, fit + 10), content=LARGE)
    assert ear.sent(ACK) == list(range(1, fit + 1))
    ear.taken(HELD_BYTES // len(LARGE.blob))
    assert ear.heard == ear.sent(ACK) == list(range(1, fit + 10))
    assert ear.taken(9).receiver.bytes == 0


def test_large_messages_behind_a_hole_are_bounded_and_the_hole_can_be_filled() -> None:
    fit = HELD_BYTES // len(LARGE.blob)
    ear = Ear().hear(*range(2, fit + 10), content=LARGE)
    assert ear.receiver.bytes == HELD_BYTES
    assert ear.heard == []
    ear.hear(1, kind=REPLY)
    assert ear.heard == list(range(1, fit + 2))
    ear.taken(fit + 1)
    assert ear.receiver.bytes == 0


def test_of_who_goes_nothing_is_kept_that_was_not_delivered() -> None:
    ear = Ear().hear(3, 4, content=LARGE)
    ear.receiver.expel(BOB, ear.turn)
    assert ear.heard == ["MessageLost", "MessageLost", 3, 4]
    ear.taken(4)
    assert ear.receiver.bytes == 0


def test_large_best_effort_messages_are_bounded() -> None:
    ear = Ear(reliable=False).hear(*range(1, 100), content=LARGE)
    assert ear.receiver.bytes == INBOX_BYTES + HELD_BYTES
    assert ear.receiver.dropped == 99 - (INBOX_BYTES + HELD_BYTES) // len(LARGE.blob)
