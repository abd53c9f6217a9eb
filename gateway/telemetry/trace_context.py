"""The trace context in a frame: found and replaced by its bytes, without reading the message.

It stands in the metadata behind the Publish, one entry of the map (`dataplane.md` 2):

    22 46  0a 0b "traceparent"  12 37 "00-<32 hex: trace>-<16 hex: parent>-<2 hex: flags>"

Version 00 of W3C Trace Context has 55 characters, always, so another parent is written in the place of this
one and nothing else moves. Everything else, malformed, of another version or not sampled, passes untouched.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from actors.messages.wire import Frame
from actors.record import record
from gateway.codec import varint

TAIL = 16 * 1024
"""Bytes of metadata that are looked through for a context."""
ENTRIES = 64
"""Entries of metadata that are."""

_METADATA = 0x22
_KEY = b"\x0a\x0btraceparent\x12\x37"
_LENGTH = len(_KEY) + 55
_FORM = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED = 1


@record
class FrameContext(NamedTuple):
    """A sampled message's place in its trace."""

    trace_id: int
    span_id: int
    at: int
    """Where in the frame's body the span id stands."""


def context_in(frame: Frame) -> FrameContext | None:
    """The context of a sampled message; None where there is none that is well formed."""
    body, inner = frame.body, frame.inner
    if not 0 < len(body) - inner <= TAIL or body.find(_KEY, inner) < 0:
        return None
    try:
        value = _value(body, inner)
    except (IndexError, ValueError):
        return None
    form = _FORM.fullmatch(body, value, value + 55) if value else None
    if form is None or not int(form[3], 16) & _SAMPLED:
        return None
    trace_id, span_id = int(form[1], 16), int(form[2], 16)
    return FrameContext(trace_id, span_id, form.start(2)) if trace_id and span_id else None


def _value(body: bytes, position: int) -> int:
    """Where the value of the entry "traceparent" stands; 0: there is none. It may not be in another value."""
    for _ in range(ENTRIES):
        if position >= len(body) or body[position] != _METADATA:
            return 0
        length, start = varint.decode(body, position + 1)
        if length == _LENGTH and body.startswith(_KEY, start):
            return start + len(_KEY)
        position = start + length
    return 0


def continued(frame: Frame, found: FrameContext, span_id: int) -> Frame:
    """The frame with `span_id` as the parent of what comes next."""
    body, at = frame.body, found.at
    return frame._replace(body=b"".join((body[:at], b"%016x" % span_id, body[at + 16 :])))
