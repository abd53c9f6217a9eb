"""Making and processing commits (RFC 9420, 12.4): from one `GroupState` to the next.

Both directions are functions: they take the state of the current epoch and return that of the next, or raise
and leave nothing behind. The confirmation tag is compared last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from identity.mls import validation
from identity.mls.authentication_service import AuthenticationService, Occasion
from identity.mls.cipher_suite import CipherSuite, Random, suite
from identity.mls.credential import Credential
from identity.mls.errors import KeyUnavailable, ValidationError, VerificationError
from identity.mls.external_senders import external_senders
from identity.mls.framing import (
    AuthenticatedContent,
    FramedContent,
    PublicMessage,
    Sender,
    SenderType,
    WireFormat,
    encode_message,
)
from identity.mls.group_state import (
    Epoch,
    GroupState,
    PskLookup,
    combine_psks,
    next_epoch,
    provisional_context,
)
from identity.mls.hpke import HpkeKeyPair
from identity.mls.key_schedule import EXTERNAL_INIT_LABEL, JoinerSecrets, zero_secret
from identity.mls.leaf_node import ExtensionType, LeafNode, LeafNodeSource, find_extension, leaf_position
from identity.mls.messages import Commit, GroupContext, GroupInfo, UpdatePath
from identity.mls.proposal import Add, ExternalInit, Proposal, ProposalRef, ReInit, Remove
from identity.mls.proposal_list import Applied, GroupView, Proposed, apply_proposals, pairs, successor
from identity.mls.ratchet_tree import RatchetTree
from identity.mls.roster import Roster
from identity.mls.secret import Secret
from identity.mls.selection import LeftOut, choose
from identity.mls.signatures import SignatureKey
from identity.mls.transcript_hash import interim_transcript_hash
from identity.mls.tree_kem import (
    NewPath,
    Path,
    PrivateKeys,
    follow_path,
    make_path,
    merge_path,
    open_path_secret,
    readers_of_path,
    still_held,
)
from identity.mls.welcome import make_welcome


@dataclass(frozen=True, slots=True)
class CommitApplied:
    """A commit that was accepted: the group is in `epoch` now."""

    epoch: int
    committer: int
    """Leaf index, in the new tree."""
    added: tuple[int, ...]
    """Leaf indices, in the new tree."""
    updated: tuple[int, ...]
    removed: tuple[int, ...]
    """Leaf indices, in the tree before."""
    reinit: ReInit | None
    """Set when the commit ends the group in favour of another (section 11.2)."""


@dataclass(frozen=True, slots=True)
class Removed:
    """A commit that takes this member out. Our state stays in the last epoch we were part of.

    All of the commit was checked but for its confirmation tag: that proves the new epoch, whose secrets are
    not for us.
    """

    epoch: int
    """The epoch that goes on without us."""
    committer: int
    """Leaf index, in the new tree."""
    external: bool = False
    """Whether it is a commit by which our own identity joins anew (section 12.4.3.2)."""


@dataclass(frozen=True, slots=True)
class PendingCommit:
    """A commit made here, not applied yet: send it, then `Group.apply_pending()` or `discard_pending()`."""

    commit: bytes
    """The MLSMessage for the present members."""
    welcome: bytes | None
    """The MLSMessage for those added, if any."""
    effect: CommitApplied
    state: GroupState
    made: float
    """When, in Unix seconds."""
    left_out: tuple[LeftOut, ...] = ()
    """The proposals of the epoch that it does not hold, and why."""

    def __repr__(self) -> str:
        return f"PendingCommit({self.effect!r})"


def make_commit(
    state: GroupState,
    pending: Sequence[Proposed],
    chosen: Sequence[Proposed],
    identity: AuthenticationService,
    lookup: PskLookup,
    *,
    random: Random,
    now: float,
    with_path: bool,
    credential: Credential | None,
) -> PendingCommit:
    """Commit proposals as a PublicMessage, with a path when asked or needed (section 12.4.1).

    It holds the `chosen` and those of the `pending` that can stand beside them. `credential` replaces the
    committer's own, under the same signature key, and brings a path.
    Raises ValidationError when one of the `chosen` is against a rule, or the committer's own credential is
    refused; KeyUnavailable for a PSK among them that is not held.
    """
    suite, own = state.suite, state.own_leaf
    group = GroupView(suite, state.context, state.tree, state.roster, own)
    proposals, left_out = choose(group, pending, chosen, identity, lookup, now)
    listed = pairs(proposals)
    validation.member_commit(listed, own)
    applied = apply_proposals(group, proposals, identity, now, committing=True)
    tree = applied.tree

    path = None
    if with_path or credential is not None or validation.path_is_needed(listed):
        before = state.own_leaf_node

        def sign_leaf(encryption_key: bytes, parent_hash: bytes) -> LeafNode:
            return LeafNode.sign(
                suite,
                state.signer,
                encryption_key=encryption_key,
                credential=credential or before.credential,
                capabilities=before.capabilities,
                extensions=before.extensions,
                source=LeafNodeSource.COMMIT,
                parent_hash=parent_hash,
                position=leaf_position(state.context.group_id, own),
            )

        path = make_path(suite, tree, own, random, sign_leaf)
        # Receivers judge the leaf as one that enters: better refused here than by all of them.
        applied.roster.enter(own, successor(applied.roster, own, path.leaf_node, identity, now))
    validation.members_agree(tree.index, applied.extensions)

    provisional = provisional_context(suite, state.context, tree, applied.extensions)
    content, epoch, joiner = _sign_commit(
        suite,
        state.signer,
        Sender.member(own),
        state.context,
        state.interim_transcript_hash,
        state.secrets.init,
        proposals,
        path,
        applied,
        provisional,
        lookup,
    )
    new_state = replace(
        state,
        context=epoch.context,
        tree=tree,
        roster=applied.roster,
        interim_transcript_hash=epoch.interim_transcript_hash,
        confirmation_tag=epoch.confirmation_tag,
        secrets=epoch.secrets,
        keys=epoch.keys,
        private=still_held(tree, state.private) if path is None else path.private_keys(own),
        reinit=applied.reinit,
    )
    message = PublicMessage.protect(suite, content, state.secrets.membership, state.context.encoded)
    welcome = None
    if applied.added:
        welcome = make_welcome(new_state, applied.added, joiner, applied.psks, path, random)
    effect = _effect(epoch, own, applied)
    return PendingCommit(encode_message(message), welcome, effect, new_state, now, tuple(left_out))


def make_external_commit(
    info: GroupInfo,
    tree: RatchetTree,
    roster: Roster,
    signer: SignatureKey,
    leaf: Callable[..., LeafNode],
    identity: AuthenticationService,
    lookup: PskLookup,
    *,
    random: Random,
    now: float,
) -> tuple[bytes, GroupState]:
    """Join by a commit of one's own (section 12.4.3.2): (the PublicMessage for the members, our state).

    `leaf` signs our leaf node, given the fields that depend on the path. An earlier membership of ours is
    removed in the same commit. Raises ValidationError when the group allows no such joining.
    """
    use, context = suite(info.group_context.cipher_suite), info.group_context
    validation.epoch_may_end(context)
    external_pub = find_extension(info.extensions, ExtensionType.EXTERNAL_PUB)
    if external_pub is None:
        raise ValidationError("external_pub", "a GroupInfo without the key that external commits need")
    ephemeral = use.generate_key_pair(random)
    kem_output, init_secret = use.hpke.setup_export_sender(external_pub, ephemeral, EXTERNAL_INIT_LABEL)

    sender = Sender(SenderType.NEW_MEMBER_COMMIT)
    name = identity.identify(leaf(encryption_key=ephemeral.public), Occasion.ENTERS, now)
    before = roster.leaf_of(name)
    listed: list[Proposal] = [ExternalInit(kem_output)]
    if before is not None:
        listed.append(Remove(before))
    proposals = [Proposed(proposal, sender) for proposal in listed]
    applied = apply_proposals(GroupView(use, context, tree, roster, None), proposals, identity, now)
    own = applied.tree.blank_leaf()

    def sign_leaf(encryption_key: bytes, parent_hash: bytes) -> LeafNode:
        position = leaf_position(context.group_id, own)
        return leaf(encryption_key=encryption_key, parent_hash=parent_hash, position=position)

    path = make_path(use, applied.tree, own, random, sign_leaf)
    applied.roster.enter(own, name)
    provisional = provisional_context(use, context, applied.tree, applied.extensions)
    interim = interim_transcript_hash(use, context.confirmed_transcript_hash, info.confirmation_tag)
    content, epoch, _ = _sign_commit(
        use, signer, sender, context, interim, init_secret, proposals, path, applied, provisional, lookup
    )
    state = GroupState(
        use,
        epoch.context,
        applied.tree,
        applied.roster,
        epoch.interim_transcript_hash,
        epoch.confirmation_tag,
        epoch.secrets,
        epoch.keys,
        own,
        signer,
        path.private_keys(own),
    )
    return encode_message(PublicMessage(content, None)), state


def _sign_commit(
    suite: CipherSuite,
    signer: SignatureKey,
    sender: Sender,
    context: GroupContext,
    interim_before: bytes,
    init_secret: Secret,
    proposals: Sequence[Proposed],
    path: NewPath | None,
    applied: Applied,
    provisional: GroupContext,
    lookup: PskLookup,
) -> tuple[AuthenticatedContent, Epoch, JoinerSecrets]:
    """Seal the path, sign the commit, open the epoch it leads to, and add the tag that proves it."""
    sealed = None
    if path is not None:
        sealed = path.seal(suite, applied.tree, provisional.encoded, applied.new_leaves)
    framed = FramedContent.build(
        group_id=context.group_id,
        epoch=context.epoch,
        sender=sender,
        body=Commit(tuple(proposed.in_commit() for proposed in proposals), sealed),
    )
    content = AuthenticatedContent.sign(suite, signer, WireFormat.PUBLIC_MESSAGE, framed, context.encoded)
    epoch, joiner = next_epoch(
        suite,
        provisional,
        applied.tree,
        applied.roster,
        content,
        interim_before=interim_before,
        init_secret=init_secret,
        commit_secret=zero_secret(suite) if path is None else path.commit_secret,
        psks=combine_psks(suite, applied.psks, lookup),
    )
    return replace(content, confirmation_tag=epoch.confirmation_tag), epoch, joiner


def _effect(epoch: Epoch, committer: int, applied: Applied) -> CommitApplied:
    added = tuple(leaf for leaf, _ in applied.added)
    number = epoch.context.epoch
    return CommitApplied(number, committer, added, applied.updated, applied.removed, applied.reinit)


def process_commit(
    state: GroupState,
    content: AuthenticatedContent,
    known: Mapping[bytes, Proposed],
    own_updates: Mapping[bytes, HpkeKeyPair],
    identity: AuthenticationService,
    lookup: PskLookup,
    *,
    now: float,
) -> tuple[GroupState, CommitApplied] | Removed:
    """Apply a commit whose signature, epoch and membership tag have been checked (section 12.4.2).

    `known` are the proposals of this epoch by reference, `own_updates` the leaf keys that go with ours.
    Raises ValidationError, VerificationError or KeyUnavailable.
    """
    suite, own = state.suite, state.own_leaf
    validation.epoch_may_end(state.context)
    sender, commit = content.content.sender, content.content.body
    assert isinstance(commit, Commit)
    external = sender.type is SenderType.NEW_MEMBER_COMMIT
    proposals = _resolve(commit, sender, known)
    listed = pairs(proposals)
    if external:
        by_value = all(proposed.reference is None for proposed in proposals)
        validation.require(by_value, "external_proposals", "a reference in an external commit")
        validation.external_commit(listed)
    else:
        validation.member_commit(listed, sender.index)
    validation.path_present(listed, commit.path)
    group = GroupView(suite, state.context, state.tree, state.roster, own)
    applied = apply_proposals(group, proposals, identity, now)
    tree, path = applied.tree, commit.path
    committer = sender.index
    tag = content.confirmation_tag
    if tag is None or len(tag) != suite.hash_length:
        raise VerificationError("confirmation tag")
    steps: Path = []
    readers: list[list[int]] = []
    if path is not None:
        if external:
            committer = _enter(state, applied, path, identity, now)
        else:
            _renew(state, applied, path, committer, identity, now)
        steps = merge_path(suite, tree, committer, path)
        readers = readers_of_path(tree, path, steps, applied.new_leaves)
    validation.members_agree(tree.index, applied.extensions)
    if own in applied.removed:
        return Removed(state.context.epoch + 1, committer, external)

    private = state.private
    if applied.own_update is not None:
        pair = own_updates.get(applied.own_update)
        if pair is None:
            raise KeyUnavailable("leaf key", "the commit holds an Update of ours whose key is gone")
        private = {**private, 2 * own: pair}
    commit_secret = zero_secret(suite)
    provisional = provisional_context(suite, state.context, tree, applied.extensions)
    if path is not None:
        private, commit_secret = _read_path(state, tree, path, steps, readers, private, provisional)

    init_secret = state.secrets.init
    if applied.external_init is not None:
        pair = state.secrets.external_key_pair(suite)
        kem_output = applied.external_init.kem_output
        init_secret = suite.hpke.setup_export_receiver(pair, kem_output, EXTERNAL_INIT_LABEL)
    epoch, _ = next_epoch(
        suite,
        provisional,
        tree,
        applied.roster,
        content,
        interim_before=state.interim_transcript_hash,
        init_secret=init_secret,
        commit_secret=commit_secret,
        psks=combine_psks(suite, applied.psks, lookup),
    )
    if Secret(epoch.confirmation_tag) != tag:
        raise VerificationError("confirmation tag")
    new_state = replace(
        state,
        context=epoch.context,
        tree=tree,
        roster=applied.roster,
        interim_transcript_hash=epoch.interim_transcript_hash,
        confirmation_tag=epoch.confirmation_tag,
        secrets=epoch.secrets,
        keys=epoch.keys,
        private=still_held(tree, private),
        reinit=applied.reinit,
    )
    return new_state, _effect(epoch, committer, applied)


def _resolve(commit: Commit, sender: Sender, known: Mapping[bytes, Proposed]) -> list[Proposed]:
    """The proposals of a commit, those by reference looked up. Raises KeyUnavailable for one never seen."""
    found = []
    for item in commit.proposals:
        if isinstance(item, ProposalRef):
            proposed = known.get(item.reference)
            if proposed is None:
                raise KeyUnavailable("proposal", "the commit refers to a proposal that has not arrived")
            found.append(proposed)
        else:
            found.append(Proposed(item, sender))
    return found


def _renew(
    state: GroupState,
    applied: Applied,
    path: UpdatePath,
    committer: int,
    identity: AuthenticationService,
    now: float,
) -> None:
    """Check the leaf by which a member's path replaces its old one."""
    before, after = applied.tree.leaf(committer), path.leaf_node
    assert before is not None
    validation.path_leaf_key_is_new(before, after)
    validation.entering_leaf(
        state.suite,
        after,
        LeafNodeSource.COMMIT,
        state.context,
        applied.extensions,
        committer,
    )
    applied.roster.enter(committer, successor(applied.roster, committer, after, identity, now))


