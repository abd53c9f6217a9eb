"""The rules of RFC 9420 about leaves, key packages, trees and lists of proposals, one function each.

Every function returns nothing and raises ValidationError naming its rule. That no key and no identity
occurs twice (section 7.3) is enforced where they are entered: `tree_index` and `roster`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Any, TypeVar

from identity.claims import LEEWAY
from identity.mls import tree_math
from identity.mls.cipher_suite import CipherSuite
from identity.mls.codec import decode_whole
from identity.mls.errors import MlsError, ValidationError
from identity.mls.framing import Sender, SenderType
from identity.mls.leaf_node import (
    MLS10,
    Capabilities,
    Extensions,
    ExtensionType,
    LeafNode,
    LeafNodeSource,
    RequiredCapabilities,
    find_extension,
    leaf_position,
)
from identity.mls.messages import GroupContext, GroupInfo, UpdatePath
from identity.mls.proposal import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    KeyPackage,
    PreSharedKey,
    PreSharedKeyId,
    Proposal,
    ReInit,
    Remove,
    ResumptionUsage,
    Update,
)
from identity.mls.ratchet_tree import RatchetTree
from identity.mls.tree_index import TreeIndex

T = TypeVar("T")
VerifyMany = Callable[[Callable[[Any], bool], Sequence[Any]], Iterable[bool]]
"""Applies a check to each item and gives the results in order: `map`, or a thread pool's `map`.

Signature checks release the interpreter lock, so two threads check a large tree about 1.4 times as fast.
"""

LEAVES_PER_CHECK = 32
"""How many leaves one call of a VerifyMany's check covers: handing over costs about one signature."""

DEFAULT_EXTENSIONS = frozenset(ExtensionType)

MAX_LIFETIME = 400 * 86_400
"""The longest lifetime of a key package, in seconds: the year that peers ask for, with some room."""

MAX_EPOCH = (1 << 64) - 1
"""The last epoch; no commit leads out of it."""

MAX_PSKS = (1 << 16) - 1
"""The most pre-shared keys of a commit or Welcome: their number is a uint16 (section 8.4)."""


def require(condition: bool, rule: str, problem: str) -> None:
    """Raise ValidationError unless `condition` holds."""
    if not condition:
        raise ValidationError(rule, problem)


# Leaf nodes (section 7.3)


def leaf_source(leaf: LeafNode, expected: LeafNodeSource) -> None:
    """A leaf says how it came into the tree, and says so rightly."""
    require(leaf.source is expected, "leaf_source", f"a leaf from {leaf.source.name}, not {expected.name}")


def leaf_signature(suite: CipherSuite, leaf: LeafNode, group_id: bytes, index: int) -> None:
    """The leaf is signed with its own key, for this place in this group."""
    fits = leaf.signature_fits(suite, leaf_position(group_id, index))
    require(fits, "leaf_signature", "the signature of a leaf does not fit")


def leaf_keys(suite: CipherSuite, leaf: LeafNode, index: int | None = None) -> None:
    """The keys are public keys of the suite, so that later commits can be sealed to the one of them.

    `index` names the leaf; without it, it is that of a key package.
    """
    if index is None:
        suite.hpke.check_public(leaf.encryption_key, "the encryption key of a key package")
    else:
        suite.hpke.check_public(leaf.encryption_key, "the encryption key of leaf", index)
    try:
        suite.scheme.load_public(leaf.signature_key)
    except ValidationError as error:
        whose = "a key package" if index is None else f"leaf {index}"
        problem = f"the signature key of {whose} is {error.problem}"
        raise ValidationError("public_key", problem) from None


def leaf_extensions(leaf: LeafNode) -> None:
    """The leaf's capabilities list the types of its own extensions."""
    listed = leaf.capabilities.extensions
    require(
        all(e.type in listed or e.type in DEFAULT_EXTENSIONS for e in leaf.extensions),
        "leaf_extensions",
        "a leaf with an extension that its capabilities do not list",
    )


