"""A group as bytes: save it, load it, go on (secrets, ratchet generations and skipped keys included).

The form is our own, in the presentation language of RFC 9420, section 2. It holds every secret of the group:
store it as one stores a private key. A pending commit is not part of it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from itertools import count

from identity.mls.cipher_suite import CipherSuite, suite
from identity.mls.codec import Reader, decode_whole, opaque, optional, u8, u16, u32, u64, vector
from identity.mls.errors import DecodeError
from identity.mls.framing import Sender
from identity.mls.group_state import GroupState
from identity.mls.key_schedule import EpochSecrets
from identity.mls.leaf_node import LeafNode
from identity.mls.messages import GroupContext
from identity.mls.past_epochs import PastEpochs
from identity.mls.pending_proposals import PendingProposals
from identity.mls.private_message import EpochKeys
from identity.mls.proposal import ReInit, decode_proposal, encode_proposal
from identity.mls.proposal_list import Proposed
from identity.mls.ratchet_tree import RatchetTree
from identity.mls.roster import Roster
from identity.mls.secret import Secret
from identity.mls.secret_tree import LeafRatchets, Ratchet, SecretTree

FORMAT = 2


class SnapshotSection(IntEnum):
    """The parts of a snapshot. One that is added later may be missing from what was saved before."""

    STATE = 1
    PAST = 2
    PROPOSALS = 3


@dataclass(frozen=True, slots=True)
class GroupSnapshot:
    """Everything a group keeps between two calls."""

    state: GroupState
    past: PastEpochs
    proposals: PendingProposals

    def encode(self) -> Secret:
        """The bytes of the snapshot."""
        sections = {
            SnapshotSection.STATE: _encode_state(self.state),
            SnapshotSection.PAST: _encode_past(self.past, self.state),
            SnapshotSection.PROPOSALS: _encode_proposals(self.proposals),
        }
        return Secret(u8(FORMAT) + vector(u8(section) + opaque(data) for section, data in sections.items()))

    @classmethod
    def decode(cls, data: bytes) -> GroupSnapshot:
        """Read a snapshot. Raises DecodeError, or ValidationError when a key in it is none."""
        return decode_whole(data, _decode)


def _decode(reader: Reader) -> GroupSnapshot:
    form = reader.u8()
    if form != FORMAT:
        raise DecodeError(f"snapshot of format {form}, not {FORMAT}")
    sections = dict(reader.vector(lambda r: (r.u8(), r.opaque())))
    if sections.keys() != set(SnapshotSection):
        raise DecodeError(f"a snapshot with the sections {sorted(sections)}", offset=reader.position)
    state = decode_whole(sections[SnapshotSection.STATE], _decode_state)
    return GroupSnapshot(
        state,
        decode_whole(sections[SnapshotSection.PAST], lambda r: _decode_past(r, state)),
        decode_whole(sections[SnapshotSection.PROPOSALS], lambda r: _decode_proposals(r, state.suite)),
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
            _encode_keys(state.keys, state.tree, state.roster),
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
        _decode_keys(reader, use, tree, roster),
        reader.u32(),
        use.scheme.load_private(reader.opaque()),
        dict(reader.vector(lambda r: (r.u32(), use.hpke.load_key_pair(r.opaque())))),
        reader.optional(ReInit.decode),
    )


def _encode_past(past: PastEpochs, state: GroupState) -> bytes:
    return b"".join(
        (
            u32(past.limit),
            _f64(past.lifetime),
            vector(
                _f64(past.ended[epoch]) + _encode_keys(keys, state.tree, state.roster)
                for epoch, keys in past.keys.items()
            ),
            vector(u64(epoch) + opaque(psk) for epoch, psk in past.resumption.items()),
        )
    )


def _decode_past(reader: Reader, state: GroupState) -> PastEpochs:
    past = PastEpochs(reader.u32(), _read_f64(reader))
    for ended, keys in reader.vector(
        lambda r: (_read_f64(r), _decode_keys(r, state.suite, state.tree, state.roster))
    ):
        past.ended[keys.epoch], past.keys[keys.epoch] = ended, keys
    past.resumption = dict(reader.vector(lambda r: (r.u64(), Secret(r.opaque()))))
    return past


def _f64(value: float) -> bytes:
    return struct.pack(">d", value)


def _read_f64(reader: Reader) -> float:
    value: float = struct.unpack(">d", reader.raw(8))[0]
    return value


def _encode_keys(keys: EpochKeys, tree: RatchetTree, roster: Roster) -> bytes:
    secrets = keys.secret_tree
    return b"".join(
        (
            opaque(keys.context),
            opaque(keys.sender_data_secret),
            u32(secrets.leaves),
            vector(_encode_member(keys, leaf, tree, roster) for leaf in range(secrets.leaves)),
            vector(u32(node) + opaque(secret) for node, secret in sorted(secrets.nodes.items())),
            vector(
                u32(leaf) + _encode_ratchet(pair.handshake) + _encode_ratchet(pair.application)
                for leaf, pair in sorted(secrets.ratchets.items())
            ),
            vector(map(u32, sorted(secrets.gone))),
        )
    )


def _decode_keys(reader: Reader, use: CipherSuite, tree: RatchetTree, roster: Roster) -> EpochKeys:
    context = decode_whole(reader.opaque(), GroupContext.decode)
    sender_data = Secret(reader.opaque())
    leaves = reader.u32()
    numbers = count()
    found = reader.vector(lambda r: _decode_member(r, next(numbers), tree, roster))
    members = {number: member for number, member in enumerate(found) if member is not None}
    nodes = dict(reader.vector(lambda r: (r.u32(), Secret(r.opaque()))))
    ratchets = dict(reader.vector(lambda r: (r.u32(), LeafRatchets(_decode_ratchet(r), _decode_ratchet(r)))))
    secrets = SecretTree(use, leaves, nodes, ratchets, set(reader.vector(Reader.u32)))
    return EpochKeys(
        use,
        context,
        sender_data,
        secrets,
        {number: leaf for number, (leaf, _) in members.items()}.get,
        {number: identity for number, (_, identity) in members.items()}.get,
    )


def _encode_member(keys: EpochKeys, index: int, tree: RatchetTree, roster: Roster) -> bytes:
    """A member of an epoch: nobody, the present one, or one who has gone or changed since."""
    leaf, identity = keys.leaf_node(index), keys.identity(index)
    if leaf is None or identity is None:
        return b"\0"
    if tree.leaf(index) == leaf and roster.members.get(index) == identity:
        return b"\1"
    return b"\2" + leaf.encoded + opaque(identity)


def _decode_member(
    reader: Reader, index: int, tree: RatchetTree, roster: Roster
) -> tuple[LeafNode, bytes] | None:
    match reader.u8():
        case 0:
            return None
        case 1:
            leaf, identity = tree.leaf(index), roster.members.get(index)
        case 2:
            leaf, identity = LeafNode.decode(reader), reader.opaque()
        case _:
            leaf = identity = None
    if leaf is None or identity is None:
        raise DecodeError(f"no member for leaf {index} of an epoch", offset=reader.position)
    return leaf, identity


def _encode_ratchet(ratchet: Ratchet) -> bytes:
    skipped = vector(
        u32(generation) + opaque(key) + opaque(nonce) for generation, (key, nonce) in ratchet.skipped.items()
    )
    return opaque(ratchet.secret) + u64(ratchet.generation) + skipped


def _decode_ratchet(reader: Reader) -> Ratchet:
    secret, generation = Secret(reader.opaque()), reader.u64()
    skipped = reader.vector(lambda r: (r.u32(), (r.opaque(), r.opaque())))
    return Ratchet(secret, generation, dict(skipped))


def _encode_proposals(pending: PendingProposals) -> bytes:
    updates = pending.own_updates.items()
    return vector(map(_encode_proposed, pending.proposals.values())) + vector(
        opaque(reference) + opaque(pair.private_bytes()) for reference, pair in updates
    )


def _decode_proposals(reader: Reader, use: CipherSuite) -> PendingProposals:
    pending = PendingProposals()
    for proposed in reader.vector(_decode_proposed):
        assert proposed.reference is not None
        pending.proposals[proposed.reference] = proposed
    pending.own_updates = dict(reader.vector(lambda r: (r.opaque(), use.hpke.load_key_pair(r.opaque()))))
    return pending


def _encode_proposed(proposed: Proposed) -> bytes:
    assert proposed.reference is not None
    return proposed.sender.encode() + opaque(proposed.reference) + encode_proposal(proposed.proposal)


def _decode_proposed(reader: Reader) -> Proposed:
    sender, reference = Sender.decode(reader), reader.opaque()
    return Proposed(decode_proposal(reader), sender, reference)
