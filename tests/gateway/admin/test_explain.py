"""The walk of a message by facts alone: each reason for which it ends, at one node and between three."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.admin.explain import REASONS, StepState, Walk, explain
from gateway.admin.facts import (
    EndFacts,
    NameFacts,
    NeighbourFacts,
    NodeFacts,
    RefusalFacts,
    RulingFacts,
    StrangerFacts,
    WayFacts,
)

A, B = "org/demo/alice", "org/demo/bob"
NOW = 1_000_000.0
TIME = "1970-01-12 13:46:30Z (10 s ago)"
"""Ten seconds before NOW."""
GONE = EndFacts(NOW - 10, "unsubscribed", 4)

ALICE_AT = WayFacts(3, "edge", "10.0.0.3:50000", "application", ids=("a1",))
BOB_AT = WayFacts(4, "edge", "10.0.0.4:50000", "application", ids=("b0b",))


def peer(node: str, connection: int = 7, **more: Any) -> WayFacts:
    return WayFacts(connection, "peer", f"10.0.1.{connection}:46357", "node", node, **more)


def joined(*nodes: str) -> tuple[NeighbourFacts, ...]:
    return tuple(NeighbourFacts(node, "", "joined") for node in nodes)


def node(
    name: str = "n1", source: tuple[WayFacts, ...] = (), target: tuple[WayFacts, ...] = (), **more: Any
) -> NodeFacts:
    """A node's facts; of the names only where they are, unless more is said."""
    facts = {"source": NameFacts(A, source), "target": NameFacts(B, target), "versions": "0.7 - 1.4", **more}
    return NodeFacts(name, NOW, **facts)


def missing(*nodes: NodeFacts) -> tuple[str, str]:
    """The node and the text of the step that is missing."""
    step = explain(nodes).missing
    assert step is not None
    return step.node, step.text


def texts(walk: Walk) -> list[str]:
    return [f"{step.state}: {step.text}" for step in walk.steps]


# One node


def test_two_applications_at_one_node_reach_each_other() -> None:
    walk = explain([node(source=(ALICE_AT,), target=(BOB_AT,))])
    assert texts(walk) == [
        "holds: org/demo/alice is registered at n1: connection 3, 10.0.0.3:50000",
        "holds: org/demo/bob is registered at n1: connection 4, 10.0.0.4:50000",
        "holds: org/demo/bob has not said that it refuses org/demo/alice",
    ]
    assert walk.verdict == "org/demo/alice reaches org/demo/bob"
    assert walk.missing is None
    assert (walk.asked, walk.unasked) == (("n1",), ())


def test_of_an_original_it_is_not_known_whether_it_takes_messages() -> None:
    walk = explain([node(source=(ALICE_AT,), target=(BOB_AT._replace(role="unknown"),))])
    assert texts(walk)[-1] == (
        "unknown: whether org/demo/bob takes it is not known to the node: look at the log of org/demo/bob"
    )
    assert walk.verdict.endswith("but not all is known")


def test_a_sender_that_is_not_there_is_the_first_thing_missing() -> None:
    assert missing(node(target=(BOB_AT,))) == (
        "n1",
        "org/demo/alice was never registered at n1 as far as remembered",
    )


def test_a_name_that_was_never_registered() -> None:
    assert missing(node(source=(ALICE_AT,))) == (
        "n1",
        "org/demo/bob was never registered at n1 as far as remembered",
    )


def test_a_name_that_left() -> None:
    facts = node(source=(ALICE_AT,))._replace(target=NameFacts(B, left=GONE))
    assert missing(facts) == ("n1", f"org/demo/bob was known to n1 and left at {TIME}: unsubscribed")


def test_a_subscription_that_a_limit_refused() -> None:
    full = EndFacts(NOW - 10, "this peer holds its 100 subscriptions", 4)
    facts = node(source=(ALICE_AT,))._replace(target=NameFacts(B, refused=full))
    assert missing(facts) == (
        "n1",
        f"org/demo/bob was refused at n1 at {TIME}: this peer holds its 100 subscriptions",
    )


