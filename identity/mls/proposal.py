"""Key packages, pre-shared key ids and the seven proposals (RFC 9420, sections 10, 8.4 and 12.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar

from identity.mls.cipher_suite import CipherSuite
from identity.mls.codec import Reader, opaque, u8, u16, u32, u64
from identity.mls.errors import DecodeError
from identity.mls.leaf_node import MLS10, Extensions, LeafNode, decode_extensions, encode_extensions
from identity.mls.signatures import SignatureKey


class ProposalType(IntEnum):
    """The proposal types of RFC 9420; all of them are default and never listed in capabilities."""

    ADD = 1
    UPDATE = 2
    REMOVE = 3
    PSK = 4
    REINIT = 5
    EXTERNAL_INIT = 6
    GROUP_CONTEXT_EXTENSIONS = 7


@dataclass(frozen=True, slots=True)
class KeyPackage:
    """A client's offer to be added (section 10). `encoded` is what was received or signed."""

    version: int
    cipher_suite: int
    init_key: bytes
    leaf_node: LeafNode
    extensions: Extensions
    signature: bytes
    encoded: bytes = field(repr=False)
    signed_length: int

    @classmethod
    def decode(cls, reader: Reader) -> KeyPackage:
        """Read a KeyPackage."""
        start = reader.position
        version = reader.u16()
        cipher_suite = reader.u16()
        init_key = reader.opaque()
        leaf_node = LeafNode.decode(reader)
        extensions = decode_extensions(reader)
        signed_length = reader.position - start
        signature = reader.opaque()
        return cls(
            version,
            cipher_suite,
            init_key,
            leaf_node,
            extensions,
            signature,
            reader.since(start),
            signed_length,
        )

    @classmethod
    def sign(
        cls, suite: CipherSuite, key: SignatureKey, *, init_key: bytes, leaf_node: LeafNode
    ) -> KeyPackage:
        """Make and sign a key package without extensions."""
        signed = b"".join(
            (u16(MLS10), u16(suite.id), opaque(init_key), leaf_node.encoded, encode_extensions(()))
        )
        signature = suite.sign_with_label(key, b"KeyPackageTBS", signed)
        return cls(
            MLS10, suite.id, init_key, leaf_node, (), signature, signed + opaque(signature), len(signed)
        )

    def encode(self) -> bytes:
        """The bytes of the KeyPackage."""
        return self.encoded

    def signature_fits(self, suite: CipherSuite) -> bool:
        """Whether the signature is that of the leaf's key. Raises ValidationError when that is no key."""
        signed = self.encoded[: self.signed_length]
        return suite.verify_with_label(self.leaf_node.signature_key, b"KeyPackageTBS", signed, self.signature)

    def reference(self, suite: CipherSuite) -> bytes:
        """KeyPackageRef (section 5.2)."""
        return suite.ref_hash(b"MLS 1.0 KeyPackage Reference", self.encoded)


class PskType(IntEnum):
    """Where a pre-shared key comes from."""

    EXTERNAL = 1
    RESUMPTION = 2


class ResumptionUsage(IntEnum):
    """What a resumption PSK is used for."""

    APPLICATION = 1
    REINIT = 2
    BRANCH = 3


@dataclass(frozen=True, slots=True)
class PreSharedKeyId:
    """Names a PSK (section 8.4). The fields of the other type are empty or zero."""

    type: PskType
    nonce: bytes
    id: bytes = b""
    """External: the application's name of the key."""
    usage: ResumptionUsage | None = None
    group_id: bytes = b""
    epoch: int = 0

    @classmethod
    def decode(cls, reader: Reader) -> PreSharedKeyId:
        """Read a PreSharedKeyID."""
        kind = reader.u8()
        if kind == PskType.EXTERNAL:
            psk_id = reader.opaque()
            return cls(PskType.EXTERNAL, reader.opaque(), psk_id)
        if kind != PskType.RESUMPTION:
            raise DecodeError(f"PSK type {kind} is unknown", offset=reader.position - 1)
        usage = reader.u8()
        if usage not in _USAGES:
            raise DecodeError(f"resumption PSK usage {usage} is unknown", offset=reader.position - 1)
        group_id = reader.opaque()
        epoch = reader.u64()
        return cls(PskType.RESUMPTION, reader.opaque(), b"", _USAGES[usage], group_id, epoch)

    def encode(self) -> bytes:
        """The bytes of the PreSharedKeyID."""
        if self.usage is None:
            return u8(self.type) + opaque(self.id) + opaque(self.nonce)
        where = u8(self.type) + u8(self.usage) + opaque(self.group_id) + u64(self.epoch)
        return where + opaque(self.nonce)


_USAGES = {int(usage): usage for usage in ResumptionUsage}


