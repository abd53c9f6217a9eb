"""Commits, group contexts and Welcomes (RFC 9420, sections 7.6, 8.1, 12.4 and 12.4.3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from identity.mls.cipher_suite import CipherSuite
from identity.mls.codec import Reader, length, opaque, optional, u16, u32, u64, vector
from identity.mls.leaf_node import (
    MLS10,
    Extensions,
    LeafNode,
    decode_extensions,
    encode_extensions,
    extension_parts,
)
from identity.mls.proposal import (
    PreSharedKeyId,
    ProposalOrRef,
    decode_proposal_or_ref,
    encode_proposal_or_ref,
)
from identity.mls.secret import Secret
from identity.mls.signatures import SignatureKey


@dataclass(frozen=True, slots=True)
class HpkeCiphertext:
    """Something sealed to one public key (section 7.6)."""

    kem_output: bytes
    ciphertext: bytes

    @classmethod
    def decode(cls, reader: Reader) -> HpkeCiphertext:
        """Read an HPKECiphertext."""
        return cls(reader.opaque(), reader.opaque())

    def encode(self) -> bytes:
        """The bytes of the HPKECiphertext."""
        return opaque(self.kem_output) + opaque(self.ciphertext)


@dataclass(frozen=True, slots=True)
class UpdatePathNode:
    """The new public key of a node, its secret sealed to everybody below its other child (section 7.6)."""

    encryption_key: bytes
    encrypted_path_secret: tuple[HpkeCiphertext, ...]

    @classmethod
    def decode(cls, reader: Reader) -> UpdatePathNode:
        """Read an UpdatePathNode."""
        return cls(reader.opaque(), reader.vector(HpkeCiphertext.decode))

    def encode(self) -> bytes:
        """The bytes of the UpdatePathNode."""
        return opaque(self.encryption_key) + vector(c.encode() for c in self.encrypted_path_secret)


@dataclass(frozen=True, slots=True)
class UpdatePath:
    """New keys from a committer's leaf to the root (section 7.6)."""

    leaf_node: LeafNode
    nodes: tuple[UpdatePathNode, ...]

    @classmethod
    def decode(cls, reader: Reader) -> UpdatePath:
        """Read an UpdatePath."""
        return cls(LeafNode.decode(reader), reader.vector(UpdatePathNode.decode))

    def encode(self) -> bytes:
        """The bytes of the UpdatePath."""
        return self.leaf_node.encoded + vector(node.encode() for node in self.nodes)


@dataclass(frozen=True, slots=True)
class Commit:
    """A list of proposals to be applied, and perhaps new keys (section 12.4)."""

    proposals: tuple[ProposalOrRef, ...]
    path: UpdatePath | None

    @classmethod
    def decode(cls, reader: Reader) -> Commit:
        """Read a Commit."""
        return cls(reader.vector(decode_proposal_or_ref), reader.optional(UpdatePath.decode))

    def encode(self) -> bytes:
        """The bytes of the Commit."""
        path = None if self.path is None else self.path.encode()
        return vector(map(encode_proposal_or_ref, self.proposals)) + optional(path)


