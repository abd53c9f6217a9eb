"""Credentials (RFC 9420, section 5.3); who judges them stands in `authentication_service`."""

from __future__ import annotations

from dataclasses import dataclass

from identity.mls.codec import Reader, opaque, u16

BASIC = 1
X509 = 2


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential of any type; `data` is the identity of a basic one, else the raw vector."""

    type: int
    data: bytes

    @classmethod
    def basic(cls, identity: bytes) -> Credential:
        """A basic credential."""
        return cls(BASIC, identity)

    @classmethod
    def decode(cls, reader: Reader) -> Credential:
        """Read a Credential. All types carry one vector, so unknown ones can be passed over."""
        return cls(reader.u16(), reader.opaque())

    def encode(self) -> bytes:
        """The bytes of the Credential."""
        return u16(self.type) + opaque(self.data)

    def __repr__(self) -> str:
        return f"Credential(type={self.type}, {len(self.data)} bytes)"
