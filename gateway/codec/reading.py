"""What a frame on its way is, and between whom: for those who judge or explain it, not for its receiver."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from actors.errors import ProtocolError
from actors.messages.wire import Frame
from actors.names import Name
from gateway.codec.family import FIRST
from gateway.codec.header import HeaderReader
from gateway.codec.layout import head
from gateway.proto import dataplane_pb2 as pb

_reader = HeaderReader(FIRST)


def kind_of(frame: Frame) -> int:
    """The message type; 0 when that cannot be told."""
    found = head(frame.body, frame.inner)
    if found is not None:
        return found.kind
    try:
        publish: pb.Publish = FIRST.schema.Publish.FromString(frame.body[: frame.inner])
    except DecodeError:
        return 0
    return int(publish.session.session_message_type)


def ends_of(frame: Frame) -> tuple[Name, Name] | None:
    """Who sent it, and whom it is for; None when that cannot be told."""
    try:
        header = _reader.read(frame.header)
    except (ProtocolError, IndexError, ValueError):
        return None
    return header.source, header.destination
