from __future__ import annotations

import random

import pytest

from actors.errors import MessageUndelivered, NoRoute, ParticipantNotFound, QueueFull, SessionClosed
from actors.messages.session import AppSettings, Completed, Delivered, Failure, Outgoing, SessionConfig
from actors.messages.wire import REQUEST_KEY, MessageType, Payload, SessionKind, SessionMessage
from actors.names import Name
from actors.session.data_path import DataPath
from actors.session.retry import ResendPolicy
from actors.session.sender import WINDOW
from actors.session.turn import Turn
from identity.errors import SlimError

ME, BOB, ROOM = Name("o", "n", "me", 1), Name("o", "n", "bob", 2), Name("o", "n", "room")


class Talk:
    """A data path in a group, and what it says at the end of each turn."""

    def __init__(self, *, reliable: bool = True, member: bool = True) -> None:
        timers = (1.0, 2) if reliable else (None, None)
        config = SessionConfig(SessionKind.MULTICAST, *timers)
        draw = random.Random(1).randrange
        self.data = DataPath(ME, ROOM, 7, config, AppSettings(), draw, None)
        self.turn = Turn()
        if member:
            self.data.admit(BOB, from_start=True)
            self.data.open_up(BOB, self.turn)

    def publish(self, *handles: int, to: Name | None = None) -> list[int]:
        self.turn.at(self.turn.now)
        self.data.publish(tuple(Outgoing(b"x", handle=handle, to=to) for handle in handles), self.turn)
        return [e.message_id for e in self.turn.effects if isinstance(e, SessionMessage)]

    def outcome(self) -> Completed:
        """What the application is told; without news an empty one."""
        self.turn.at(self.turn.now)
        self.data.say_outcomes(self.turn)
        return next((e for e in self.turn.effects if isinstance(e, Completed)), Completed(7))

    def refusals(self) -> list[SlimError]:
        return [failure.error for failure in self.outcome().failed]


def test_an_acknowledgement_completes_and_gives_credit_back() -> None:
    talk = Talk()
    assert talk.publish(4, 5) == [1, 2]
    assert talk.outcome() == Completed(7)
    talk.data.sender.acknowledged(BOB, 1, talk.turn)
    assert talk.outcome() == Completed(7, (4,), (), 1)
    assert talk.outcome() == Completed(7)


def test_what_came_before_and_after_a_request_was_acknowledged_is_told_apart() -> None:
    talk = Talk()
    request = Outgoing(b"?", metadata={REQUEST_KEY: "1"}, handle=4)
    talk.data.publish((request,), talk.turn)
    talk.turn.at(1.0)
    for id in (1, 2):
        message = SessionMessage(BOB, ROOM, SessionKind.MULTICAST, MessageType.MSG, 7, id, Payload("", b"x"))
        talk.data.receiver.message(message, talk.turn)
        talk.data.sender.acknowledged(BOB, 1, talk.turn)
    talk.data.say_outcomes(talk.turn)
    told = [e for e in talk.turn.effects if not isinstance(e, SessionMessage)]
    assert [type(e) for e in told] == [Delivered, Completed, Delivered]
    assert told[1] == Completed(7, (4,), (), 1)


def test_more_than_the_window_is_refused() -> None:
    talk = Talk()
    talk.publish(*range(WINDOW))
    assert talk.publish(WINDOW) == []
    (error,) = talk.refusals()
    assert isinstance(error, QueueFull)
    talk.data.sender.acknowledged(BOB, 1, talk.turn)
    talk.outcome()
    assert talk.publish(WINDOW + 1) == [WINDOW + 1]


def test_what_is_said_before_anybody_is_there_waits_and_counts() -> None:
    talk = Talk(member=False)
    assert talk.publish(*range(WINDOW + 1)) == []
    assert talk.data.keeps
    assert [type(error) for error in talk.refusals()] == [QueueFull]
    talk.data.open_up(BOB, talk.turn)
    sent = [e.message_id for e in talk.turn.effects if isinstance(e, SessionMessage)]
    assert sent == list(range(1, WINDOW + 1))
    assert not talk.data.keeps


def test_what_is_said_when_all_have_gone_fails_and_goes_to_nobody_who_comes_next() -> None:
    talk = Talk()
    talk.data.expel(BOB, talk.turn)
    assert talk.publish(4) == []
    assert not talk.data.keeps
    (error,) = talk.refusals()
    assert isinstance(error, ParticipantNotFound)
    talk.data.open_up(BOB, talk.turn)
    assert talk.publish(5) == [1]


def test_a_session_that_drains_takes_nothing_new() -> None:
    talk = Talk()
    talk.data.draining = True
    assert talk.publish(4) == []
    (error,) = talk.refusals()
    assert isinstance(error, SessionClosed)
    assert "draining" in str(error)


def test_publish_to_a_stranger_is_refused() -> None:
    talk = Talk()
    talk.publish(4, to=Name("o", "n", "x", 9))
    assert [type(error) for error in talk.refusals()] == [ParticipantNotFound]


def test_credit_of_best_effort_is_withheld_while_congested() -> None:
    talk = Talk(reliable=False)
    talk.data.congestion(congested=True)
    talk.publish(4, 5)
    assert talk.outcome() == Completed(7, (4, 5), (), 0)
    talk.data.congestion(congested=False)
    assert talk.outcome() == Completed(7, (), (), 2)


def test_credit_of_reliable_messages_is_not() -> None:
    talk = Talk()
    talk.publish(4)
    talk.data.congestion(congested=True)
    talk.data.sender.acknowledged(BOB, 1, talk.turn)
    assert talk.outcome().credit == 1


@pytest.mark.parametrize("member", [True, False])
def test_the_end_answers_everybody(member: bool) -> None:
    talk, error = Talk(member=member), SessionClosed()
    talk.publish(4, 5)
    talk.data.abandon(error, talk.turn)
    assert talk.outcome().failed == (Failure(4, error), Failure(5, error))


def test_errors_are_delivered_behind_the_messages_of_the_turn() -> None:
    talk = Talk()
    message = SessionMessage(BOB, ROOM, SessionKind.MULTICAST, MessageType.MSG, 7, 1, Payload("", b"x"))
    talk.data.stranded(error := NoRoute("bob"), talk.turn)
    talk.data.receiver.message(message, talk.turn)
    talk.data.say_outcomes(talk.turn)
    (delivered,) = [effect for effect in talk.turn.effects if isinstance(effect, Delivered)]
    assert delivered.items == (message, error)


def test_new_timers_change_both_directions() -> None:
    talk = Talk()
    talk.data.set_policy(None)
    assert talk.publish(4) == [1]
    assert talk.outcome() == Completed(7, (4,), (), 1)
    talk.data.set_policy(ResendPolicy(3.0, 1))
    talk.publish(5)
    assert talk.data.next_deadline() == 3.0


def test_who_is_gone_is_awaited_until_the_message_is_due_and_then_named() -> None:
    talk = Talk()
    talk.publish(4)
    talk.data.expel(BOB, talk.turn)
    talk.data.expire(talk.turn.at(60.0))
    outcome = talk.outcome()
    (failure,) = outcome.failed
    assert (outcome.done, outcome.credit, failure.handle) == ((), 1, 4)
    assert isinstance(failure.error, MessageUndelivered)
    assert failure.error.gone == (str(BOB),)