def leaf_required_capabilities(leaf: LeafNode, group_extensions: Extensions) -> None:
    """The leaf can do what the group requires (section 11.1) and knows the group's own extensions."""
    require(
        can_do(leaf.capabilities, group_extensions),
        "required_capabilities",
        "a leaf that lacks capabilities the group requires",
    )


def leaf_own_credential_type(leaf: LeafNode) -> None:
    """The leaf's capabilities list the type of its own credential."""
    known = leaf.credential.type in leaf.capabilities.credentials
    require(known, "credential_type", "a leaf whose capabilities do not list its own type of credential")


def leaf_credential_type(leaf: LeafNode, members: TreeIndex, before: LeafNode | None = None) -> None:
    """All members know the type of the leaf's credential, and the leaf knows those of all members.

    `before` is the leaf that this one replaces: it does not count.
    """
    own = leaf.credential.type
    known = leaf.capabilities.credentials
    replaced = None if before is None else (before.credential.type, before.capabilities)
    require(
        own in known
        and all(
            own in kind[1].credentials and kind[0] in known
            for kind, count in members.kinds.items()
            if count > (kind == replaced)
        ),
        "credential_type",
        "a credential type that not every member supports",
    )


def members_agree(members: TreeIndex, extensions: Extensions) -> None:
    """All members support the group's extensions, what it requires, and the types of credential in use.

    A property of the whole group (sections 7.3, 11.1 and 12.1.7): it is asked once a commit is applied, when
    leaves that the commit replaces have no say any more.
    """
    in_use = {kind for kind, _ in members.kinds}
    for _, capabilities in members.kinds:
        able = can_do(capabilities, extensions)
        require(able, "required_capabilities", "a member that lacks capabilities the group requires")
        known = in_use.issubset(capabilities.credentials)
        require(known, "credential_type", "a credential type that not every member supports")


def leaf_lifetime(leaf: LeafNode, now: float) -> None:
    """A key package's leaf is used within its lifetime, give or take what clocks may differ, as for tokens.

    Only those check this who bring the leaf in, by a proposal or a commit: others may see it later.
    """
    lifetime = leaf.lifetime
    require(
        lifetime is not None and lifetime.not_before - LEEWAY <= now <= lifetime.not_after + LEEWAY,
        "lifetime",
        "a key package outside its lifetime; ask the client for a fresh one (or compare the clocks)",
    )
    leaf_total_lifetime(leaf)


def leaf_total_lifetime(leaf: LeafNode) -> None:
    """A key package's leaf does not claim to live longer than the application allows (section 7.2)."""
    lifetime = leaf.lifetime
    require(
        lifetime is None or 0 <= lifetime.not_after - lifetime.not_before <= MAX_LIFETIME,
        "total_lifetime",
        f"a key package with a lifetime that ends before it begins or is over {MAX_LIFETIME} s",
    )


def can_do(capabilities: Capabilities, group_extensions: Extensions) -> bool:
    """Whether a member with these capabilities can be in a group with these extensions."""
    if not group_extensions:
        return True
    needed = find_extension(group_extensions, ExtensionType.REQUIRED_CAPABILITIES)
    if needed is not None:
        required = decode_whole(needed, RequiredCapabilities.decode)
        if not (
            set(required.extensions) <= {*capabilities.extensions, *DEFAULT_EXTENSIONS}
            and set(required.proposals) <= {*capabilities.proposals, *range(1, 8)}
            and set(required.credentials) <= set(capabilities.credentials)
        ):
            return False
    return all(e.type in capabilities.extensions or e.type in DEFAULT_EXTENSIONS for e in group_extensions)


def entering_leaf(
    suite: CipherSuite,
    leaf: LeafNode,
    source: LeafNodeSource,
    context: GroupContext,
    extensions: Extensions,
    index: int,
) -> None:
    """All rules for a leaf that comes in at `index`, but for its credential and uniqueness (section 7.3).

    What concerns the other members is in `members_agree`.
    """
    leaf_source(leaf, source)
    leaf_keys(suite, leaf, None if source is LeafNodeSource.KEY_PACKAGE else index)
    leaf_extensions(leaf)
    leaf_required_capabilities(leaf, extensions)
    leaf_own_credential_type(leaf)
    leaf_signature(suite, leaf, context.group_id, index)


