"""Reading a token that just came from its issuer, without verifying it: the receiver does that."""

from __future__ import annotations

from typing import Any

from identity.errors import InvalidToken
from identity.jose import jws


def unverified_claims(token: str) -> dict[str, Any] | None:
    """The claims of a compact JWT, or None when the text is none. Proves nothing."""
    try:
        return jws.payload_of(token) if all(jws.split(token)[:2]) else None
    except InvalidToken:
        return None


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
