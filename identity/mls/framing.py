"""Framing and authentication of what members say to the group (RFC 9420, section 6).

Here stand the structures, the signatures over them and the public form. The private form, and with it the
hot path of application messages, is in `private_message`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from identity.mls.cipher_suite import CipherSuite
from identity.mls.codec import Reader, decode_whole, opaque, u8, u16, u32, u64
from identity.mls.errors import DecodeError, ValidationError, VerificationError
from identity.mls.leaf_node import MLS10
from identity.mls.messages import Commit, GroupInfo, Welcome
from identity.mls.proposal import KeyPackage, Proposal, decode_proposal, encode_proposal
from identity.mls.signatures import SignatureKey

MAX_MESSAGE = 16 * 1024 * 1024
"""The longest MLSMessage that is looked at, in bytes. A Welcome into a group of 1,000 is about 0.4 MB."""


class WireFormat(IntEnum):
    """What an MLSMessage holds (section 6)."""

    PUBLIC_MESSAGE = 1
    PRIVATE_MESSAGE = 2
    WELCOME = 3
    GROUP_INFO = 4
    KEY_PACKAGE = 5


class ContentType(IntEnum):
    """What a member says (section 6)."""

    APPLICATION = 1
    PROPOSAL = 2
    COMMIT = 3


class SenderType(IntEnum):
    """Who says it (section 6.1)."""

    MEMBER = 1
    EXTERNAL = 2
    NEW_MEMBER_PROPOSAL = 3
    NEW_MEMBER_COMMIT = 4


@dataclass(frozen=True, slots=True)
class Sender:
    """The sender of a message; `index` counts leaves or external senders, and is 0 for the other types."""

    type: SenderType
    index: int = 0

    @classmethod
    def member(cls, leaf: int) -> Sender:
        """The member at `leaf`."""
        return cls(SenderType.MEMBER, leaf)

    @classmethod
    def decode(cls, reader: Reader) -> Sender:
        """Read a Sender."""
        kind = reader.u8()
        if kind in (SenderType.MEMBER, SenderType.EXTERNAL):
            return cls(SenderType(kind), reader.u32())
        if kind in (SenderType.NEW_MEMBER_PROPOSAL, SenderType.NEW_MEMBER_COMMIT):
            return cls(SenderType(kind))
        raise DecodeError(f"sender type {kind} is unknown", offset=reader.position - 1)

    def encode(self) -> bytes:
        """The bytes of the Sender."""
        if self.type in (SenderType.MEMBER, SenderType.EXTERNAL):
            return u8(self.type) + u32(self.index)
        return u8(self.type)


def decode_content_type(reader: Reader) -> ContentType:
    """Read a ContentType."""
    kind = reader.u8()
    if not ContentType.APPLICATION <= kind <= ContentType.COMMIT:
        raise DecodeError(f"content type {kind} is unknown", offset=reader.position - 1)
    return ContentType(kind)


def decode_body(reader: Reader, kind: ContentType) -> bytes | Proposal | Commit:
    """Read the part of a content that depends on its type."""
    if kind is ContentType.APPLICATION:
        return reader.opaque()
    if kind is ContentType.PROPOSAL:
        return decode_proposal(reader)
    return Commit.decode(reader)


@dataclass(frozen=True, slots=True)
class FramedContent:
    """A content with its place in the group's history (section 6). `encoded` is as received or built."""

    group_id: bytes
    epoch: int
    sender: Sender
    authenticated_data: bytes
    body: bytes | Proposal | Commit = field(repr=False)
    """Application data, a proposal or a commit."""
    encoded: bytes = field(repr=False)

    @property
    def type(self) -> ContentType:
        """The content type that goes with the body."""
        if isinstance(self.body, Commit):
            return ContentType.COMMIT
        return ContentType.APPLICATION if isinstance(self.body, bytes) else ContentType.PROPOSAL

    @classmethod
    def decode(cls, reader: Reader) -> FramedContent:
        """Read a FramedContent."""
        start = reader.position
        group_id, epoch = reader.opaque(), reader.u64()
        sender = Sender.decode(reader)
        authenticated_data = reader.opaque()
        body = decode_body(reader, decode_content_type(reader))
        return cls(group_id, epoch, sender, authenticated_data, body, reader.since(start))

    @classmethod
    def build(
        cls,
        *,
        group_id: bytes,
        epoch: int,
        sender: Sender,
        body: bytes | Proposal | Commit,
        authenticated_data: bytes = b"",
        encoded_body: bytes | None = None,
    ) -> FramedContent:
        """Put a content together. `encoded_body` is the received form of the body, where there is one."""
        if isinstance(body, Commit):
            kind, made = ContentType.COMMIT, body.encode()
        elif isinstance(body, bytes):
            kind, made = ContentType.APPLICATION, opaque(body)
        else:
            kind, made = ContentType.PROPOSAL, encode_proposal(body)
        encoded = b"".join(
            (
                opaque(group_id),
                u64(epoch),
                sender.encode(),
                opaque(authenticated_data),
                u8(kind),
                made if encoded_body is None else encoded_body,
            )
        )
        return cls(group_id, epoch, sender, authenticated_data, body, encoded)


