"""Who is at which leaf: the identities the application's policy found (RFC 9420, 5.3.1)."""

from __future__ import annotations

from identity.mls.errors import ValidationError
from identity.mls.shared_map import SharedMap


class Roster:
    """Leaf index to identity and back. An identity stands for one member only."""

    __slots__ = ("_leaves", "members")

    def __init__(self) -> None:
        self.members: SharedMap[int, bytes] = SharedMap()
        """Identity by leaf index."""
        self._leaves: SharedMap[bytes, int] = SharedMap()

    def copy(self) -> Roster:
        """An independent copy."""
        new = Roster()
        new.members = self.members.copy()
        new._leaves = self._leaves.copy()
        return new

    def settle(self) -> None:
        """Prepare for copies, after filling."""
        self.members.settle()
        self._leaves.settle()

    def __repr__(self) -> str:
        return f"Roster({len(self.members)} members)"

    def identity_of(self, leaf: int) -> bytes:
        """Who is at a leaf. Raises KeyError when nobody is."""
        identity = self.members.get(leaf)
        if identity is None:
            raise KeyError(leaf)
        return identity

    def leaf_of(self, identity: bytes) -> int | None:
        """Where a member is, or `None`."""
        return self._leaves.get(identity)

    def enter(self, leaf: int, identity: bytes) -> None:
        """Add a member, or change the identity of one. Raises ValidationError when another one has it."""
        if self._leaves.get(identity) not in (None, leaf):
            raise ValidationError("unique_identity", "two members with the same identity")
        before = self.members.get(leaf)
        if before is not None:
            del self._leaves[before]
        self.members[leaf] = identity
        self._leaves[identity] = leaf

    def leave(self, leaf: int) -> None:
        """Take a member out."""
        del self._leaves[self.identity_of(leaf)]
        del self.members[leaf]