def test_a_route_that_failed() -> None:
    failed = EndFacts(NOW - 10, "Connection http://n2:46357 not found", 0)
    facts = node(source=(ALICE_AT,))._replace(target=NameFacts(B, refused=failed))
    assert missing(facts)[1].endswith(": Connection http://n2:46357 not found")


def test_what_happened_last_counts() -> None:
    refused = GONE._replace(at=NOW - 1, cause="full")
    facts = node(source=(ALICE_AT,))._replace(target=NameFacts(B, left=GONE, refused=refused))
    assert missing(facts)[1].endswith(": full")


@pytest.mark.parametrize("state", ["draining", "failed", "starting"])
def test_a_node_that_takes_nothing(state: str) -> None:
    facts = node(source=(ALICE_AT,), target=(BOB_AT,), state=state)
    assert missing(facts) == ("n1", f"n1 takes no messages any more: it is {state}")


@pytest.mark.parametrize("reason", REASONS)
def test_what_an_application_says(reason: str) -> None:
    refusal = RefusalFacts(f"{B}/b0b", f"{A}/a1", reason, NOW - 5)
    facts = node(source=(ALICE_AT,), target=(BOB_AT,), refusals=(refusal,))
    expected = f"org/demo/bob/0000 refuses org/demo/alice/0000: {REASONS[reason]} (5 s ago)"
    assert missing(facts) == ("n1", expected)


def test_the_sender_may_be_the_one_who_refuses() -> None:
    refusal = RefusalFacts(f"{A}/a1", f"{B}/b0b", "secret", NOW - 5)
    facts = node(source=(ALICE_AT,), target=(BOB_AT,), refusals=(refusal,))
    assert missing(facts)[1].startswith("org/demo/alice/0000 refuses org/demo/bob/0000: its token is made")


def test_what_an_instance_said_that_is_gone_does_not_count() -> None:
    refusal = RefusalFacts(f"{B}/dead", f"{A}/a1", "secret", NOW - 5)
    facts = node(source=(ALICE_AT,), target=(BOB_AT,), refusals=(refusal,))
    assert explain([facts]).missing is None


RULE = "rules, line 3: deny user:alice publish org/*"


@pytest.mark.parametrize(("action", "doing"), [("invite", "invite"), ("publish", "publish to")])
def test_a_rule_of_the_node(action: str, doing: str) -> None:
    ruling = RulingFacts(3, "user alice", action, B, RULE)
    facts = node(source=(ALICE_AT,), target=(BOB_AT,), rulings=(ruling,))
    assert missing(facts) == (
        "n1",
        f"the rules of n1 do not let user alice (connection 3) {doing} {B}: {RULE}",
    )


def test_a_rule_against_one_connection_of_a_name_is_none_against_the_name() -> None:
    ruling = RulingFacts(3, "user alice", "publish", B, RULE)
    second = ALICE_AT._replace(connection=5)
    facts = node(source=(ALICE_AT, second), target=(BOB_AT,), rulings=(ruling,))
    assert explain([facts]).missing is None


def test_a_rule_against_the_answers() -> None:
    ruling = RulingFacts(4, "anonymous", "publish", A, RULE)
    facts = node(source=(ALICE_AT,), target=(BOB_AT,), rulings=(ruling,))
    assert missing(facts)[1].startswith(
        "the answers: the rules of n1 do not let anonymous (connection 4) pub"
    )


def test_a_rule_against_the_link_of_a_peer() -> None:
    ruling = RulingFacts(8, "a node", "invite", B, "rules, line 1: deny node invite *")
    here = node("n1", source=(ALICE_AT,), target=(peer("n2"),), neighbours=joined("n2"))
    there = node("n2", (peer("n1", 8),), (BOB_AT,), neighbours=joined("n1"), rulings=(ruling,))
    assert missing(here, there) == (
        "n2",
        f"the rules of n2 do not let a node (connection 8) invite {B}: rules, line 1: deny node invite *",
    )