def content_tbs(wire_format: WireFormat, content: FramedContent, context: bytes) -> bytes:
    """FramedContentTBS (section 6.1); `context` is the encoded GroupContext of the content's epoch."""
    tbs = u16(MLS10) + u16(wire_format) + content.encoded
    if content.sender.type in (SenderType.MEMBER, SenderType.NEW_MEMBER_COMMIT):
        tbs += context
    return tbs


@dataclass(frozen=True, slots=True)
class AuthenticatedContent:
    """A content with its signature, and with the confirmation tag if it is a commit (section 6)."""

    wire_format: WireFormat
    content: FramedContent
    signature: bytes
    confirmation_tag: bytes | None = None

    @classmethod
    def sign(
        cls,
        suite: CipherSuite,
        key: SignatureKey,
        wire_format: WireFormat,
        content: FramedContent,
        context: bytes,
    ) -> AuthenticatedContent:
        """Sign a content. A commit still lacks its confirmation tag."""
        tbs = content_tbs(wire_format, content, context)
        return cls(wire_format, content, suite.sign_with_label(key, b"FramedContentTBS", tbs))

    @classmethod
    def decode(cls, reader: Reader) -> AuthenticatedContent:
        """Read an AuthenticatedContent."""
        wire_format = reader.u16()
        if wire_format not in (WireFormat.PUBLIC_MESSAGE, WireFormat.PRIVATE_MESSAGE):
            raise DecodeError(f"wire format {wire_format} holds no content", offset=reader.position - 2)
        content = FramedContent.decode(reader)
        return cls(WireFormat(wire_format), content, *_decode_auth(reader, content.type))

    def verify(self, suite: CipherSuite, signature_key: bytes, context: bytes) -> None:
        """Check the signature over what was received. Raises VerificationError; ValidationError: no key."""
        tbs = content_tbs(self.wire_format, self.content, context)
        if not suite.verify_with_label(signature_key, b"FramedContentTBS", tbs, self.signature):
            raise VerificationError("signature of the message")

    def encode_auth(self) -> bytes:
        """FramedContentAuthData."""
        tag = b"" if self.confirmation_tag is None else opaque(self.confirmation_tag)
        return opaque(self.signature) + tag

    def encode(self) -> bytes:
        """The bytes of the AuthenticatedContent."""
        return u16(self.wire_format) + self.content.encoded + self.encode_auth()

    def proposal_reference(self, suite: CipherSuite) -> bytes:
        """ProposalRef (section 5.2) of a proposal."""
        return suite.ref_hash(b"MLS 1.0 Proposal Reference", self.encode())


def _decode_auth(reader: Reader, kind: ContentType) -> tuple[bytes, bytes | None]:
    return reader.opaque(), reader.opaque() if kind is ContentType.COMMIT else None


