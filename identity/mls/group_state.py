"""One epoch of a group as one member sees it: a value that a commit replaces as a whole (RFC 9420, 8 and 12).

Nothing here is changed in place, but for the secret tree inside the message keys. So a commit that fails
any check leaves no trace: the state it was building is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from identity.mls import validation
from identity.mls.cipher_suite import CipherSuite
from identity.mls.errors import KeyUnavailable
from identity.mls.framing import AuthenticatedContent
from identity.mls.key_schedule import (
    EpochSecrets,
    JoinerSecrets,
    encryption_secret,
    joiner_secret,
    psk_secret,
)
from identity.mls.leaf_node import Extensions, LeafNode
from identity.mls.messages import GroupContext
from identity.mls.private_message import EpochKeys
from identity.mls.proposal import PreSharedKeyId, ReInit
from identity.mls.ratchet_tree import RatchetTree
from identity.mls.roster import Roster
from identity.mls.secret import Secret
from identity.mls.secret_tree import SecretTree
from identity.mls.signatures import SignatureKey
from identity.mls.transcript_hash import (
    confirmation_tag,
    confirmed_transcript_hash,
    interim_transcript_hash,
)
from identity.mls.tree_kem import PrivateKeys

PskLookup = Callable[[PreSharedKeyId], bytes | None]
"""The application's store of pre-shared keys; `None` for one it has not."""


@dataclass(frozen=True, slots=True)
class GroupState:
    """What a member holds in one epoch."""

    suite: CipherSuite
    context: GroupContext
    tree: RatchetTree
    roster: Roster
    interim_transcript_hash: bytes
    confirmation_tag: bytes
    secrets: EpochSecrets
    keys: EpochKeys
    own_leaf: int
    signer: SignatureKey
    private: PrivateKeys
    reinit: ReInit | None = None
    """Set once a commit has ended the group in favour of another (section 11.2)."""

    @property
    def own_leaf_node(self) -> LeafNode:
        """Our own leaf."""
        leaf = self.tree.leaf(self.own_leaf)
        assert leaf is not None
        return leaf


@dataclass(frozen=True, slots=True)
class Epoch:
    """The shared part of a new epoch: all that follows from a tree, a transcript and an epoch secret."""

    context: GroupContext
    interim_transcript_hash: bytes
    confirmation_tag: bytes
    secrets: EpochSecrets
    keys: EpochKeys

    @classmethod
    def open(
        cls,
        suite: CipherSuite,
        context: GroupContext,
        tree: RatchetTree,
        roster: Roster,
        epoch_secret: bytes,
    ) -> Epoch:
        """Derive the epoch's secrets, tag and message keys from its epoch secret."""
        secrets = EpochSecrets.derive(suite, epoch_secret)
        tag = confirmation_tag(suite, secrets.confirmation, context.confirmed_transcript_hash)
        interim = interim_transcript_hash(suite, context.confirmed_transcript_hash, tag)
        secret_tree = SecretTree.grow(suite, tree.size, encryption_secret(suite, epoch_secret))
        keys = EpochKeys(
            suite, context, secrets.sender_data, secret_tree, tree.leaf_nodes(), roster.members.get
        )
        return cls(context, interim, tag, secrets, keys)


def provisional_context(
    suite: CipherSuite, before: GroupContext, tree: RatchetTree, extensions: Extensions
) -> GroupContext:
    """The group context to which a path's secrets are sealed: all new but the transcript (section 12.4.1)."""
    return replace(before, epoch=before.epoch + 1, tree_hash=tree.tree_hash(suite), extensions=extensions)


def next_epoch(
    suite: CipherSuite,
    provisional: GroupContext,
    tree: RatchetTree,
    roster: Roster,
    content: AuthenticatedContent,
    *,
    interim_before: bytes,
    init_secret: Secret,
    commit_secret: Secret,
    psks: Secret,
) -> tuple[Epoch, JoinerSecrets]:
    """The epoch that a signed commit leads to (section 12.4.2); its own confirmation tag is not looked at."""
    confirmed = confirmed_transcript_hash(
        suite, interim_before, content.wire_format, content.content.encoded, content.signature
    )
    context = replace(provisional, confirmed_transcript_hash=confirmed)
    joiner = joiner_secret(suite, init_secret, commit_secret, context.encoded)
    secrets = JoinerSecrets.derive(suite, joiner, psks, context.encoded)
    return Epoch.open(suite, context, tree, roster, secrets.epoch), secrets


def combine_psks(suite: CipherSuite, psks: tuple[PreSharedKeyId, ...], lookup: PskLookup) -> Secret:
    """The PSK secret of a commit or Welcome (section 8.4).

    Raises KeyUnavailable for a PSK not held, ValidationError for too many.
    """
    validation.psk_count(psks)
    found = []
    for psk in psks:
        secret = lookup(psk)
        if secret is None:
            raise KeyUnavailable(
                "pre-shared key", f"a PSK of type {psk.type.name} is not held by this member"
            )
        found.append((psk.encode(), secret))
    return psk_secret(suite, found)
