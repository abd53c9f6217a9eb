from __future__ import annotations

import pytest

from actors.messages.wire import Introduction, LinkNegotiation, Role
from actors.routing.negotiation import OUR_VERSION, Negotiator, Outcome, acknowledges, parse_version

LINK = "18959e9c-c410-4e26-881d-a8fc86e73aa1"


def test_a_good_request_is_answered_with_the_same_link_id() -> None:
    accepting = Negotiator()
    outcome = accepting.handle(LinkNegotiation(LINK, "1.3.0"))
    assert outcome.reply == LinkNegotiation(LINK, OUR_VERSION, is_reply=True)
    assert outcome.accepted
    assert accepting.peer_version == (1, 3, 0)


@pytest.mark.parametrize(
    "bad",
    [
        LinkNegotiation(LINK, "one"),
        LinkNegotiation(LINK, ""),
        LinkNegotiation("not-a-uuid", "1.4.0"),
        LinkNegotiation("00000000-0000-1000-8000-000000000000", "1.4.0"),
        LinkNegotiation(LINK, "1.4.0", is_reply=True),
        LinkNegotiation("x" * 100_000, "1.4.0"),
    ],
)
def test_bad_requests_are_ignored_in_silence(bad: LinkNegotiation) -> None:
    accepting = Negotiator()
    assert accepting.handle(bad) == Outcome()
    assert accepting.peer_version is None


def test_a_second_request_is_ignored() -> None:
    accepting = Negotiator()
    accepting.handle(LinkNegotiation(LINK, "1.4.0"))
    assert accepting.handle(LinkNegotiation(LINK, "1.3.0")) == Outcome()


def test_the_dialling_side_opens_and_takes_the_matching_reply() -> None:
    dialling = Negotiator(dialled_as=LINK)
    assert dialling.opening() == LinkNegotiation(LINK, OUR_VERSION)
    assert not dialling.handle(LinkNegotiation("other", "1.4.0", is_reply=True)).accepted
    assert not dialling.handle(LinkNegotiation(LINK, "1.4.0")).accepted
    assert dialling.handle(LinkNegotiation(LINK, "1.4.0", is_reply=True)) == Outcome(accepted=True)


def test_a_new_stream_negotiates_again_under_the_same_id() -> None:
    dialling = Negotiator(dialled_as=LINK)
    dialling.handle(LinkNegotiation(LINK, "1.4.0", is_reply=True))
    assert dialling.opening() == LinkNegotiation(LINK, OUR_VERSION)
    assert dialling.handle(LinkNegotiation(LINK, "1.3.0", is_reply=True)).accepted


@pytest.mark.parametrize(
    ("version", "expected"),
    [("1.2.0", True), ("1.4.0-rc.1", True), ("2.0.0", True), ("1.1.9", False), ("x", False)],
)
def test_who_acknowledges_subscriptions(version: str, expected: bool) -> None:
    assert acknowledges(parse_version(version)) is expected


NODE, OTHER = Introduction(Role.NODE, "here", 1, "a token"), Introduction(Role.NODE, "there", 2, "another")


def let_in(_: Introduction) -> str:
    return ""


def test_nodes_of_ours_know_each_other() -> None:
    accepting, dialling = Negotiator(None, NODE, let_in), Negotiator(LINK, OTHER)
    opening = dialling.opening()
    assert opening is not None
    answered = accepting.handle(opening)
    assert answered.node == OTHER
    assert answered.reply is not None
    assert answered.reply.introduction == NODE._replace(token="")
    assert dialling.handle(answered.reply).node == NODE._replace(token="")


def test_whoever_does_not_say_who_it_is_is_told_nothing_new() -> None:
    outcome = Negotiator(None, NODE, let_in).handle(LinkNegotiation(LINK, "1.4.1"))
    assert outcome == Outcome(LinkNegotiation(LINK, OUR_VERSION, is_reply=True), accepted=True)


def test_an_application_is_an_edge_to_a_node_and_a_node_to_an_application_too() -> None:
    accepting, dialling = Negotiator(None, NODE), Negotiator(LINK, Introduction(Role.APPLICATION))
    answered = accepting.handle(dialling.opening() or LinkNegotiation("", ""))
    assert (answered.node, answered.refusal, accepting.peer_role) == (None, "", Role.APPLICATION)
    assert dialling.handle(answered.reply or LinkNegotiation("", "")).node is None


def test_a_node_that_is_not_let_in_is_told_why() -> None:
    accepting, dialling = Negotiator(None, NODE), Negotiator(LINK, OTHER)
    answered = accepting.handle(dialling.opening() or LinkNegotiation("", ""))
    assert answered.refusal == "this node has no peers"
    assert dialling.handle(answered.reply or LinkNegotiation("", "")).refusal == "this node has no peers"


def test_what_keeps_a_link_alive_changes_nothing() -> None:
    accepting, dialling = Negotiator(None, NODE, let_in), Negotiator(LINK, OTHER)
    answered = accepting.handle(dialling.opening() or LinkNegotiation("", ""))
    dialling.handle(answered.reply or LinkNegotiation("", ""))
    assert dialling.handle(accepting.keepalive()) == accepting.handle(dialling.keepalive()) == Outcome()