def test_a_link_without_a_stream() -> None:
    down = WayFacts(9, "by hand", "http://n9:46357", down="connection refused")
    assert missing(node(source=(ALICE_AT,), target=(down,))) == (
        "n1",
        "the way to org/demo/bob is connection 9, http://n9:46357, which is down: connection refused",
    )


def test_a_route_by_hand_leads_to_what_the_node_does_not_know() -> None:
    way = WayFacts(9, "by hand", "http://n9:46357")
    walk = explain([node(source=(ALICE_AT,), target=(way,))])
    assert texts(walk)[1:] == [
        "holds: a route made by hand leads to org/demo/bob: connection 9, http://n9:46357",
        "unknown: what is behind connection 9, http://n9:46357 is not known to the node: ask there",
    ]


def test_a_route_by_hand_to_a_node_of_ours_is_followed() -> None:
    way = WayFacts(9, "by hand", "10.0.1.9:46357", "node", "n2")
    here = node("n1", (ALICE_AT,), (way,), neighbours=joined("n2"))
    there = node("n2", (peer("n1", 8),), (BOB_AT,), neighbours=joined("n1"))
    assert texts(explain([here, there]))[1:3] == [
        "holds: a route made by hand leads to org/demo/bob: connection 9, 10.0.1.9:46357",
        "holds: org/demo/bob is registered at n2: connection 4, 10.0.0.4:50000",
    ]
    assert missing(here, there._replace(target=NameFacts(B, left=GONE)))[0] == "n2"


def test_another_wire_is_a_clue_to_a_name_that_is_not_there() -> None:
    stranger = StrangerFacts(5, "10.0.0.5:50000", "2.0.1", 3)
    assert missing(node(source=(ALICE_AT,), strangers=(stranger,)))[1] == (
        "org/demo/bob was never registered at n1 as far as remembered; connection 5 from 10.0.0.5:50000 "
        "(version 2.0.1) speaks another wire than n1 (0.7 - 1.4)"
    )


def test_an_application_that_sends_what_cannot_be_read_is_told_of() -> None:
    walk = explain([node(source=(ALICE_AT,), target=(BOB_AT._replace(malformed=2),))])
    assert (
        "unknown: 2 messages from connection 4, 10.0.0.4:50000 could not be read: "
        "has it another wire than 0.7 - 1.4?"
    ) in texts(walk)


def test_a_slow_application_is_told_of() -> None:
    walk = explain([node(source=(ALICE_AT,), target=(BOB_AT._replace(dropped=1),))])
    assert "holds: connection 4, 10.0.0.4:50000 has been slow: 1 message to it dropped so far" in texts(walk)
    assert walk.missing is None


def test_an_application_that_does_not_read() -> None:
    stuck = BOB_AT._replace(full_for=12.3, backlog=2**20, dropped=7)
    facts = node(source=(ALICE_AT,), target=(stuck,))
    assert missing(facts) == (
        "n1",
        "connection 4, 10.0.0.4:50000 does not read: its outbox has been full for 12 s (1024 KiB), and 7 "
        "messages to it dropped so far",
    )
    for more in ((BOB_AT._replace(connection=5),), (stuck._replace(full_for=0.5),)):
        assert explain([facts._replace(target=NameFacts(B, (stuck, *more)))]).missing is None, "another may"
    behind = peer("n2")._replace(full_for=3.0, backlog=2**20)
    assert "connection 7, 10.0.1.7:46357 does not" in missing(node("n1", (ALICE_AT,), (behind,)))[1]
    home = (ALICE_AT._replace(full_for=3.0),)
    assert "connection 3, 10.0.0.3:50000 does not read" in missing(node(source=home, target=(BOB_AT,)))[1]


