"""What `callboard token inspect | mint | verify` does: pure functions over tokens (`identity.md` 2, 3).

Nothing here shows a signature, a MAC or a nonce: with the parts that are shown nobody can be anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from identity.encoding import Malformed, b64url_decode, parse_object
from identity.errors import InvalidToken
from identity.jose import jws
from identity.protocols import Claims, Provider, Verifier


@dataclass(frozen=True, slots=True)
class TokenParts:
    """What a token says about itself. Nothing of it is verified."""

    kind: str
    """"shared secret" or "jwt"."""
    subject: str | None
    issued: float | None
    """Unix seconds."""
    expires: float | None
    """Unix seconds; None when the token does not say (a shared secret token leaves it to the verifier)."""
    header: Mapping[str, Any] = field(default_factory=dict)
    claims: Mapping[str, Any] = field(default_factory=dict)

    def state(self, now: float) -> str:
        """One word for the token's age at `now`: "valid", "expired", "not yet valid" or "undated"."""
        begins = self.claims.get("nbf", self.issued)
        if self.expires is not None and now >= self.expires:
            return "expired"
        if _is_number(begins) and now < begins:
            return "not yet valid"
        return "undated" if self.expires is None else "valid"


def inspect(token: str) -> TokenParts:
    """The parts of a token of either kind, white space around it dropped. Raises InvalidToken."""
    token = token.strip()
    return _inspect_shared_secret(token) if ":" in token else _inspect_jwt(token)


async def mint(provider: Provider, claims: Mapping[str, Any], now: float) -> str:
    """A token of `provider`, with `claims` if there are any. Raises ConfigError or AuthError."""
    await provider.initialize()
    try:
        return await provider.get_token_with_claims(claims, now) if claims else provider.get_token(now)
    finally:
        await provider.close()


async def verify(verifier: Verifier, token: str, now: float) -> Claims:
    """The claims of a token that `verifier` accepts.

    Raises InvalidToken, whose text is the one-line reason and whose `rule` the word for it; ConfigError.
    """
    await verifier.initialize()
    try:
        return await verifier.get_claims(token.strip(), now)
    finally:
        await verifier.close()


def _inspect_shared_secret(token: str) -> TokenParts:
    if len(token) > jws.MAX_TOKEN_CHARACTERS:
        raise InvalidToken(f"token over {jws.MAX_TOKEN_CHARACTERS} characters", rule="size")
    parts = token.split(":", 5)
    if len(parts) != 5:
        raise InvalidToken("neither a JWT (three parts) nor a shared secret token (five)", rule="format")
    identity, timestamp, _nonce, claims, _mac = parts
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 20):
        raise InvalidToken("the timestamp is not plain decimal digits", rule="timestamp")
    try:
        custom = parse_object(b64url_decode(claims)) if claims else {}
    except Malformed as error:
        raise InvalidToken(f"the claims are unusable: {error}", rule="claims") from None
    return TokenParts("shared secret", identity, float(timestamp), None, claims=custom)


def _inspect_jwt(token: str) -> TokenParts:
    header_part, payload_part, _signature = jws.split(token)
    try:
        header, claims = parse_object(b64url_decode(header_part)), parse_object(b64url_decode(payload_part))
    except Malformed as error:
        raise InvalidToken(f"not a signed token: {error}", rule="format") from None
    subject, issued, expires = claims.get("sub"), claims.get("iat"), claims.get("exp")
    return TokenParts(
        "jwt",
        subject if isinstance(subject, str) else None,
        issued if _is_number(issued) else None,
        expires if _is_number(expires) else None,
        header,
        claims,
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
