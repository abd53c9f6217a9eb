"""Key packages, and the way into a group by a Welcome (RFC 9420, 10 and 12.4.3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from identity.mls import tree_math, validation
from identity.mls.authentication_service import AuthenticationService, Occasion
from identity.mls.cipher_suite import CipherSuite, Random, suite
from identity.mls.codec import decode_whole
from identity.mls.credential import Credential
from identity.mls.errors import KeyUnavailable, StateError, ValidationError, VerificationError
from identity.mls.framing import encode_message
from identity.mls.group_extensions import accept_extensions, check_form
from identity.mls.group_state import Epoch, GroupState, PskLookup, combine_psks
from identity.mls.hpke import HpkeKeyPair
from identity.mls.key_schedule import JoinerSecrets, welcome_key_and_nonce, welcome_secret
from identity.mls.leaf_node import (
    Capabilities,
    Extension,
    ExtensionType,
    LeafNode,
    LeafNodeSource,
    Lifetime,
    find_extension,
)
from identity.mls.messages import (
    EncryptedGroupSecrets,
    GroupContext,
    GroupInfo,
    GroupSecrets,
    HpkeCiphertext,
    Welcome,
)
from identity.mls.proposal import KeyPackage, PreSharedKeyId, ResumptionUsage
from identity.mls.ratchet_tree import RatchetTree
from identity.mls.roster import Roster
from identity.mls.secret import Secret
from identity.mls.signatures import SignatureKey
from identity.mls.tree_kem import NewPath, PrivateKeys, follow_path
from identity.mls.validation import VerifyMany

LIFETIME = 31_536_000
"""How long a key package may be used, in seconds: a year, as the peer library says it."""

BACKDATE = 3600
"""How many seconds ago a lifetime begins: peers compare it with their own clock, without tolerance."""

CAPABILITIES = Capabilities(
    versions=(1,), cipher_suites=(1, 3, 2, 7, 5), extensions=(), proposals=(), credentials=(1,)
)
"""What a leaf of ours says it can do: the supported suites, basic credentials, defaults otherwise."""

_LABEL = b"Welcome"


@dataclass(frozen=True, slots=True)
class KeyPackageBundle:
    """A key package with its private keys. For one Welcome only; forget it after joining."""

    key_package: KeyPackage
    init_key: HpkeKeyPair
    leaf_key: HpkeKeyPair
    signer: SignatureKey

    @property
    def message(self) -> bytes:
        """The key package as a complete MLSMessage."""
        return encode_message(self.key_package)


def lifetime_from(now: float) -> Lifetime:
    """The lifetime of a leaf made at `now` (Unix seconds)."""
    start = max(0, int(now) - BACKDATE)
    return Lifetime(start, start + LIFETIME)


def make_key_package(
    suite: CipherSuite, signer: SignatureKey, credential: Credential, *, random: Random, now: float
) -> KeyPackageBundle:
    """Make a key package with fresh keys (section 10)."""
    init_key, leaf_key = suite.generate_key_pair(random), suite.generate_key_pair(random)
    leaf = LeafNode.sign(
        suite,
        signer,
        encryption_key=leaf_key.public,
        credential=credential,
        capabilities=CAPABILITIES,
        source=LeafNodeSource.KEY_PACKAGE,
        lifetime=lifetime_from(now),
    )
    package = KeyPackage.sign(suite, signer, init_key=init_key.public, leaf_node=leaf)
    return KeyPackageBundle(package, init_key, leaf_key, signer)


def make_welcome(
    state: GroupState,
    added: Sequence[tuple[int, KeyPackage]],
    joiner: JoinerSecrets,
    psks: tuple[PreSharedKeyId, ...],
    path: NewPath | None,
    random: Random,
) -> bytes:
    """The Welcome for those added by the commit that led to `state`, the tree included, as an MLSMessage."""
    suite = state.suite
    info = group_info(state, ())
    key, nonce = welcome_key_and_nonce(suite, joiner.welcome)
    encrypted_info = suite.seal(key, nonce, info.encoded, b"")
    entries = []
    for leaf, package in added:
        path_secret = None if path is None else path.secret_for(leaf)
        secrets = GroupSecrets(joiner.joiner, path_secret, psks).encode()
        sealed = suite.encrypt_with_label(package.init_key, _LABEL, encrypted_info, secrets, random)
        entries.append(EncryptedGroupSecrets(package.reference(suite), HpkeCiphertext(*sealed)))
    return encode_message(Welcome(suite.id, tuple(entries), encrypted_info))


def group_info(state: GroupState, extensions: tuple[Extension, ...]) -> GroupInfo:
    """A signed GroupInfo with the ratchet tree and the given extensions."""
    tree = Extension(ExtensionType.RATCHET_TREE, state.tree.encode())
    return GroupInfo.sign(
        state.suite,
        state.signer,
        group_context=state.context,
        extensions=(tree, *extensions),
        confirmation_tag=state.confirmation_tag,
        signer=state.own_leaf,
    )


def join(
    welcome: Welcome,
    bundle: KeyPackageBundle,
    identity: AuthenticationService,
    lookup: PskLookup,
    *,
    ratchet_tree: bytes | None,
    predecessor: GroupState | None,
    now: float,
    verify_many: VerifyMany,
) -> GroupState:
    """Join a group (section 12.4.3.1). `ratchet_tree` is for a Welcome that comes without it.

    `predecessor` is the group that this one follows or branches from, if its Welcome says that it does.

    Raises KeyUnavailable when the Welcome is for somebody else or a PSK is missing, and every other error of
    this library but StateError when the Welcome or the group behind it is not in order.
    """
    use = suite(welcome.cipher_suite)
    package = bundle.key_package
    validation.key_package_parameters(package, use)
    secrets, encrypted_info = _open_secrets(welcome, bundle, use), welcome.encrypted_group_info
    psks = combine_psks(use, secrets.psks, lookup)
    key, nonce = welcome_key_and_nonce(use, welcome_secret(use, secrets.joiner_secret, psks))
    info = decode_whole(use.open(key, nonce, encrypted_info, b"", "GroupInfo"), GroupInfo.decode)
    context = info.group_context
    if context.cipher_suite != use.id or context.version != package.version:
        raise ValidationError("cipher_suite", "a GroupInfo for another version or suite than its Welcome")
    validation.welcome_psks(secrets.psks, use, context.epoch)

    tree, roster = accept_tree(
        info, use, identity, ratchet_tree=ratchet_tree, now=now, verify_many=verify_many
    )
    follows(predecessor, secrets.psks, context, roster)
    own = _own_leaf(tree, package.leaf_node)
    private: PrivateKeys = {2 * own: bundle.leaf_key}
    if secrets.path_secret is not None:
        private |= _path_keys(use, tree, own, info.signer, secrets.path_secret)

    steps = JoinerSecrets.derive(use, secrets.joiner_secret, psks, context.encoded)
    epoch = Epoch.open(use, context, tree, roster, steps.epoch)
    if Secret(epoch.confirmation_tag) != info.confirmation_tag:
        raise VerificationError("confirmation tag")
    return GroupState(
        use,
        context,
        tree,
        roster,
        epoch.interim_transcript_hash,
        epoch.confirmation_tag,
        epoch.secrets,
        epoch.keys,
        own,
        bundle.signer,
        private,
    )


def follows(
    predecessor: GroupState | None, psks: Sequence[PreSharedKeyId], context: GroupContext, roster: Roster
) -> None:
    """A group that follows or branches from another is what that one said (sections 11.2 and 11.3).

    Raises ValidationError; also when the group says whence it comes and no predecessor is given.
    """
    special = (ResumptionUsage.REINIT, ResumptionUsage.BRANCH)
    psk = next((psk for psk in psks if psk.usage in special), None)
    if psk is None:
        return
    if predecessor is None or psk.group_id != predecessor.context.group_id:
        raise ValidationError(
            "predecessor", "a group that comes from another than the one given, or from none"
        )
    before = predecessor.context
    if psk.usage is ResumptionUsage.REINIT:
        said = predecessor.reinit
        if said is None or psk.epoch != before.epoch:
            raise ValidationError("reinit", "a group that follows one which no ReInit has ended then")
        wanted = said.group_id, said.version, said.cipher_suite, said.extensions
        got = context.group_id, context.version, context.cipher_suite, context.extensions
        validation.require(got == wanted, "reinit", "a group with other parameters than its ReInit said")
    else:
        same = (context.version, context.cipher_suite) == (before.version, before.cipher_suite)
        validation.require(same, "branch", "a branch with another version or cipher suite than its group")
        known = all(predecessor.roster.leaf_of(name) is not None for _, name in roster.members.items())
        validation.require(known, "branch", "a branch with somebody who is not in the group it comes from")


def accept_tree(
    info: GroupInfo,
    suite: CipherSuite,
    identity: AuthenticationService,
    *,
    ratchet_tree: bytes | None,
    now: float,
    verify_many: VerifyMany,
) -> tuple[RatchetTree, Roster]:
    """Check the tree that belongs to a GroupInfo, the signature of a member under that, and all members.

    Raises ValidationError, DecodeError.
    """
    data = find_extension(info.extensions, ExtensionType.RATCHET_TREE)
    if data is None:
        data = ratchet_tree
    if data is None:
        raise ValidationError("ratchet_tree", "no ratchet tree with the GroupInfo, and none given beside it")
    tree = decode_whole(data, RatchetTree.decode)
    context = info.group_context
    validation.group_version(context)
    validation.group_info_signer(tree, info, suite)
    validation.tree_hash(tree, suite, context.tree_hash)
    validation.unmerged_leaves(tree)
    validation.parent_keys(tree, suite)
    validation.parent_hashes(tree, suite)
    check_form(context.extensions)
    validation.members(tree, suite, context.group_id, context.extensions, verify_many)
    accept_extensions(context.extensions, suite, identity, Occasion.IN_TREE, now)
    roster = Roster()
    for index, leaf in tree.leaves():
        roster.enter(index, identity.identify(leaf, Occasion.IN_TREE, now))
    roster.settle()
    return tree, roster


def _open_secrets(welcome: Welcome, bundle: KeyPackageBundle, suite: CipherSuite) -> GroupSecrets:
    """Find and open the entry for our key package."""
    reference = bundle.key_package.reference(suite)
    for entry in welcome.secrets:
        if entry.new_member == reference:
            sealed = entry.encrypted_group_secrets
            opened = suite.decrypt_with_label(
                bundle.init_key, _LABEL, welcome.encrypted_group_info, sealed.kem_output, sealed.ciphertext
            )
            return decode_whole(opened, GroupSecrets.decode)
    raise KeyUnavailable("welcome entry", "the Welcome is not for this key package")


def _own_leaf(tree: RatchetTree, leaf: LeafNode) -> int:
    """Where our key package's leaf stands. Raises ValidationError when it does not."""
    node = tree.index.encryption_keys.get(leaf.encryption_key)
    if node is None or node & 1 or tree.leaf(node // 2) != leaf:
        raise ValidationError("own_leaf", "the tree of the Welcome does not hold our leaf")
    return node // 2


def _path_keys(
    suite: CipherSuite, tree: RatchetTree, own: int, committer: int, path_secret: Secret
) -> PrivateKeys:
    """The keys above us that the commit renewed, from the common ancestor with its maker (12.4.3.1)."""
    nodes = [
        above
        for above in tree_math.direct_path(2 * committer, tree.size)
        if tree_math.is_below(2 * own, above) and tree.nodes[above] is not None
    ]
    if not nodes or own == committer:
        raise ValidationError("path_secret", "a Welcome with a path secret that belongs to no node")
    return follow_path(suite, tree, nodes, path_secret)[0]


def check_bundle(bundle: KeyPackageBundle) -> None:
    """Raises StateError when the private keys are not those of the key package."""
    package = bundle.key_package
    held = bundle.init_key.public, bundle.leaf_key.public, bundle.signer.public
    if held != (package.init_key, package.leaf_node.encryption_key, package.leaf_node.signature_key):
        raise StateError("the private keys are not those of this key package; keep the bundle as it was made")
