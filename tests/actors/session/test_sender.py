from __future__ import annotations

import random

import pytest

from actors.errors import MessageUndelivered, NoRoute, SessionClosed
from actors.messages.session import Outgoing
from actors.messages.wire import (
    ACKNOWLEDGES,
    ALL,
    ONE,
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
from actors.session.hints import Hints
from actors.session.retry import ResendPolicy
from actors.session.sender import KEPT, KEPT_BYTES, LOOKED_AT, WINDOW, DataSender
from actors.session.serial import MASK
from actors.session.turn import Turn
from identity.errors import AuthError, SlimError

ME, BOB, CAROL = Name("o", "n", "me", 1), Name("o", "n", "bob", 2), Name("o", "n", "carol", 3)
DAVE = Name("o", "n", "dave", 4)
ROOM = Name("o", "n", "room")


class Mouth:
    """A sender, and the turns that it had."""

    def __init__(
        self, destination: Name = BOB, *, reliable: bool = True, endpoints: tuple[Name, ...] = (BOB,)
    ) -> None:
        kind = SessionKind.MULTICAST if destination == ROOM else SessionKind.POINT_TO_POINT
        policy = ResendPolicy(1.0, 2) if reliable else None
        self.hints = Hints()
        draw = random.Random(1).randrange
        self.sender = DataSender(ME, destination, kind, 7, draw, policy, hints=self.hints)
        self.sender.endpoints.update(endpoints)
        self.turn = Turn()

    def publish(self, *items: bytes | Outgoing, now: float = 0.0) -> list[SessionMessage]:
        turn = self.turn.at(now)
        for item in items:
            outgoing = item if isinstance(item, Outgoing) else Outgoing(item, handle=5)
            self.sender.publish(outgoing, outgoing.blob, turn)
        return self.sent

    def expire(self, now: float) -> list[SessionMessage]:
        self.sender.expire(self.turn.at(now))
        return self.sent

    def acknowledged(self, source: Name, id: int) -> None:
        self.sender.acknowledged(source, id, self.turn)

    def retransmit(self, request: SessionMessage) -> list[SessionMessage]:
        self.sender.retransmit(request, self.turn.at(self.turn.now))
        return self.sent

    def unroutable(self, message: SessionMessage, error: SlimError) -> None:
        self.sender.unroutable(message, error, self.turn)

    @property
    def sent(self) -> list[SessionMessage]:
        return [effect for effect in self.turn.effects if isinstance(effect, SessionMessage)]

    @property
    def failures(self) -> list[SlimError]:
        return [failure.error for failure in self.turn.failed]

    @property
    def unacknowledged(self) -> int:
        return self.sender.unacknowledged


def request(id: int, source: Name = BOB, metadata: dict[str, str] | None = None) -> SessionMessage:
    return SessionMessage(
        source,
        ME,
        SessionKind.POINT_TO_POINT,
        MessageType.RTX_REQUEST,
        7,
        id,
        Payload(),
        metadata=metadata,
        connection=4,
    )


def test_a_request_that_says_so_acknowledges_nothing_and_the_message_stays_pending() -> None:
    s = Mouth()
    s.publish(Outgoing(b"a", metadata={"k": "v"}, handle=5))
    (reply,) = s.retransmit(request(1, metadata={ACKNOWLEDGES: TRUE}))
    assert (reply.kind, reply.destination) == (MessageType.RTX_REPLY, BOB)
    assert reply.metadata == {"k": "v", ACKNOWLEDGES: TRUE}
    assert (s.turn.done, s.unacknowledged) == ([], 1)
    (again,) = s.expire(1.0)
    assert (again.kind, again.metadata) == (MessageType.MSG, {"k": "v"})
    s.acknowledged(BOB, 1)
    assert s.turn.done == [5]


def test_ids_begin_at_one_and_wrap_to_zero() -> None:
    s = Mouth(reliable=False)
    assert [m.message_id for m in s.publish(b"a", b"b")] == [1, 2]
    s.sender._next_id = MASK
    assert [m.message_id for m in s.publish(b"c", b"d", b"e")] == [MASK, 0, 1]


def test_best_effort_completes_at_once_and_keeps_nothing() -> None:
    s = Mouth(reliable=False)
    s.publish(b"a")
    assert (s.turn.done, s.turn.freed, s.unacknowledged, s.sender.next_deadline()) == ([5], 1, 0, None)


def test_a_group_message_goes_to_the_channel_and_awaits_every_member() -> None:
    s = Mouth(ROOM, endpoints=(BOB, CAROL))
    (message,) = s.publish(b"a")
    assert (message.destination, message.fanout) == (ROOM, ALL)
    s.acknowledged(BOB, 1)
    s.acknowledged(BOB, 1)
    assert s.turn.done == []
    s.acknowledged(CAROL, 1)
    assert s.turn.done == [5]


def test_retries_go_to_each_who_is_missing_with_the_same_id_and_fanout() -> None:
    s = Mouth(ROOM, endpoints=(BOB, CAROL))
    (message,) = s.publish(b"a")
    s.acknowledged(BOB, 1)
    assert s.sender.next_deadline() == 1.0
    assert s.expire(1.0) == [message._replace(destination=CAROL)]


def test_after_the_last_retry_the_message_fails_and_names_who_is_missing() -> None:
    s = Mouth()
    s.publish(b"a")
    assert [len(s.expire(t)) for t in (1.0, 2.0, 3.0)] == [1, 1, 0]
    (error,) = s.failures
    assert isinstance(error, MessageUndelivered)
    assert error.missing == (str(BOB),)
    assert "error send message 1. stop retrying" in str(error)
    assert "message send retries exhausted for id=1" in str(error)
    assert s.turn.errors == [error]
    assert (s.turn.freed, s.sender.next_deadline()) == (1, None)


@pytest.mark.parametrize(
    ("at", "cause"), [(0.5, "the rules forbid it"), (2.5, "the rules forbid it"), (-1.5, "")]
)
def test_a_message_that_fails_tells_what_was_said_while_it_was_under_way(at: float, cause: str) -> None:
    s = Mouth()
    s.hints.note(BOB, "the rules forbid it", at)
    s.publish(b"a")
    for now in (1.0, 2.0, 3.0):
        s.expire(now)
    (error,) = s.failures
    assert isinstance(error, MessageUndelivered)
    assert error.cause == cause
    assert str(error).endswith(f"; {cause})") is bool(cause)


def test_the_deadline_is_the_windows_and_an_acknowledgement_leaves_it_alone() -> None:
    s = Mouth()
    s.publish(b"a", now=0.0)
    s.publish(b"b", now=0.5)
    s.acknowledged(BOB, 1)
    assert s.sender.next_deadline() == 1.0
    assert s.expire(1.0) == []
    assert s.sender.next_deadline() == 1.5
    assert [m.message_id for m in s.expire(1.5)] == [2]


def test_new_timers_are_for_new_messages_only() -> None:
    s = Mouth()
    s.publish(b"a", now=0.0)
    s.sender.policy = ResendPolicy(0.1, 2)
    s.publish(b"b", now=0.0)
    assert [m.message_id for m in s.expire(0.1)] == [2]
    assert [m.message_id for m in s.expire(1.0)] == [1, 2]


def test_a_request_counts_as_acknowledgement_and_may_be_made_again() -> None:
    s = Mouth()
    (message,) = s.publish(b"a")
    reply = message._replace(kind=MessageType.RTX_REPLY, connection=4)
    assert s.retransmit(request(1)) == [reply]
    assert s.retransmit(request(1)) == [reply]
    assert s.turn.done == [5]


def test_what_somebody_asked_for_is_kept_when_the_others_have_it() -> None:
    s = Mouth(ROOM, endpoints=(BOB, CAROL))
    s.publish(b"a")
    assert len(s.retransmit(request(1))) == 1
    s.acknowledged(CAROL, 1)
    assert s.turn.done == [5]
    assert s.retransmit(request(1))[0].content == Payload("", b"a")


def test_what_is_kept_has_a_bound_in_number_and_in_bytes() -> None:
    s = Mouth()
    for number in range(1, KEPT + 11):
        s.publish(b"%d" % number)
        s.retransmit(request(number))
    assert len(s.sender._kept) == KEPT
    for number in range(KEPT + 11, KEPT + 20):
        s.publish(bytes(KEPT_BYTES // 3))
        s.retransmit(request(number))
    assert sum(len(m.content.blob) for m in s.sender._kept.values()) <= KEPT_BYTES  # type: ignore[union-attr]
    assert 1 <= len(s.sender._kept) <= 4


def test_a_request_for_what_everybody_has_is_answered_with_an_error() -> None:
    s = Mouth()
    s.publish(b"1")
    s.acknowledged(BOB, 1)
    (reply,) = s.retransmit(request(1))
    assert (reply.kind, reply.error, reply.message_id, reply.content) == (
        MessageType.RTX_REPLY, True, 1, Payload(),
    )  # fmt: skip
    assert (reply.source, reply.destination, reply.connection) == (ME, BOB, 4)


def test_what_a_newcomer_asks_for_is_kept_until_it_has_it() -> None:
    s = Mouth(ROOM, endpoints=(BOB,))
    s.publish(b"a")
    s.sender.open(CAROL, new=True)
    will_acknowledge = {ACKNOWLEDGES: TRUE}
    s.retransmit(request(1, CAROL, will_acknowledge))
    s.acknowledged(BOB, 1)
    assert s.turn.done == [5]
    (again,) = s.retransmit(request(1, CAROL, will_acknowledge))
    assert again.content == Payload("", b"a")


def test_a_newcomer_hears_where_it_begins_with_the_news_that_something_earlier_is_gone() -> None:
    s = Mouth(ROOM, endpoints=(BOB,))
    s.publish(b"a", b"b")
    s.acknowledged(BOB, 1)
    s.acknowledged(BOB, 2)
    s.sender.open(CAROL, new=True)
    (reply,) = s.retransmit(request(2, CAROL))
    assert reply.error
    assert reply.metadata == {SINCE: mark({CAROL: 3}, 2)}
    (other,) = s.retransmit(request(2))
    assert other.metadata is None


def test_publish_to_has_its_own_ids_and_one_addressee() -> None:
    s = Mouth(ROOM, endpoints=(BOB, CAROL))
    (message,) = s.publish(Outgoing(b"x", to=BOB, connection=9, metadata={"k": "v"}))
    assert 0x8000_0000 <= message.message_id <= 0xFFFF_FFFE
    assert (message.destination, message.fanout, message.connection) == (BOB, ONE, 9)
    assert message.metadata == {"k": "v", PUBLISH_TO: TRUE}
    assert s.publish(b"y")[0].message_id == 1
    s.acknowledged(BOB, message.message_id)
    assert s.unacknowledged == 1


def test_point_to_point_ignores_publish_to_and_strips_its_key() -> None:
    s = Mouth()
    (message,) = s.publish(Outgoing(b"x", to=CAROL, metadata={PUBLISH_TO: TRUE}))
    assert (message.destination, message.metadata, message.message_id) == (BOB, None, 1)


def test_who_goes_without_the_message_is_named_when_the_message_is_due() -> None:
    s = Mouth(ROOM, endpoints=(BOB, CAROL))
    s.publish(b"a")
    s.acknowledged(BOB, 1)
    s.sender.forget(CAROL)
    assert s.sender.endpoints == {BOB}
    assert (s.turn.done, s.failures) == ([], [])
    assert s.expire(1.0) == []
    (error,) = s.failures
    assert isinstance(error, MessageUndelivered)
    assert (error.missing, error.gone) == ((str(CAROL),), (str(CAROL),))
    assert "no member any more: o/n/carol" in str(error)
    assert (s.turn.freed, s.turn.errors, s.unacknowledged) == (1, [], 0)


def test_what_somebody_acknowledged_before_it_went_worked() -> None:
    s = Mouth(ROOM, endpoints=(BOB, CAROL))
    s.publish(b"a")
    s.sender.forget(CAROL)
    s.acknowledged(BOB, 1)
    s.acknowledged(CAROL, 1)
    assert (s.turn.done, s.turn.freed) == ([5], 1)


def test_a_message_is_sent_again_to_those_who_stayed_and_fails_for_all_who_lack_it() -> None:
    s = Mouth(ROOM, endpoints=(BOB, CAROL))
    s.publish(b"a")
    s.sender.forget(CAROL)
    assert [again.destination for again in s.expire(1.0)] == [BOB]
    s.expire(2.0)
    s.expire(3.0)
    (error,) = s.failures
    assert isinstance(error, MessageUndelivered)
    assert (error.missing, error.gone) == ((str(BOB), str(CAROL)), (str(CAROL),))


def test_a_new_member_is_told_where_it_begins_until_it_has_acknowledged_a_message() -> None:
    s = Mouth(ROOM, endpoints=(BOB,))
    s.publish(b"a")
    s.sender.open(CAROL, new=True)
    two, three = s.publish(b"b", Outgoing(b"c", metadata={"k": "v"}, handle=5))
    assert two.metadata is None
    assert three.metadata == {"k": "v", SINCE: mark({CAROL: 2}, 3)}
    s.acknowledged(BOB, 2)
    s.acknowledged(CAROL, 1)
    (four,) = s.publish(b"d")
    assert four.metadata == {SINCE: mark({CAROL: 2}, 4)}
    s.acknowledged(CAROL, 3)
    (five,) = s.publish(b"e")
    assert five.metadata is None


def test_who_goes_on_for_another_process_tells_members_where_they_began() -> None:
    s = Mouth(ROOM, endpoints=(BOB,))
    s.publish(b"a")
    s.sender.open(CAROL, new=True)
    assert (s.sender.start_of(BOB), s.sender.start_of(CAROL)) == (None, 2)
    s.publish(b"b")
    s.acknowledged(CAROL, 2)
    assert s.sender.start_of(CAROL) == 2
    successor = Mouth(ROOM, endpoints=(BOB, CAROL))
    successor.sender.resume(3, [], Turn(0.0))
    successor.sender.begin(CAROL, 2)
    (three,) = successor.publish(b"c")
    assert three.metadata == {SINCE: mark({CAROL: 2}, 3)}
    successor.sender.forget(CAROL)
    assert successor.sender.start_of(CAROL) is None


def test_who_knows_where_it_begins_or_goes_is_not_told() -> None:
    s = Mouth(ROOM, endpoints=(BOB,))
    s.sender.open(CAROL, new=False)
    s.sender.open(DAVE, new=True)
    s.publish(b"a")
    s.sender.forget(DAVE)
    assert [m.metadata for m in s.publish(b"b")] == [None]
    pair = Mouth()
    pair.sender.open(BOB, new=True)
    assert [m.metadata for m in pair.publish(b"a", b"b")] == [None, None]


def test_what_cannot_leave_fails_at_once() -> None:
    s = Mouth()
    (message,) = s.publish(b"a")
    s.unroutable(message, NoRoute(str(BOB)))
    assert isinstance(s.failures[0], NoRoute)
    assert s.unacknowledged == 0


def test_without_a_token_it_is_tried_again() -> None:
    s = Mouth()
    (message,) = s.publish(b"a")
    s.unroutable(message, AuthError("the token has expired"))
    assert (s.failures, s.turn.errors) == ([], [])
    (again,) = s.expire(1.0)
    assert again.message_id == message.message_id
    s.acknowledged(BOB, message.message_id)
    assert s.turn.done == [5]


def test_without_a_token_to_the_end_the_reason_is_told() -> None:
    s = Mouth()
    (message,) = s.publish(b"a")
    for turn in range(1, 30):
        s.unroutable(message, AuthError("the token has expired"))
        s.expire(float(turn))
    assert [str(error) for error in s.failures] == ["the token has expired"]


def test_a_resend_to_one_member_that_cannot_leave_changes_nothing() -> None:
    s = Mouth(ROOM, endpoints=(BOB, CAROL))
    s.publish(b"a")
    again = s.expire(1.0)
    s.unroutable(again[0], NoRoute("x"))
    assert (s.failures, s.unacknowledged) == ([], 1)


def test_the_end_answers_everybody_who_waits() -> None:
    s = Mouth()
    s.publish(b"a", b"b")
    s.sender.abandon(SessionClosed(), s.turn)
    assert [str(error) for error in s.failures] == ["session closed"] * 2


def test_strange_acknowledgements_are_ignored() -> None:
    s = Mouth()
    s.publish(b"a")
    s.acknowledged(CAROL, 1)
    s.acknowledged(BOB, 99)
    assert s.unacknowledged == 1


def test_a_successor_says_again_what_is_awaited_and_answers_who_asks_for_the_rest() -> None:
    before = Mouth(ROOM, endpoints=(BOB,))
    asked, awaited, gone = before.publish(b"asked", b"awaited", b"gone")
    s = Mouth(ROOM, endpoints=(BOB,))
    s.sender.resume(4, [(asked, None, ()), (awaited, 8, (BOB,)), (gone, 9, (CAROL,))], s.turn)
    assert s.sent == [awaited]
    assert s.turn.done == [9]
    assert set(s.sender.kept_ids()) == {asked.message_id}
    question = asked._replace(source=BOB, destination=ME, kind=MessageType.RTX_REQUEST, content=Payload())
    (reply,) = s.retransmit(question)
    assert (reply.kind, reply.content) == (MessageType.RTX_REPLY, asked.content)


def test_the_lag_is_what_the_member_lacks_that_is_furthest_behind() -> None:
    s = Mouth(ROOM, endpoints=(BOB, CAROL, DAVE))
    assert s.sender.lag == 0
    s.publish(b"a", b"b", b"c", b"d")
    for name, ids in ((BOB, (1, 2, 3)), (CAROL, (2, 4)), (DAVE, (1,))):
        for id in ids:
            s.acknowledged(name, id)
    assert (s.unacknowledged, s.sender.lag) == (4, 3)
    s.publish(Outgoing(b"x", to=DAVE))
    assert (s.unacknowledged, s.sender.lag) == (5, 4)
    s.sender.forget(DAVE)
    assert s.sender.lag == 2
    s.sender.open(DAVE, new=True)
    s.publish(b"e")
    assert s.sender.lag == 3


@pytest.mark.parametrize("seed", range(20))
def test_the_lag_is_that_of_a_count_of_everybody(seed: int) -> None:
    chance = random.Random(seed)
    names = tuple(Name("o", "n", "p", number) for number in range(1, 9))
    s = Mouth(ROOM, endpoints=names)
    s.publish(*[b"x"] * 30)
    lacks = dict.fromkeys(names, 30)
    for name in names:
        for id in chance.sample(range(1, 31), chance.randrange(31)):
            s.acknowledged(name, id)
            lacks[name] -= 1
    assert s.sender.lag == max(lacks.values())


def test_the_lag_of_a_large_group_is_that_of_those_who_lack_the_oldest_messages() -> None:
    names = tuple(Name("o", "n", "p", number) for number in range(1, 1001))
    s = Mouth(ROOM, endpoints=names)
    s.publish(*[b"x"] * WINDOW)
    assert s.sender.lag == WINDOW
    for index, name in enumerate(names):
        for id in range(1, index % 3 + 1):
            s.acknowledged(name, id)
        for id in range(WINDOW // 2, WINDOW + 1):
            s.acknowledged(name, id)
    assert s.sender.lag == WINDOW // 2 - 1
    assert len(names) // 3 > LOOKED_AT


def test_each_message_to_each_member_again_is_a_retransmission() -> None:
    s = Mouth(ROOM, endpoints=(BOB, CAROL))
    s.publish(b"a", b"b")
    s.acknowledged(BOB, 1)
    assert s.sender.retransmissions == 0
    s.expire(1.0)
    assert s.sender.retransmissions == 3
    s.retransmit(request(2))
    assert s.sender.retransmissions == 4
    s.retransmit(request(9))
    assert s.sender.retransmissions == 4
