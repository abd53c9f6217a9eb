"""A group as bytes: save it, load it, go on (secrets, ratchet generations and skipped keys included).

The form is our own, in the presentation language of RFC 9420, section 2. It holds every secret of the group:
store it as one stores a private key. A pending commit is not part of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from identity.mls.cipher_suite import CipherSuite, suite
from identity.mls.codec import Reader, decode_whole, opaque, optional, u8, u16, u32, u64, vector
from identity.mls.errors import DecodeError
from identity.mls.framing import Sender
from identity.mls.group_state import GroupState
from identity.mls.key_schedule import EpochSecrets
from identity.mls.messages import GroupContext
from identity.mls.private_message import EpochKeys
from identity.mls.proposal import ReInit, decode_proposal, encode_proposal
from identity.mls.proposal_list import Proposed
from identity.mls.ratchet_tree import RatchetTree
from identity.mls.roster import Roster
from identity.mls.secret import Secret
from identity.mls.secret_tree import LeafRatchets, Ratchet, SecretTree

FORMAT = 1


@dataclass(frozen=True, slots=True)
class GroupSnapshot:
    """Everything a group keeps between two calls."""

    state: GroupState
    past: tuple[EpochKeys, ...]
    """The message keys of past epochs, oldest first."""
    resumption: tuple[tuple[int, Secret], ...]
    """Resumption PSKs by epoch, oldest first."""
    proposals: tuple[Proposed, ...]
    own_updates: tuple[tuple[bytes, Secret], ...]
    """Private leaf keys by the reference of the Update they belong to."""

    def encode(self) -> Secret:
        """The bytes of the snapshot."""
        return Secret(
            b"".join(
                (
                    u8(FORMAT),
                    _encode_state(self.state),
                    vector(map(_encode_keys, self.past)),
                    vector(u64(epoch) + opaque(psk) for epoch, psk in self.resumption),
                    vector(map(_encode_proposed, self.proposals)),
                    vector(opaque(reference) + opaque(key) for reference, key in self.own_updates),
                )
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> GroupSnapshot:
        """Read a snapshot. Raises DecodeError, or ValidationError when a key in it is none."""
        return decode_whole(data, _decode)


def _decode(reader: Reader) -> GroupSnapshot:
    form = reader.u8()
    if form != FORMAT:
        raise DecodeError(f"snapshot of format {form}, not {FORMAT}")
    state = _decode_state(reader)
    return GroupSnapshot(
        state,
        reader.vector(lambda r: _decode_keys(r, state.suite)),
        reader.vector(lambda r: (r.u64(), Secret(r.opaque()))),
        reader.vector(_decode_proposed),
        reader.vector(lambda r: (r.opaque(), Secret(r.opaque()))),
    )


def _encode_state(state: GroupState) -> bytes:
    roster = vector(u32(leaf) + opaque(identity) for leaf, identity in sorted(state.roster.members.items()))
    private = vector(u32(node) + opaque(pair.private_bytes()) for node, pair in state.private.items())
    return b"".join(
        (
            u16(state.suite.id),
            state.context.encoded,
            state.tree.encode(),
            roster,
            opaque(state.interim_transcript_hash),
            opaque(state.confirmation_tag),
            vector(map(opaque, state.secrets.values())),
            _encode_keys(state.keys),
            u32(state.own_leaf),
            opaque(state.signer.private_bytes()),
            private,
            optional(None if state.reinit is None else state.reinit.encode()),
        )
    )


def _decode_state(reader: Reader) -> GroupState:
    use = suite(reader.u16())
    context = GroupContext.decode(reader)
    tree = RatchetTree.decode(reader)
    roster = Roster()
    for leaf, identity in reader.vector(lambda r: (r.u32(), r.opaque())):
        roster.enter(leaf, identity)
    roster.settle()
    interim, tag = reader.opaque(), reader.opaque()
    secrets = reader.vector(lambda r: Secret(r.opaque()))
    if len(secrets) != len(EpochSecrets.__slots__):
        raise DecodeError(f"{len(secrets)} secrets of an epoch", offset=reader.position)
    return GroupState(
        use,
        context,
        tree,
        roster,
        interim,
        tag,
        EpochSecrets(*secrets),
        _decode_keys(reader, use),
        reader.u32(),
        use.scheme.load_private(reader.opaque()),
        dict(reader.vector(lambda r: (r.u32(), use.hpke.load_key_pair(r.opaque())))),
        reader.optional(ReInit.decode),
    )


def _encode_keys(keys: EpochKeys) -> bytes:
    tree = keys.secret_tree
    return b"".join(
        (
            opaque(keys.context),
            opaque(keys.sender_data_secret),
            vector(
                optional(None if key is None else opaque(key))
                for key in map(keys.signature_key, range(tree.leaves))
            ),
            u32(tree.leaves),
            vector(u32(node) + opaque(secret) for node, secret in sorted(tree.nodes.items())),
            vector(
                u32(leaf) + _encode_ratchet(pair.handshake) + _encode_ratchet(pair.application)
                for leaf, pair in sorted(tree.ratchets.items())
            ),
        )
    )


def _decode_keys(reader: Reader, use: CipherSuite) -> EpochKeys:
    context = decode_whole(reader.opaque(), GroupContext.decode)
    sender_data = Secret(reader.opaque())
    signature_keys = reader.vector(lambda r: r.optional(Reader.opaque))

    def signature_key(leaf: int) -> bytes | None:
        return signature_keys[leaf] if leaf < len(signature_keys) else None

    leaves = reader.u32()
    nodes = dict(reader.vector(lambda r: (r.u32(), Secret(r.opaque()))))
    ratchets = dict(reader.vector(lambda r: (r.u32(), LeafRatchets(_decode_ratchet(r), _decode_ratchet(r)))))
    return EpochKeys(use, context, sender_data, SecretTree(use, leaves, nodes, ratchets), signature_key)


def _encode_ratchet(ratchet: Ratchet) -> bytes:
    skipped = vector(
        u32(generation) + opaque(key) + opaque(nonce) for generation, (key, nonce) in ratchet.skipped.items()
    )
    return opaque(ratchet.secret) + u64(ratchet.generation) + skipped


def _decode_ratchet(reader: Reader) -> Ratchet:
    secret, generation = Secret(reader.opaque()), reader.u64()
    skipped = reader.vector(lambda r: (r.u32(), (r.opaque(), r.opaque())))
    return Ratchet(secret, generation, dict(skipped))


def _encode_proposed(proposed: Proposed) -> bytes:
    assert proposed.reference is not None
    return proposed.sender.encode() + opaque(proposed.reference) + encode_proposal(proposed.proposal)


def _decode_proposed(reader: Reader) -> Proposed:
    sender, reference = Sender.decode(reader), reader.opaque()
    return Proposed(decode_proposal(reader), sender, reference)