@dataclass(frozen=True, slots=True)
class Add:
    """Add a client to the group (section 12.1.1)."""

    type: ClassVar[ProposalType] = ProposalType.ADD
    key_package: KeyPackage

    @classmethod
    def decode(cls, reader: Reader) -> Add:
        return cls(KeyPackage.decode(reader))

    def encode(self) -> bytes:
        return self.key_package.encoded


@dataclass(frozen=True, slots=True)
class Update:
    """Replace the sender's leaf node (section 12.1.2)."""

    type: ClassVar[ProposalType] = ProposalType.UPDATE
    leaf_node: LeafNode

    @classmethod
    def decode(cls, reader: Reader) -> Update:
        return cls(LeafNode.decode(reader))

    def encode(self) -> bytes:
        return self.leaf_node.encoded


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove the member at a leaf (section 12.1.3)."""

    type: ClassVar[ProposalType] = ProposalType.REMOVE
    removed: int

    @classmethod
    def decode(cls, reader: Reader) -> Remove:
        return cls(reader.u32())

    def encode(self) -> bytes:
        return u32(self.removed)


@dataclass(frozen=True, slots=True)
class PreSharedKey:
    """Take a PSK into the key schedule (section 12.1.4)."""

    type: ClassVar[ProposalType] = ProposalType.PSK
    psk: PreSharedKeyId

    @classmethod
    def decode(cls, reader: Reader) -> PreSharedKey:
        return cls(PreSharedKeyId.decode(reader))

    def encode(self) -> bytes:
        return self.psk.encode()


@dataclass(frozen=True, slots=True)
class ReInit:
    """End this group in favour of a new one with other parameters (section 12.1.5)."""

    type: ClassVar[ProposalType] = ProposalType.REINIT
    group_id: bytes
    version: int
    cipher_suite: int
    extensions: Extensions

    @classmethod
    def decode(cls, reader: Reader) -> ReInit:
        return cls(reader.opaque(), reader.u16(), reader.u16(), decode_extensions(reader))

    def encode(self) -> bytes:
        numbers = u16(self.version) + u16(self.cipher_suite)
        return opaque(self.group_id) + numbers + encode_extensions(self.extensions)


@dataclass(frozen=True, slots=True)
class ExternalInit:
    """The new init secret, sealed to the group, of one who joins by its own commit (section 12.1.6)."""

    type: ClassVar[ProposalType] = ProposalType.EXTERNAL_INIT
    kem_output: bytes

    @classmethod
    def decode(cls, reader: Reader) -> ExternalInit:
        return cls(reader.opaque())

    def encode(self) -> bytes:
        return opaque(self.kem_output)


@dataclass(frozen=True, slots=True)
class GroupContextExtensions:
    """Replace the extensions of the group context (section 12.1.7)."""

    type: ClassVar[ProposalType] = ProposalType.GROUP_CONTEXT_EXTENSIONS
    extensions: Extensions

    @classmethod
    def decode(cls, reader: Reader) -> GroupContextExtensions:
        return cls(decode_extensions(reader))

    def encode(self) -> bytes:
        return encode_extensions(self.extensions)


Proposal = Add | Update | Remove | PreSharedKey | ReInit | ExternalInit | GroupContextExtensions

_PROPOSALS: dict[int, type[Proposal]] = {
    int(kind.type): kind
    for kind in (Add, Update, Remove, PreSharedKey, ReInit, ExternalInit, GroupContextExtensions)
}


def decode_proposal(reader: Reader) -> Proposal:
    """Read a Proposal. A type beyond RFC 9420 cannot be measured and is refused."""
    kind = reader.u16()
    if kind not in _PROPOSALS:
        raise DecodeError(f"proposal type {kind} is unknown", offset=reader.position - 2)
    return _PROPOSALS[kind].decode(reader)


def encode_proposal(proposal: Proposal) -> bytes:
    """Write a Proposal."""
    return u16(proposal.type) + proposal.encode()


@dataclass(frozen=True, slots=True)
class ProposalRef:
    """Names a proposal sent earlier in the epoch (section 12.4)."""

    reference: bytes


ProposalOrRef = Proposal | ProposalRef


def decode_proposal_or_ref(reader: Reader) -> ProposalOrRef:
    """Read a ProposalOrRef (section 12.4)."""
    kind = reader.u8()
    if kind == 1:
        return decode_proposal(reader)
    if kind == 2:
        return ProposalRef(reader.opaque())
    raise DecodeError(f"ProposalOrRef type {kind} is unknown", offset=reader.position - 1)


def encode_proposal_or_ref(item: ProposalOrRef) -> bytes:
    """Write a ProposalOrRef."""
    if isinstance(item, ProposalRef):
        return u8(2) + opaque(item.reference)
    return u8(1) + encode_proposal(item)
