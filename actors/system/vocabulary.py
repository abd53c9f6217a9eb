"""What strict mode and process boundaries ask of the declared messages.

The system consumes this protocol; the registry of records that implements it stands in
`actors/messages/vocabulary.py`. Addresses inside messages are packed with `address_to_text`, whose
CannotPickleAddress must come through, and unpacked with `address_from_text`.
"""

from __future__ import annotations

from typing import Any, Protocol


class MessageCodec(Protocol):
    """The messages that actors may say to one another, in their msgpack form."""

    def pack(self, message: Any) -> bytes:
        """The bytes of a declared message. Raises anything for an object that is not one."""

    def unpack(self, data: bytes) -> Any:
        """The message that `pack` made `data` of. Raises anything for other bytes."""
