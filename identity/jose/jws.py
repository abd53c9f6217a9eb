"""Compact signed tokens: taking apart, checking the signature, putting together (RFC 7515).

Nothing in a header chooses a key or an algorithm: `alg` and `kid` select among keys that the verifier
already has, and `jku`, `jwk`, `x5u`, `x5c` are not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from identity.encoding import Malformed, b64url_decode, b64url_encode, compact_json, parse_object
from identity.errors import InvalidToken
from identity.jose.key_material import SigningKey, VerificationKey
from identity.jose.keys import Algorithm, SignatureAlgorithm
from identity.record import record

MAX_TOKEN_CHARACTERS = 64 * 1024

ALGORITHMS: Mapping[str, SignatureAlgorithm] = {algorithm.value: algorithm for algorithm in Algorithm}
"""What a header may name, unless the caller allows others."""


@record
class Jws(NamedTuple):
    """The parts of a compact token whose signature is not checked yet."""

    algorithm: SignatureAlgorithm
    kid: str | None
    header: dict[str, Any]
    payload: bytes
    signed: bytes
    """The text that the signature covers: the first two parts as sent."""
    signature: bytes


def parse(token: str, algorithms: Mapping[str, SignatureAlgorithm] = ALGORITHMS) -> Jws:
    """Take a compact token apart, whose header names one of `algorithms`.

    Raises InvalidToken with rule "size", "format", "header", "algorithm" or "signature".
    """
    header_part, payload_part, signature_part = split(token)
    try:
        header = parse_object(b64url_decode(header_part))
        payload = b64url_decode(payload_part)
        signature = b64url_decode(signature_part)
    except Malformed as error:
        raise InvalidToken(f"not a signed token: {error}", rule="format") from None
    if "crit" in header:
        raise InvalidToken("the header demands an extension (crit); none is supported", rule="header")
    kid = header.get("kid")
    if "kid" in header and not isinstance(kid, str):
        raise InvalidToken("the header's kid is not a text", rule="header")
    name = header.get("alg")
    algorithm = algorithms.get(name) if isinstance(name, str) else None
    if algorithm is None:
        raise InvalidToken("the header names no supported algorithm", rule="algorithm")
    if not signature:
        raise InvalidToken("the token is not signed", rule="signature")
    signed = token[: len(header_part) + 1 + len(payload_part)].encode("ascii")
    return Jws(algorithm, kid, header, payload, signed, signature)


def split(token: str) -> tuple[str, str, str]:
    """The three parts of a compact token as they are. Raises InvalidToken with rule "size" or "format"."""
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise InvalidToken(f"token over {MAX_TOKEN_CHARACTERS} characters", rule="size")
    parts = token.split(".", 3)
    if len(parts) != 3:
        raise InvalidToken("not a signed token: it has three parts", rule="format")
    return parts[0], parts[1], parts[2]


def payload_of(token: str) -> dict[str, Any]:
    """The claims of a token, unverified. Raises InvalidToken with rule "size", "format" or "claims"."""
    return claims_of(_decoded(split(token)[1]))


def claims_of(payload: bytes) -> dict[str, Any]:
    """The claims in a payload. Raises InvalidToken with rule "claims"."""
    try:
        return parse_object(payload)
    except Malformed as error:
        raise InvalidToken(f"the claims are unusable: {error}", rule="claims") from None


def check_signature(jws: Jws, keys: Sequence[VerificationKey]) -> None:
    """Raise InvalidToken with rule "signature" unless one of `keys` fits."""
    if not any(key.fits(jws.algorithm, jws.signed, jws.signature) for key in keys):
        raise InvalidToken("the signature does not fit: another key, or a changed token", rule="signature")


def sign(key: SigningKey, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """A compact token with these members in this order. Raises Malformed for claims without a JSON form."""
    signed = f"{b64url_encode(compact_json(header))}.{b64url_encode(compact_json(claims))}"
    return f"{signed}.{b64url_encode(key.sign(signed.encode('ascii')))}"


def _decoded(part: str) -> bytes:
    try:
        return b64url_decode(part)
    except Malformed as error:
        raise InvalidToken(f"not a signed token: {error}", rule="format") from None
