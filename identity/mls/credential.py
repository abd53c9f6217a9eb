"""Credentials and the policy that judges them (RFC 9420, section 5.3)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from identity.mls.codec import Reader, opaque, u16

if TYPE_CHECKING:
    from identity.mls.leaf_node import LeafNode

BASIC = 1
X509 = 2


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential of any type; `data` is the identity of a basic one, else the raw vector."""

    type: int
    data: bytes

    @classmethod
    def basic(cls, identity: bytes) -> Credential:
        """A basic credential."""
        return cls(BASIC, identity)

    @classmethod
    def decode(cls, reader: Reader) -> Credential:
        """Read a Credential. All types carry one vector, so unknown ones can be passed over."""
        return cls(reader.u16(), reader.opaque())

    def encode(self) -> bytes:
        """The bytes of the Credential."""
        return u16(self.type) + opaque(self.data)

    def __repr__(self) -> str:
        return f"Credential(type={self.type}, {len(self.data)} bytes)"


class Occasion(Enum):
    """When a leaf is judged."""

    ENTERS = "enters"
    """The leaf comes into the group now: by Add, Update, a commit's path, or as our own."""
    IN_TREE = "in the tree"
    """The leaf was accepted by the group earlier; we meet it in the tree on joining."""


class IdentityProvider(Protocol):
    """The application's authentication service (section 5.3.1)."""

    def identify(self, leaf: LeafNode, occasion: Occasion, now: float) -> bytes:
        """Check that the credential belongs to the leaf's signature key and return the member's identity.

        `now` is in Unix seconds. The identity must be unique in the group. Raises ValidationError.
        """

    def is_successor(self, before: bytes, after: bytes) -> bool:
        """Whether a member with identity `before` may become `after` (section 5.3.1)."""


class BasicIdentity:
    """Takes every basic credential at its word; for groups whose members are vouched for elsewhere."""

    def identify(self, leaf: LeafNode, occasion: Occasion, now: float) -> bytes:
        """The whole credential is the identity."""
        return leaf.credential.encode()

    def is_successor(self, before: bytes, after: bytes) -> bool:
        """A member keeps its identity."""
        return before == after
