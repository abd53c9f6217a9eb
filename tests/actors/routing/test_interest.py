"""What a node wants of the backbone, whatever its edges do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.messages.routing import RouteEntry
from actors.names import NO_INSTANCE, Name
from actors.routing.interest import Interest
from actors.routing.view import Instance

BOB = Name("org", "ns", "bob")
FIRST, SECOND = BOB.with_id(1), BOB.with_id(2)
ANY, ONE, TWO = ((name.key, name.instance) for name in (BOB, FIRST, SECOND))


def entry(name: Name, connection: int = 1, *, present: bool = True, edge: bool = True) -> RouteEntry:
    return RouteEntry(name, connection, False, present, edge)


def test_who_has_a_name_under_an_id_is_reached_by_both() -> None:
    interest = Interest()
    interest.take([entry(FIRST)])
    assert interest.changes() == {ANY: True, ONE: True}
    interest.take([entry(SECOND, 2)])
    assert interest.changes() == {TWO: True}
    interest.take([entry(FIRST, present=False)])
    assert interest.changes() == {ONE: False}
    interest.take([entry(SECOND, 2, present=False)])
    assert interest.changes() == {ANY: False, TWO: False}


def test_what_came_and_went_is_no_change() -> None:
    interest = Interest()
    interest.take([entry(BOB), entry(BOB, present=False)])
    assert interest.changes() == {}


def test_what_others_told_is_not_wanted() -> None:
    interest = Interest()
    interest.take([entry(BOB, edge=False)])
    assert interest.changes() == {}


def test_a_complete_list_replaces_what_was_known() -> None:
    interest = Interest()
    interest.take([entry(FIRST), entry(SECOND, 2)])
    interest.changes()
    interest.take([entry(FIRST, 3)], complete=True)
    assert interest.changes() == {TWO: False}


EVENTS = st.lists(
    st.tuples(st.sampled_from([BOB, FIRST, SECOND]), st.integers(1, 3), st.booleans(), st.booleans()),
    max_size=40,
)


@given(EVENTS)
def test_a_name_is_wanted_while_an_edge_has_it(events: list[tuple[Name, int, bool, bool]]) -> None:
    interest, wanted = Interest(), set[Instance]()
    there: set[tuple[Name, int]] = set()
    for name, connection, present, look in events:
        (there.add if present else there.discard)((name, connection))
        interest.take([entry(name, connection, present=present)])
        if look:
            for instance, on in interest.changes().items():
                assert on is not (instance in wanted)
                (wanted.add if on else wanted.discard)(instance)
    for instance, on in interest.changes().items():
        (wanted.add if on else wanted.discard)(instance)
    names = {name for name, _ in there}
    expected = {(name.key, name.instance) for name in names} | {(name.key, NO_INSTANCE) for name in names}
    assert wanted == expected
