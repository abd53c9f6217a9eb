"""The ratchet tree: the public half of TreeKEM (RFC 9420, sections 4 and 7).

Nodes are values; the tree is a list of them, so a copy costs two list copies and is how an epoch is
tried out before it is accepted. Tree hashes are cached per node: a change forgets those on its way to
the root, so a commit costs a logarithmic number of hashes. Invariants: when a node's hash is
forgotten, so are those of all nodes above it; no leaf before `_full_to` is blank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from identity.mls import tree_math
from identity.mls.cipher_suite import CipherSuite
from identity.mls.codec import Reader, opaque, optional, u32, vector
from identity.mls.errors import DecodeError, ValidationError
from identity.mls.leaf_node import LeafNode
from identity.mls.tree_index import TreeIndex

MAX_LEAVES = 1 << 16
"""The most leaves a tree may have; a larger one is refused before work is done on it."""


@dataclass(frozen=True, slots=True)
class ParentNode:
    """A key shared by the members below (section 7.1)."""

    encryption_key: bytes
    parent_hash: bytes
    unmerged_leaves: tuple[int, ...]
    """Leaf indices, ascending, of members below who do not hold the private key."""

    @classmethod
    def decode(cls, reader: Reader) -> ParentNode:
        """Read a ParentNode."""
        return cls(reader.opaque(), reader.opaque(), reader.vector(Reader.u32))

    @property
    def in_tree(self) -> bytes:
        """The bytes of the `optional<Node>` that holds it."""
        return b"\1\2" + self.encode()

    def encode(self) -> bytes:
        """The bytes of the ParentNode."""
        unmerged = vector(map(u32, self.unmerged_leaves))
        return opaque(self.encryption_key) + opaque(self.parent_hash) + unmerged

    def hash_with(self, suite: CipherSuite, sibling_hash: bytes) -> bytes:
        """The parent hash that the node below must carry (section 7.9).

        `sibling_hash` is the original tree hash of the child on the other side.
        """
        return suite.hash(opaque(self.encryption_key) + opaque(self.parent_hash) + opaque(sibling_hash))


Node = LeafNode | ParentNode


def _decode_node(reader: Reader) -> Node:
    kind = reader.u8()
    if kind == 1:
        return LeafNode.decode(reader)
    if kind == 2:
        return ParentNode.decode(reader)
    raise DecodeError(f"node type {kind} is unknown", offset=reader.position - 1)


class RatchetTree:
    """A full binary tree of optional nodes; its number of leaves is a power of two.

    Changes are made on a copy: whoever holds a tree of an accepted epoch never sees it change.
    """

    __slots__ = ("_full_to", "_hashes", "_index", "nodes")

    def __init__(self, nodes: list[Node | None]) -> None:
        self.nodes = nodes
        self._hashes: list[bytes | None] = [None] * len(nodes)
        self._index: TreeIndex | None = None
        self._full_to = 0

    @classmethod
    def of(cls, leaf: LeafNode) -> RatchetTree:
        """A tree with a single member."""
        return cls([leaf])

    @classmethod
    def decode(cls, reader: Reader) -> RatchetTree:
        """Read `optional<Node> ratchet_tree<V>` (section 12.4.3.3). Raises DecodeError."""
        nodes = list(reader.vector(lambda r: r.optional(_decode_node), limit=2 * MAX_LEAVES - 1))
        if not nodes or nodes[-1] is None:
            raise DecodeError("ratchet tree ends in a blank node", offset=reader.position)
        for position, node in enumerate(nodes):
            if node is not None and isinstance(node, ParentNode) != bool(position & 1):
                raise DecodeError(f"node {position} of the ratchet tree has the type of its neighbours")
        full_to = next((leaf for leaf, node in enumerate(nodes[::2]) if node is None), len(nodes) // 2 + 1)
        leaves = tree_math.full_size(len(nodes) // 2 + 1)
        nodes += [None] * (tree_math.node_width(leaves) - len(nodes))
        tree = cls(nodes)
        tree._full_to = full_to
        return tree

    def encode(self) -> bytes:
        """The tree without its trailing blanks (section 12.4.3.3)."""
        nodes = self.nodes
        end = len(nodes)
        while end and nodes[end - 1] is None:
            end -= 1
        parts = [b"\0" if node is None else node.in_tree for node in nodes[:end]]
        return vector(parts)

    def copy(self) -> RatchetTree:
        """An independent copy."""
        new = RatchetTree.__new__(RatchetTree)
        new.nodes = self.nodes.copy()
        new._hashes = self._hashes.copy()
        new._index = self.index.copy()
        new._full_to = self._full_to
        return new

    def __repr__(self) -> str:
        return f"RatchetTree({sum(1 for _ in self.leaves())} members, {self.size} leaves)"

    # Reading

    @property
    def size(self) -> int:
        """The number of leaves, blank ones included."""
        return len(self.nodes) // 2 + 1

    @property
    def index(self) -> TreeIndex:
        """The index of keys and capabilities. Raises ValidationError when a key occurs twice."""
        if self._index is None:
            index = TreeIndex()
            for position, node in enumerate(self.nodes):
                if isinstance(node, LeafNode):
                    index.add_leaf(position, node)
                elif node is not None:
                    index.add_key(position, node.encryption_key)
            index.settle()
            self._index = index
        return self._index

    def leaf(self, index: int) -> LeafNode | None:
        """The member at a leaf; `None` when that is blank or outside the tree."""
        if not 0 <= index < self.size:
            return None
        node = self.nodes[2 * index]
        assert node is None or isinstance(node, LeafNode)
        return node

    def leaves(self) -> Iterator[tuple[int, LeafNode]]:
        """All members with their leaf indices, in order."""
        for index, node in enumerate(self.nodes[::2]):
            if isinstance(node, LeafNode):
                yield index, node

    def leaf_nodes(self) -> Callable[[int], LeafNode | None]:
        """A function from leaf index to leaf node; it keeps no more of this tree alive than the nodes."""
        nodes = self.nodes

        def leaf_node(leaf: int) -> LeafNode | None:
            node = nodes[2 * leaf] if 2 * leaf < len(nodes) else None
            return node if isinstance(node, LeafNode) else None

        return leaf_node

    def parents(self) -> Iterator[tuple[int, ParentNode]]:
        """All parent nodes that are not blank, with their node indices."""
        for position in range(1, len(self.nodes), 2):
            node = self.nodes[position]
            if isinstance(node, ParentNode):
                yield position, node

    def resolution(self, node: int) -> list[int]:
        """The fewest nodes whose keys reach everybody below `node` (section 4.1.1)."""
        nodes = self.nodes
        found: list[int] = []
        waiting = [node]
        while waiting:
            at = waiting.pop()
            here = nodes[at]
            if here is not None:
                found.append(at)
                if isinstance(here, ParentNode):
                    found.extend(2 * leaf for leaf in here.unmerged_leaves)
            elif at & 1:
                half = 1 << (tree_math.level(at) - 1)
                waiting += (at + half, at - half)
        return found

    def filtered_direct_path(self, leaf: int) -> list[tuple[int, int]]:
        """The ancestors of a leaf, from below, that have somebody on their other side (section 4.1.2).

        Each comes with its child on that other side, the one on the copath.
        """
        return [
            (above, other)
            for above, other in tree_math.copath(2 * leaf, self.size)
            if self.nodes[other] is not None or self._has_members(other)
        ]

    def _has_members(self, node: int) -> bool:
        below = tree_math.leaf_range(node)
        return any(self.nodes[below.start : below.stop : 2])

    # Changing (section 7.7)

    def blank_leaf(self) -> int:
        """The leftmost blank leaf, the tree doubled if need be. Raises ValidationError when it is full."""
        index = self._first_blank()
        self._make_room(index)
        return index

    def _first_blank(self) -> int:
        index = self._full_to
        while index < self.size and self.nodes[2 * index] is not None:
            index += 1
        if index >= MAX_LEAVES:
            raise ValidationError("tree_size", f"a tree of more than {MAX_LEAVES} leaves")
        self._full_to = index
        return index

    def _make_room(self, index: int) -> None:
        if index == self.size:
            self.nodes += [None] * (index * 2)
            self._hashes += [None] * (index * 2)

    def add_leaf(self, leaf: LeafNode) -> int:
        """Put a new member into the leftmost blank leaf, or double the tree (section 12.1.1).

        Returns its leaf index. Raises ValidationError when a key of it is in the tree, or that is full; then
        the tree is as it was.
        """
        index = self._first_blank()
        self.index.add_leaf(2 * index, leaf)
        self._make_room(index)
        self.nodes[2 * index] = leaf
        self._forget_hashes(2 * index)
        for above in tree_math.direct_path(2 * index, self.size):
            node = self.nodes[above]
            if isinstance(node, ParentNode):
                unmerged = tuple(sorted((*node.unmerged_leaves, index)))
                self.nodes[above] = replace(node, unmerged_leaves=unmerged)
        return index

    def update_leaf(self, index: int, leaf: LeafNode) -> None:
        """Replace a member's leaf and blank its direct path (section 12.1.2).

        Raises ValidationError when one of the new keys is in the tree.
        """
        self._put_leaf(index, leaf)
        self.blank_direct_path(index)

    def remove_leaf(self, index: int) -> None:
        """Blank a member's leaf and direct path; halve the tree while its right half is empty (12.1.3)."""
        self._put_leaf(index, None)
        self._full_to = min(self._full_to, index)
        self.blank_direct_path(index)
        while self.size > 1 and not any(self.nodes[self.size :: 2]):
            width = len(self.nodes) // 2
            assert self.nodes[width] is None
            del self.nodes[width:], self._hashes[width:]

    def blank_direct_path(self, index: int) -> None:
        """Blank all ancestors of a leaf."""
        for above in tree_math.direct_path(2 * index, self.size):
            self.put_parent(above, None)

    def put_parent(self, position: int, node: ParentNode | None) -> None:
        """Set or blank a parent node. Raises ValidationError when its key is in the tree."""
        before = self.nodes[position]
        index = self.index
        if before is not None:
            index.remove_key(before.encryption_key)
        if node is not None:
            index.add_key(position, node.encryption_key)
        self.nodes[position] = node
        self._forget_hashes(position)

    def put_path_leaf(self, index: int, leaf: LeafNode) -> None:
        """Replace a committer's leaf by its path's. Raises ValidationError when a key is in the tree."""
        self._put_leaf(index, leaf)

    def _put_leaf(self, index: int, leaf: LeafNode | None) -> None:
        position = 2 * index
        before = self.nodes[position]
        keys = self.index
        if not isinstance(before, LeafNode):
            if leaf is not None:
                keys.add_leaf(position, leaf)
        elif leaf is None:
            keys.remove_leaf(before)
        else:
            keys.replace_leaf(position, before, leaf)
        self.nodes[position] = leaf
        self._forget_hashes(position)

    def _forget_hashes(self, position: int) -> None:
        hashes = self._hashes
        hashes[position] = None
        for above in tree_math.direct_path(position, self.size):
            if hashes[above] is None:
                return
            hashes[above] = None

    # Hashes (sections 7.8 and 7.9)

    def tree_hash(self, suite: CipherSuite) -> bytes:
        """The hash of the whole tree."""
        return self.node_hash(suite, tree_math.root(self.size))

    def node_hash(self, suite: CipherSuite, position: int) -> bytes:
        """The tree hash of the subtree at a node (section 7.8)."""
        known = self._hashes[position]
        if known is None:
            half = 1 << (tree_math.level(position) - 1) if position & 1 else 0
            if half:
                left = self.node_hash(suite, position - half)
                right = self.node_hash(suite, position + half)
                known = _parent_tree_hash(suite, self.nodes[position], left, right)
            else:
                known = _leaf_tree_hash(suite, position // 2, self.nodes[position])
            self._hashes[position] = known
        return known

    def original_hash(self, suite: CipherSuite, position: int, without: frozenset[int]) -> bytes:
        """The tree hash of a subtree as it was before the leaves in `without` were added (section 7.9)."""
        if not any(2 * leaf in tree_math.leaf_range(position) for leaf in without):
            return self.node_hash(suite, position)
        if not position & 1:
            return _leaf_tree_hash(suite, position // 2, None)
        half = 1 << (tree_math.level(position) - 1)
        below = {leaf for leaf in without if tree_math.is_below(2 * leaf, position)}
        left = frozenset(leaf for leaf in below if 2 * leaf < position)
        node = self.nodes[position]
        if isinstance(node, ParentNode):
            unmerged = tuple(leaf for leaf in node.unmerged_leaves if leaf not in below)
            node = replace(node, unmerged_leaves=unmerged)
        return _parent_tree_hash(
            suite,
            node,
            self.original_hash(suite, position - half, left),
            self.original_hash(suite, position + half, frozenset(below - left)),
        )

    def parent_hash(self, suite: CipherSuite, position: int, other_child: int) -> bytes:
        """The parent hash of a node with regard to its child `other_child` on the copath (section 7.9)."""
        node = self.nodes[position]
        assert isinstance(node, ParentNode)
        sibling = self.original_hash(suite, other_child, frozenset(node.unmerged_leaves))
        return node.hash_with(suite, sibling)

    def parent_hash_is_valid(self, suite: CipherSuite, position: int) -> bool:
        """Whether a node is linked to one below it by that one's parent hash (section 7.9.2).

        On the side of that descendant D, the resolution must be D and the unmerged leaves of the node, no
        more: otherwise somebody there would have been left out when the node got its key.
        """
        node = self.nodes[position]
        assert isinstance(node, ParentNode)
        half = 1 << (tree_math.level(position) - 1)
        for child, other in ((position - half, position + half), (position + half, position - half)):
            unmerged = {2 * leaf for leaf in node.unmerged_leaves if tree_math.is_below(2 * leaf, child)}
            resolution = self.resolution(child)
            linked = [at for at in resolution if at not in unmerged]
            if len(linked) != 1 or len(resolution) != len(unmerged) + 1:
                continue
            below = self.nodes[linked[0]]
            assert below is not None
            if below.parent_hash == self.parent_hash(suite, position, other):
                return True
        return False


def _leaf_tree_hash(suite: CipherSuite, index: int, leaf: Node | None) -> bytes:
    return suite.hash(b"\1" + u32(index) + optional(None if leaf is None else leaf.encode()))


def _parent_tree_hash(suite: CipherSuite, node: Node | None, left: bytes, right: bytes) -> bytes:
    own = optional(None if node is None else node.encode())
    return suite.hash(b"\2" + own + opaque(left) + opaque(right))