@dataclass(frozen=True)
class GroupContext:
    """What all members of an epoch agree on (section 8.1)."""

    cipher_suite: int
    group_id: bytes
    epoch: int
    tree_hash: bytes
    confirmed_transcript_hash: bytes
    extensions: Extensions = ()
    version: int = MLS10

    @classmethod
    def decode(cls, reader: Reader) -> GroupContext:
        """Read a GroupContext."""
        version, cipher_suite = reader.u16(), reader.u16()
        return cls(
            cipher_suite,
            reader.opaque(),
            reader.u64(),
            reader.opaque(),
            reader.opaque(),
            decode_extensions(reader),
            version,
        )

    @cached_property
    def encoded(self) -> bytes:
        """The bytes of the GroupContext."""
        return b"".join(
            (
                u16(self.version),
                u16(self.cipher_suite),
                opaque(self.group_id),
                u64(self.epoch),
                opaque(self.tree_hash),
                opaque(self.confirmed_transcript_hash),
                encode_extensions(self.extensions),
            )
        )


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """What one who joins must know of the group (section 12.4.3). `encoded` is as received or signed."""

    group_context: GroupContext
    extensions: Extensions
    confirmation_tag: bytes
    signer: int
    signature: bytes
    encoded: bytes = field(repr=False)
    signed_length: int

    @classmethod
    def decode(cls, reader: Reader) -> GroupInfo:
        """Read a GroupInfo."""
        start = reader.position
        context = GroupContext.decode(reader)
        extensions = decode_extensions(reader)
        confirmation_tag = reader.opaque()
        signer = reader.u32()
        signed_length = reader.position - start
        signature = reader.opaque()
        return cls(
            context, extensions, confirmation_tag, signer, signature, reader.since(start), signed_length
        )

    @classmethod
    def sign(
        cls,
        suite: CipherSuite,
        key: SignatureKey,
        *,
        group_context: GroupContext,
        extensions: Extensions,
        confirmation_tag: bytes,
        signer: int,
    ) -> GroupInfo:
        """Make and sign a GroupInfo."""
        # With the tree among the extensions this is long: it is copied for the signature and once more.
        signed = (
            group_context.encoded,
            *extension_parts(extensions),
            opaque(confirmation_tag),
            u32(signer),
        )
        signature = suite.sign_with_label(key, b"GroupInfoTBS", *signed)
        return cls(
            group_context,
            extensions,
            confirmation_tag,
            signer,
            signature,
            b"".join((*signed, opaque(signature))),
            sum(map(len, signed)),
        )

    def encode(self) -> bytes:
        """The bytes of the GroupInfo."""
        return self.encoded

    def signature_fits(self, suite: CipherSuite, signer_key: bytes) -> bool:
        """Whether `signer_key` signed it. Raises ValidationError when that is no key."""
        signed = self.encoded[: self.signed_length]
        return suite.verify_with_label(signer_key, b"GroupInfoTBS", signed, self.signature)


@dataclass(frozen=True, slots=True)
class GroupSecrets:
    """What a Welcome holds for one new member (section 12.4.3.1)."""

    joiner_secret: Secret
    path_secret: Secret | None
    psks: tuple[PreSharedKeyId, ...]

    @classmethod
    def decode(cls, reader: Reader) -> GroupSecrets:
        """Read GroupSecrets."""
        joiner = Secret(reader.opaque())
        path_secret = reader.optional(lambda r: Secret(r.opaque()))
        return cls(joiner, path_secret, reader.vector(PreSharedKeyId.decode))

    def encode(self) -> Secret:
        """The bytes of the GroupSecrets."""
        path = None if self.path_secret is None else opaque(self.path_secret)
        psks = vector(psk.encode() for psk in self.psks)
        return Secret(opaque(self.joiner_secret) + optional(path) + psks)


@dataclass(frozen=True, slots=True)
class EncryptedGroupSecrets:
    """GroupSecrets sealed to the init key of one key package (section 12.4.3)."""

    new_member: bytes
    """KeyPackageRef."""
    encrypted_group_secrets: HpkeCiphertext

    @classmethod
    def decode(cls, reader: Reader) -> EncryptedGroupSecrets:
        """Read EncryptedGroupSecrets."""
        return cls(reader.opaque(), HpkeCiphertext.decode(reader))

    def encode(self) -> bytes:
        """The bytes of the EncryptedGroupSecrets."""
        return opaque(self.new_member) + self.encrypted_group_secrets.encode()


@dataclass(frozen=True, slots=True)
class Welcome:
    """The way into the group for those a commit added (section 12.4.3.1)."""

    cipher_suite: int
    secrets: tuple[EncryptedGroupSecrets, ...]
    encrypted_group_info: bytes

    @classmethod
    def decode(cls, reader: Reader) -> Welcome:
        """Read a Welcome."""
        return cls(reader.u16(), reader.vector(EncryptedGroupSecrets.decode), reader.opaque())

    def encode(self) -> bytes:
        """The bytes of the Welcome."""
        secrets = vector(entry.encode() for entry in self.secrets)
        info = self.encrypted_group_info
        return b"".join((u16(self.cipher_suite), secrets, length(len(info)), info))
