from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.mls import validation
from identity.mls.cipher_suite import suite
from identity.mls.codec import decode_whole, optional, vector
from identity.mls.credential import Credential
from identity.mls.errors import DecodeError, ValidationError
from identity.mls.leaf_node import LeafNode
from identity.mls.proposal import Add, Remove, Update, decode_proposal
from identity.mls.ratchet_tree import ParentNode, RatchetTree
from identity.mls.welcome import make_key_package
from tests.identity.mls.support import cases, unhex

SUITE = suite(1)


def leaf() -> LeafNode:
    key = SUITE.generate_signature_key(os.urandom)
    bundle = make_key_package(SUITE, key, Credential.basic(key.public), random=os.urandom, now=0)
    return bundle.key_package.leaf_node


LEAVES = [leaf() for _ in range(12)]


@pytest.mark.vectors
def test_tree_operations_vectors() -> None:
    found = cases("tree-operations")
    for case in found:
        use = suite(case["cipher_suite"])
        tree = decode_whole(unhex(case["tree_before"]), RatchetTree.decode)
        assert tree.tree_hash(use) == unhex(case["tree_hash_before"])
        match decode_whole(unhex(case["proposal"]), decode_proposal):
            case Add(package):
                tree.add_leaf(package.leaf_node)
            case Update(leaf_node):
                tree.update_leaf(case["proposal_sender"], leaf_node)
            case Remove(removed):
                tree.remove_leaf(removed)
        assert tree.encode() == unhex(case["tree_after"])
        assert tree.tree_hash(use) == unhex(case["tree_hash_after"])
    print(f"tree-operations: {len(found)} passed")


@pytest.mark.vectors
def test_tree_validation_vectors() -> None:
    found = cases("tree-validation")
    nodes = 0
    for case in found:
        use = suite(case["cipher_suite"])
        tree = decode_whole(unhex(case["tree"]), RatchetTree.decode)
        assert tree.encode() == unhex(case["tree"])
        for position, (resolution, expected) in enumerate(
            zip(case["resolutions"], case["tree_hashes"], strict=True)
        ):
            assert tree.resolution(position) == resolution
            assert tree.node_hash(use, position) == unhex(expected)
            nodes += 1
        validation.unmerged_leaves(tree)
        validation.parent_hashes(tree, use)
        for index, member in tree.leaves():
            validation.leaf_signature(use, member, unhex(case["group_id"]), index)
    print(f"tree-validation: {len(found)} cases, {nodes} nodes passed")


@given(st.lists(st.integers(0, 11), max_size=30))
@settings(max_examples=60, deadline=None)
def test_cached_hashes_equal_those_of_a_fresh_tree(steps: list[int]) -> None:
    tree = RatchetTree.of(LEAVES[0])
    places = {0: 0}
    for step in steps:
        if step in places and len(places) > 1:
            tree.remove_leaf(places.pop(step))
        elif step not in places:
            places[step] = tree.add_leaf(LEAVES[step])
        copied = tree.copy()
        tree.tree_hash(SUITE)
        again = decode_whole(tree.encode(), RatchetTree.decode)
        assert again.nodes == tree.nodes
        assert again.tree_hash(SUITE) == tree.tree_hash(SUITE) == copied.tree_hash(SUITE)
        assert dict(tree.leaves()) == {place: LEAVES[member] for member, place in places.items()}
        assert tree.index.kinds.total() == len(places)


def test_change_of_a_copy_leaves_the_original() -> None:
    tree = RatchetTree.of(LEAVES[0])
    before = tree.encode(), tree.tree_hash(SUITE)
    copy = tree.copy()
    copy.add_leaf(LEAVES[1])
    assert (tree.encode(), tree.tree_hash(SUITE)) == before
    assert copy.encode() != before[0]


def test_leaf_with_a_key_that_is_there_is_refused() -> None:
    tree = RatchetTree.of(LEAVES[0])
    with pytest.raises(ValidationError, match="unique_signature_key"):
        tree.add_leaf(LEAVES[0])


def test_tree_ending_in_a_blank_or_with_a_node_out_of_place_is_refused() -> None:
    blank = optional(None)
    member = optional(b"\1" + LEAVES[0].encode())
    parent = optional(b"\2" + ParentNode(b"key", b"", ()).encode())
    for nodes in ([], [member, blank], [parent], [member, member, member]):
        with pytest.raises(DecodeError):
            decode_whole(vector(nodes), RatchetTree.decode)


def test_unmerged_leaves_out_of_order_or_out_of_place_are_refused() -> None:
    tree = RatchetTree.of(LEAVES[0])
    for other in LEAVES[1:4]:
        tree.add_leaf(other)
    for unmerged in ((1, 0), (2,), (0, 0)):
        broken = tree.copy()
        broken.put_parent(1, ParentNode(b"key", b"", unmerged))
        with pytest.raises(ValidationError, match="unmerged_leaves"):
            validation.unmerged_leaves(broken)
