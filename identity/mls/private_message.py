"""Encrypted messages (RFC 9420, section 6.3).

One `EpochKeys` holds what an epoch needs for it: prepared header bytes, the secret tree, and the leaves whose
signatures count. Application messages pass here at full speed, so this module builds no structures for them:
beyond the primitives a message costs a few joins and slices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from identity.mls.cipher_suite import CipherSuite
from identity.mls.codec import Reader, opaque, u8, u16, u32, u64
from identity.mls.credential import Credential
from identity.mls.errors import DecodeError, KeyUnavailable, ValidationError, VerificationError
from identity.mls.framing import (
    AuthenticatedContent,
    ContentType,
    FramedContent,
    PrivateMessage,
    Sender,
    SenderType,
    WireFormat,
    decode_body,
)
from identity.mls.leaf_node import MLS10, LeafNode
from identity.mls.messages import GroupContext
from identity.mls.secret import Secret
from identity.mls.secret_tree import MessageKey, Ratchet, SecretTree
from identity.mls.signatures import SignatureKey
from identity.record import record

_VERSION = u16(MLS10)
_WIRE_FORMAT = u16(WireFormat.PRIVATE_MESSAGE)
_MEMBER = u8(SenderType.MEMBER)
_REUSE_GUARD = 4


def padded_length(length: int) -> int:
    """How long a PrivateMessageContent of `length` bytes is made: a step function, always one more at least.

    With 2^k the least power of two that is not below max(length + 1, 256), the steps are 2^(k-3): the waste
    stays under a fifth, the true length within an eighth of the next power of two.
    """
    step = 1 << (max(length, 255).bit_length() - 3)
    return (length | (step - 1)) + 1


def sender_data_key_and_nonce(suite: CipherSuite, secret: bytes, ciphertext: bytes) -> tuple[bytes, bytes]:
    """Key and nonce of the sender data, from the first KDF.Nh bytes of the ciphertext (section 6.3.2)."""
    return suite.expand_key_and_nonce(secret, ciphertext[: suite.hash_length])


@record
class Decrypted(NamedTuple):
    """An application message that was opened and whose signature fits."""

    plaintext: bytes
    sender: int
    """Leaf index."""
    authenticated_data: bytes
    epoch: int
    generation: int
    credential: Credential
    """The sender's in that epoch: whoever has another name for the sender compares it with this."""
    identity: bytes
    """What the authentication service found that credential to say."""

    def __repr__(self) -> str:
        where = f"sender={self.sender}, epoch={self.epoch}, generation={self.generation}"
        return f"Decrypted({len(self.plaintext)} bytes, {where})"


@record
class _Opened(NamedTuple):
    """A ciphertext that was opened; nothing is proved yet about who wrote it."""

    content: bytes
    sender: int
    leaf: LeafNode
    ratchet: Ratchet
    found: MessageKey

    def __repr__(self) -> str:
        return f"_Opened({len(self.content)} bytes, sender={self.sender})"


