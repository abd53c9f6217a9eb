"""Founding a group (RFC 9420, section 11)."""

from __future__ import annotations

from identity.mls import validation
from identity.mls.authentication_service import AuthenticationService, Occasion
from identity.mls.cipher_suite import CipherSuite, Random
from identity.mls.credential import Credential
from identity.mls.group_extensions import accept_extensions
from identity.mls.group_state import Epoch, GroupState
from identity.mls.leaf_node import Extensions, LeafNode, LeafNodeSource
from identity.mls.messages import GroupContext
from identity.mls.ratchet_tree import RatchetTree
from identity.mls.roster import Roster
from identity.mls.secret import Secret
from identity.mls.signatures import SignatureKey
from identity.mls.welcome import CAPABILITIES, lifetime_from

GROUP_ID_LENGTH = 32
"""Length of a group id that is drawn, as the peer library draws it."""


def found(
    suite: CipherSuite,
    signer: SignatureKey,
    credential: Credential,
    identity: AuthenticationService,
    *,
    group_id: bytes | None,
    extensions: Extensions,
    random: Random,
    now: float,
) -> GroupState:
    """The state of a group whose only member we are, in epoch 0. Raises ValidationError."""
    leaf_key = suite.generate_key_pair(random)
    leaf = LeafNode.sign(
        suite,
        signer,
        encryption_key=leaf_key.public,
        credential=credential,
        capabilities=CAPABILITIES,
        source=LeafNodeSource.KEY_PACKAGE,
        lifetime=lifetime_from(now),
    )
    accept_extensions(extensions, suite, identity, Occasion.ENTERS, now)
    validation.leaf_required_capabilities(leaf, extensions)
    roster = Roster()
    roster.enter(0, identity.identify(leaf, Occasion.ENTERS, now))
    tree = RatchetTree.of(leaf)
    context = GroupContext(
        suite.id,
        random(GROUP_ID_LENGTH) if group_id is None else group_id,
        0,
        tree.tree_hash(suite),
        b"",
        extensions,
    )
    epoch = Epoch.open(suite, context, tree, roster, Secret(random(suite.hash_length)))
    return GroupState(
        suite,
        context,
        tree,
        roster,
        epoch.interim_transcript_hash,
        epoch.confirmation_tag,
        epoch.secrets,
        epoch.keys,
        0,
        signer,
        {0: leaf_key},
    )
