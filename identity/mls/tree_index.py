"""What must be unique in a ratchet tree, and what all its members can do, without walking it.

RFC 9420 asks at every change that no key occurs twice (section 7.3), and that every member supports
what the group uses. The index answers both in constant time; it is copied with the tree.
"""

from __future__ import annotations

from collections import Counter

from identity.mls.errors import ValidationError
from identity.mls.leaf_node import Capabilities, LeafNode
from identity.mls.shared_map import SharedMap


class TreeIndex:
    """The keys of all nodes, and the kinds of leaves."""

    __slots__ = ("encryption_keys", "kinds", "signature_keys")

    def __init__(self) -> None:
        self.encryption_keys: SharedMap[bytes, int] = SharedMap()
        """Public key to node index, leaves and parents alike."""
        self.signature_keys: SharedMap[bytes, int] = SharedMap()
        """Signature key to node index."""
        self.kinds: Counter[tuple[int, Capabilities]] = Counter()
        """How many leaves have this type of credential and these capabilities: a handful of entries."""

    def copy(self) -> TreeIndex:
        """An independent copy."""
        new = TreeIndex()
        new.encryption_keys = self.encryption_keys.copy()
        new.signature_keys = self.signature_keys.copy()
        new.kinds = self.kinds.copy()
        return new

    def settle(self) -> None:
        """Prepare for copies, after filling."""
        self.encryption_keys.settle()
        self.signature_keys.settle()

    def check_leaf(self, leaf: LeafNode, before: LeafNode | None = None) -> None:
        """Raises ValidationError when a key of a leaf is there already, but for the leaf it replaces."""
        key = leaf.signature_key
        if key in self.signature_keys and (before is None or before.signature_key != key):
            raise ValidationError("unique_signature_key", "two leaves with the same signature key")
        key = leaf.encryption_key
        if key in self.encryption_keys and (before is None or before.encryption_key != key):
            raise ValidationError("unique_encryption_key", "two nodes with the same encryption key")

    def add_leaf(self, node: int, leaf: LeafNode) -> None:
        """Enter a leaf. Raises ValidationError when one of its keys is there already."""
        self.check_leaf(leaf)
        self._enter(node, leaf)

    def replace_leaf(self, node: int, before: LeafNode, leaf: LeafNode) -> None:
        """Enter a leaf in place of another. Raises ValidationError when one of its keys is there already."""
        self.check_leaf(leaf, before)
        self.remove_leaf(before)
        self._enter(node, leaf)

    def _enter(self, node: int, leaf: LeafNode) -> None:
        self.encryption_keys[leaf.encryption_key] = node
        self.signature_keys[leaf.signature_key] = node
        self.kinds[leaf.credential.type, leaf.capabilities] += 1

    def remove_leaf(self, leaf: LeafNode) -> None:
        """Take a leaf out."""
        del self.encryption_keys[leaf.encryption_key]
        del self.signature_keys[leaf.signature_key]
        kind = leaf.credential.type, leaf.capabilities
        self.kinds[kind] -= 1
        if not self.kinds[kind]:
            del self.kinds[kind]

    def add_key(self, node: int, encryption_key: bytes) -> None:
        """Enter the key of a node. Raises ValidationError when it is there already."""
        if encryption_key in self.encryption_keys:
            raise ValidationError("unique_encryption_key", "two nodes with the same encryption key")
        self.encryption_keys[encryption_key] = node

    def remove_key(self, encryption_key: bytes) -> None:
        """Take the key of a parent node out."""
        del self.encryption_keys[encryption_key]