def _enter(
    state: GroupState, applied: Applied, path: UpdatePath, identity: AuthenticationService, now: float
) -> int:
    """Put the leaf of one who joins by its own commit into the tree (section 12.4.3.2); returns its index."""
    leaf = path.leaf_node
    index = applied.tree.add_leaf(leaf)
    validation.entering_leaf(
        state.suite,
        leaf,
        LeafNodeSource.COMMIT,
        state.context,
        applied.extensions,
        index,
    )
    name = identity.identify(leaf, Occasion.ENTERS, now)
    for removed in applied.removed:
        before = state.tree.leaf(removed)
        assert before is not None
        validation.path_leaf_key_is_new(before, leaf)
        own = identity.is_successor(state.roster.identity_of(removed), name)
        validation.require(own, "external_remove", "an external commit that removes somebody else")
    applied.roster.enter(index, name)
    return index


def _read_path(
    state: GroupState,
    tree: RatchetTree,
    path: UpdatePath,
    steps: Path,
    readers: list[list[int]],
    private: PrivateKeys,
    provisional: GroupContext,
) -> tuple[PrivateKeys, Secret]:
    """Open our part of a path: our private keys after it, and the commit secret."""
    suite = state.suite
    number, secret = open_path_secret(
        suite,
        path,
        steps,
        readers,
        own=state.own_leaf,
        private=still_held(tree, private),
        context=provisional.encoded,
    )
    keys, commit_secret = follow_path(suite, tree, [node for node, _ in steps[number:]], secret)
    return {**private, **keys}, commit_secret


def signature_key_of(state: GroupState, content: FramedContent) -> bytes:
    """The key that a handshake message must be signed with (section 6.1). Raises ValidationError."""
    sender, body = content.sender, content.body
    key: bytes | None = None
    match sender.type:
        case SenderType.MEMBER:
            leaf = state.tree.leaf(sender.index)
            key = leaf.signature_key if leaf is not None else None
        case SenderType.EXTERNAL:
            senders = external_senders(state.context.extensions)
            if not isinstance(body, Commit) and sender.index < len(senders):
                key = senders[sender.index].signature_key
        case SenderType.NEW_MEMBER_PROPOSAL:
            if isinstance(body, Add):
                key = body.key_package.leaf_node.signature_key
        case SenderType.NEW_MEMBER_COMMIT:
            if isinstance(body, Commit) and body.path is not None:
                key = body.path.leaf_node.signature_key
    if key is None:
        raise ValidationError(
            "sender", f"a {content.type.name} that {sender.type.name} {sender.index} cannot send"
        )
    return key
