from __future__ import annotations

import pytest

from identity.mls import tree_math
from tests.identity.mls.support import cases


@pytest.mark.vectors
def test_tree_math_vectors() -> None:
    found = cases("tree-math")
    for case in found:
        leaves = case["n_leaves"]
        nodes = range(case["n_nodes"])
        assert tree_math.node_width(leaves) == case["n_nodes"]
        assert tree_math.root(leaves) == case["root"]
        assert [tree_math.left(node) for node in nodes] == case["left"]
        assert [tree_math.right(node) for node in nodes] == case["right"]
        assert [tree_math.parent(node, leaves) for node in nodes] == case["parent"]
        assert [tree_math.sibling(node, leaves) for node in nodes] == case["sibling"]
    print(f"tree-math: {len(found)} passed")


@pytest.mark.parametrize("leaves", [1, 2, 8, 32])
def test_paths_and_ranges_agree_with_parents(leaves: int) -> None:
    for node in range(tree_math.node_width(leaves)):
        path = list(tree_math.direct_path(node, leaves))
        assert [above for above, _ in tree_math.copath(node, leaves)] == path
        assert all(tree_math.is_below(node, above) for above in path)
        for above, other in tree_math.copath(node, leaves):
            assert tree_math.parent(other, leaves) == above
            assert not tree_math.is_below(node, other)
        below = [leaf for leaf in range(0, 2 * leaves, 2) if tree_math.is_below(leaf, node)]
        assert list(tree_math.leaf_range(node)) == below


@pytest.mark.parametrize(("leaves", "full"), [(0, 1), (1, 1), (2, 2), (3, 4), (8, 8), (9, 16), (1000, 1024)])
def test_full_size_is_the_next_power_of_two(leaves: int, full: int) -> None:
    assert tree_math.full_size(leaves) == full