# Key packages (section 10.1)


def key_package_parameters(package: KeyPackage, suite: CipherSuite) -> None:
    """A key package is for the group's version and cipher suite."""
    require(
        package.version == MLS10 and package.cipher_suite == suite.id,
        "key_package_parameters",
        f"a key package for version {package.version}, suite {package.cipher_suite} in a group of {suite!r}",
    )


def key_package_signature(package: KeyPackage, suite: CipherSuite) -> None:
    """A key package is signed with its leaf's key."""
    fits = package.signature_fits(suite)
    require(fits, "key_package_signature", "the signature of a key package does not fit")


def key_package_init_key(package: KeyPackage, suite: CipherSuite) -> None:
    """The init key is a public key, and not the leaf's encryption key again."""
    suite.hpke.check_public(package.init_key, "the init key of a key package")
    differs = package.init_key != package.leaf_node.encryption_key
    require(differs, "init_key", "a key package whose init key is its encryption key")


def key_package(package: KeyPackage, suite: CipherSuite) -> None:
    """All rules of section 10.1 but for those of the leaf."""
    key_package_parameters(package, suite)
    key_package_init_key(package, suite)
    key_package_signature(package, suite)


# Epochs


def group_version(context: GroupContext) -> None:
    """The group speaks the version of the protocol that this library speaks."""
    right = context.version == MLS10
    require(right, "version", f"a group of protocol version {context.version}, not {MLS10}")


def epoch_may_end(context: GroupContext) -> None:
    """There is a number for the epoch after this one."""
    require(context.epoch < MAX_EPOCH, "last_epoch", "a commit in the last epoch that has a number")


# Pre-shared keys (section 8.4)


def psk_count(psks: Sequence[PreSharedKeyId]) -> None:
    """There are no more PSKs than their count can say."""
    require(len(psks) <= MAX_PSKS, "psk_count", f"{len(psks)} PSKs, more than {MAX_PSKS}")


def psk_nonce(psk: PreSharedKeyId, suite: CipherSuite) -> None:
    """A PSK's nonce has the length of the hash."""
    fits = len(psk.nonce) == suite.hash_length
    require(fits, "psk_nonce", f"a PSK nonce of {len(psk.nonce)} bytes, not {suite.hash_length}")


def proposed_psk_usage(psk: PreSharedKeyId) -> None:
    """A proposed resumption PSK is for application use; the others stand in a Welcome only (12.1.4)."""
    allowed = psk.usage in (None, ResumptionUsage.APPLICATION)
    require(allowed, "psk_usage", "a proposed PSK for reinit or branch")


def welcome_psks(psks: Sequence[PreSharedKeyId], suite: CipherSuite, epoch: int) -> None:
    """A Welcome names at most one PSK for reinit or branch, and then leads into epoch 1 (11.2, 11.3)."""
    for psk in psks:
        psk_nonce(psk, suite)
    special = sum(psk.usage in (ResumptionUsage.REINIT, ResumptionUsage.BRANCH) for psk in psks)
    require(special <= 1, "psk_usage", "a Welcome with several PSKs for reinit or branch")
    require(not special or epoch == 1, "psk_usage", f"a reinit or branch that starts in epoch {epoch}, not 1")


# Lists of proposals (section 12.2)


def _all(proposals: Sequence[tuple[Proposal, Sender]], kind: type[T]) -> Iterator[T]:
    return (proposal for proposal, _ in proposals if isinstance(proposal, kind))


def sender_may_propose(proposal: Proposal, sender: Sender) -> None:
    """New members propose their own Add only, external senders no Update, nobody an ExternalInit (12.1)."""
    if sender.type is SenderType.NEW_MEMBER_PROPOSAL:
        allowed = isinstance(proposal, Add)
    elif sender.type is SenderType.EXTERNAL:
        allowed = not isinstance(proposal, Update | ExternalInit)
    else:
        allowed = sender.type is SenderType.NEW_MEMBER_COMMIT or not isinstance(proposal, ExternalInit)
    require(allowed, "proposal_sender", f"{proposal.type.name} proposed by {sender.type.name}")


