"""Strict base64url and JSON for everything that strangers sign, send or serve (`identity.md` 2.2, 3.2, 3.3).

The standard library reads generously: it skips foreign characters in base64, keeps the last of two equal
members, knows NaN, and fails with RecursionError on deep nesting. Two readers that disagree about one text
are an attack waiting to be found, so here one text has exactly one meaning or none.
"""

from __future__ import annotations

import binascii
import json
import math
import re
from typing import Any

MAX_DEPTH = 32
"""Levels of arrays and objects in one document. Real tokens and key sets need five."""


class Malformed(ValueError):
    """A text that is not what it should be. Internal: callers translate it to their own typed error."""


# base64url to base64; every character that is only base64, and the padding, becomes one that is neither.
_TO_BASE64 = bytes.maketrans(b"-_+/=", b"+/!!!")
_TO_BASE64URL = bytes.maketrans(b"+/", b"-_")

# One JSON string, or one bracket. Strings are possessive and may end with the text, so that unterminated
# ones are walked once and not once per quote.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


def b64url_encode(data: bytes) -> str:
    """Base64url without padding (RFC 7515 section 2)."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_BASE64URL).decode("ascii")


def b64url_decode(text: str) -> bytes:
    """The bytes of a base64url text: no padding, no foreign character, unused bits zero. Raises Malformed."""
    try:
        padded = text.encode("ascii").translate(_TO_BASE64) + b"=" * (-len(text) % 4)
        data = binascii.a2b_base64(padded, strict_mode=True)
    except ValueError:  # binascii.Error and UnicodeEncodeError are both
        raise Malformed("not base64url without padding") from None
    if binascii.b2a_base64(data, newline=False) != padded:
        raise Malformed("base64url with unused bits set")
    return data


def b64_decode(text: str) -> bytes:
    """The bytes of a standard base64 text with its padding. Raises Malformed."""
    try:
        encoded = text.encode("ascii")
        data = binascii.a2b_base64(encoded, strict_mode=True)
    except ValueError:
        raise Malformed("not base64") from None
    if binascii.b2a_base64(data, newline=False) != encoded:
        raise Malformed("base64 with unused bits set")
    return data


def parse_object(document: bytes, *, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """The members of a JSON object in UTF-8.

    Raises Malformed for anything else: other JSON values, text that is not UTF-8 (lone surrogates too), a
    byte order mark, duplicate members, NaN and Infinity (also as 1e999), nesting deeper than `max_depth`.
    """
    try:
        text = document.decode("utf-8")
        _check_depth(text, max_depth)
        value = _DECODER.decode(text)
        if "\\ud" in text or "\\uD" in text:  # json turns a lone \ud800 into text that nobody can encode
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except Malformed:
        raise
    except (ValueError, RecursionError):  # not chained: what UnicodeError and JSONDecodeError say quotes it
        raise Malformed("not JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise Malformed("not a JSON object")
    return value


def compact_json(value: Any) -> bytes:
    """The shortest JSON text of `value`, members in their order. Raises Malformed when it has none."""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise Malformed("not representable as JSON") from error


def _check_depth(text: str, max_depth: int) -> None:
    if text.count("{") + text.count("[") <= max_depth:
        return
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        token = match[0]
        if token in ("{", "["):
            depth += 1
            if depth > max_depth:
                raise Malformed(f"nested deeper than {max_depth} levels")
        elif token in ("}", "]"):
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Malformed("duplicate members")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise Malformed("a number out of range")
    return number


def _constant(text: str) -> None:
    raise Malformed("NaN or Infinity")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_constant)
