from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.mls.cipher_suite import suite
from identity.mls.errors import KeyUnavailable
from identity.mls.private_message import sender_data_key_and_nonce
from identity.mls.secret import Secret
from identity.mls.secret_tree import MAX_FORWARD, MAX_SKIPPED, Ratchet, SecretTree
from tests.identity.mls.support import cases, unhex

SUITE = suite(1)


def ratchet() -> Ratchet:
    return Ratchet(Secret(bytes(range(32))))


@pytest.mark.vectors
def test_secret_tree_vectors() -> None:
    found = cases("secret-tree")
    keys = 0
    for case in found:
        use = suite(case["cipher_suite"])
        given = case["sender_data"]
        key, nonce = sender_data_key_and_nonce(
            use, unhex(given["sender_data_secret"]), unhex(given["ciphertext"])
        )
        assert (key, nonce) == (unhex(given["key"]), unhex(given["nonce"]))
        tree = SecretTree.grow(use, len(case["leaves"]), Secret(unhex(case["encryption_secret"])))
        for index, generations in enumerate(case["leaves"]):
            for entry in generations:
                for kind, one in zip(("handshake", "application"), tree.leaf(index), strict=True):
                    got = one.find(use, entry["generation"])
                    assert got.key == unhex(entry[f"{kind}_key"])
                    assert got.nonce == unhex(entry[f"{kind}_nonce"])
                    one.use(use, got)
                    keys += 1
    print(f"secret-tree: {len(found)} cases, {keys} keys passed")


@given(st.permutations(range(12)))
def test_keys_come_in_any_order_and_once(order: list[int]) -> None:
    straight, shuffled = ratchet(), ratchet()
    expected = []
    for generation in range(12):
        found = straight.find(SUITE, generation)
        straight.use(SUITE, found)
        expected.append((found.key, found.nonce))
    for generation in order:
        found = shuffled.find(SUITE, generation)
        assert (found.key, found.nonce) == expected[generation]
        shuffled.use(SUITE, found)
        with pytest.raises(KeyUnavailable, match=f"generation {generation} was used before"):
            shuffled.find(SUITE, generation)
    assert not shuffled.skipped
    assert shuffled.secret == straight.secret


def test_looking_a_key_up_changes_nothing() -> None:
    one = ratchet()
    before = (one.generation, bytes(one.secret), dict(one.skipped))
    one.find(SUITE, 40)
    assert (one.generation, bytes(one.secret), one.skipped) == before


def test_generation_too_far_ahead_is_refused() -> None:
    one = ratchet()
    one.find(SUITE, MAX_FORWARD)
    with pytest.raises(KeyUnavailable, match="more than 1024 ahead of 0"):
        one.find(SUITE, MAX_FORWARD + 1)


def test_skipped_keys_are_bounded_and_the_oldest_go_first() -> None:
    one = ratchet()
    for generation in (1000, 2000, 2100):
        one.use(SUITE, one.find(SUITE, generation))
    assert len(one.skipped) == MAX_SKIPPED
    with pytest.raises(KeyUnavailable):
        one.find(SUITE, 900)
    one.use(SUITE, one.find(SUITE, 2099))


def test_last_generation_is_the_end() -> None:
    one = Ratchet(Secret(bytes(32)), 2**32 - 1)
    one.use(SUITE, one.find(SUITE, 2**32 - 1))
    with pytest.raises(KeyUnavailable, match="commit to a new epoch"):
        one.find(SUITE, one.generation)


def test_parents_are_dropped_once_their_children_exist() -> None:
    tree = SecretTree.grow(SUITE, 8, Secret(os.urandom(32)))
    tree.leaf(5)
    assert sorted(tree.nodes) == [3, 8, 13]
    for leaf in range(8):
        tree.leaf(leaf)
    assert not tree.nodes
    with pytest.raises(KeyUnavailable, match="leaf 8 is outside a tree of 8"):
        tree.leaf(8)


@pytest.mark.parametrize("spoke", [True, False])
def test_leaf_that_is_forgotten_stays_so_and_its_neighbours_are_not_touched(spoke: bool) -> None:
    secret = Secret(os.urandom(32))
    tree, whole = SecretTree.grow(SUITE, 8, secret), SecretTree.grow(SUITE, 8, secret)
    if spoke:
        tree.leaf(5)
    tree.forget([5])
    with pytest.raises(KeyUnavailable, match="leaf 5 has been removed"):
        tree.leaf(5)
    for leaf in (4, 6, 0):
        assert tree.leaf(leaf).application.secret == whole.leaf(leaf).application.secret
    assert 10 not in tree.nodes
    tree.gone.clear()
    with pytest.raises(KeyUnavailable, match="the secret of leaf 5 is gone"):
        tree.leaf(5)


def test_nothing_of_the_keys_is_shown() -> None:
    one = ratchet()
    found = one.find(SUITE, 3)
    shown = f"{one!r} {found!r} {SecretTree.grow(SUITE, 2, Secret(bytes(32)))!r}"
    assert found.key.hex() not in shown
    assert str(found.key) not in shown
