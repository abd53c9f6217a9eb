from __future__ import annotations

import random

from actors.errors import MessageUndelivered, NoRoute, SessionClosed
from actors.messages.session import Outgoing
from actors.messages.wire import ALL, ONE, PUBLISH_TO, TRUE, MessageType, Payload, SessionKind, SessionMessage
from actors.names import Name
from actors.session.sender import RING, DataSender
from actors.session.serial import MASK
from identity.errors import AuthError

ME, BOB, CAROL = Name("o", "n", "me", 1), Name("o", "n", "bob", 2), Name("o", "n", "carol", 3)
ROOM = Name("o", "n", "room")


def sender(
    destination: Name = BOB, *, reliable: bool = True, endpoints: tuple[Name, ...] = (BOB,)
) -> DataSender:
    kind = SessionKind.MULTICAST if destination == ROOM else SessionKind.POINT_TO_POINT
    timers = {"interval": 1.0, "max_retries": 2} if reliable else {}
    made = DataSender(ME, destination, kind, 7, random.Random(1).randrange, **timers)
    made.endpoints.update(endpoints)
    return made


def publish(
    sender: DataSender, *blobs: bytes, now: float = 0.0, handle: int | None = None
) -> list[SessionMessage]:
    out: list[SessionMessage] = []
    for blob in blobs:
        sender.publish(Outgoing(blob, handle=handle), blob, now, out)
    return out


def expire(sender: DataSender, now: float) -> list[SessionMessage]:
    out: list[SessionMessage] = []
    sender.expire(now, out)
    return out


def request(id: int, source: Name = BOB) -> SessionMessage:
    return SessionMessage(
        source, ME, SessionKind.POINT_TO_POINT, MessageType.RTX_REQUEST, 7, id, Payload(), connection=4
    )


def test_ids_begin_at_one_and_wrap_to_zero() -> None:
    s = sender(reliable=False)
    assert [m.message_id for m in publish(s, b"a", b"b")] == [1, 2]
    s._next_id = MASK
    assert [m.message_id for m in publish(s, b"c", b"d", b"e")] == [MASK, 0, 1]


def test_best_effort_completes_at_once_and_keeps_nothing() -> None:
    s = sender(reliable=False)
    publish(s, b"a", handle=5)
    assert (s.done, s.freed, s.unacknowledged, s.next_deadline()) == ([5], 1, 0, None)


def test_a_group_message_goes_to_the_channel_and_awaits_every_member() -> None:
    s = sender(ROOM, endpoints=(BOB, CAROL))
    (message,) = publish(s, b"a", handle=5)
    assert (message.destination, message.fanout) == (ROOM, ALL)
    s.acknowledged(BOB, 1)
    s.acknowledged(BOB, 1)
    assert s.done == []
    s.acknowledged(CAROL, 1)
    assert s.done == [5]


def test_retries_go_to_each_who_is_missing_with_the_same_id_and_fanout() -> None:
    s = sender(ROOM, endpoints=(BOB, CAROL))
    (message,) = publish(s, b"a")
    s.acknowledged(BOB, 1)
    assert s.next_deadline() == 1.0
    assert expire(s, 1.0) == [message._replace(destination=CAROL)]


def test_after_the_last_retry_the_message_fails_and_names_who_is_missing() -> None:
    s = sender()
    publish(s, b"a", handle=5)
    assert [len(expire(s, t)) for t in (1.0, 2.0, 3.0)] == [1, 1, 0]
    (failure,) = s.failed
    assert isinstance(failure.error, MessageUndelivered)
    assert failure.error.missing == (str(BOB),)
    assert "error send message 1. stop retrying" in str(failure.error)
    assert "message send retries exhausted for id=1" in str(failure.error)
    assert s.errors == [failure.error]
    assert (s.freed, s.next_deadline()) == (1, None)


def test_the_deadline_is_the_windows_and_an_acknowledgement_leaves_it_alone() -> None:
    s = sender()
    publish(s, b"a", now=0.0)
    publish(s, b"b", now=0.5)
    s.acknowledged(BOB, 1)
    assert s.next_deadline() == 1.0
    assert expire(s, 1.0) == []
    assert s.next_deadline() == 1.5
    assert [m.message_id for m in expire(s, 1.5)] == [2]


def test_new_timers_are_for_new_messages_only() -> None:
    s = sender()
    publish(s, b"a", now=0.0)
    s.set_timers(0.1, 2)
    publish(s, b"b", now=0.0)
    assert [m.message_id for m in expire(s, 0.1)] == [2]
    assert [m.message_id for m in expire(s, 1.0)] == [1, 2]


