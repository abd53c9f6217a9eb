"""TreeKEM: fresh keys from a leaf to the root, and the secret they leave behind (RFC 9420, 7.4 to 7.6).

The private state of a member is the key pair of its leaf and those of the nodes above it that it knows,
by node index. Functions here change the tree they are given: give them a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass

from identity.mls import tree_math
from identity.mls.cipher_suite import CipherSuite, Random
from identity.mls.errors import KeyUnavailable, ValidationError
from identity.mls.hpke import HpkeKeyPair
from identity.mls.leaf_node import LeafNode
from identity.mls.messages import HpkeCiphertext, UpdatePath, UpdatePathNode
from identity.mls.ratchet_tree import ParentNode, RatchetTree
from identity.mls.secret import Secret

PrivateKeys = dict[int, HpkeKeyPair]

Path = list[tuple[int, int]]
"""A filtered direct path, from below: each node with its child on the copath (section 4.1.2)."""

_LABEL = b"UpdatePathNode"


def node_key_pair(suite: CipherSuite, path_secret: bytes) -> HpkeKeyPair:
    """The key pair of a node from its path secret (section 7.4)."""
    return suite.hpke.derive_key_pair(suite.derive_secret(path_secret, b"node"))


def next_path_secret(suite: CipherSuite, path_secret: bytes) -> Secret:
    """The path secret of the next node up; from the last one, the commit secret (section 7.4)."""
    return suite.derive_secret(path_secret, b"path")


@dataclass(frozen=True, slots=True)
class NewPath:
    """A path made by this member, its public half in the tree already, not sealed to anybody yet."""

    leaf_node: LeafNode
    steps: tuple[tuple[int, int], ...]
    """The filtered direct path: each node with its child on the copath."""
    path_secrets: tuple[Secret, ...]
    key_pairs: tuple[HpkeKeyPair, ...]
    leaf_key_pair: HpkeKeyPair
    commit_secret: Secret
    random: Random
    """For the keys that sealing takes."""

    def private_keys(self, leaf: int) -> PrivateKeys:
        """The private state of the committer after this path."""
        keys = {node: pair for (node, _), pair in zip(self.steps, self.key_pairs, strict=True)}
        keys[2 * leaf] = self.leaf_key_pair
        return keys

    def secret_for(self, leaf: int) -> Secret | None:
        """The path secret a new member at `leaf` is given in its Welcome (section 12.4.3.1)."""
        for (node, _), secret in zip(self.steps, self.path_secrets, strict=True):
            if tree_math.is_below(2 * leaf, node):
                return secret
        return None

    def seal(self, suite: CipherSuite, tree: RatchetTree, context: bytes, new_leaves: Set[int]) -> UpdatePath:
        """Seal each path secret to those on the node's other side, the new members left out (section 7.6).

        `context` is the encoded provisional GroupContext. Raises ValidationError for an unusable public key.
        """
        nodes = []
        for (_, other), secret, pair in zip(self.steps, self.path_secrets, self.key_pairs, strict=True):
            sealed = []
            for at in recipients(tree, other, new_leaves):
                node = tree.nodes[at]
                assert node is not None
                try:
                    ciphertext = suite.encrypt_with_label(
                        node.encryption_key, _LABEL, context, secret, self.random
                    )
                except ValidationError as error:
                    raise ValidationError("public_key", f"{_name(at)} is {error.problem}") from None
                sealed.append(HpkeCiphertext(*ciphertext))
            nodes.append(UpdatePathNode(pair.public, tuple(sealed)))
        return UpdatePath(self.leaf_node, tuple(nodes))


def _name(node: int) -> str:
    return f"the key of node {node}" if node & 1 else f"the encryption key of leaf {node // 2}"


def recipients(tree: RatchetTree, copath_node: int, new_leaves: Set[int]) -> list[int]:
    """The nodes a path secret is sealed to: the resolution without the leaves just added (section 7.5)."""
    return [at for at in tree.resolution(copath_node) if at & 1 or at // 2 not in new_leaves]


def make_path(
    suite: CipherSuite,
    tree: RatchetTree,
    leaf: int,
    random: Random,
    sign_leaf: Callable[[bytes, bytes], LeafNode],
) -> NewPath:
    """Draw new keys from `leaf` to the root and put their public halves into `tree` (section 7.5).

    `sign_leaf(encryption_key, parent_hash)` makes the new leaf node.
    """
    leaf_key_pair = suite.generate_key_pair(random)
    steps = tuple(tree.filtered_direct_path(leaf))
    secret = Secret(random(suite.hash_length))
    secrets, pairs = [], []
    for _ in steps:
        secrets.append(secret)
        pairs.append(node_key_pair(suite, secret))
        secret = next_path_secret(suite, secret)
    parent_hash = _merge(suite, tree, leaf, steps, [pair.public for pair in pairs])
    leaf_node = sign_leaf(leaf_key_pair.public, parent_hash)
    tree.put_path_leaf(leaf, leaf_node)
    return NewPath(leaf_node, steps, tuple(secrets), tuple(pairs), leaf_key_pair, secret, random)


def merge_path(suite: CipherSuite, tree: RatchetTree, sender: int, path: UpdatePath) -> Path:
    """Put the public half of a received path into `tree`; returns the filtered direct path (section 7.5).

    Raises ValidationError when the path has another length, a key that is in the tree already or is no key
    at all, or a leaf with the wrong parent hash.
    """
    steps = tree.filtered_direct_path(sender)
    if len(steps) != len(path.nodes):
        problem = f"a path of {len(path.nodes)} nodes where {len(steps)} are due"
        raise ValidationError("path_length", problem)
    for node in path.nodes:
        suite.hpke.check_public(node.encryption_key, "a key in the path of leaf", sender)
    parent_hash = _merge(suite, tree, sender, steps, [node.encryption_key for node in path.nodes])
    if path.leaf_node.parent_hash != parent_hash:
        raise ValidationError("parent_hash", "the path's leaf has another parent hash than its path")
    tree.put_path_leaf(sender, path.leaf_node)
    return steps


def _merge(
    suite: CipherSuite,
    tree: RatchetTree,
    leaf: int,
    steps: list[tuple[int, int]] | tuple[tuple[int, int], ...],
    public_keys: list[bytes],
) -> bytes:
    """Set the keys on a path from the root down, and return the parent hash for the leaf (section 7.9)."""
    tree.blank_direct_path(leaf)
    parent_hash = b""
    for (position, other), public in zip(reversed(steps), reversed(public_keys), strict=True):
        node = ParentNode(public, parent_hash, ())
        tree.put_parent(position, node)
        parent_hash = node.hash_with(suite, tree.node_hash(suite, other))
    return parent_hash


def readers_of_path(
    tree: RatchetTree, path: UpdatePath, steps: Path, new_leaves: Set[int]
) -> list[list[int]]:
    """The nodes that each path secret is sealed to (section 7.5).

    Raises ValidationError when a path secret has another number of ciphertexts.
    """
    readers = []
    for (_, other), node in zip(steps, path.nodes, strict=True):
        found = recipients(tree, other, new_leaves)
        if len(found) != len(node.encrypted_path_secret):
            problem = f"{len(node.encrypted_path_secret)} ciphertexts for {len(found)} readers"
            raise ValidationError("path_ciphertexts", problem)
        readers.append(found)
    return readers


def open_path_secret(
    suite: CipherSuite,
    path: UpdatePath,
    steps: Path,
    readers: list[list[int]],
    *,
    own: int,
    private: Mapping[int, HpkeKeyPair],
    context: bytes,
) -> tuple[int, Secret]:
    """Open the path secret meant for leaf `own` (section 7.5): (its step on the path, the secret).

    `readers` are those of `readers_of_path`. Raises KeyUnavailable when none is us, VerificationError when
    our ciphertext does not open.
    """
    for number, ((_, other), node) in enumerate(zip(steps, path.nodes, strict=True)):
        if tree_math.is_below(2 * own, other):
            for at, sealed in zip(readers[number], node.encrypted_path_secret, strict=True):
                if at in private and tree_math.is_below(2 * own, at):
                    pair = private[at]
                    secret = suite.decrypt_with_label(
                        pair, _LABEL, context, sealed.kem_output, sealed.ciphertext
                    )
                    return number, secret
            break
    raise KeyUnavailable("path secret", "no ciphertext of the path is for this member")


def follow_path(
    suite: CipherSuite, tree: RatchetTree, nodes: list[int], path_secret: Secret
) -> tuple[PrivateKeys, Secret]:
    """The key pairs of `nodes`, from below to the root, and the commit secret beyond (section 7.4).

    Raises ValidationError when a secret does not lead to the public key in the tree.
    """
    keys: PrivateKeys = {}
    for at in nodes:
        pair = node_key_pair(suite, path_secret)
        node = tree.nodes[at]
        if node is None or node.encryption_key != pair.public:
            raise ValidationError("path_key", "a path secret that does not fit its node's public key")
        keys[at] = pair
        path_secret = next_path_secret(suite, path_secret)
    return keys, path_secret


def still_held(tree: RatchetTree, private: PrivateKeys) -> PrivateKeys:
    """The private keys whose public halves are still in the tree; the others are dropped."""
    kept: PrivateKeys = {}
    for at, pair in private.items():
        node = tree.nodes[at] if at < len(tree.nodes) else None
        if node is not None and node.encryption_key == pair.public:
            kept[at] = pair
    return kept