def no_own_update(proposals: Sequence[tuple[Proposal, Sender]], committer: int) -> None:
    """A committer renews its leaf by a path, not by an Update."""
    own = Sender.member(committer)
    wrong = any(isinstance(proposal, Update) and sender == own for proposal, sender in proposals)
    require(not wrong, "own_update", "a commit of the committer's own Update")


def committer_stays(proposals: Sequence[tuple[Proposal, Sender]], committer: int) -> None:
    """A committer does not remove itself."""
    wrong = any(remove.removed == committer for remove in _all(proposals, Remove))
    require(not wrong, "removes_committer", "a commit that removes its committer")


def one_change_per_leaf(proposals: Sequence[tuple[Proposal, Sender]]) -> None:
    """No leaf is updated or removed twice."""
    leaves = [remove.removed for remove in _all(proposals, Remove)]
    leaves += [sender.index for proposal, sender in proposals if isinstance(proposal, Update)]
    require(len(leaves) == len(set(leaves)), "one_change_per_leaf", "two changes to the same leaf")


def distinct_psks(proposals: Sequence[tuple[Proposal, Sender]]) -> None:
    """No PSK is taken in twice."""
    psks = [proposal.psk for proposal in _all(proposals, PreSharedKey)]
    require(len(psks) == len(set(psks)), "distinct_psks", "the same PSK proposed twice")


def one_group_context_extensions(proposals: Sequence[tuple[Proposal, Sender]]) -> None:
    """The extensions change at most once."""
    count = sum(1 for _ in _all(proposals, GroupContextExtensions))
    require(count <= 1, "one_group_context_extensions", f"{count} GroupContextExtensions in one commit")


def reinit_alone(proposals: Sequence[tuple[Proposal, Sender]]) -> None:
    """A ReInit stands alone, and does not lower the version (section 12.1.5)."""
    for reinit in _all(proposals, ReInit):
        require(len(proposals) == 1, "reinit_alone", "a ReInit beside other proposals")
        reinit_version(reinit)


def reinit_version(reinit: ReInit) -> None:
    """A ReInit does not lower the version (section 12.1.5)."""
    require(reinit.version >= MLS10, "reinit_version", f"a ReInit to version {reinit.version}")


def no_external_init(proposals: Sequence[tuple[Proposal, Sender]]) -> None:
    """Members do not commit an ExternalInit."""
    wrong = any(_all(proposals, ExternalInit))
    require(not wrong, "external_init", "an ExternalInit in a member's commit")


def external_commit(proposals: Sequence[tuple[Proposal, Sender]]) -> None:
    """An external commit holds one ExternalInit, at most one Remove, PSKs, and nothing else (12.2)."""
    inits = sum(1 for _ in _all(proposals, ExternalInit))
    require(inits == 1, "external_init", f"{inits} ExternalInits in an external commit")
    removes = sum(1 for _ in _all(proposals, Remove))
    require(removes <= 1, "external_remove", f"{removes} Removes in an external commit")
    allowed = all(isinstance(proposal, ExternalInit | Remove | PreSharedKey) for proposal, _ in proposals)
    require(allowed, "external_proposals", "a proposal that an external commit may not hold")


def member_commit(proposals: Sequence[tuple[Proposal, Sender]], committer: int) -> None:
    """All rules for the list in a member's commit."""
    no_external_init(proposals)
    for proposal, sender in proposals:
        sender_may_propose(proposal, sender)
    no_own_update(proposals, committer)
    committer_stays(proposals, committer)
    one_change_per_leaf(proposals)
    distinct_psks(proposals)
    one_group_context_extensions(proposals)
    reinit_alone(proposals)


def path_is_needed(proposals: Sequence[tuple[Proposal, Sender]]) -> bool:
    """Whether a commit of these proposals must have a path (sections 12.4 and 17.4)."""
    if not proposals:
        return True
    return any(
        isinstance(proposal, Update | Remove | ExternalInit | GroupContextExtensions)
        for proposal, _ in proposals
    )


