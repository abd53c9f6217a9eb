from __future__ import annotations

from collections import Counter

from actors.messages.wire import ALL, ONE
from actors.names import Name
from actors.routing.router import Router
from actors.routing.table import SubscriptionTable
from actors.routing.view import InwardView, Rank

BOB = Name("org", "ns", "bob")
ROOM = Name("org", "ns", "room")


def router(*entries: tuple[Name, int], own: int = 0, local: tuple[int, ...] = ()) -> Router:
    return Router(own, table(*entries, local=local).view)


def table(*entries: tuple[Name, int], local: tuple[int, ...] = ()) -> SubscriptionTable:
    made = SubscriptionTable()
    for name, connection in entries:
        made.attach(connection, f"actor {connection}", Rank.LOCAL if connection in local else Rank.EDGE)
        made.add(name, connection, 0)
    return made


def one(made: Router, name: Name) -> tuple[int, ...]:
    return made.route(name.key, name.instance, ONE)


def all_of(made: Router, name: Name) -> tuple[int, ...]:
    return made.route(name.key, name.instance, ALL)


def test_anycast_goes_round() -> None:
    made = router((BOB.with_id(1), 1), (BOB.with_id(2), 2), (BOB.with_id(3), 3))
    assert Counter(one(made, BOB) for _ in range(300)) == {(1,): 100, (2,): 100, (3,): 100}


def test_single_messages_of_many_senders_spread_too() -> None:
    entries = [(BOB.with_id(i), i) for i in range(1, 6)]
    first = Counter(one(router(*entries, own=own), BOB) for own in range(10, 20))
    assert set(first.values()) == {2}


def test_anycast_prefers_local_applications() -> None:
    made = router((BOB.with_id(1), 1), (BOB.with_id(2), 2), local=(2,))
    assert {one(made, BOB) for _ in range(5)} == {(2,)}


def test_an_exact_id_reaches_only_those_who_subscribed_it() -> None:
    made = router((BOB.with_id(1), 1), (BOB, 2))
    assert one(made, BOB.with_id(1)) == (1,)
    assert one(made, BOB.with_id(9)) == ()
    assert all_of(made, BOB.with_id(9)) == ()


def test_one_connection_with_another_id_is_no_match() -> None:
    """0.7 falls back to a name's single connection; from 1.4 on, and here, it does not."""
    assert one(router((BOB.with_id(1), 1)), BOB.with_id(2)) == ()


def test_never_back_to_the_sender() -> None:
    made = router((ROOM, 1), (ROOM, 2), (ROOM, 3), own=2)
    assert all_of(made, ROOM) == (1, 3)
    assert {one(made, ROOM) for _ in range(9)} == {(1,), (3,)}
    assert one(router((BOB, 2), own=2), BOB) == ()


def test_match_all_takes_local_and_remote_once_each() -> None:
    made = router((ROOM, 1), (ROOM.with_id(4), 1), (ROOM, 2), local=(2,))
    assert sorted(all_of(made, ROOM)) == [1, 2]


def test_fanout_of_zero_is_match_all() -> None:
    made = router((ROOM, 1), (ROOM, 3))
    assert made.route(ROOM.key, ROOM.instance, 0) == (1, 3)


def test_an_unknown_name_has_no_match() -> None:
    assert one(router(), BOB) == ()
    assert all_of(router(), BOB) == ()


def test_a_change_is_seen_at_once() -> None:
    written = table((ROOM, 1), (ROOM, 2))
    made = Router(2, written.view)
    assert all_of(made, ROOM) == (1,)
    written.attach(3, "actor 3", Rank.EDGE)
    written.add(ROOM, 3, 0)
    assert all_of(made, ROOM) == (1, 3)
    written.forget(*written.detach(1), 9)
    assert all_of(made, ROOM) == (3,)
    assert one(made, ROOM) == (3,)
    written.forget(*written.detach(3), 9)
    assert all_of(made, ROOM) == one(made, ROOM) == ()


def test_what_a_router_remembers_is_bounded() -> None:
    names = [Name("o", "n", f"app{n}") for n in range(9000)]
    written = table(*((name, c) for name in names for c in (1, 2, 3)))
    made = Router(2, written.view)
    for name in names:
        assert all_of(made, name) == (1, 3)
        one(made, name)
    assert max(len(made._others), len(made._turns)) <= 8192


BACKBONE = 99


def on_backbone(*entries: tuple[Name, int], local: tuple[int, ...] = ()) -> SubscriptionTable:
    made = table(*entries, local=local)
    made.attach(BACKBONE, "backbone", Rank.PEER)
    made.view.reach(BACKBONE)
    return made


def test_the_backbone_may_lead_to_any_name_and_is_asked_behind_own_edges() -> None:
    made = on_backbone((BOB, 1), (ROOM, 2))
    sender = Router(2, made.view)
    assert one(sender, BOB) == (1,)
    assert all_of(sender, BOB) == (1, BACKBONE)
    assert one(sender, ROOM) == all_of(sender, ROOM) == (BACKBONE,)
    assert one(sender, BOB.with_id(1)) == (BACKBONE,)


def test_a_name_that_comes_and_goes_is_seen_behind_the_backbone() -> None:
    made = on_backbone()
    sender = Router(2, made.view)
    assert all_of(sender, BOB) == (BACKBONE,)
    made.attach(1, "actor 1", Rank.EDGE)
    made.add(BOB, 1, 0)
    assert all_of(sender, BOB) == (1, BACKBONE)
    made.remove(BOB, 1, 0)
    assert all_of(sender, BOB) == (BACKBONE,)
    made.add_pattern(BOB.key[:8], 1)
    assert all_of(sender, BOB) == (BACKBONE, 1)
    made.view.reach(None)
    assert all_of(sender, BOB) == (1,)
    made.remove_pattern(BOB.key[:8], 1)
    assert all_of(sender, BOB) == ()


def test_what_the_backbone_brought_goes_to_own_edges_only() -> None:
    made = on_backbone((BOB, 1), (BOB, 2), local=(1,))
    made.attach(3, "dialled", Rank.BY_HAND)
    made.add(BOB, 3, 0)
    made.add_pattern(ROOM.key[:24], 3)
    inward = Router(BACKBONE, InwardView(made.view, by_hand=False))
    assert all_of(inward, BOB) == (1, 2)
    assert one(inward, BOB) == (1,)
    assert all_of(inward, ROOM) == one(inward, ROOM) == ()


def test_what_is_pinned_to_the_backbone_comes_home_with_its_name() -> None:
    made = on_backbone()
    assert made.view.may_serve(BACKBONE, BOB)
    made.attach(1, "actor 1", Rank.EDGE)
    made.add(BOB, 1, 0)
    assert not made.view.may_serve(BACKBONE, BOB)
