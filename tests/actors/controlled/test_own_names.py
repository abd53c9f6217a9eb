"""Which names a node has of its own, as the route table changes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.controlled.own_names import CONTROLLER, OwnNames, held
from actors.messages.controller import Held
from actors.messages.routing import RouteEntry
from actors.names import NO_INSTANCE, Name

EDGE, EDGE_TOO, NODE = 1, 2, 9
A, A5 = Name("o", "n", "a"), Name("o", "n", "a", 5)


def names() -> OwnNames:
    return OwnNames(lambda connection: connection != NODE)


def test_names_of_edges_are_told_with_the_first_and_the_last() -> None:
    own = names()
    assert own.take([RouteEntry(A5, EDGE, False)]) == ((Held(("o", "n", "a"), 5),), ())
    assert own.take([RouteEntry(A5, EDGE_TOO, True)]) == ((), ())
    assert own.take([RouteEntry(A5, EDGE, False, False)]) == ((), ())
    assert own.take([RouteEntry(A5, EDGE_TOO, True, False)]) == ((), (held(A5),))
    assert own.own() == ()


def test_what_leads_to_another_node_is_listed_and_not_told() -> None:
    own = names()
    assert own.take([RouteEntry(A, NODE, False)]) == ((), ())
    assert own.entries() == (RouteEntry(A, NODE, False),)


def test_the_controllers_own_name_and_names_without_texts_are_nobodys() -> None:
    nameless = Name.from_wire(A.key, ("", "", ""), NO_INSTANCE)
    own = names()
    assert own.take([RouteEntry(CONTROLLER, EDGE, True), RouteEntry(nameless, EDGE, True)]) == ((), ())


def test_a_complete_table_replaces_what_was_known() -> None:
    own = names()
    own.take([RouteEntry(A, EDGE, False), RouteEntry(A5, EDGE, False)])
    assert own.take([RouteEntry(A, EDGE, False)], complete=True) == ((), (held(A5),))


def test_a_moderator_is_the_first_instance_here() -> None:
    own = names()
    own.take([RouteEntry(A.with_id(id), EDGE, False) for id in (9, 5)])
    own.take([RouteEntry(A.with_id(3), NODE, False), RouteEntry(A, EDGE, False)])
    assert own.instance(("o", "n", "a"), None) == 5
    assert own.instance(("o", "n", "a"), 9) == 9
    assert own.instance(("o", "n", "a"), 3) is None
    assert own.instance(("o", "n", "b"), None) is None


_entries = st.builds(
    RouteEntry,
    st.sampled_from([A, A5, Name("o", "n", "b")]),
    st.sampled_from([EDGE, EDGE_TOO, NODE]),
    st.just(False),
    st.booleans(),
)


@given(st.lists(st.tuples(st.lists(_entries, max_size=5), st.booleans()), max_size=8))
def test_whoever_follows_the_reports_knows_the_names(told: list[tuple[list[RouteEntry], bool]]) -> None:
    own, known = names(), set()
    for entries, complete in told:
        entries = [one._replace(present=True) for one in entries] if complete else entries
        gained, lost = own.take(entries, complete=complete)
        assert not known & set(gained)
        assert set(lost) <= known
        known = (known | set(gained)) - set(lost)
        assert known == set(own.own())
