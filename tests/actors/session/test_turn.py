from __future__ import annotations

from actors.errors import SessionClosed
from actors.messages.session import Bind, Completed, Failure, MemberJoined, Unbind
from actors.messages.wire import MessageType, Payload, SessionKind, SessionMessage
from actors.names import Name
from actors.session.effects import Answer, Joined, Refused
from actors.session.turn import Turn
from actors.system import Address

BOB, ROOM = Name("o", "n", "bob", 2), Name("o", "n", "room")


def test_effects_are_in_the_order_of_the_verbs() -> None:
    turn = Turn(3.0)
    message = SessionMessage(BOB, BOB, SessionKind.MULTICAST, MessageType.MSG, 7, 1, Payload())
    joined = MemberJoined(7, BOB, (BOB,))
    turn.bind(BOB, 4)
    turn.send(message)
    turn.subscribe(ROOM, 4)
    turn.unbind(BOB)
    turn.refuse("no", alarming=True)
    turn.announce()
    turn.tell(joined)
    assert turn.effects == [
        Bind(BOB, 4), message, Bind(ROOM, 4, subscribe=True), Unbind(BOB), Refused("no", alarming=True),
        Joined(), joined,
    ]  # fmt: skip


def test_an_answer_goes_where_it_was_asked_for() -> None:
    turn, error, inbox = Turn(), SessionClosed(), Address(5)
    turn.answer(1)
    turn.answer(2, error)
    turn.answer(3, None, inbox)
    turn.answer(4, error, inbox)
    assert (turn.done, turn.failed, turn.effects) == ([1], [Failure(2, error)], [])
    turn.say_answers(7)
    assert turn.effects == [
        Answer(inbox, Completed(7, (3,))),
        Answer(inbox, Completed(7, (), (Failure(4, error),))),
    ]
    turn.say_answers(7)
    assert len(turn.effects) == 2


def test_the_next_turn_begins_without_the_effects_of_the_last() -> None:
    turn = Turn(1.0)
    turn.announce()
    turn.answer(1)
    turn.report(SessionClosed())
    send = turn.send
    assert turn.at(2.0) is turn
    assert (turn.now, turn.effects) == (2.0, [])
    assert (turn.done, len(turn.errors)) == ([1], 1)
    assert turn.send is send


def test_something_is_left_until_it_is_said() -> None:
    turn = Turn()
    assert not turn.left
    turn.refuse("no")
    turn.report(SessionClosed())
    turn.answer(1)
    turn.answer(2, SessionClosed())
    turn.answer(3, None, Address(5))
    turn.freed = 1
    turn.items.append(SessionClosed())
    for gathered in (turn.effects, turn.errors, turn.done, turn.failed, turn.answers, turn.items):
        assert turn.left
        assert len(gathered) == 1
        gathered.clear()
    assert turn.left
    turn.freed = 0
    assert not turn.left
