from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.names import NO_ID, Name
from actors.routing.table import Change, Departure, SubscriptionNotFound, SubscriptionTable
from actors.routing.view import InwardView, Rank, Targets

BOB = Name("org", "ns", "bob")


def table(*entries: tuple[Name, int, int], local: tuple[int, ...] = ()) -> SubscriptionTable:
    made = SubscriptionTable()
    for connection in {connection for _, connection, _ in entries}:
        made.attach(connection, f"actor {connection}", Rank.LOCAL if connection in local else Rank.EDGE)
    for name, connection, subscription in entries:
        made.add(name, connection, subscription)
    return made


def reach(made: SubscriptionTable, name: Name) -> tuple[int, ...]:
    targets = made.view.find(name.key, name.instance)
    return targets.all if targets else ()


def test_a_name_without_id_reaches_whoever_has_it_under_any() -> None:
    made = table((BOB, 1, 0), (BOB.with_id(5), 2, 0))
    assert reach(made, BOB) == (1, 2)
    assert reach(made, BOB.with_id(5)) == (2,)
    assert reach(made, BOB.with_id(6)) == ()


def test_a_table_is_of_one_family_of_names() -> None:
    """Of ids of 16 octets here: the one for any instance is told, and no longer that of 8."""
    anyone, fifth = b"\xff" * 16, bytes(15) + b"\x05"

    def of(instance: bytes) -> Name:
        return Name.from_wire(BOB.key, BOB.strings, instance)

    made = SubscriptionTable(anyone)
    for connection, instance in enumerate((anyone, fifth), 1):
        made.attach(connection, f"actor {connection}", Rank.EDGE)
        made.add(of(instance), connection, 0)
    assert reach(made, of(anyone)) == (1, 2)
    assert reach(made, of(fifth)) == (2,)
    assert reach(made, BOB) == ()
    inward = InwardView(made.view, by_hand=True)
    assert inward.find(BOB.key, anyone) == made.view.by_name[BOB.key]
    assert inward.find(BOB.key, BOB.instance) is None


def test_subscribing_twice_is_idempotent() -> None:
    subscribed = table((BOB, 1, 7))
    assert not subscribed.add(BOB, 1, 7)
    assert subscribed.remove(BOB, 1, 7) == 1
    assert reach(subscribed, BOB) == ()
    assert len(subscribed) == 0


def test_an_entry_goes_with_its_last_reference() -> None:
    subscribed = table((BOB, 1, 7), (BOB, 1, 8))
    subscribed.remove(BOB, 1, 7)
    assert reach(subscribed, BOB) == (1,)
    subscribed.remove(BOB, 1, 8)
    assert len(subscribed) == 0


def test_a_connection_under_two_ids_stands_in_the_name_once() -> None:
    subscribed = table((BOB.with_id(5), 1, 7), (BOB.with_id(6), 1, 8))
    assert reach(subscribed, BOB) == (1,)
    subscribed.remove(BOB.with_id(5), 1, 7)
    assert reach(subscribed, BOB) == (1,)
    assert reach(subscribed, BOB.with_id(5)) == ()
    subscribed.remove(BOB.with_id(6), 1, 8)
    assert len(subscribed) == 0


@pytest.mark.parametrize(
    ("name", "connection", "subscription", "text"),
    [
        (Name("x", "y", "z"), 1, 7, "subscription not found"),
        (BOB.with_id(3), 1, 7, "id not found"),
        (BOB, 2, 7, "connection id not found"),
        (BOB, 1, 9, "subscription id not found"),
    ],
)
def test_removing_what_is_not_there(name: Name, connection: int, subscription: int, text: str) -> None:
    with pytest.raises(SubscriptionNotFound, match=text):
        table((BOB, 1, 7)).remove(name, connection, subscription)


def test_an_unsubscribe_takes_the_entry_a_reconnect_left_behind() -> None:
    subscribed = table((BOB, 1, 7), (BOB, 1, 0))
    assert subscribed.remove(BOB, 1, 7) == 2
    assert len(subscribed) == 0
    only_restored = table((BOB, 1, 0))
    assert only_restored.remove(BOB, 1, 7) == 1
    assert len(only_restored) == 0


def test_local_and_remote_stand_apart_and_local_ones_first() -> None:
    targets = table((BOB, 1, 0), (BOB.with_id(5), 2, 0), local=(2,)).view.by_name[BOB.key]
    assert targets == Targets((2,), (1,), all=(2, 1))


def without(made: SubscriptionTable, connection: int) -> list[tuple[Name, int]]:
    """Have a connection go, and all that led to it forgotten."""
    gone = []
    for departure in made.detach(connection):
        while some := made.forget(departure, 1):
            gone += some
    return gone


def test_a_connection_that_goes_takes_everything_along() -> None:
    subscribed = table((BOB, 1, 7), (BOB.with_id(5), 1, 8), (BOB, 2, 9))
    assert sorted(without(subscribed, 1), key=str) == sorted([(BOB, 7), (BOB.with_id(5), 8)], key=str)
    assert reach(subscribed, BOB) == (2,)
    assert subscribed.view.addresses.keys() == {2}
    assert subscribed.detach(1) == []


