"""What a commit of a session's group looks like: the only ones there are in SLIM (`session.md` 11.1).

Looked at before anything is computed. Of all that MLS allows in a commit a session needs two things, from one
member: what nobody has to do cannot be done wrong, by this implementation or by anybody's.
"""

from __future__ import annotations

from identity.errors import CryptoError
from identity.mls.codec import Reader
from identity.mls.framing import ContentType, SenderType, WireFormat
from identity.mls.leaf_node import MLS10
from identity.mls.proposal import Add, Remove, decode_proposal_or_ref


def check_commit(message: bytes, committer: int) -> None:
    """Raise CryptoError unless `message` is a PublicMessage of the leaf `committer` with a commit that holds
    one Add or one Remove, by value. Whether it is genuine is not asked here."""
    reader = Reader(message)
    version, wire_format = reader.u16(), reader.u16()
    if version != MLS10 or wire_format != WireFormat.PUBLIC_MESSAGE:
        raise CryptoError("a handshake message that is no PublicMessage")
    reader.opaque()
    reader.u64()
    if reader.u8() != SenderType.MEMBER or reader.u32() != committer:
        raise CryptoError("a handshake message that is not the moderator's")
    reader.opaque()
    if reader.u8() != ContentType.COMMIT:
        raise CryptoError("a handshake message that is no commit")
    proposals = Reader(reader.opaque())
    if not isinstance(decode_proposal_or_ref(proposals), Add | Remove):
        raise CryptoError("a commit that does something else than add or remove a member")
    if proposals.rest():
        raise CryptoError("a commit that does more than add or remove one member")
