from __future__ import annotations

from dataclasses import replace

import pytest

from identity.mls.errors import ValidationError
from identity.mls.leaf_node import Capabilities
from identity.mls.tree_index import TreeIndex
from tests.identity.mls.members import package

LEAF = package("one").key_package.leaf_node
OTHER = package("two").key_package.leaf_node


def test_no_key_is_entered_twice() -> None:
    index = TreeIndex()
    index.add_leaf(0, LEAF)
    for leaf, rule in (
        (replace(OTHER, signature_key=LEAF.signature_key), "unique_signature_key"),
        (replace(OTHER, encryption_key=LEAF.encryption_key), "unique_encryption_key"),
    ):
        with pytest.raises(ValidationError, match=rule):
            index.add_leaf(2, leaf)
    with pytest.raises(ValidationError, match="unique_encryption_key"):
        index.add_key(1, LEAF.encryption_key)
    index.add_leaf(2, OTHER)


def test_key_is_free_again_once_its_leaf_is_gone() -> None:
    index = TreeIndex()
    index.add_leaf(0, LEAF)
    copy = index.copy()
    copy.remove_leaf(LEAF)
    copy.add_leaf(2, LEAF)
    assert (index.encryption_keys.get(LEAF.encryption_key), copy.signature_keys.get(LEAF.signature_key)) == (
        0,
        2,
    )


def test_kinds_follow_those_who_are_there() -> None:
    able = replace(LEAF, capabilities=Capabilities((1,), (1,), (10,), (), (1,)))
    index = TreeIndex()
    index.add_leaf(0, able)
    index.add_leaf(2, OTHER)
    assert index.kinds == {(1, able.capabilities): 1, (1, OTHER.capabilities): 1}
    index.remove_leaf(OTHER)
    assert index.kinds == {(1, able.capabilities): 1}


def test_leaf_that_cannot_enter_leaves_the_index_as_it_was() -> None:
    index = TreeIndex()
    index.add_leaf(0, LEAF)
    index.add_leaf(2, OTHER)
    index.check_leaf(replace(LEAF, encryption_key=b"new"), LEAF)
    with pytest.raises(ValidationError, match="unique_encryption_key"):
        index.check_leaf(replace(LEAF, encryption_key=OTHER.encryption_key), LEAF)
