"""Strict base64url and JSON: one meaning or none."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.encoding import Malformed, b64_decode, b64url_decode, b64url_encode, compact_json, parse_object

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary(max_size=70))
def test_base64url_round_trip(data: bytes) -> None:
    text = b64url_encode(data)
    assert text == base64.urlsafe_b64encode(data).decode().rstrip("=")
    assert b64url_decode(text) == data


@given(st.text(alphabet="AB-_+/= \n\x00é\ud800", max_size=9))
def test_base64url_accepts_only_what_it_writes(text: str) -> None:
    try:
        data = b64url_decode(text)
    except Malformed:
        return
    assert b64url_encode(data) == text


@pytest.mark.parametrize("text", ["A", "AB", "AA==", "A+AA", "A/AA", "AA A", "AAA\n", "AAAAA", "é"])
def test_base64url_refuses(text: str) -> None:
    with pytest.raises(Malformed):
        b64url_decode(text)


@pytest.mark.parametrize("text", ["AA", "AB==", "A-AA", "AA==\n", "=AAA", "é"])
def test_base64_refuses(text: str) -> None:
    with pytest.raises(Malformed):
        b64_decode(text)


def test_base64_accepts_padding() -> None:
    assert b64_decode("AA==") == b"\0"


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_json_round_trip(value: dict[str, object]) -> None:
    assert parse_object(compact_json(value)) == value


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"null",
        b'"x"',
        b"{",
        b"{} {}",
        b"\xef\xbb\xbf{}",
        b'{"a":"\xff"}',
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":"\\ud800"}',
        b'{"\\uDC00":1}',
        b'{"a":' + b"9" * 5000 + b"}",
        b"{'a':1}",
        b'{"a":01}',
    ],
)
def test_json_refuses(document: bytes) -> None:
    with pytest.raises(Malformed):
        parse_object(document)


def test_json_depth_counts_levels_and_not_brackets() -> None:
    assert parse_object(b'{"a":' + b"[" * 31 + b"]" * 31 + b"}")
    assert parse_object(json.dumps({"a": "[{" * 100 + '"', "b": [[]] * 100}).encode())
    with pytest.raises(Malformed, match="deeper than 32"):
        parse_object(b'{"a":' + b"[" * 32 + b"]" * 32 + b"}")
    with pytest.raises(Malformed, match="deeper"):
        parse_object(b"[" * 500_000)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("unit", ['\\"', '"', "\\", '"\\'])
def test_json_depth_is_measured_in_one_walk(unit: str) -> None:
    """Quotes and escapes that never close cannot make the walk start over at each of them."""
    with pytest.raises(Malformed):
        parse_object(("[" * 20 + "]" * 20 + "{[" * 8 + '"' + unit * 200_000).encode())


def test_surrogate_pairs_are_fine() -> None:
    assert parse_object(b'{"a":"\\ud83d\\ude00"}') == {"a": "😀"}


@pytest.mark.parametrize("value", [{1}, float("inf"), "\udfff", {"a": object()}])
def test_values_without_json_form(value: object) -> None:
    with pytest.raises(Malformed):
        compact_json(value)
