"""The usual layout of a Publish behind its header: session header, then one content field.

It is what nearly all traffic looks like, and reading it here costs a fifth of building protobuf objects.
Application payloads are read to the end; commands are left to protobuf, and so is anything else (unknown
fields, another order). It also judges whether they are well formed: nothing that a peer could choke on is
handed on unread.
"""

from __future__ import annotations

from actors.messages.wire import Head, Scanned
from gateway.codec import varint

SMALL_CONTENT = 256
"""Bytes of a command that is worth remembering: those that repeat are empty or name the members of a pair."""
SMALL_METADATA = 1024
"""Bytes of metadata that are worth remembering."""


def head(body: bytes, end: int) -> Head | None:
    """Read `body[:end]` up to its content, which is the rest; None when it is not in the usual layout."""
    try:
        if body[0] != 0x12 or body[2] != 0x08 or body[4] != 0x10 or body[6] != 0x18:
            return None
        session_length, session_type, kind = body[1], body[3], body[5]
        if session_type > 127 or kind > 127 or session_length > 127:
            return None
        decode = varint.decode
        session_end = 2 + session_length
        session_id, position = decode(body, 7)
        message_id = 0
        if position < session_end:
            if body[position] != 0x20:
                return None
            message_id, position = decode(body, position + 1)
        if position != session_end or body[position] != 0x1A or session_id >> 32 or message_id >> 32:
            return None
        length, position = decode(body, position + 1)
    except (IndexError, ValueError):
        return None
    if position + length != end:
        return None
    return Head(session_type, kind, session_id, message_id, session_end, position)


def payload(body: bytes, end: int, found: Head) -> Scanned | None:
    """Read the content that `head` found; None when it is not a well-formed application payload."""
    position = found.value
    decode = varint.decode
    try:
        if body[position] != 0x0A:
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
    except (IndexError, ValueError):
        return None
    if position > end:
        return None
    return Scanned(found.session_type, found.kind, found.session_id, payload_type, position)


def has_few_fields(body: bytes, end: int, found: Head, limit: int) -> bool:
    """Whether the content that `head` found, if it is a command, has at most `limit` fields: counted before
    anything is made of them."""
    try:
        if body[found.value] != 0x12:
            return True
        position = found.value
        for _ in range(2):
            # The content's one field is the command, whose one field is what the kind of command brings.
            _, position = varint.decode(body, position)
            length, position = varint.decode(body, position)
            if position + length != end:
                return False
        return _has_few_fields(body, position, end, limit)
    except (IndexError, ValueError):
        return False


def _has_few_fields(body: bytes, position: int, end: int, limit: int) -> bool:
    decode = varint.decode
    for _ in range(limit + 1):
        if position >= end:
            return position == end
        tag, position = decode(body, position)
        match tag & 7:
            case 0:
                _, position = decode(body, position)
            case 1:
                position += 8
            case 2:
                length, position = decode(body, position)
                position += length
            case 5:
                position += 4
            case _:
                return False
    return False
