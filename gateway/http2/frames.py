"""Frames of HTTP/2 (RFC 9113, 4 and 6): numbers, and the bytes of every frame that is sent."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA = 0x0
HEADERS = 0x1
PRIORITY = 0x2
RST_STREAM = 0x3
SETTINGS = 0x4
PUSH_PROMISE = 0x5
PING = 0x6
GOAWAY = 0x7
WINDOW_UPDATE = 0x8
CONTINUATION = 0x9

END_STREAM = 0x01
ACK = 0x01
END_HEADERS = 0x04
PADDED = 0x08
HAS_PRIORITY = 0x20

SETTINGS_HEADER_TABLE_SIZE = 0x1
SETTINGS_ENABLE_PUSH = 0x2
SETTINGS_MAX_CONCURRENT_STREAMS = 0x3
SETTINGS_INITIAL_WINDOW_SIZE = 0x4
SETTINGS_MAX_FRAME_SIZE = 0x5
SETTINGS_MAX_HEADER_LIST_SIZE = 0x6

DEFAULT_WINDOW = 65_535
DEFAULT_MAX_FRAME = 16_384
LARGEST_MAX_FRAME = 2**24 - 1
LARGEST_WINDOW = 2**31 - 1
LARGEST_STREAM_ID = 2**31 - 1

HEAD_SIZE = 9
HEAD = Struct(">HBBBI")
"""A frame's head: the length's upper 16 and lower 8 bits, type, flags, stream id."""
LONG = Struct(">I")
SETTING = Struct(">HI")
_RST_STREAM = Struct(">HBBBII")
_WINDOW_UPDATE = _RST_STREAM

_head = HEAD.pack


def head(kind: int, flags: int, stream_id: int, length: int) -> bytes:
    """The nine bytes that open a frame with `length` bytes of payload."""
    return _head(length >> 8, length & 0xFF, kind, flags, stream_id)


def settings(values: Iterable[tuple[int, int]]) -> bytes:
    """A SETTINGS frame of (identifier, value) pairs."""
    payload = b"".join(SETTING.pack(identifier, value) for identifier, value in values)
    return head(SETTINGS, 0, 0, len(payload)) + payload


SETTINGS_ACK = head(SETTINGS, ACK, 0, 0)


def ping(opaque: bytes, *, ack: bool = False) -> bytes:
    """A PING frame around eight bytes."""
    return head(PING, ACK if ack else 0, 0, 8) + opaque


def window_update(stream_id: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame; stream 0 is the connection."""
    return _WINDOW_UPDATE.pack(0, 4, WINDOW_UPDATE, 0, stream_id, increment)


def rst_stream(stream_id: int, code: int) -> bytes:
    """A RST_STREAM frame."""
    return _RST_STREAM.pack(0, 4, RST_STREAM, 0, stream_id, code)


def goaway(last_stream_id: int, code: int, detail: str = "") -> bytes:
    """A GOAWAY frame; `detail` travels as debug data for the people at the other side."""
    debug = detail.encode("utf-8", "replace")[:256]
    return head(GOAWAY, 0, 0, 8 + len(debug)) + LONG.pack(last_stream_id) + LONG.pack(code) + debug


def header_frames(stream_id: int, block: bytes, max_frame: int, *, end_stream: bool) -> bytes:
    """A header block as one HEADERS frame and, where it is longer than `max_frame`, CONTINUATION frames."""
    pieces = [block[at : at + max_frame] for at in range(0, len(block), max_frame)] or [b""]
    out: list[bytes] = []
    for number, piece in enumerate(pieces):
        kind = HEADERS if number == 0 else CONTINUATION
        flags = END_STREAM if end_stream and number == 0 else 0
        flags |= END_HEADERS if number == len(pieces) - 1 else 0
        out += (head(kind, flags, stream_id, len(piece)), piece)
    return b"".join(out)
