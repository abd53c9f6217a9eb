from __future__ import annotations

from collections import Counter

from actors.messages.routing import Snapshot
from actors.messages.wire import ALL, ONE
from actors.names import Name
from actors.routing.router import Router
from actors.routing.table import SubscriptionTable

BOB = Name("org", "ns", "bob")
ROOM = Name("org", "ns", "room")


def router(*entries: tuple[Name, int], own: int = 0, local: tuple[int, ...] = ()) -> Router:
    table = SubscriptionTable()
    for name, connection in entries:
        table.add(name, connection, 0, local=connection in local)
    made = Router(own)
    made.update(Snapshot(1, table.routes(), {}))
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


def test_an_older_snapshot_is_ignored() -> None:
    made = router((BOB, 1))
    made.update(Snapshot(0, {}, {}))
    assert one(made, BOB) == (1,)


def test_a_newer_snapshot_replaces_what_was_remembered() -> None:
    made = router((ROOM, 1))
    assert all_of(made, ROOM) == (1,)
    made.update(Snapshot(2, {}, {}))
    assert all_of(made, ROOM) == ()


def test_the_only_way_of_a_single_message_is_looked_up_again_in_a_newer_snapshot() -> None:
    name = Name("a", "b", "c", 1)
    made = router((name, 1))
    assert [one(made, name), one(made, name)] == [(1,), (1,)]
    made.update(Snapshot(made.snapshot.version + 1, {}, {}))
    assert one(made, name) == ()
