"""Leaf nodes: a member's keys, credential and capabilities (RFC 9420, section 7.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache

from identity.mls.cipher_suite import CipherSuite
from identity.mls.codec import Reader, decode_whole, length, opaque, u8, u16, u32, u64, vector
from identity.mls.credential import Credential
from identity.mls.errors import DecodeError
from identity.mls.signatures import SignatureKey

MLS10 = 1
"""The protocol version."""


class ExtensionType(IntEnum):
    """The extension types of RFC 9420; all of them are default and never listed in capabilities."""

    APPLICATION_ID = 1
    RATCHET_TREE = 2
    REQUIRED_CAPABILITIES = 3
    EXTERNAL_PUB = 4
    EXTERNAL_SENDERS = 5


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension of any type, its data unread."""

    type: int
    data: bytes = field(repr=False)

    @classmethod
    def decode(cls, reader: Reader) -> Extension:
        """Read an Extension."""
        return cls(reader.u16(), reader.opaque())

    def encode(self) -> bytes:
        """The bytes of the Extension."""
        return u16(self.type) + opaque(self.data)


Extensions = tuple[Extension, ...]


def decode_extensions(reader: Reader) -> Extensions:
    """Read `Extension extensions<V>`. A type that occurs twice is refused (section 13.4)."""
    extensions = reader.vector(Extension.decode)
    if len(extensions) > 1 and len({extension.type for extension in extensions}) != len(extensions):
        raise DecodeError("an extension type occurs twice", offset=reader.position)
    return extensions


def extension_parts(extensions: Extensions) -> list[bytes]:
    """`Extension extensions<V>` in pieces to be joined: one of them may be a whole tree."""
    parts = [b""]
    for extension in extensions:
        parts += (u16(extension.type), length(len(extension.data)), extension.data)
    parts[0] = length(sum(map(len, parts)))
    return parts


def encode_extensions(extensions: Extensions) -> bytes:
    """Write `Extension extensions<V>`."""
    return b"".join(extension_parts(extensions))


def find_extension(extensions: Extensions, kind: int) -> bytes | None:
    """The data of the extension of that type, if there is one."""
    return next((extension.data for extension in extensions if extension.type == kind), None)


def _u16s(reader: Reader) -> tuple[int, ...]:
    return reader.vector(Reader.u16)


