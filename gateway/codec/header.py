"""Names and SLIMHeaders: small, repeated from message to message, and therefore remembered.

Consecutive messages of a session carry the same header for as long as their token lasts, so its bytes
are the key to everything read from it. The memories are bounded: full, they start over,
and what is large is not remembered.
"""

from __future__ import annotations

from typing import NamedTuple

from google.protobuf.message import DecodeError

from actors.errors import ProtocolError
from actors.memo import Memo
from actors.names import Name, hashes_of, key_of
from gateway.codec import varint
from gateway.proto import dataplane_pb2 as pb

_BOUND = 2048
LARGEST = 8192
"""Bytes of a header or a name that are worth remembering: a usual one is less than half as long."""


class Header(NamedTuple):
    """What a SLIMHeader says."""

    source: Name
    destination: Name
    fanout: int
    identity: str
    recv_from: int | None
    forward_to: int | None
    incoming_conn: int | None
    error: bool


def name_from(message: pb.Name) -> Name:
    """A Name of the protocol's. Raises ProtocolError when one of its halves is missing.

    Peers of the reference implementation read both halves without a check, so a message that lacks one
    must not be handed on to them (`dataplane.md` 2.3).
    """
    if not message.HasField("name") or not message.HasField("str_name"):
        raise ProtocolError("a name without its hashes or its strings")
    hashes, strings = message.name, message.str_name
    return Name.from_wire(
        key_of(hashes.component_0, hashes.component_1, hashes.component_2),
        (strings.str_component_0, strings.str_component_1, strings.str_component_2),
        hashes.component_3.to_bytes(8),
    )


def name_message(name: Name) -> pb.Name:
    """The protobuf form of a name."""
    return pb.Name.FromString(name_bytes(name))


def name_bytes(name: Name) -> bytes:
    """The serialised Name, kept with it once made."""
    wire = name.wire
    if wire is None:
        (a, b, c), (x, y, z) = hashes_of(name.key), name.strings
        wire = pb.Name(
            name=pb.EncodedName(component_0=a, component_1=b, component_2=c, component_3=name.id),
            str_name=pb.StringName(str_component_0=x, str_component_1=y, str_component_2=z),
        ).SerializeToString()
        name.remember(wire)
    return wire


def header_field(
    source: Name, destination: Name, fanout: int, identity: str, *, error: bool = False
) -> bytes:
    """A SLIMHeader as field 1 of its message, tag and length included."""
    source_bytes, destination_bytes, token = name_bytes(source), name_bytes(destination), identity.encode()
    parts = [
        b"\x0a",
        varint.encode(len(source_bytes)),
        source_bytes,
        b"\x12",
        varint.encode(len(destination_bytes)),
        destination_bytes,
    ]
    if fanout:
        parts += (b"\x18", varint.encode(fanout))
    if token:
        parts += (b"\x22", varint.encode(len(token)), token)
    if error:
        parts.append(b"\x40\x01")
    body = b"".join(parts)
    return b"\x0a" + varint.encode(len(body)) + body


class TokenSpan(NamedTuple):
    """Where the identity field of a serialised SLIMHeader stands."""

    start: int
    text: int
    """Where its value begins."""
    end: int


def token_span(header: bytes) -> TokenSpan | None:
    """Where the identity field of a serialised SLIMHeader stands.

    None when the fields up to it are not source, destination, fan-out (or none) and identity, in this order,
    or when its length is not written in the usual way.
    """
    try:
        position = 0
        for tag in b"\x0a\x12":
            if header[position] != tag:
                return None
            length, position = varint.decode(header, position + 1)
            position += length
        if header[position] == 0x18:
            _, position = varint.decode(header, position + 1)
        if header[position] != 0x22:
            return None
        length, text = varint.decode(header, position + 1)
    except (IndexError, ValueError):
        return None
    end = text + length
    usual = text == position + 1 + len(varint.encode(length)) and end <= len(header)
    return TokenSpan(position, text, end) if usual else None


class HeaderReader:
    """Reads header fields, remembering what it read."""

    def __init__(self) -> None:
        self._headers: Memo[bytes, Header] = Memo(_BOUND)
        self._names: Memo[bytes, Name] = Memo(_BOUND)

    def read(self, field: bytes) -> Header:
        """The header in `field` (tag and length included). Raises ProtocolError."""
        header = self._headers.get(field)
        if header is None:
            _, start = varint.decode(field, 1)
            header = self.parse(field[start:])
            if len(field) <= LARGEST:
                self._headers.remember(field, header)
        return header

    def parse(self, data: bytes) -> Header:
        """The header whose serialised message is `data`. Raises ProtocolError."""
        try:
            message = pb.SLIMHeader.FromString(data)
        except DecodeError as exc:
            raise ProtocolError("a header that is not protobuf") from exc
        return self.take(message)

    def take(self, message: pb.SLIMHeader) -> Header:
        """What a parsed header says. Raises ProtocolError."""
        if not message.HasField("source") or not message.HasField("destination"):
            raise ProtocolError("a header without source or destination")
        return Header(
            self._name(message.source),
            self._name(message.destination),
            message.fanout,
            message.identity,
            message.recv_from if message.HasField("recv_from") else None,
            message.forward_to if message.HasField("forward_to") else None,
            message.incoming_conn if message.HasField("incoming_conn") else None,
            message.error,
        )

    def _name(self, message: pb.Name) -> Name:
        """The same Name object for the same bytes: equality by identity, one hash, one encoded form."""
        data = message.SerializeToString()
        name = self._names.get(data)
        if name is None:
            name = name_from(message)
            if len(data) <= LARGEST:
                self._names.remember(data, name)
        return name
