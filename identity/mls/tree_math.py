"""Positions in a full binary tree kept as an array (RFC 9420, appendix C).

Leaf i is node 2i; a tree of 2^k leaves has 2^(k+1) - 1 nodes. The level of a node is the number of
ones at the end of its index. All functions are arithmetic on node indices.
"""

from __future__ import annotations

from collections.abc import Iterator


def level(node: int) -> int:
    """How far `node` stands above the leaves."""
    return (~node & (node + 1)).bit_length() - 1


def node_width(leaves: int) -> int:
    """The number of nodes of a tree with `leaves` leaves."""
    return 2 * leaves - 1 if leaves else 0


def full_size(leaves: int) -> int:
    """The least power of two that is not below `leaves`."""
    return 1 << (leaves - 1).bit_length() if leaves > 1 else 1


def root(leaves: int) -> int:
    """The root of a tree with `leaves` leaves (a power of two)."""
    return leaves - 1


def left(node: int) -> int | None:
    """The left child; `None` for a leaf."""
    above = level(node)
    return node ^ (1 << (above - 1)) if above else None


def right(node: int) -> int | None:
    """The right child; `None` for a leaf."""
    above = level(node)
    return node ^ (3 << (above - 1)) if above else None


def parent_of(node: int) -> int:
    """The parent in a tree without end."""
    bit = 1 << level(node)
    return (node | bit) & ~(bit << 1)


def parent(node: int, leaves: int) -> int | None:
    """The parent; `None` for the root."""
    return None if node == root(leaves) else parent_of(node)


def sibling(node: int, leaves: int) -> int | None:
    """The other child of the parent; `None` for the root."""
    return None if node == root(leaves) else node ^ (2 << level(node))


def direct_path(node: int, leaves: int) -> Iterator[int]:
    """The ancestors of `node` from its parent to the root."""
    top = root(leaves)
    while node != top:
        node = parent_of(node)
        yield node


def copath(node: int, leaves: int) -> Iterator[tuple[int, int]]:
    """Each ancestor of `node`, from below, with its child that is not on the way to `node`."""
    top = root(leaves)
    while node != top:
        above = parent_of(node)
        yield above, node ^ (2 << level(node))
        node = above


def is_below(node: int, ancestor: int) -> bool:
    """Whether `node` is `ancestor` or stands below it."""
    reach = (1 << level(ancestor)) - 1
    return ancestor - reach <= node <= ancestor + reach


def leaf_range(node: int) -> range:
    """The node indices of all leaves at or below `node`."""
    reach = (1 << level(node)) - 1
    return range(node - reach, node + reach + 1, 2)
