"""Senders outside the group whose proposals count (RFC 9420, 12.1.8.1)."""

from __future__ import annotations

from dataclasses import dataclass

from identity.mls.codec import Reader, decode_whole, opaque, vector
from identity.mls.credential import Credential
from identity.mls.leaf_node import Extension, Extensions, ExtensionType, find_extension


@dataclass(frozen=True, slots=True)
class ExternalSender:
    """One of them; the group knows it by its place in the list."""

    signature_key: bytes
    credential: Credential

    @classmethod
    def decode(cls, reader: Reader) -> ExternalSender:
        """Read an ExternalSender."""
        return cls(reader.opaque(), Credential.decode(reader))

    def encode(self) -> bytes:
        """The bytes of the ExternalSender."""
        return opaque(self.signature_key) + self.credential.encode()


def external_senders(extensions: Extensions) -> tuple[ExternalSender, ...]:
    """The external senders that a group context names. Raises DecodeError."""
    data = find_extension(extensions, ExtensionType.EXTERNAL_SENDERS)
    return () if data is None else decode_whole(data, lambda r: r.vector(ExternalSender.decode))


def external_senders_extension(*senders: ExternalSender) -> Extension:
    """The group context extension that names these."""
    return Extension(ExtensionType.EXTERNAL_SENDERS, vector(sender.encode() for sender in senders))