def path_present(proposals: Sequence[tuple[Proposal, Sender]], path: UpdatePath | None) -> None:
    """A commit has a path when its proposals need one."""
    present = path is not None or not path_is_needed(proposals)
    require(present, "path_required", "a commit without the path that its proposals need")


def path_leaf_key_is_new(before: LeafNode, after: LeafNode) -> None:
    """A path or an Update brings a new encryption key (sections 12.1.2 and 12.4.2)."""
    differs = before.encryption_key != after.encryption_key
    require(differs, "new_encryption_key", "a renewed leaf with the old encryption key")


# Trees (section 12.4.3.1)


def tree_hash(tree: RatchetTree, suite: CipherSuite, expected: bytes) -> None:
    """The tree is the one of the group context."""
    require(tree.tree_hash(suite) == expected, "tree_hash", "a tree that is not the group context's")


def unmerged_leaves(tree: RatchetTree) -> None:
    """Unmerged leaves are members below their node, in order, and known to all nodes in between.

    The last means: of the parents above a leaf that are not blank, those that list it come first. So it is
    enough to count who lists a leaf, and to look at as many parents from below: no list is walked twice.
    """
    listed: dict[int, frozenset[int]] = {}
    counts: Counter[int] = Counter()
    for position, node in tree.parents():
        leaves = node.unmerged_leaves
        if not leaves:
            continue
        ascending = all(before < after for before, after in pairwise(leaves))
        require(ascending, "unmerged_leaves", "unmerged leaves that are not in ascending order")
        below = tree_math.leaf_range(position)
        members = all(2 * leaf in below and tree.leaf(leaf) is not None for leaf in leaves)
        require(members, "unmerged_leaves", "an unmerged leaf that is no member below its node")
        listed[position] = frozenset(leaves)
        counts.update(leaves)
    for leaf, count in counts.items():
        above = (node for node in tree_math.direct_path(2 * leaf, tree.size) if tree.nodes[node] is not None)
        known = all(leaf in listed.get(node, ()) for node in islice(above, count))
        require(known, "unmerged_leaves", "an unmerged leaf that a node in between does not list")


def parent_hashes(tree: RatchetTree, suite: CipherSuite) -> None:
    """Every parent node is linked to a leaf by parent hashes (section 7.9.2)."""
    for position, _ in tree.parents():
        valid = tree.parent_hash_is_valid(suite, position)
        require(valid, "parent_hash", f"node {position} of the tree is not linked by a parent hash")


def parent_keys(tree: RatchetTree, suite: CipherSuite) -> None:
    """The keys of parent nodes are public keys of the suite."""
    for position, node in tree.parents():
        suite.hpke.check_public(node.encryption_key, "the key of node", position)


def members(
    tree: RatchetTree, suite: CipherSuite, group_id: bytes, extensions: Extensions, verify_many: VerifyMany
) -> None:
    """All leaves follow the rules of section 7.3, but for their credentials; signatures by `verify_many`."""
    leaves = list(tree.leaves())
    for index, leaf in leaves:
        leaf_keys(suite, leaf, index)
        leaf_extensions(leaf)
    members_agree(tree.index, extensions)

    def fits(chunk: Sequence[tuple[int, LeafNode]]) -> bool:
        try:
            for index, leaf in chunk:
                leaf_signature(suite, leaf, group_id, index)
        except MlsError:
            return False
        return True

    chunks = [leaves[start : start + LEAVES_PER_CHECK] for start in range(0, len(leaves), LEAVES_PER_CHECK)]
    require(all(verify_many(fits, chunks)), "leaf_signature", "the signature of a leaf does not fit")


def group_info_signer(tree: RatchetTree, info: GroupInfo, suite: CipherSuite) -> None:
    """A member of the very tree signed the GroupInfo."""
    signer = tree.leaf(info.signer)
    if signer is None:
        raise ValidationError("group_info_signer", f"a GroupInfo signed by blank leaf {info.signer}")
    fits = info.signature_fits(suite, signer.signature_key)
    require(fits, "group_info_signature", "the signature of a GroupInfo does not fit")
