from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.names import NO_ID, NO_INSTANCE, Name
from actors.routing.table import SubscriptionNotFound, SubscriptionTable

BOB = Name("org", "ns", "bob")


def table(*entries: tuple[Name, int, int], local: tuple[int, ...] = ()) -> SubscriptionTable:
    made = SubscriptionTable()
    for name, connection, subscription in entries:
        made.add(name, connection, subscription, local=connection in local)
    return made


def test_names_without_id_are_stored_under_the_null_id() -> None:
    route = table((BOB, 1, 0)).routes()[BOB.key]
    assert route.remote_by_id == {NO_INSTANCE: (1,)}


def test_subscribing_twice_is_idempotent() -> None:
    subscribed = table((BOB, 1, 7), (BOB, 1, 7))
    subscribed.remove(BOB, 1, 7)
    assert subscribed.routes() == {}


def test_an_entry_goes_with_its_last_reference() -> None:
    subscribed = table((BOB, 1, 7), (BOB, 1, 8))
    subscribed.remove(BOB, 1, 7)
    assert subscribed.routes()[BOB.key].remote_any == (1,)
    subscribed.remove(BOB, 1, 8)
    assert BOB.key not in subscribed.routes()


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
    subscribed.remove(BOB, 1, 7)
    assert subscribed.routes() == {}
    only_restored = table((BOB, 1, 0))
    only_restored.remove(BOB, 1, 7)
    assert only_restored.routes() == {}


def test_local_and_remote_stand_apart() -> None:
    route = table((BOB, 1, 0), (BOB.with_id(5), 2, 0), local=(2,)).routes()[BOB.key]
    assert route.local_any == (2,)
    assert route.remote_any == (1,)
    assert route.local_by_id == {BOB.with_id(5).instance: (2,)}


def test_a_connection_that_goes_takes_everything_along() -> None:
    subscribed = table((BOB, 1, 7), (BOB.with_id(5), 1, 8), (BOB, 2, 9))
    assert subscribed.count(1) == 2
    assert sorted(subscribed.remove_connection(1), key=str) == sorted(
        [(BOB, 7), (BOB.with_id(5), 8)], key=str
    )
    assert subscribed.routes()[BOB.key].remote_any == (2,)
    assert subscribed.count(1) == 0


def test_a_snapshot_is_not_touched_by_later_changes() -> None:
    subscribed = table((BOB, 1, 0))
    before = subscribed.routes()
    subscribed.add(BOB, 2, 0, local=False)
    assert before[BOB.key].remote_any == (1,)
    assert subscribed.routes()[BOB.key].remote_any == (1, 2)


operation = st.tuples(
    st.booleans(), st.integers(0, 2), st.sampled_from([1, 2, NO_ID]), st.integers(1, 3), st.integers(0, 2)
)


@given(st.lists(operation))
def test_the_table_is_what_its_references_say(operations: list[tuple[bool, int, int, int, int]]) -> None:
    subscribed, model = SubscriptionTable(), set()
    for add, app, id, connection, subscription in operations:
        name = Name("o", "n", f"app{app}", id)
        entry = (name, connection, subscription)
        if add:
            subscribed.add(*entry, local=False)
            model.add(entry)
            continue
        expected = {entry, (name, connection, 0)} & model
        model -= expected
        try:
            subscribed.remove(*entry)
            assert expected
        except SubscriptionNotFound:
            assert not expected
    seen = {
        (key, id, connection)
        for key, route in subscribed.routes().items()
        for id, connections in route.remote_by_id.items()
        for connection in connections
    }
    assert seen == {(name.key, name.instance, connection) for name, connection, _ in model}
