from __future__ import annotations

import pytest

from actors.app.effects import Subscribed
from actors.app.subscriptions import Subscriptions
from actors.app.turn import AppTurn
from actors.errors import SessionError, SlimTimeout
from actors.messages.wire import SubscriptionAck
from actors.names import Name

ME, ALIAS, ROOM = Name("o", "n", "me", 1), Name("o", "n", "alias", 1), Name("o", "n", "room")


def subscriptions(first_id: int = 10) -> Subscriptions:
    return Subscriptions(ME, first_id, 10.0)


def test_ids_count_up_and_are_never_zero() -> None:
    made = subscriptions(2**64 - 2)
    ids = [made.own().subscription_id, *(made.route(ALIAS, 1).subscription_id for _ in range(2))]
    assert ids == [2**64 - 1, 1, 2]


def test_what_stands_is_made_again_under_the_same_ids_and_a_new_token() -> None:
    made = subscriptions()
    own = made.own()
    name, route = made.name(ALIAS, 7, "old"), made.route(ALIAS, 8)
    made.undo_route(ALIAS, made.route(ALIAS, 9).recv_from or 0)
    assert made.own() == own
    assert made.names() == [ALIAS]
    assert made.standing("new") == [name._replace(identity="new"), route]
    assert made.standing("") == [name, route]


def test_a_name_is_undone_under_its_own_id() -> None:
    made = subscriptions()
    first, second = made.name(ALIAS, 3, "token"), made.name(ALIAS, 3, "token")
    assert (first.subscribe, first.destination, first.identity, first.forward_to) == (True, ALIAS, "token", 3)
    assert made.undo_name(ALIAS, 3) == second._replace(subscribe=False)
    assert made.undo_name(ALIAS, 3) == first._replace(subscribe=False)
    with pytest.raises(SessionError, match="not subscribed"):
        made.undo_name(ALIAS, 3)


def test_a_route_is_local() -> None:
    made = subscriptions()
    route = made.route(ROOM, 3)
    assert (route.recv_from, route.forward_to, route.identity) == (3, None, "")
    with pytest.raises(SessionError, match="no route"):
        made.undo_route(ROOM, 4)
    assert made.undo_route(ROOM, 3) == route._replace(subscribe=False)


def test_channels_belong_to_their_session_and_carry_no_identity() -> None:
    made = subscriptions()
    one, two = made.channel(5, ROOM, 3), made.channel(6, ROOM, 3)
    assert (one.identity, one.forward_to) == ("", 3)
    assert made.undo_channel(5, ROOM) == [one._replace(subscribe=False)]
    assert made.undo_channel(5, ROOM) == []
    assert made.undo_session(6) == [two._replace(subscribe=False)]
    assert made.undo_session(6) == []


def test_a_channel_that_is_asked_for_again_is_undone_as_one() -> None:
    made = subscriptions()
    one = made.channel(5, ROOM, 3)
    assert made.channel(5, ROOM, 3) == one
    assert made.undo_channel(5, ROOM) == [one._replace(subscribe=False)]


def test_answers_find_who_waits() -> None:
    made, turn = subscriptions(), AppTurn(100.0)
    good, bad = made.name(ALIAS, 3, ""), made.channel(5, ROOM, 3)
    made.await_answer(good, 7, "inbox", turn)
    made.await_answer(bad, None, "session", turn)
    made.handle(SubscriptionAck(good.subscription_id, True), turn)
    made.handle(SubscriptionAck(bad.subscription_id, False, "no such connection"), turn)
    made.handle(SubscriptionAck(bad.subscription_id, True), turn)
    first, second = turn.effects
    assert isinstance(first, Subscribed)
    assert (first.awaited.handle, first.awaited.asker, first.error) == (7, "inbox", None)
    assert isinstance(second, Subscribed)
    assert second.awaited.name == ROOM
    assert "no such connection" in str(second.error)
    assert made.next_deadline() is None


def test_nobody_waits_forever() -> None:
    made, turn = subscriptions(), AppTurn(100.0)
    made.await_answer(made.name(ALIAS, 3, ""), 7, "inbox", turn)
    assert made.next_deadline() == 110.0
    made.expire(turn.at(109.9, 0.0))
    assert turn.effects == []
    made.expire(turn.at(110.0, 0.0))
    (late,) = turn.effects
    assert isinstance(late, Subscribed)
    assert late.awaited.handle == 7
    assert isinstance(late.error, SlimTimeout)
    assert "timed out" in str(late.error)
