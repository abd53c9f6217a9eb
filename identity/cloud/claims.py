"""Reading a token that just came from its issuer, without verifying it: the receiver does that."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from identity.cloud.fetch import parse_object


def unverified_claims(token: str) -> dict[str, Any] | None:
    """The claims of a compact JWT, or None when the text is none. Proves nothing."""
    parts = token.split(".")
    if len(parts) != 3 or not all(parts[:2]):
        return None
    try:
        payload = base64.b64decode(parts[1] + "=" * (-len(parts[1]) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return parse_object(payload)


def text_claim(claims: dict[str, Any], name: str) -> str:
    """A claim that is text, else an empty text."""
    value = claims.get(name)
    return value if isinstance(value, str) else ""


def expiry_claim(claims: dict[str, Any]) -> float | None:
    """`exp` in Unix seconds, or None when it is missing or no sensible number."""
    value = claims.get("exp")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e12:
        return None
    return float(value)