def _encode_u16s(values: tuple[int, ...]) -> bytes:
    return vector(u16(value) for value in values)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a client can do, as IANA numbers (section 7.2)."""

    versions: tuple[int, ...]
    cipher_suites: tuple[int, ...]
    extensions: tuple[int, ...]
    proposals: tuple[int, ...]
    credentials: tuple[int, ...]

    @classmethod
    def decode(cls, reader: Reader) -> Capabilities:
        """Read Capabilities. The members of a group mostly send the same bytes and then share one object."""
        start = reader.position
        for _ in range(5):
            reader.opaque()
        return _capabilities(reader.since(start))

    def encode(self) -> bytes:
        """The bytes of the Capabilities."""
        return b"".join(
            map(
                _encode_u16s,
                (self.versions, self.cipher_suites, self.extensions, self.proposals, self.credentials),
            )
        )


@lru_cache(maxsize=64)
def _capabilities(data: bytes) -> Capabilities:
    return decode_whole(data, lambda r: Capabilities(_u16s(r), _u16s(r), _u16s(r), _u16s(r), _u16s(r)))


@dataclass(frozen=True, slots=True)
class RequiredCapabilities:
    """The extension by which a group asks its members for capabilities (section 11.1)."""

    extensions: tuple[int, ...]
    proposals: tuple[int, ...]
    credentials: tuple[int, ...]

    @classmethod
    def decode(cls, reader: Reader) -> RequiredCapabilities:
        """Read RequiredCapabilities."""
        return cls(_u16s(reader), _u16s(reader), _u16s(reader))

    def encode(self) -> bytes:
        """The bytes of the RequiredCapabilities."""
        return b"".join(map(_encode_u16s, (self.extensions, self.proposals, self.credentials)))


@dataclass(frozen=True, slots=True)
class Lifetime:
    """When a key package may be used, in whole Unix seconds, both ends included (section 7.2)."""

    not_before: int
    not_after: int

    @classmethod
    def decode(cls, reader: Reader) -> Lifetime:
        """Read a Lifetime."""
        return cls(reader.u64(), reader.u64())

    def encode(self) -> bytes:
        """The bytes of the Lifetime."""
        return u64(self.not_before) + u64(self.not_after)


class LeafNodeSource(IntEnum):
    """How a leaf node came into the tree."""

    KEY_PACKAGE = 1
    UPDATE = 2
    COMMIT = 3


_IN_TREE = b"\x01\x01"
"""Present, and a leaf: what stands before a leaf in an encoded tree (section 12.4.3.3)."""


@dataclass(frozen=True, slots=True)
class LeafNode:
    """A leaf node. The bytes that were received or signed are kept: they are hashed, sent and verified."""

    encryption_key: bytes
    signature_key: bytes
    credential: Credential
    capabilities: Capabilities
    source: LeafNodeSource
    lifetime: Lifetime | None
    """Present when the source is a key package."""
    parent_hash: bytes
    """Empty unless the source is a commit."""
    extensions: Extensions
    signature: bytes
    in_tree: bytes = field(repr=False)  # it holds the credential, which may be a token
    """The bytes of the `optional<Node>` that holds it: so a tree is encoded by joining what is there."""
    signed_length: int
    """How many bytes of the leaf stand before the signature."""

    @classmethod
    def decode(cls, reader: Reader) -> LeafNode:
        """Read a LeafNode."""
        start = reader.position
        encryption_key = reader.opaque()
        signature_key = reader.opaque()
        credential = Credential.decode(reader)
        capabilities = Capabilities.decode(reader)
        kind = reader.u8()
        lifetime = None
        parent_hash = b""
        if kind == LeafNodeSource.KEY_PACKAGE:
            lifetime = Lifetime.decode(reader)
        elif kind == LeafNodeSource.COMMIT:
            parent_hash = reader.opaque()
        elif kind != LeafNodeSource.UPDATE:
            raise DecodeError(f"leaf node source {kind} is unknown", offset=reader.position - 1)
        extensions = decode_extensions(reader)
        signed_length = reader.position - start
        signature = reader.opaque()
        return cls(
            encryption_key,
            signature_key,
            credential,
            capabilities,
            _SOURCES[kind],
            lifetime,
            parent_hash,
            extensions,
            signature,
            _IN_TREE + reader.since(start),
            signed_length,
        )

    @classmethod
    def sign(
        cls,
        suite: CipherSuite,
        key: SignatureKey,
        *,
        encryption_key: bytes,
        credential: Credential,
        capabilities: Capabilities,
        extensions: Extensions = (),
        source: LeafNodeSource,
        lifetime: Lifetime | None = None,
        parent_hash: bytes = b"",
        position: bytes = b"",
    ) -> LeafNode:
        """Make and sign a leaf node. `position` is `leaf_position(...)` unless it is for a key package."""
        origin = b""
        if lifetime is not None:
            origin = lifetime.encode()
        elif source is LeafNodeSource.COMMIT:
            origin = opaque(parent_hash)
        signed = b"".join(
            (
                opaque(encryption_key),
                opaque(key.public),
                credential.encode(),
                capabilities.encode(),
                u8(source),
                origin,
                encode_extensions(extensions),
            )
        )
        signature = suite.sign_with_label(key, b"LeafNodeTBS", signed + position)
        return cls(
            encryption_key,
            key.public,
            credential,
            capabilities,
            source,
            lifetime,
            parent_hash,
            extensions,
            signature,
            _IN_TREE + signed + opaque(signature),
            len(signed),
        )

    @property
    def encoded(self) -> bytes:
        """The bytes of the LeafNode."""
        return self.in_tree[len(_IN_TREE) :]

    def encode(self) -> bytes:
        """The bytes of the LeafNode."""
        return self.encoded

    def signature_fits(self, suite: CipherSuite, position: bytes) -> bool:
        """Whether the signature is that of the leaf's own key. `position` as in `sign`.

        Raises ValidationError when the signature key is no key of this suite.
        """
        signed = self.in_tree[len(_IN_TREE) : len(_IN_TREE) + self.signed_length]
        if self.source is not LeafNodeSource.KEY_PACKAGE:
            signed += position
        return suite.verify_with_label(self.signature_key, b"LeafNodeTBS", signed, self.signature)


_SOURCES = {int(source): source for source in LeafNodeSource}


def leaf_position(group_id: bytes, index: int) -> bytes:
    """What the signature of an updated or committed leaf covers beyond the leaf (LeafNodeTBS)."""
    return opaque(group_id) + u32(index)