@dataclass(frozen=True, slots=True)
class PublicMessage:
    """A content that is signed but not encrypted (section 6.2)."""

    content: AuthenticatedContent
    membership_tag: bytes | None

    @classmethod
    def decode(cls, reader: Reader) -> PublicMessage:
        """Read a PublicMessage."""
        content = FramedContent.decode(reader)
        signed = AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, content, *_decode_auth(reader, content.type))
        return cls(signed, reader.opaque() if content.sender.type is SenderType.MEMBER else None)

    @classmethod
    def protect(
        cls, suite: CipherSuite, content: AuthenticatedContent, membership_key: bytes, context: bytes
    ) -> PublicMessage:
        """Add the membership tag that a member's message needs."""
        tag = None
        if content.content.sender.type is SenderType.MEMBER:
            tag = suite.mac(membership_key, _content_tbm(content, context))
        return cls(content, tag)

    def verify_membership(self, suite: CipherSuite, membership_key: bytes, context: bytes) -> None:
        """Check the membership tag of a member's message (section 6.2).

        Raises VerificationError, and ValidationError for application data, which is never sent this way.
        """
        if self.content.content.type is ContentType.APPLICATION:
            raise ValidationError("public_application", "application data in a PublicMessage")
        if self.membership_tag is not None:
            tbm = _content_tbm(self.content, context)
            suite.verify_mac(membership_key, tbm, self.membership_tag, "membership tag")

    def encode(self) -> bytes:
        """The bytes of the PublicMessage."""
        tag = b"" if self.membership_tag is None else opaque(self.membership_tag)
        return self.content.content.encoded + self.content.encode_auth() + tag


def _content_tbm(content: AuthenticatedContent, context: bytes) -> bytes:
    return content_tbs(content.wire_format, content.content, context) + content.encode_auth()


@dataclass(frozen=True, slots=True)
class PrivateMessage:
    """An encrypted content (section 6.3)."""

    group_id: bytes
    epoch: int
    content_type: ContentType
    authenticated_data: bytes
    encrypted_sender_data: bytes
    ciphertext: bytes

    @classmethod
    def decode(cls, reader: Reader) -> PrivateMessage:
        """Read a PrivateMessage."""
        return cls(
            reader.opaque(),
            reader.u64(),
            decode_content_type(reader),
            reader.opaque(),
            reader.opaque(),
            reader.opaque(),
        )

    def encode(self) -> bytes:
        """The bytes of the PrivateMessage."""
        return b"".join(
            (
                opaque(self.group_id),
                u64(self.epoch),
                u8(self.content_type),
                opaque(self.authenticated_data),
                opaque(self.encrypted_sender_data),
                opaque(self.ciphertext),
            )
        )


MlsMessage = PublicMessage | PrivateMessage | Welcome | GroupInfo | KeyPackage

_FORMATS: dict[int, type[MlsMessage]] = {
    WireFormat.PUBLIC_MESSAGE: PublicMessage,
    WireFormat.PRIVATE_MESSAGE: PrivateMessage,
    WireFormat.WELCOME: Welcome,
    WireFormat.GROUP_INFO: GroupInfo,
    WireFormat.KEY_PACKAGE: KeyPackage,
}
_FORMAT_OF = {kind: WireFormat(number) for number, kind in _FORMATS.items()}


def _read_message(reader: Reader) -> MlsMessage:
    version = reader.u16()
    if version != MLS10:
        raise DecodeError(f"protocol version {version} is not mls10", offset=0)
    wire_format = reader.u16()
    if wire_format not in _FORMATS:
        raise DecodeError(f"wire format {wire_format} is unknown", offset=2)
    return _FORMATS[wire_format].decode(reader)


def decode_message(data: bytes) -> MlsMessage:
    """Decode an MLSMessage (section 6). Raises DecodeError."""
    if len(data) > MAX_MESSAGE:
        raise DecodeError(f"message of {len(data)} bytes, {MAX_MESSAGE} is the most")
    return decode_whole(data, _read_message)


def encode_message(message: MlsMessage) -> bytes:
    """Encode an MLSMessage (section 6)."""
    return b"".join((u16(MLS10), u16(_FORMAT_OF[type(message)]), message.encode()))