def test_what_led_to_a_connection_is_forgotten_bit_by_bit() -> None:
    names = [Name("o", "n", f"app{number}") for number in range(10)]
    subscribed = table(*((name, 1, 0) for name in names))
    [departure] = subscribed.detach(1)
    assert len(departure.names()) == 10
    for left in (6, 2, 0):
        assert subscribed.forget(departure, 4)
        assert len(departure.names()) == len(subscribed) == left
    assert subscribed.forget(departure, 4) == []


def test_what_is_told_again_before_it_is_forgotten_stays() -> None:
    subscribed = table((BOB, 1, 7), (BOB.with_id(5), 1, 8))
    subscribed.link(1, "node")
    [departure] = subscribed.unlink(1)
    assert subscribed.add(BOB, 1, 9)
    assert sorted(subscribed.forget(departure, 9), key=str) == sorted(
        [(BOB, 7), (BOB.with_id(5), 8)], key=str
    )
    assert reach(subscribed, BOB) == (1,)
    assert reach(subscribed, BOB.with_id(5)) == ()
    assert subscribed.remove(BOB, 1, 9) == 1
    assert len(subscribed) == 0


def test_targets_that_were_taken_out_are_not_touched_by_later_changes() -> None:
    subscribed = table((BOB, 1, 0), (Name("o", "n", "other"), 2, 0))
    before = subscribed.view.by_name[BOB.key]
    subscribed.add(BOB, 2, 0)
    assert before.all == (1,)
    assert reach(subscribed, BOB) == (1, 2)


def test_changes_are_told_once_and_only_what_remains_of_them() -> None:
    subscribed = table((BOB, 1, 0))
    assert subscribed.changes() == []
    assert subscribed.record_changes() == [Change(BOB, 1, Rank.EDGE, present=True)]
    subscribed.remove(BOB, 1, 0)
    subscribed.add(BOB, 1, 3)
    subscribed.add(BOB.with_id(2), 1, 0)
    assert subscribed.changes() == [Change(BOB.with_id(2), 1, Rank.EDGE, present=True)]
    assert subscribed.changes() == []


Step = tuple[str, int, int, int, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "remove", "detach", "forget", "tell"]),
        st.integers(0, 2),
        st.sampled_from([1, 2, NO_ID]),
        st.integers(1, 3),
        st.integers(0, 2),
    ),
    max_size=60,
)
LOCAL = 1


@given(steps)
def test_table_view_and_a_copy_that_follows_the_changes_are_what_a_simple_model_says(
    history: list[Step],
) -> None:
    subscribed, model = SubscriptionTable(), set()
    copy, told = SubscriptionTable(), subscribed.record_changes()
    for connection in (1, 2, 3):
        subscribed.attach(connection, f"actor {connection}", Rank.LOCAL if connection == LOCAL else Rank.EDGE)
        copy.attach(connection, f"actor {connection}", Rank.LOCAL if connection == LOCAL else Rank.EDGE)
    leaving: list[Departure] = []
    for what, app, id, connection, subscription in history:
        name = Name("o", "n", f"app{app}", id)
        entry = (name, connection, subscription)
        if what == "add":
            assert subscribed.add(*entry) is (entry not in model)
            model.add(entry)
        elif what == "detach":
            gone = {(n, c, s) for n, c, s in model if c == connection}
            departures = subscribed.detach(connection)
            assert set(remaining(departures)) == gone
            leaving += departures
            subscribed.attach(
                connection, f"actor {connection}", Rank.LOCAL if connection == LOCAL else Rank.EDGE
            )
            model -= gone
        elif what == "forget":
            leaving = [departure for departure in leaving if subscribed.forget(departure, 1)]
        elif what == "remove":
            expected = {entry, (name, connection, 0)} & model
            model -= expected
            try:
                assert subscribed.remove(*entry) == len(expected)
            except SubscriptionNotFound:
                assert not expected
        else:
            told = follow(copy, told + subscribed.changes())
        agrees(subscribed, model | set(remaining(leaving)))
    while leaving:
        leaving = [departure for departure in leaving if subscribed.forget(departure, 2)]
    agrees(subscribed, model)
    follow(copy, told + subscribed.changes())
    agrees(copy, {(name, connection, 0) for name, connection, _ in model})


def remaining(leaving: list[Departure]) -> list[tuple[Name, int, int]]:
    """What is not forgotten yet."""
    return [
        (references.name, departure.slot, id)
        for departure in leaving
        for references in departure.names()
        for id in references
    ]


def follow(copy: SubscriptionTable, changes: list[Change]) -> list[Change]:
    for change in changes:
        if change.present:
            assert copy.add(change.name, change.connection, 0)
        else:
            copy.remove(change.name, change.connection, 0)
    return []


def agrees(made: SubscriptionTable, model: set[tuple[Name, int, int]]) -> None:
    """The view says what the references in `model` do, each connection once, local ones apart."""
    view = made.view
    exact = {(name.key, name.instance, connection) for name, connection, _ in model}
    assert {(*i, c) for i, targets in view.by_instance.items() for c in targets.all} == exact
    anyone = {(name.key, connection) for name, connection, _ in model}
    assert {(key, c) for key, targets in view.by_name.items() for c in targets.all} == anyone
    for targets in (*view.by_name.values(), *view.by_instance.values()):
        assert targets.all == targets.local + targets.edges
        assert len(set(targets.all)) == len(targets.all) > 0
        assert set(targets.local) <= {LOCAL}
        assert LOCAL not in targets.edges
