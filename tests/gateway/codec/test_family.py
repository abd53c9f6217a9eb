"""A family is an argument: what it says of a header is what is written and found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.names import Name
from gateway.codec import varint
from gateway.codec.family import FIRST, Family, HeaderFields
from gateway.codec.header import header_field, tags_to_identity, token_span

ALICE, BOB = Name("org", "ns", "alice", 1), Name("org", "ns", "bob", 2)
IDENTITY_FIRST = replace(FIRST, header=HeaderFields(source=1, destination=2, fanout=4, identity=3, error=10))


def content(field: bytes) -> bytes:
    """What stands in a header field, all of it."""
    length, start = varint.decode(field, 1)
    assert (field[0], length) == (0x0A, len(field) - start)
    return field[start:]


@pytest.mark.parametrize(
    ("family", "tags"), [(FIRST, b"\x0a\x12\x18\x22"), (IDENTITY_FIRST, b"\x0a\x12\x1a")]
)
def test_fields_stand_in_the_order_of_their_numbers(family: Family, tags: bytes) -> None:
    assert tags_to_identity(family.header) == tags
    header = content(header_field(family, ALICE, BOB, 1, "token", error=True))
    span = token_span(header, tags)
    assert span is not None
    assert header[span.text : span.end] == b"token"
    assert header[-2] == family.header.error << 3
    assert token_span(content(header_field(family, ALICE, BOB, 1, "")), tags) is None


def test_the_first_family_reads_its_header_from_protobuf() -> None:
    written = content(header_field(FIRST, ALICE, BOB, 256, "token", error=True))
    header = FIRST.schema.SLIMHeader.FromString(written)
    assert FIRST.names.decode(header.source) == ALICE
    assert FIRST.names.decode(header.destination) == BOB
    assert (header.fanout, header.identity, header.error) == (256, "token", True)
