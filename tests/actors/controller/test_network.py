"""What is automatic: links and routes, proved by sending a message round a model of the network."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from actors.controller.network import Edge, KnownNode, circle, link, peer_pairs, routes_of
from actors.messages.controller import NodeAddress

NAME = ("o", "n", "c")
IDS = ("a", "b", "c", "d")


def node(id: str, version: str = "1", **more: str) -> KnownNode:
    return KnownNode(id, (NodeAddress("0.0.0.0:46357", False, f"host-{id}"),), version=version, **more)


def delivered(start: str, holders: set[str], routes: set[tuple[str, str]], ours: set[str]) -> dict[str, int]:
    """How often each node's own applications get a message for all that starts at one node.

    Originals pass on what a node link brought, to every other link that has the name (each link leads one
    way, from who dialled); ours give it to their own applications only. Fails when it does not end.
    """
    counts: dict[str, int] = {}
    waiting = [(start, False)]
    steps = 0
    while waiting:
        steps += 1
        assert steps < 100, "the message goes round"
        at, came_from_node = waiting.pop()
        if at in holders:
            counts[at] = counts.get(at, 0) + 1
        if not (came_from_node and at in ours):
            waiting += [(to, True) for source, to in routes if source == at]
    return counts


@given(
    st.dictionaries(st.sampled_from(IDS), st.booleans(), min_size=1),
    st.sets(st.sampled_from(IDS)),
    st.sets(st.tuples(st.sampled_from(IDS), st.sampled_from(IDS)), max_size=3),
)
def test_nothing_comes_twice_or_goes_round(
    kinds: dict[str, bool], holders: set[str], by_hand: set[tuple[str, str]]
) -> None:
    nodes = {id: node(id, "1" if ours else "") for id, ours in kinds.items()}
    held = {id: {None} for id in holders & set(nodes)}
    edges: list[Edge] = []
    for source, to in sorted(by_hand):
        edge = Edge(source, to, NAME, None)
        if source in nodes and to in nodes and source != to and circle(edge, edges) is None:
            edges.append(edge)
    # Two routes by hand may lead to one node by two ways: that is what was asked for.
    if len(edges) > 1:
        edges = edges[:1]
    planned = {
        (route.source, route.destination)
        for route in routes_of(NAME, held, nodes, edges)  # type: ignore[arg-type]
        if not route.problem
    }
    ours = {id for id, one in nodes.items() if one.version}
    peers = {
        pair
        for one, other in peer_pairs(nodes.values())
        for pair in ((one.id, other.id), (other.id, one.id))
        if pair[1] in held
    }
    hand = {(edge.source, edge.destination) for edge in edges}
    for start in nodes:
        counts = delivered(start, set(held), planned | peers | (hand - peers), ours)
        if not hand:
            assert all(count == 1 for count in counts.values())


def test_a_name_of_one_original_is_reached_from_everywhere() -> None:
    nodes = {id: node(id, "" if id == "a" else "1") for id in IDS}
    routes = routes_of(NAME, {"a": {7}}, nodes, ())
    assert {(one.source, one.problem) for one in routes} == {("b", ""), ("c", ""), ("d", "")}
    assert {one.held.id for one in routes} == {7}


def test_a_name_of_two_with_an_original_among_them_is_explained() -> None:
    nodes = {"a": node("a", ""), "b": node("b")}
    routes = routes_of(NAME, {"a": {None}, "b": {None}}, nodes, ())
    assert {one.problem for one in routes} == {
        "a has this name too: an original node would send it round in a circle",
        "b has this name too: an original node would send it round in a circle",
    }


def test_one_link_for_each_pair_and_none_on_a_backbone() -> None:
    nodes = [node("c"), node("a"), node("b"), node("d", backbone="nats"), node("e", "")]
    assert [(one.id, other.id) for one, other in peer_pairs(nodes)] == [("a", "b"), ("a", "c"), ("b", "c")]


def test_addresses_within_a_group_and_between_groups() -> None:
    here = node("a")
    there = KnownNode("b", (NodeAddress("0.0.0.0:46357", True, "", "b.example:443"),), "g", "10.0.0.2")
    same = there._replace(group="")
    made = link(here, same, {"ca_source": "x"}, peer=False)
    assert made.endpoint == "https://10.0.0.2:46357"
    assert json.loads(made.config) == {"endpoint": made.endpoint, "tls": {"ca_source": "x"}}
    assert link(here, there, {}, peer=False).endpoint == "https://b.example:443"
    hidden = there._replace(addresses=(NodeAddress("0.0.0.0:46357"),))
    assert "no external endpoint defined" in link(here, hidden, {}, peer=False).problem
    assert link(here, same._replace(addresses=(NodeAddress("nonsense"),)), {}, peer=False).problem


def test_a_circle_is_named() -> None:
    edges = [Edge("a", "b", NAME, None), Edge("b", "c", NAME, 4), Edge("b", "c", ("x", "y", "z"), None)]
    assert circle(Edge("c", "a", NAME, None), edges) == ["c", "a", "b", "c"]
    assert circle(Edge("c", "a", NAME, 5), edges) is None
    assert circle(Edge("c", "a", ("x", "y", "z"), None), edges) is None


def test_an_address_of_version_6_stands_in_brackets() -> None:
    there = KnownNode("b", (NodeAddress("[::]:46357", False),), "", "[2001:db8::7]")
    assert link(node("a"), there, {}, peer=False).endpoint == "http://[2001:db8::7]:46357"