def test_a_request_is_answered_from_the_ring_and_counts_as_acknowledgement() -> None:
    s = sender()
    (message,) = publish(s, b"a", handle=5)
    out: list[SessionMessage] = []
    s.retransmit(request(1), out)
    s.retransmit(request(1), out)
    reply = message._replace(kind=MessageType.RTX_REPLY, connection=4)
    assert out == [reply, reply]
    assert s.done == [5]


def test_a_request_for_what_left_the_ring_is_answered_with_an_error() -> None:
    s = sender()
    for number in range(RING + 1):
        publish(s, b"%d" % number)
        s.acknowledged(BOB, number + 1)
    out: list[SessionMessage] = []
    s.retransmit(request(1), out)
    (reply,) = out
    assert (reply.kind, reply.error, reply.message_id, reply.content) == (
        MessageType.RTX_REPLY, True, 1, Payload(),
    )  # fmt: skip
    assert (reply.source, reply.destination, reply.connection) == (ME, BOB, 4)


def test_publish_to_has_its_own_ids_and_one_addressee() -> None:
    s = sender(ROOM, endpoints=(BOB, CAROL))
    out: list[SessionMessage] = []
    s.publish(Outgoing(b"x", to=BOB, connection=9, metadata={"k": "v"}), b"x", 0.0, out)
    (message,) = out
    assert 0x8000_0000 <= message.message_id <= 0xFFFF_FFFE
    assert (message.destination, message.fanout, message.connection) == (BOB, ONE, 9)
    assert message.metadata == {"k": "v", PUBLISH_TO: TRUE}
    assert publish(s, b"y")[0].message_id == 1
    s.acknowledged(BOB, message.message_id)
    assert s.unacknowledged == 1


def test_point_to_point_ignores_publish_to_and_strips_its_key() -> None:
    s = sender()
    out: list[SessionMessage] = []
    s.publish(Outgoing(b"x", to=CAROL, metadata={PUBLISH_TO: TRUE}), b"x", 0.0, out)
    assert (out[0].destination, out[0].metadata, out[0].message_id) == (BOB, None, 1)


def test_a_member_that_goes_is_expected_no_more() -> None:
    s = sender(ROOM, endpoints=(BOB, CAROL))
    publish(s, b"a", handle=5)
    s.acknowledged(BOB, 1)
    s.forget(CAROL)
    assert s.done == [5]
    assert s.endpoints == {BOB}


def test_what_cannot_leave_fails_at_once() -> None:
    s = sender()
    (message,) = publish(s, b"a", handle=5)
    s.unroutable(message, NoRoute(str(BOB)))
    assert isinstance(s.failed[0].error, NoRoute)
    assert s.unacknowledged == 0


def test_without_a_token_it_is_tried_again() -> None:
    s = sender()
    (message,) = publish(s, b"a", handle=5)
    s.unroutable(message, AuthError("the token has expired"))
    assert (s.failed, s.errors) == ([], [])
    (again,) = expire(s, 1.0)
    assert again.message_id == message.message_id
    s.acknowledged(BOB, message.message_id)
    assert s.done == [5]


def test_without_a_token_to_the_end_the_reason_is_told() -> None:
    s = sender()
    (message,) = publish(s, b"a", handle=5)
    for turn in range(1, 30):
        s.unroutable(message, AuthError("the token has expired"))
        expire(s, float(turn))
    assert [str(failure.error) for failure in s.failed] == ["the token has expired"]


def test_a_resend_to_one_member_that_cannot_leave_changes_nothing() -> None:
    s = sender(ROOM, endpoints=(BOB, CAROL))
    publish(s, b"a", handle=5)
    again = expire(s, 1.0)
    s.unroutable(again[0], NoRoute("x"))
    assert (s.failed, s.unacknowledged) == ([], 1)


def test_the_end_answers_everybody_who_waits() -> None:
    s = sender()
    publish(s, b"a", b"b", handle=5)
    s.abandon(SessionClosed())
    assert [str(failure.error) for failure in s.failed] == ["session closed"] * 2


def test_strange_acknowledgements_are_ignored() -> None:
    s = sender()
    publish(s, b"a")
    s.acknowledged(CAROL, 1)
    s.acknowledged(BOB, 99)
    assert s.unacknowledged == 1
