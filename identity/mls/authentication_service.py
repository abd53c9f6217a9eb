"""The policy that judges credentials (RFC 9420, section 5.3.1)."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from identity.mls.external_senders import ExternalSender
from identity.mls.leaf_node import LeafNode


class Occasion(Enum):
    """When a leaf is judged."""

    ENTERS = "enters"
    """The leaf comes into the group now: by Add, Update, a commit's path, or as our own."""
    IN_TREE = "in the tree"
    """The leaf was accepted by the group earlier; we meet it in the tree on joining."""


class AuthenticationService(Protocol):
    """Judges the credentials of members, for the application."""

    def identify(self, leaf: LeafNode, occasion: Occasion, now: float) -> bytes:
        """Check that the credential belongs to the leaf's signature key and return the member's identity.

        `now` is in Unix seconds. The identity must be unique in the group. Raises ValidationError.
        """

    def accept_external_sender(self, sender: ExternalSender, occasion: Occasion, now: float) -> None:
        """Check a sender outside the group whose proposals shall count. Raises ValidationError."""

    def is_successor(self, before: bytes, after: bytes) -> bool:
        """Whether a member with identity `before` may become `after` (section 5.3.1)."""


class BasicIdentity:
    """Takes every basic credential at its word; for groups whose members are vouched for elsewhere."""

    def identify(self, leaf: LeafNode, occasion: Occasion, now: float) -> bytes:
        """The whole credential is the identity."""
        return leaf.credential.encode()

    def accept_external_sender(self, sender: ExternalSender, occasion: Occasion, now: float) -> None:
        """Any will do."""

    def is_successor(self, before: bytes, after: bytes) -> bool:
        """A member keeps its identity."""
        return before == after
