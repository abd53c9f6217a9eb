"""The usual layout of a Publish behind its header: session header, then an application payload.

It is what nearly all traffic looks like, and reading it here costs a fifth of building protobuf objects.
Anything else (commands, unknown fields, another order) is left to protobuf, which also judges whether it
is well formed: nothing that a peer could choke on is handed on unread.
"""

from __future__ import annotations

from gateway.codec import varint

Scan = tuple[int, int, int, int, str, int]
"""What stands in the body of a data message: session type, message type, session id, message id, payload
type, and where its blob begins."""


def scan(body: bytes, end: int) -> Scan | None:
    """Read `body[:end]`; None when it is not in the usual layout or not well formed."""
    try:
        return _scan(body, end)
    except (IndexError, ValueError):
        return None


def _scan(body: bytes, end: int) -> Scan | None:
    if body[0] != 0x12 or body[2] != 0x08 or body[4] != 0x10 or body[6] != 0x18:
        return None
    session_type, kind, session_end = body[3], body[5], 2 + body[1]
    if session_type > 127 or kind > 127 or body[1] > 127:
        return None
    decode = varint.decode
    session_id, position = decode(body, 7)
    message_id = 0
    if position < session_end:
        if body[position] != 0x20:
            return None
        message_id, position = decode(body, position + 1)
    if position != session_end or body[position] != 0x1A or session_id >> 32 or message_id >> 32:
        return None
    length, position = decode(body, position + 1)
    if position + length != end or body[position] != 0x0A:
        return None
    length, position = decode(body, position + 1)
    if position + length != end:
        return None
    payload_type = ""
    if position < end and body[position] == 0x0A:
        length, position = decode(body, position + 1)
        payload_type = body[position : position + length].decode()
        position += length
    if position < end:
        if body[position] != 0x12:
            return None
        length, position = decode(body, position + 1)
        if position + length != end:
            return None
    if position > end:
        return None
    return session_type, kind, session_id, message_id, payload_type, position
