"""SLIMHeaders and the names in them: small, repeated from message to message, and therefore remembered.

Consecutive messages of a session carry the same header for as long as their token lasts, so its bytes
are the key to everything read from it. The memories are bounded: full, they start over,
and what is large is not remembered.
"""

from __future__ import annotations

from typing import NamedTuple

from google.protobuf.message import DecodeError

from actors.errors import ProtocolError
from actors.memo import Memo
from actors.names import Name
from actors.record import record
from actors.routing.shares import NAME_BOUND
from gateway.codec import varint
from gateway.codec.family import Family, HeaderFields
from gateway.proto import dataplane_pb2 as pb

_BOUND = 2048
_VARINT, _BLOCK = 0, 2
LARGEST = 8192
"""Bytes of a header or a name that are worth remembering: a usual one is less than half as long."""


@record
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


def header_field(
    family: Family, source: Name, destination: Name, fanout: int, identity: str, *, error: bool = False
) -> bytes:
    """A SLIMHeader as field 1 of its message, tag and length included."""
    number, names = family.header, family.names
    fields = {
        number.source: _block(number.source, names.encode(source)),
        number.destination: _block(number.destination, names.encode(destination)),
    }
    if fanout:
        fields[number.fanout] = bytes((_tag(number.fanout, _VARINT),)) + varint.encode(fanout)
    if identity:
        fields[number.identity] = _block(number.identity, identity.encode())
    if error:
        fields[number.error] = bytes((_tag(number.error, _VARINT), 1))
    return _block(1, b"".join(fields[each] for each in sorted(fields)))


def _tag(number: int, kind: int) -> int:
    """The octet in front of a field: all of a header's numbers are below 16."""
    return number << 3 | kind


def _block(number: int, content: bytes) -> bytes:
    return b"".join((bytes((_tag(number, _BLOCK),)), varint.encode(len(content)), content))


def tags_to_identity(fields: HeaderFields) -> bytes:
    """The tags of a header's fields in the order in which they are written, up to the identity's."""
    kinds = {
        fields.source: _BLOCK,
        fields.destination: _BLOCK,
        fields.fanout: _VARINT,
        fields.identity: _BLOCK,
    }
    return bytes(_tag(number, kinds[number]) for number in sorted(kinds) if number <= fields.identity)


@record
class TokenSpan(NamedTuple):
    """Where the identity field of a serialised SLIMHeader stands."""

    start: int
    text: int
    """Where its value begins."""
    end: int


def token_span(header: bytes, tags: bytes) -> TokenSpan | None:
    """Where the identity field of a serialised SLIMHeader stands.

    None when the fields up to it are not those of `tags` (`tags_to_identity`), in this order and at most
    without the fan-out, or when its length is not written in the usual way.
    """
    try:
        position = 0
        for tag in tags[:-1]:
            if header[position] == tag:
                value, position = varint.decode(header, position + 1)
                if tag & 7 == _BLOCK:
                    position += value
            elif tag & 7 == _BLOCK:
                return None
        if header[position] != tags[-1]:
            return None
        length, text = varint.decode(header, position + 1)
    except (IndexError, ValueError):
        return None
    end = text + length
    usual = text == position + 1 + len(varint.encode(length)) and end <= len(header)
    return TokenSpan(position, text, end) if usual else None


class HeaderReader:
    """Reads header fields, remembering what it read."""

    def __init__(self, family: Family) -> None:
        self._schema, self._codec = family.schema, family.names
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
            message: pb.SLIMHeader = self._schema.SLIMHeader.FromString(data)
        except DecodeError as exc:
            raise ProtocolError("a header that is not protobuf") from exc
        return self.take(message)

    def take(self, message: pb.SLIMHeader, *, longest: int | None = NAME_BOUND) -> Header:
        """What a parsed header says; its names may have so many characters. Raises ProtocolError."""
        if not message.HasField("source") or not message.HasField("destination"):
            raise ProtocolError("a header without source or destination")
        return Header(
            self._name(message.source, longest),
            self._name(message.destination, longest),
            message.fanout,
            message.identity,
            message.recv_from if message.HasField("recv_from") else None,
            message.forward_to if message.HasField("forward_to") else None,
            message.incoming_conn if message.HasField("incoming_conn") else None,
            message.error,
        )

    def _name(self, message: pb.Name, longest: int | None) -> Name:
        """The same Name object for the same bytes: equality by identity, one hash, one encoded form."""
        data = message.SerializeToString()
        name = self._names.get(data)
        if name is None:
            name = self._codec.decode(message, longest=longest)
            if len(data) <= LARGEST:
                self._names.remember(data, name)
        return name