def test_a_controller_that_is_away_may_know_more() -> None:
    facts = node(source=(ALICE_AT,), controllers=("http://c:50052",))
    assert missing(facts)[1].endswith(
        "n1 does not reach its controller http://c:50052, which may know a route"
    )


def test_applications_of_one_process_need_no_node() -> None:
    both = BOB_AT._replace(connection=ALICE_AT.connection, peer=ALICE_AT.peer)
    walk = explain([node(source=(ALICE_AT,), target=(both,))])
    assert (
        "holds: both are behind connection 3, 10.0.0.3:50000: their process hands messages over itself"
        in (texts(walk))
    )


# Several nodes


def clique(**of_n2: Any) -> list[NodeFacts]:
    """alice at n1, bob at n2, and n3 with nobody: each a peer of the others."""
    return [
        node("n1", (ALICE_AT,), (peer("n2"),), neighbours=joined("n2", "n3")),
        node("n2", **{"source": (peer("n1", 8),), "target": (BOB_AT,), "neighbours": joined("n1"), **of_n2}),
        node("n3", (peer("n1", 8),), (peer("n2"),), neighbours=joined("n1", "n2")),
    ]


def test_applications_at_two_peers_reach_each_other() -> None:
    walk = explain(clique())
    assert texts(walk) == [
        "holds: org/demo/alice is registered at n1: connection 3, 10.0.0.3:50000",
        "holds: n1 hands it to its peer n2, which has told org/demo/bob (connection 7, 10.0.1.7:46357)",
        "holds: org/demo/bob is registered at n2: connection 4, 10.0.0.4:50000",
        "holds: org/demo/bob has not said that it refuses org/demo/alice",
        "holds: n2 hands it to its peer n1, which has told org/demo/alice (connection 8, 10.0.1.8:46357)",
    ]
    assert walk.verdict == "org/demo/alice reaches org/demo/bob"


def test_it_does_not_matter_which_node_is_asked_first() -> None:
    nodes = clique()
    assert {explain([nodes[at], *nodes[:at], *nodes[at + 1 :]]).steps for at in range(3)} == {
        explain(nodes).steps
    }


def test_a_peer_that_was_not_asked_is_named() -> None:
    walk = explain(clique()[:1])
    assert texts(walk)[-1] == (
        "unknown: n2 did not say what it does with a message for org/demo/bob: it is not known"
    )
    assert [neighbour.node for neighbour in walk.unasked] == ["n2", "n3"]


def test_a_peer_that_has_lost_the_name() -> None:
    nodes = clique()
    nodes[1] = nodes[1]._replace(target=NameFacts(B, left=GONE))
    assert missing(*nodes) == ("n2", f"org/demo/bob was known to n2 and left at {TIME}: unsubscribed")


def test_a_peer_hands_nothing_on_to_another_peer() -> None:
    """In a line each end knows the middle only."""
    line = [
        node("n1", (ALICE_AT,), neighbours=joined("n2")),
        node("n2", (peer("n1"),), (peer("n3"),), neighbours=joined("n1", "n3")),
        node("n3", target=(BOB_AT,), neighbours=joined("n2")),
    ]
    assert missing(*line) == (
        "n1",
        "org/demo/bob is at n3, to which n1 has no link: peers hand on what applications send, "
        "not what other peers do, so each two of them need a link",
    )


def test_a_link_between_nodes_that_is_down() -> None:
    lost = (NeighbourFacts("n2", "http://n2:46357", "dialling", "connection refused", NOW - 10),)
    nodes = [node("n1", (ALICE_AT,), neighbours=lost), node("n2", target=(BOB_AT,))]
    assert missing(*nodes) == (
        "n1",
        "org/demo/bob is at n2, and the link from n1 to n2 is down since 1970-01-12 13:46:30Z "
        "(connection refused)",
    )


