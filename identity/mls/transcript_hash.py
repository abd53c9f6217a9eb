"""Transcript hashes and the confirmation tag (RFC 9420, sections 8.2 and 6.1)."""

from __future__ import annotations

from identity.mls.cipher_suite import CipherSuite
from identity.mls.codec import opaque, u16


def confirmed_transcript_hash(
    suite: CipherSuite, interim_before: bytes, wire_format: int, content: bytes, signature: bytes
) -> bytes:
    """The hash over all commits up to this one, given as its encoded FramedContent and signature."""
    return suite.hash(interim_before + u16(wire_format) + content + opaque(signature))


def interim_transcript_hash(suite: CipherSuite, confirmed: bytes, confirmation_tag: bytes) -> bytes:
    """The confirmed hash with the confirmation tag taken in, as the next commit continues it."""
    return suite.hash(confirmed + opaque(confirmation_tag))


def confirmation_tag(suite: CipherSuite, confirmation_key: bytes, confirmed: bytes) -> bytes:
    """The MAC that proves that a committer holds the new epoch."""
    return suite.mac(confirmation_key, confirmed)
