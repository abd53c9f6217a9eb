"""What has been proposed in an epoch and may stand in its commit by reference (RFC 9420, 12.1 and 12.4)."""

from __future__ import annotations

from identity.mls.cipher_suite import CipherSuite
from identity.mls.errors import StateError, ValidationError
from identity.mls.framing import AuthenticatedContent, SenderType
from identity.mls.hpke import HpkeKeyPair
from identity.mls.proposal_list import Proposed

MAX_PROPOSALS = 1024
"""How many proposals of an epoch are kept for a commit to refer to; further ones are refused."""

MAX_OUTSIDE_PROPOSALS = 64
"""How many of them may come from outside the group, so that no stranger takes the members' places."""

MAX_PROPOSAL = 64 * 1024
"""The longest proposal that is kept, in bytes; an Add is a credential and under 1 KiB more."""


class PendingProposals:
    """The proposals of one epoch by reference, in the order in which they came."""

    __slots__ = ("own_updates", "proposals")

    def __init__(self) -> None:
        self.proposals: dict[bytes, Proposed] = {}
        self.own_updates: dict[bytes, HpkeKeyPair] = {}
        """The leaf keys that go with our own Updates."""

    def check_room(self) -> None:
        """Raises StateError when no proposal of our own can be added."""
        if len(self.proposals) >= MAX_PROPOSALS:
            raise StateError(f"{MAX_PROPOSALS} proposals are pending; commit them first")

    def add(self, suite: CipherSuite, content: AuthenticatedContent) -> Proposed:
        """Keep a proposal. Raises ValidationError when it is too long or there are too many."""
        proposal, sender = content.content.body, content.content.sender
        assert not isinstance(proposal, bytes)
        size = len(content.content.encoded)
        if size > MAX_PROPOSAL:
            raise ValidationError(
                "pending_proposals", f"a proposal of {size} bytes, more than {MAX_PROPOSAL}"
            )
        reference = content.proposal_reference(suite)
        if reference not in self.proposals:
            limit, held = MAX_PROPOSALS, len(self.proposals)
            if sender.type is not SenderType.MEMBER:
                limit = MAX_OUTSIDE_PROPOSALS
                held = sum(p.sender.type is not SenderType.MEMBER for p in self.proposals.values())
            if held >= limit or len(self.proposals) >= MAX_PROPOSALS:
                raise ValidationError("pending_proposals", f"more than {limit} such proposals in one epoch")
        proposed = self.proposals[reference] = Proposed(proposal, sender, reference)  # type: ignore[arg-type]
        return proposed

    def drop(self, reference: bytes) -> None:
        """Forget a proposal. Raises StateError when it is not here."""
        if reference not in self.proposals:
            raise StateError("no proposal with that reference is pending")
        del self.proposals[reference]
        self.own_updates.pop(reference, None)
