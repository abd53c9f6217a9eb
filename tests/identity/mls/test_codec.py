from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.mls.codec import MAX_VECTOR_LENGTH, Reader, decode_whole, length, opaque, optional, u16, vector
from identity.mls.errors import DecodeError
from tests.identity.mls.support import cases, unhex


@pytest.mark.vectors
def test_deserialization_vectors() -> None:
    found = cases("deserialization")
    for case in found:
        header = unhex(case["vlbytes_header"])
        assert decode_whole(header, Reader.length) == case["length"]
        assert length(case["length"]) == header
    print(f"deserialization: {len(found)} passed")


@given(st.integers(0, MAX_VECTOR_LENGTH))
def test_length_is_read_back(value: int) -> None:
    assert decode_whole(length(value), Reader.length) == value


@given(st.lists(st.binary(max_size=80), max_size=8), st.none() | st.binary(max_size=70))
def test_vectors_and_optionals_are_read_back(items: list[bytes], maybe: bytes | None) -> None:
    data = vector(map(opaque, items)) + optional(None if maybe is None else opaque(maybe))
    reader = Reader(data)
    assert reader.vector(Reader.opaque) == tuple(items)
    assert reader.optional(Reader.opaque) == maybe
    reader.finish()


@pytest.mark.parametrize(
    "header", ["4000", "403f", "80000000", "80003fff", "c000000000000000", "ffffffffffffffff"]
)
def test_length_that_is_not_the_shortest_form_is_refused(header: str) -> None:
    with pytest.raises(DecodeError):
        decode_whole(unhex(header), Reader.length)


def test_length_beyond_four_bytes_is_not_written() -> None:
    with pytest.raises(DecodeError, match="cannot be encoded"):
        length(MAX_VECTOR_LENGTH + 1)


@given(st.binary(max_size=40))
def test_any_bytes_either_decode_or_raise_a_decode_error(data: bytes) -> None:
    for decode in (
        Reader.opaque,
        Reader.u64,
        lambda r: r.vector(Reader.u16),
        lambda r: r.optional(Reader.u32),
    ):
        with suppress(DecodeError):
            decode_whole(data, decode)


def test_item_does_not_reach_beyond_its_vector() -> None:
    reader = Reader(vector([b"\x01"]) + u16(7))
    with pytest.raises(DecodeError, match="2 bytes wanted, 1 left at byte 1"):
        reader.vector(Reader.u16)


def test_presence_octet_other_than_0_and_1_is_refused() -> None:
    with pytest.raises(DecodeError, match="presence octet is 2"):
        Reader(b"\x02\x00").optional(Reader.u8)


def test_trailing_bytes_are_refused() -> None:
    with pytest.raises(DecodeError, match="1 bytes too many at byte 2"):
        decode_whole(b"\0\1\2", Reader.u16)


def test_vector_with_too_many_items_is_refused() -> None:
    with pytest.raises(DecodeError, match="more than 2 items"):
        Reader(vector([b"\0"] * 3)).vector(Reader.u8, limit=2)