def test_a_peer_that_never_joined_is_known_by_its_endpoint() -> None:
    never = (NeighbourFacts("", "http://n2:46357", "refused", "this node takes no peers"),)
    nodes = [node("n1", (ALICE_AT,), neighbours=never), node("n2", target=(BOB_AT,))]
    assert missing(*nodes)[1] == (
        "org/demo/bob is at n2, to which n1 has no link; "
        "the link from n1 to http://n2:46357 is down (this node takes no peers)"
    )
    assert missing(nodes[0])[1].endswith(
        "; the link from n1 to http://n2:46357 is down (this node takes no peers)"
    )


def test_a_name_that_has_not_been_told_yet() -> None:
    nodes = [
        node("n1", (ALICE_AT,), neighbours=joined("n2")),
        node("n2", target=(BOB_AT,), neighbours=joined("n1")),
    ]
    assert missing(*nodes)[1] == "org/demo/bob is at n2, which has not told it to n1 yet: ask again"


def test_the_answers_need_a_way_back() -> None:
    lost = (NeighbourFacts("n1", "http://n1:46357", "dialling", "silent for 10 s"),)
    assert missing(*clique(source=(), neighbours=lost)) == (
        "n2",
        "org/demo/alice is at n1, and the link from n2 to n1 is down (silent for 10 s)",
    )


def test_a_node_that_drains_takes_no_answers() -> None:
    assert missing(*clique(state="draining")) == ("n2", "n2 takes no messages any more: it is draining")


def test_a_refusal_is_known_to_the_node_that_passed_it_on() -> None:
    refusal = RefusalFacts(f"{B}/b0b", f"{A}/a1", "audience", NOW - 200)
    assert missing(*clique(refusals=(refusal,))) == (
        "n2",
        f"org/demo/bob/0000 refuses org/demo/alice/0000: {REASONS['audience']} (3 min ago)",
    )


BACKBONE = WayFacts(2, "backbone", "nats://nats:4222")


def backbone(here: str | None = "", there: str | None = "") -> list[NodeFacts]:
    return [
        node("n1", (ALICE_AT,), (BACKBONE,), backbone=here),
        node("n2", (BACKBONE,), (BOB_AT,), backbone=there),
    ]


def test_applications_on_a_backbone_reach_each_other() -> None:
    walk = explain(backbone())
    assert walk.verdict == "org/demo/alice reaches org/demo/bob"
    assert "holds: n1 puts it on the backbone: nobody nearer has org/demo/bob" in texts(walk)


def test_who_has_a_name_on_a_backbone_is_not_known() -> None:
    walk = explain(backbone()[:1])
    assert texts(walk)[-1].startswith("unknown: none of the nodes asked has org/demo/bob")


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        ("no server answers", "", "the backbone of n1 is down: no server answers"),
        ("", "no server answers", "org/demo/bob is at n2, whose backbone is down: no server answers"),
        ("", None, "org/demo/bob is at n2, which is not on the backbone"),
    ],
)
def test_a_backbone_that_is_down(here: str, there: str | None, expected: str) -> None:
    assert missing(*backbone(here, there))[1] == expected


# Whatever the facts

