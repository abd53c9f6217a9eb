from __future__ import annotations

import pytest

from actors.errors import NoRoute
from actors.messages.wire import MessageType, Payload, SessionKind, SessionMessage
from actors.names import Name
from actors.session.membership.requests import ANSWERS, Requests
from actors.session.retry import ResendPolicy
from actors.session.turn import Turn

ME, BOB, CAROL = Name("o", "n", "me", 1), Name("o", "n", "bob", 2), Name("o", "n", "carol", 3)
K = MessageType


def message(kind: MessageType, id: int = 5, source: Name = BOB) -> SessionMessage:
    return SessionMessage(source, ME, SessionKind.MULTICAST, kind, 7, id, Payload())


def start(kind: MessageType, *awaiting: Name) -> tuple[Requests, Turn]:
    requests, turn = Requests(ResendPolicy(1.0, 1)), Turn(0.0)
    requests.start(message(kind, source=ME), awaiting, turn)
    return requests, turn


@pytest.mark.parametrize(("asks", "answers"), ANSWERS.items())
def test_the_answer_of_its_kind_under_its_id_completes_it(asks: MessageType, answers: MessageType) -> None:
    requests, _ = start(asks, BOB)
    for other in set(K) - {answers}:
        assert requests.answered(message(other)) is None
    assert requests.answered(message(answers, id=6)) is None
    assert requests.answered(message(answers, source=CAROL)) is None
    request = requests.answered(message(answers))
    assert request is not None
    assert request.message.kind is asks
    assert requests.next_deadline() is None


def test_everybody_must_answer() -> None:
    requests, _ = start(K.GROUP_ADD, BOB, CAROL)
    assert requests.answered(message(K.GROUP_ACK)) is None
    assert requests.answered(message(K.GROUP_ACK)) is None
    assert requests.answered(message(K.GROUP_ACK, source=CAROL)) is not None


def test_any_instance_answers_a_discovery_and_one_is_enough() -> None:
    requests, _ = start(K.DISCOVERY_REQUEST, BOB.without_id())
    assert requests.answered(message(K.DISCOVERY_REPLY, source=CAROL)) is None
    assert requests.answered(message(K.DISCOVERY_REPLY, source=BOB.with_id(77))) is not None
    assert requests.answered(message(K.DISCOVERY_REPLY)) is None


def test_it_is_sent_again_as_it_was_and_then_has_failed() -> None:
    requests, turn = start(K.GROUP_CLOSE, BOB, CAROL)
    (sent,) = turn.effects
    requests.answered(message(K.GROUP_ACK))
    assert requests.next_deadline() == 1.0
    assert requests.expire(turn.at(1.0)) == []
    assert turn.effects == [sent]
    (failed,) = requests.expire(turn.at(2.0))
    assert (turn.effects, failed.awaiting) == ([], {CAROL})
    assert failed.why == f"no answer to the end of the session from {CAROL.short}"


def test_the_reason_of_our_own_is_told_instead() -> None:
    requests, turn = start(K.DISCOVERY_REQUEST, BOB.without_id())
    requests.expire(turn.at(1.0))
    requests.unroutable(message(K.DISCOVERY_REQUEST), NoRoute("bob"))
    (failed,) = requests.expire(turn.at(2.0))
    assert failed.why == str(NoRoute("bob"))


def test_who_is_excused_is_not_awaited() -> None:
    requests, _ = start(K.GROUP_REMOVE, BOB, CAROL)
    assert requests.excuse(BOB) == []
    (complete,) = requests.excuse(CAROL)
    assert complete.message.kind is K.GROUP_REMOVE
    assert requests.excuse(CAROL) == []


def test_what_is_cancelled_is_not_sent_again() -> None:
    requests, turn = start(K.PING, BOB)
    requests.cancel(5)
    assert requests.expire(turn.at(9.0)) == []
    assert turn.effects == []
