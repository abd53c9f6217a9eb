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
from identity.mls.group_extensions import accept_extensions, check_form
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
from identity.record import record


@record
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


@record
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


class Application:
    """A copy of a group, to which proposals are applied one after the other, each as a whole or not at all.

    Their order must be that of `in_order`. With `committing`, what a committer must see to besides is
    checked: the lifetime of key packages. With `strict`, the members must agree after each proposal, so
    that it is plain which one is to blame; otherwise that is checked in the end (`validation.members_agree`).
    """

    def __init__(
        self,
        group: GroupView,
        identity: AuthenticationService,
        now: float,
        *,
        committing: bool = False,
        strict: bool = False,
    ) -> None:
        self._group = group
        self._identity = identity
        self._now = now
        self._committing = committing
        self._strict = strict
        self._tree, self._roster = group.tree.copy(), group.roster.copy()
        self._extensions = group.context.extensions
        self._added: list[tuple[int, KeyPackage]] = []
        self._updated: list[int] = []
        self._removed: list[int] = []
        self._psks: list[PreSharedKeyId] = []
        self._reinit: ReInit | None = None
        self._external_init: ExternalInit | None = None
        self._own_update: bytes | None = None

    def apply(self, proposed: Proposed) -> None:
        """Apply one more. Raises ValidationError, and nothing is applied then."""
        match proposed.proposal:
            case Remove(leaf):
                self._remove(leaf)
            case GroupContextExtensions(extensions):
                self._extend(extensions)
            case Update(leaf_node):
                self._update(proposed.sender.index, leaf_node)
                if proposed.sender.index == self._group.own_leaf:
                    self._own_update = proposed.reference
            case Add(package):
                self._add(package)
            case PreSharedKey(psk):
                validation.psk_nonce(psk, self._group.suite)
                validation.proposed_psk_usage(psk)
                self._psks.append(psk)
            case ReInit() as reinit:
                validation.reinit_version(reinit)
                check_form(reinit.extensions)
                self._reinit = reinit
            case ExternalInit() as external_init:
                self._external_init = external_init

    def result(self) -> Applied:
        """What has become of the group."""
        return Applied(
            self._tree,
            self._roster,
            self._extensions,
            tuple(self._added),
            tuple(self._updated),
            tuple(self._removed),
            tuple(self._psks),
            self._reinit,
            self._external_init,
            self._own_update,
        )

    def _remove(self, leaf: int) -> None:
        present = self._tree.leaf(leaf) is not None
        validation.require(present, "remove_blank", f"removing blank leaf {leaf}")
        self._tree.remove_leaf(leaf)
        self._roster.leave(leaf)
        self._removed.append(leaf)

    def _extend(self, extensions: Extensions) -> None:
        suite, before = self._group.suite, self._group.context.extensions
        accept_extensions(extensions, suite, self._identity, Occasion.ENTERS, self._now, before=before)
        if self._strict:
            validation.members_agree(self._tree.index, extensions)
        self._extensions = extensions

    def _update(self, index: int, after: LeafNode) -> None:
        before = self._tree.leaf(index)
        if before is None:
            raise ValidationError("update_blank", f"an Update from blank leaf {index}")
        validation.path_leaf_key_is_new(before, after)
        self._check_leaf(after, LeafNodeSource.UPDATE, index, before)
        name = successor(self._roster, index, after, self._identity, self._now)
        self._tree.update_leaf(index, after)
        self._roster.enter(index, name)
        self._updated.append(index)

    def _add(self, package: KeyPackage) -> None:
        leaf = package.leaf_node
        validation.key_package(package, self._group.suite)
        if self._committing:
            validation.leaf_lifetime(leaf, self._now)
        self._check_leaf(leaf, LeafNodeSource.KEY_PACKAGE, 0, None)
        name = self._identity.identify(leaf, Occasion.ENTERS, self._now)
        if self._roster.leaf_of(name) is not None:
            raise ValidationError("unique_identity", "an Add of somebody who is in the group")
        index = self._tree.add_leaf(leaf)
        self._roster.enter(index, name)
        self._added.append((index, package))

    def _check_leaf(
        self, leaf: LeafNode, source: LeafNodeSource, index: int, before: LeafNode | None
    ) -> None:
        suite, context = self._group.suite, self._group.context
        validation.entering_leaf(suite, leaf, source, context, self._extensions, index)
        if self._strict:
            validation.leaf_credential_type(leaf, self._tree.index, before)


_ORDER: dict[type, int] = {Remove: 0, GroupContextExtensions: 1, Update: 2, Add: 3}


def in_order(proposals: Sequence[Proposed]) -> list[Proposed]:
    """The order of section 12.3, except that Removes come first.

    They touch other leaves than Updates, and a key that leaves with a member is free for another one. The
    extensions come next: all leaves that enter must support the new ones.
    """
    return sorted(proposals, key=lambda proposed: _ORDER.get(type(proposed.proposal), 4))


def apply_proposals(
    group: GroupView,
    proposals: Sequence[Proposed],
    identity: AuthenticationService,
    now: float,
    *,
    committing: bool = False,
) -> Applied:
    """Apply a list that its own rules (`validation.member_commit`) allow. Raises ValidationError.

    Whether the members agree is left to be checked once the commit's path is in the tree.
    """
    application = Application(group, identity, now, committing=committing)
    for proposed in in_order(proposals):
        application.apply(proposed)
    return application.result()


def successor(
    roster: Roster, leaf: int, after: LeafNode, identity: AuthenticationService, now: float
) -> bytes:
    """Who the member at a leaf is under a renewed credential. Raises ValidationError when it is another's."""
    name = identity.identify(after, Occasion.ENTERS, now)
    valid = identity.is_successor(roster.identity_of(leaf), name)
    validation.require(valid, "successor", f"a renewed credential that is not the member's at leaf {leaf}")
    free = roster.leaf_of(name) in (None, leaf)
    validation.require(free, "unique_identity", "a renewed credential that makes two members one")
    return name