WAYS = st.lists(
    st.builds(
        WayFacts,
        st.integers(1, 9),
        st.sampled_from(["local", "edge", "peer", "by hand", "backbone"]),
        st.just("10.0.0.1:1"),
        st.sampled_from(["unknown", "application", "node"]),
        st.sampled_from(["", "n1", "n2", "n3"]),
        st.sampled_from(["", "cut"]),
        st.integers(0, 2),
        st.integers(0, 2),
        st.lists(st.sampled_from(["a1", "b0b"]), max_size=2).map(tuple),
        st.sampled_from([0.0, 0.5, 20.0]),
        st.integers(0, 2**21),
    ),
    max_size=3,
).map(tuple)
ENDS = st.none() | st.builds(
    EndFacts, st.sampled_from([0.0, NOW - 1, NOW]), st.sampled_from(["", "gone"]), st.just(4)
)
INSTANCES = st.sampled_from([f"{A}/a1", f"{B}/b0b"])
REFUSALS = st.builds(RefusalFacts, INSTANCES, INSTANCES, st.sampled_from(list(REASONS)), st.just(NOW))
RULINGS = st.builds(
    RulingFacts,
    st.integers(1, 4),
    st.just("user alice"),
    st.sampled_from(["invite", "publish"]),
    st.sampled_from([A, B]),
    st.just(RULE),
)
NODES = st.lists(
    st.builds(
        NodeFacts,
        st.sampled_from(["n1", "n2", "n3"]),
        st.just(NOW),
        st.builds(NameFacts, st.just(A), WAYS, ENDS, ENDS),
        st.builds(NameFacts, st.just(B), WAYS, ENDS, ENDS),
        st.sampled_from(["", "", "draining"]),
        st.just("0.7 - 1.4"),
        st.lists(
            st.builds(
                NeighbourFacts,
                st.sampled_from(["", "n1", "n2", "n3", "n4"]),
                st.sampled_from(["", "http://n:1"]),
                st.sampled_from(["joined", "linked", "dialling", "itself"]),
                st.sampled_from(["", "cut"]),
                st.just(NOW - 1),
            ),
            max_size=3,
        ).map(tuple),
        st.sampled_from([None, "", "down"]),
        st.just(()),
        st.lists(REFUSALS, max_size=2).map(tuple),
        st.just(()),
        st.lists(RULINGS, max_size=2).map(tuple),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda facts: facts.node,
)


@settings(max_examples=40)
@given(NODES)
def test_a_walk_ends_at_its_first_missing_step_and_says_where(nodes: list[NodeFacts]) -> None:
    walk = explain(nodes)
    assert walk.steps
    assert all(step.state is not StepState.MISSING for step in walk.steps[:-1])
    assert all(step.node in walk.asked and step.text for step in walk.steps)
    assert (walk.missing is None) != (walk.missing in walk.steps)
    assert not {neighbour.node for neighbour in walk.unasked} & set(walk.asked)


@settings(max_examples=40)
@given(NODES)
def test_facts_travel_as_json(nodes: list[NodeFacts]) -> None:
    for facts in nodes:
        assert NodeFacts.read(json.loads(json.dumps(as_json(facts)))) == facts


def as_json(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return {name: as_json(one) for name, one in value._asdict().items()}
    return [as_json(one) for one in value] if isinstance(value, tuple) else value


def test_what_a_later_version_adds_is_left_out() -> None:
    facts = node(source=(ALICE_AT,))
    assert NodeFacts.read({**as_json(facts), "weather": "fine"}) == facts


@pytest.mark.parametrize(
    ("member", "wrong"),
    [
        ("node", 1), ("now", "noon"), ("now", None),
        ("now", float("nan")), ("now", 1e300), ("now", 10**400),
        ("source", []), ("versions", []), ("backbone", 1),
        ("neighbours", {}), ("neighbours", ["n2"]), ("controllers", [1]), ("rulings", "all"),
        ("source", {"name": A, "ways": [{"connection": "7", "rank": "edge"}]}),
        ("target", {"name": A, "ways": [{"connection": 7, "rank": "edge", "ids": [7]}]}),
    ],
)  # fmt: skip
def test_a_member_that_another_node_made_up_is_refused(member: str, wrong: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        NodeFacts.read({**as_json(node(source=(ALICE_AT,))), member: wrong})


@pytest.mark.parametrize("wrong", [None, [], "n1", {}, {"node": "n1"}, {"node": "n1", "source": 1}])
def test_what_are_no_facts_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"NodeFacts|NameFacts"):
        NodeFacts.read(wrong)
