"""Applying the proposals of a commit to a copy of the tree (RFC 9420, 12.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from identity.mls import validation
from identity.mls.authentication_service import AuthenticationService, Occasion
from identity.mls.cipher_suite import CipherSuite
from identity.mls.errors import ValidationError
from identity.mls.framing import Sender
from identity.mls.leaf_node import Extensions, LeafNode, LeafNodeSource
from identity.mls.messages import GroupContext
from identity.mls.proposal import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    KeyPackage,
    PreSharedKey,
    PreSharedKeyId,
    Proposal,
    ProposalOrRef,
    ProposalRef,
    ReInit,
    Remove,
    Update,
)
from identity.mls.ratchet_tree import RatchetTree
from identity.mls.roster import Roster


class Proposed(NamedTuple):
    """A proposal, who made it, and its reference unless the commit holds it by value."""

    proposal: Proposal
    sender: Sender
    reference: bytes | None = None

    def in_commit(self) -> ProposalOrRef:
        """How a commit holds it."""
        return self.proposal if self.reference is None else ProposalRef(self.reference)


@dataclass(frozen=True, slots=True)
class Applied:
    """What a list of proposals makes of a group. Tree and roster are copies that may be changed further."""

    tree: RatchetTree
    roster: Roster
    extensions: Extensions
    added: tuple[tuple[int, KeyPackage], ...]
    updated: tuple[int, ...]
    removed: tuple[int, ...]
    psks: tuple[PreSharedKeyId, ...]
    reinit: ReInit | None
    external_init: ExternalInit | None
    own_update: bytes | None
    """Reference of our own Update among them."""

    @property
    def new_leaves(self) -> frozenset[int]:
        """The leaves just added."""
        return frozenset(leaf for leaf, _ in self.added)


class GroupView(NamedTuple):
    """What applying proposals needs to know of an epoch."""

    suite: CipherSuite
    context: GroupContext
    tree: RatchetTree
    roster: Roster
    own_leaf: int | None


def pairs(proposals: Sequence[Proposed]) -> list[tuple[Proposal, Sender]]:
    """The proposals as the rules of `validation` take them."""
    return [(proposed.proposal, proposed.sender) for proposed in proposals]


def apply_proposals(
    group: GroupView, proposals: Sequence[Proposed], identity: AuthenticationService, now: float
) -> Applied:
    """Apply a list that its own rules (`validation.member_commit`) allow.

    The order is that of section 12.3, except that Removes come before Updates: they touch different leaves,
    and a key that leaves with a member is free for another one. Raises ValidationError.
    """
    suite, context = group.suite, group.context
    tree, roster = group.tree.copy(), group.roster.copy()
    extensions = context.extensions
    kinds = {Remove: [], Update: [], Add: []}  # type: dict[type, list[Proposed]]
    psks: list[PreSharedKeyId] = []
    reinit = external_init = None
    for proposed in proposals:
        proposal = proposed.proposal
        match proposal:
            case Remove() | Update() | Add():
                kinds[type(proposal)].append(proposed)
            case PreSharedKey(psk):
                validation.psk_nonce(psk, suite)
                validation.proposed_psk_usage(psk)
                psks.append(psk)
            case GroupContextExtensions():
                extensions = proposal.extensions
            case ReInit():
                reinit = proposal
            case ExternalInit():
                external_init = proposal

    removed = []
    for proposed in kinds[Remove]:
        assert isinstance(proposed.proposal, Remove)
        leaf = proposed.proposal.removed
        validation.require(tree.leaf(leaf) is not None, "remove_blank", f"removing blank leaf {leaf}")
        tree.remove_leaf(leaf)
        roster.leave(leaf)
        removed.append(leaf)

    updated = []
    own_update = None
    for proposed in kinds[Update]:
        assert isinstance(proposed.proposal, Update)
        leaf, after = proposed.sender.index, proposed.proposal.leaf_node
        before = tree.leaf(leaf)
        if before is None:
            raise ValidationError("update_blank", f"an Update from blank leaf {leaf}")
        validation.path_leaf_key_is_new(before, after)
        validation.entering_leaf(suite, after, LeafNodeSource.UPDATE, context, extensions, tree.index, leaf)
        succeed(roster, leaf, after, identity, now)
        tree.update_leaf(leaf, after)
        updated.append(leaf)
        if leaf == group.own_leaf:
            own_update = proposed.reference

    added = []
    for proposed in kinds[Add]:
        assert isinstance(proposed.proposal, Add)
        package = proposed.proposal.key_package
        validation.key_package(package, suite)
        validation.entering_leaf(
            suite, package.leaf_node, LeafNodeSource.KEY_PACKAGE, context, extensions, tree.index, 0
        )
        name = identity.identify(package.leaf_node, Occasion.ENTERS, now)
        if roster.leaf_of(name) is not None:
            raise ValidationError("unique_identity", "an Add of somebody who is in the group")
        leaf = tree.add_leaf(package.leaf_node)
        roster.enter(leaf, name)
        added.append((leaf, package))

    if extensions is not context.extensions:
        able = tree.index.all_members(lambda capabilities: validation.can_do(capabilities, extensions))
        validation.require(able, "group_context_extensions", "extensions that not every member supports")
    return Applied(
        tree,
        roster,
        extensions,
        tuple(added),
        tuple(updated),
        tuple(removed),
        tuple(psks),
        reinit,
        external_init,
        own_update,
    )


def succeed(roster: Roster, leaf: int, after: LeafNode, identity: AuthenticationService, now: float) -> None:
    """Let a member go on under a renewed credential. Raises ValidationError when it is another's."""
    name = identity.identify(after, Occasion.ENTERS, now)
    valid = identity.is_successor(roster.identity_of(leaf), name)
    validation.require(valid, "successor", "a renewed credential that is not the member's")
    roster.enter(leaf, name)


def select(pending: Sequence[Proposed], chosen: Sequence[Proposed], committer: int) -> list[Proposed]:
    """The pending proposals that can stand in a commit beside those `chosen`, and those themselves.

    Left out are the committer's own Updates (its path renews the leaf), a Remove of the committer, and
    changes to leaves that are changed already; a Remove goes before an Update.
    """
    taken = {p.proposal.removed for p in chosen if isinstance(p.proposal, Remove)} | {committer}
    kept = []
    for proposed in sorted(pending, key=lambda p: isinstance(p.proposal, Update)):
        match proposed.proposal:
            case Remove(leaf):
                pass
            case Update():
                leaf = proposed.sender.index
            case _:
                kept.append(proposed)
                continue
        if leaf not in taken:
            taken.add(leaf)
            kept.append(proposed)
    return [*kept, *chosen]