class EpochKeys:
    """Protects and opens the private messages of one epoch.

    `leaf_node(leaf)` is the member at that leaf in this epoch, `identity(leaf)` who that is; both are `None`
    where nobody is.
    """

    __slots__ = (
        "_context",
        "_headers",
        "_places",
        "epoch",
        "group_id",
        "identity",
        "leaf_node",
        "secret_tree",
        "sender_data_secret",
        "suite",
    )

    def __init__(
        self,
        suite: CipherSuite,
        context: GroupContext,
        sender_data_secret: Secret,
        secret_tree: SecretTree,
        leaf_node: Callable[[int], LeafNode | None],
        identity: Callable[[int], bytes | None],
    ) -> None:
        self.suite = suite
        self.group_id = context.group_id
        self.epoch = context.epoch
        self.sender_data_secret = sender_data_secret
        self.secret_tree = secret_tree
        self.leaf_node = leaf_node
        self.identity = identity
        self._context = context.encoded
        place = opaque(context.group_id) + u64(context.epoch)
        self._places = _VERSION + _WIRE_FORMAT + place + _MEMBER
        self._headers = {int(kind): place + u8(kind) for kind in ContentType}

    def __repr__(self) -> str:
        return f"EpochKeys(epoch={self.epoch}, {self.secret_tree!r})"

    @property
    def context(self) -> bytes:
        """The encoded GroupContext of the epoch."""
        return self._context

    # Protecting

    def encrypt(
        self, sender: int, key: SignatureKey, plaintext: bytes, authenticated_data: bytes, reuse_guard: bytes
    ) -> bytes:
        """Protect application data as a complete MLSMessage. Raises KeyUnavailable at the ratchet's end."""
        body = opaque(plaintext)
        data = opaque(authenticated_data)
        place = sender.to_bytes(4, "big")
        signature = self.suite.sign_with_label(
            key, b"FramedContentTBS", self._places, place, data, b"\x01", body, self._context
        )
        return self._seal(sender, ContentType.APPLICATION, body + opaque(signature), data, reuse_guard)

    def protect(self, content: AuthenticatedContent, reuse_guard: bytes) -> bytes:
        """Protect a signed content of any type as a complete MLSMessage. Raises KeyUnavailable."""
        framed = content.content
        head = len(
            FramedContent.build(
                group_id=framed.group_id,
                epoch=framed.epoch,
                sender=framed.sender,
                body=framed.body,
                authenticated_data=framed.authenticated_data,
                encoded_body=b"",
            ).encoded
        )
        plain = framed.encoded[head:] + content.encode_auth()
        data = opaque(framed.authenticated_data)
        return self._seal(framed.sender.index, framed.type, plain, data, reuse_guard)

    def _seal(
        self, sender: int, kind: ContentType, content: bytes, authenticated_data: bytes, reuse_guard: bytes
    ) -> bytes:
        """Encrypt a PrivateMessageContent without padding; `authenticated_data` is encoded already."""
        suite = self.suite
        header = self._headers[kind]
        ratchets = self.secret_tree.leaf(sender)
        ratchet = ratchets.application if kind is ContentType.APPLICATION else ratchets.handshake
        found = ratchet.find(suite, ratchet.generation)
        padded = content.ljust(padded_length(len(content)), b"\0")
        nonce = _guarded(found.nonce, reuse_guard)
        ciphertext = suite.seal(found.key, nonce, padded, header + authenticated_data)
        ratchet.use(suite, found)
        data_key, data_nonce = sender_data_key_and_nonce(suite, self.sender_data_secret, ciphertext)
        sender_data = u32(sender) + u32(found.generation) + reuse_guard
        sealed = suite.seal(data_key, data_nonce, sender_data, header)
        return b"".join(
            (_VERSION, _WIRE_FORMAT, header, authenticated_data, opaque(sealed), opaque(ciphertext))
        )

    # Opening

    def decrypt(
        self, message: PrivateMessage, own: int | None, judge: Callable[[Decrypted], None] | None = None
    ) -> Decrypted:
        """Open an application message, check its signature, and let `judge` see it; the key is used up only
        then.

        Raises KeyUnavailable, VerificationError, DecodeError, or ValidationError for a message of leaf `own`,
        and what `judge` raises.
        """
        opened = self._open(message, own)
        reader = Reader(opened.content)
        plaintext = reader.opaque()
        body = reader.since(0)
        signature = reader.opaque()
        _check_padding(reader)
        data = message.authenticated_data
        tbs = b"".join(
            (self._places, opened.sender.to_bytes(4, "big"), opaque(data), b"\x01", body, self._context)
        )
        leaf = opened.leaf
        if not self.suite.verify_with_label(leaf.signature_key, b"FramedContentTBS", tbs, signature):
            raise VerificationError("signature of the message")
        generation, identity = opened.found.generation, self.identity(opened.sender)
        assert identity is not None
        found = Decrypted(plaintext, opened.sender, data, self.epoch, generation, leaf.credential, identity)
        if judge is not None:
            judge(found)
        opened.ratchet.use(self.suite, opened.found)
        return found

    def sender(self, message: PrivateMessage) -> int:
        """The leaf that a message names as its sender; that it wrote it is not proved, and no key is used up.

        Raises KeyUnavailable, VerificationError or DecodeError.
        """
        return self._sender_data(message)[0]

    def unprotect(
        self, message: PrivateMessage, own: int | None
    ) -> tuple[AuthenticatedContent, Ratchet, MessageKey]:
        """Open a message of any type and check its signature.

        The caller takes the key (`ratchet.use(suite, key)`) once the content has passed its other checks.
        Raises as `decrypt` does.
        """
        opened = self._open(message, own)
        reader = Reader(opened.content)
        body = decode_body(reader, message.content_type)
        encoded_body = reader.since(0)
        signature = reader.opaque()
        tag = reader.opaque() if message.content_type is ContentType.COMMIT else None
        _check_padding(reader)
        framed = FramedContent.build(
            group_id=message.group_id,
            epoch=message.epoch,
            sender=Sender.member(opened.sender),
            body=body,
            authenticated_data=message.authenticated_data,
            encoded_body=encoded_body,
        )
        content = AuthenticatedContent(WireFormat.PRIVATE_MESSAGE, framed, signature, tag)
        content.verify(self.suite, opened.leaf.signature_key, self._context)
        return content, opened.ratchet, opened.found

    def _open(self, message: PrivateMessage, own: int | None) -> _Opened:
        """Decrypt the sender data, then the content (sections 6.3.2 and 6.3.1)."""
        suite = self.suite
        sender, header, data = self._sender_data(message)
        if sender == own:
            raise ValidationError("own_message", "a message that this member sent itself")
        leaf = self.leaf_node(sender)
        if leaf is None:
            problem = f"leaf {sender} is blank or outside the tree of epoch {self.epoch}"
            raise ValidationError("sender", problem)
        ratchets = self.secret_tree.leaf(sender)
        application = message.content_type is ContentType.APPLICATION
        ratchet = ratchets.application if application else ratchets.handshake
        found = ratchet.find(suite, int.from_bytes(data[4:8], "big"))
        aad = header + opaque(message.authenticated_data)
        content = suite.open(
            found.key, _guarded(found.nonce, data[8:]), message.ciphertext, aad, "message content"
        )
        return _Opened(content, sender, leaf, ratchet, found)

    def _sender_data(self, message: PrivateMessage) -> tuple[int, bytes, bytes]:
        """The sender's leaf, the header that is bound to the message, and the sender data (section 6.3.2)."""
        if message.epoch != self.epoch or message.group_id != self.group_id:
            raise KeyUnavailable("epoch", f"a message of epoch {message.epoch} met the keys of {self.epoch}")
        suite = self.suite
        header = self._headers[message.content_type]
        data_key, data_nonce = sender_data_key_and_nonce(suite, self.sender_data_secret, message.ciphertext)
        data = suite.open(data_key, data_nonce, message.encrypted_sender_data, header, "sender data")
        if len(data) != 8 + _REUSE_GUARD:
            raise DecodeError(f"sender data of {len(data)} bytes")
        return int.from_bytes(data[:4], "big"), header, data


def _guarded(nonce: bytes, reuse_guard: bytes) -> bytes:
    """The nonce with the reuse guard mixed into its first four bytes (section 6.3.1)."""
    mixed = int.from_bytes(nonce[:_REUSE_GUARD], "big") ^ int.from_bytes(reuse_guard, "big")
    return mixed.to_bytes(_REUSE_GUARD, "big") + nonce[_REUSE_GUARD:]


def _check_padding(reader: Reader) -> None:
    """Padding may have any length but holds zeros only (section 6.3.1)."""
    start = reader.position
    if reader.rest().strip(b"\0"):
        raise DecodeError("padding that is not zero", offset=start)
