"""Routes of controllers: each stands once, and every command is answered when the table has."""

from __future__ import annotations

from actors.controlled.directions import Directions
from actors.messages.controlled import Lead, Leading, Led
from actors.messages.wire import SubscriptionAck
from actors.names import Name

A, B = Leading(Name("o", "n", "a"), 3), Leading(Name("o", "n", "b", 5), 3)


def test_a_command_is_answered_in_its_order() -> None:
    directions = Directions()
    first, second = directions.ask(Lead((A, B)), "c")
    assert (first.destination, first.recv_from) == (A.name, 3)
    assert directions.answer("c") is None
    assert directions.take(SubscriptionAck(second.subscription_id, False, "no room")) == "c"
    assert directions.answer("c") is None
    assert directions.take(SubscriptionAck(first.subscription_id, True)) == "c"
    assert directions.answer("c") == Led(("", "no room"))


def test_what_stands_is_not_set_again_and_what_was_refused_is() -> None:
    directions = Directions()
    first, second = directions.ask(Lead((A, B)), 1)
    directions.take(SubscriptionAck(first.subscription_id, True))
    directions.take(SubscriptionAck(second.subscription_id, False, "no room"))
    directions.answer(1)
    (again,) = directions.ask(Lead((A, B)), 2)
    assert again.destination == B.name
    directions.take(SubscriptionAck(again.subscription_id, True))
    assert directions.answer(2) == Led(("", ""))


def test_a_route_is_withdrawn_under_the_id_that_it_was_set_with() -> None:
    directions = Directions()
    (set_,) = directions.ask(Lead((A,)), 1)
    directions.take(SubscriptionAck(set_.subscription_id, True))
    directions.answer(1)
    (withdrawn,) = directions.ask(Lead((), (A, B)), 2)
    assert not withdrawn.subscribe
    assert withdrawn.subscription_id == set_.subscription_id
    directions.take(SubscriptionAck(withdrawn.subscription_id, False, "not there"))
    assert directions.answer(2) == Led(("", ""))


def test_routes_of_a_connection_that_is_gone_are_set_anew() -> None:
    directions = Directions()
    (set_,) = directions.ask(Lead((A,)), 1)
    directions.take(SubscriptionAck(set_.subscription_id, True))
    directions.answer(1)
    assert directions.ask(Lead((A,)), 2) == []
    directions.gone(3)
    assert len(directions.ask(Lead((A,)), 3)) == 1


def test_an_answer_to_nothing_is_ignored() -> None:
    assert Directions().take(SubscriptionAck(1, True)) is None
