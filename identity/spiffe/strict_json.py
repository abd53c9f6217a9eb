"""Decoding of JSON and base64 that came from somebody else: bounded, and with one reading only."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, NoReturn

MAX_DOCUMENT_BYTES = 4 * 1024 * 1024

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")


def decode_object(document: bytes, *, limit: int = MAX_DOCUMENT_BYTES) -> dict[str, Any]:
    """The JSON object in `document`, at most `limit` bytes of UTF-8.

    Raises ValueError with a sentence for anything else, and for what parsers disagree about: duplicate
    members, NaN and infinities, a byte order mark, nesting deeper than the interpreter can follow.
    """
    if len(document) > limit:
        raise ValueError(f"the document has {len(document)} bytes, more than {limit}")
    try:
        value = json.loads(
            document.decode(), object_pairs_hook=_unique_members, parse_constant=_refuse_constant
        )
    except RecursionError:
        raise ValueError("the document is nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("the document is not UTF-8") from None
    except json.JSONDecodeError as exc:
        raise ValueError(f"the document is not JSON (position {exc.pos})") from None
    if not isinstance(value, dict):
        raise ValueError("the document is not a JSON object")
    return value


def decode_base64(text: str) -> bytes:
    """Standard base64 with padding. Raises ValueError for anything else."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not standard base64") from None


def decode_base64url(text: str) -> bytes:
    """base64url without padding, in its only spelling (unused bits are zero). Raises ValueError."""
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise ValueError("not base64url without padding")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode_base64url(data) != text:
        raise ValueError("not the canonical base64url form")
    return data


def encode_base64url(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("the document has an object with two members of one name")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"the document has the value {name}, which is not JSON")
