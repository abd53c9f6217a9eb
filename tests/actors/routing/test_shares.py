from __future__ import annotations

from actors.names import Name
from actors.routing.shares import SMALL, Shares, places

BOB = Name("org", "ns", "bob")


def test_a_peer_has_its_share_and_no_more() -> None:
    shares = Shares(node=100, peer=2, reserve=10)
    assert [shares.acquire("peer", BOB) for _ in range(3)] == ["", "", "this peer holds its 2 subscriptions"]
    assert shares.acquire("other", BOB) == ""
    assert (shares.held("peer"), shares.total, shares.refused) == (2, 3, 1)


def test_the_reserve_is_for_those_who_have_little() -> None:
    shares = Shares(node=3 * SMALL, peer=3 * SMALL, reserve=SMALL)
    greedy = [shares.acquire("greedy", BOB) for _ in range(3 * SMALL)]
    assert greedy.count("") == 2 * SMALL
    assert greedy[-1] == f"the node holds its {3 * SMALL} subscriptions"
    assert shares.acquire("late", BOB) == ""


def test_a_full_node_is_full_for_all() -> None:
    shares = Shares(node=1, peer=9, reserve=1)
    assert shares.acquire("one", BOB) == ""
    assert shares.acquire("two", BOB) == "the node holds its 1 subscriptions"


def test_what_is_given_back_can_be_taken_again() -> None:
    shares = Shares(node=1, peer=1, reserve=1)
    shares.acquire("one", BOB)
    shares.release("one", BOB)
    assert (shares.total, shares.held("one")) == (0, 0)
    assert shares.acquire("two", BOB) == ""


def test_a_long_name_costs_what_it_weighs() -> None:
    assert places(BOB) == 1
    wide = Name("org", "ns", "\N{SNOWMAN}" * 2000)
    assert places(wide) == 8
    shares = Shares(node=100, peer=8, reserve=0)
    assert shares.acquire("peer", wide) == ""
    assert shares.acquire("peer", BOB) != ""
    shares.release("peer", wide)
    assert shares.total == 0
