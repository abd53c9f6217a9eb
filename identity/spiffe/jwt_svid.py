"""JWT-SVIDs: signed tokens that name a SPIFFE ID (`identity.md` 6.3).

Checks run in this order: form, header, `sub`, bundle of its trust domain, key by `kid`, signature, and only
then the claims `exp` and `aud`. `parse_insecure` leaves out the three in the middle; it is for tokens that
come straight from the agent.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any, NamedTuple

from identity.encoding import b64url_decode, parse_object
from identity.spiffe.authorities import ALGORITHMS, verify_signature
from identity.spiffe.errors import (
    ArgumentError,
    AuthorityNotFoundError,
    InvalidAlgorithmError,
    InvalidClaimError,
    InvalidTokenError,
    InvalidTypeError,
    MissingClaimError,
    SpiffeIdError,
    TokenExpiredError,
)
from identity.spiffe.jwt_bundle import JwtBundle, JwtBundleSet
from identity.spiffe.spiffe_id import SpiffeId

MAX_TOKEN_BYTES = 64 * 1024
MAX_AUDIENCES = 256
LEEWAY_SECONDS = 5.0
"""How far the clocks of two hosts may differ; applied to `exp`, and to `nbf` where a token has one."""

_TYPES = (None, "JWT", "JOSE")


class JwtSvid:
    """A JWT-SVID with its checked claims. Immutable; its repr does not show the token."""

    __slots__ = ("_audience", "_claims", "_expiry", "_hint", "_spiffe_id", "_token")

    def __init__(
        self,
        spiffe_id: SpiffeId,
        audience: str | Collection[str],
        expiry: int,
        claims: dict[str, Any],
        token: str,
        *,
        hint: str = "",
    ) -> None:
        self._spiffe_id = spiffe_id
        self._audience = (audience,) if isinstance(audience, str) else tuple(audience)
        self._expiry = expiry
        self._claims = dict(claims)
        self._token = token
        self._hint = hint

    @property
    def spiffe_id(self) -> SpiffeId:
        return self._spiffe_id

    @property
    def audience(self) -> set[str]:
        return set(self._audience)

    @property
    def audience_list(self) -> list[str]:
        """The audiences in the token's order (`slim-claims:` entries are merged in order)."""
        return list(self._audience)

    @property
    def expiry(self) -> int:
        """When the token's life ends, Unix seconds."""
        return self._expiry

    @property
    def claims(self) -> dict[str, Any]:
        """All claims of the token, a copy."""
        return dict(self._claims)

    @property
    def token(self) -> str:
        """The compact form, a credential: to be sent to its audience and to nobody else."""
        return self._token

    @property
    def hint(self) -> str:
        """The operator's name for this identity; empty when there is none."""
        return self._hint

    @classmethod
    def parse_insecure(
        cls, token: str, audience: Collection[str], *, now: float | None = None, hint: str = ""
    ) -> JwtSvid:
        """Read a token from a trusted place; the signature is not checked, life and audience are.

        One common audience is enough. `now` is Unix seconds, by default the clock's. Raises JwtSvidError.
        """
        _check_expected(audience)
        parts = _split(token)
        spiffe_id = _subject(parts.claims)
        return cls._checked(parts, spiffe_id, token, audience, now, hint)

    @classmethod
    def parse_and_validate(
        cls,
        token: str,
        jwt_bundle: JwtBundle | JwtBundleSet,
        audience: Collection[str],
        *,
        now: float | None = None,
    ) -> JwtSvid:
        """Check a token of somebody else against the bundle of its subject's trust domain.

        One common audience is enough; expecting none is an error. `now` is Unix seconds, by default the
        clock's. Raises JwtSvidError, AuthorityNotFoundError (both InvalidToken), or ArgumentError.
        """
        _check_expected(audience)
        parts = _split(token)
        spiffe_id = _subject(parts.claims)
        _check_signature(parts, spiffe_id, jwt_bundle)
        return cls._checked(parts, spiffe_id, token, audience, now, "")

    @classmethod
    def _checked(
        cls,
        parts: _Parts,
        spiffe_id: SpiffeId,
        token: str,
        expected: Collection[str],
        now: float | None,
        hint: str,
    ) -> JwtSvid:
        moment = time.time() if now is None else now
        expiry = _check_life(parts.claims, moment)
        audience = _check_audience(parts.claims, expected)
        return cls(spiffe_id, audience, expiry, parts.claims, token, hint=hint)

    def __eq__(self, other: object) -> bool:
        return self._token == other._token if isinstance(other, JwtSvid) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._token)

    def __repr__(self) -> str:
        return f"JwtSvid({self._spiffe_id}, expiry={self._expiry})"


class _Parts(NamedTuple):
    algorithm: str
    key_id: str | None
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


def _split(token: str) -> _Parts:
    if not isinstance(token, str) or not token:
        raise InvalidTokenError("the JWT-SVID is empty")
    if len(token) > MAX_TOKEN_BYTES:
        raise InvalidTokenError(
            f"a JWT-SVID of {len(token)} characters is longer than {MAX_TOKEN_BYTES}", rule="size"
        )
    segments = token.split(".")
    if len(segments) != 3:
        raise InvalidTokenError(f"a JWT-SVID has three parts, this has {len(segments)}")
    try:
        header, payload, signature = (b64url_decode(segment) for segment in segments)
        fields, claims = parse_object(header), parse_object(payload)
    except ValueError as exc:
        raise InvalidTokenError(f"the JWT-SVID cannot be decoded: {exc}") from exc
    algorithm, key_id = _check_header(fields)
    return _Parts(algorithm, key_id, claims, token.rpartition(".")[0].encode(), signature)


def _check_header(header: dict[str, Any]) -> tuple[str, str | None]:
    """Key material in the header (`jwk`, `jku`, `x5c`, `x5u`) is ignored: keys come from bundles only."""
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise InvalidAlgorithmError("the JWT-SVID's algorithm is not one of RS*, PS* and ES*")
    if "typ" in header and header["typ"] not in _TYPES[1:]:
        raise InvalidTypeError("the type of a JWT-SVID is 'JWT' or 'JOSE'")
    if "crit" in header:
        raise InvalidTokenError("the JWT-SVID demands header extensions ('crit')", rule="header")
    key_id = header.get("kid")
    if "kid" in header and (not isinstance(key_id, str) or not key_id):
        raise InvalidTokenError("the JWT-SVID's key id is not a text", rule="header")
    return algorithm, key_id


def _subject(claims: dict[str, Any]) -> SpiffeId:
    subject = claims.get("sub")
    if subject is None or subject == "":
        raise MissingClaimError("sub")
    try:
        return SpiffeId(subject)
    except SpiffeIdError as exc:
        raise InvalidClaimError("sub", f"is not a SPIFFE ID: {exc}") from exc


def _check_signature(parts: _Parts, spiffe_id: SpiffeId, bundles: JwtBundle | JwtBundleSet) -> None:
    domain = spiffe_id.trust_domain
    bundle = bundles if isinstance(bundles, JwtBundle) else bundles.get_bundle_for_trust_domain(domain)
    if bundle is None or bundle.trust_domain != domain:
        raise AuthorityNotFoundError(f"there is no JWT bundle for trust domain {domain}", rule="trust_domain")
    authority = bundle.authority(parts.key_id) if parts.key_id else None
    if authority is None:
        raise AuthorityNotFoundError(f"the JWT bundle of {domain} has no key with the token's id")
    if parts.algorithm not in authority.algorithms:
        raise InvalidAlgorithmError(f"the token's key does not sign with {parts.algorithm}")
    if not verify_signature(authority, parts.algorithm, parts.signature, parts.signed):
        raise InvalidTokenError("the signature of the JWT-SVID does not fit", rule="signature")


def _check_life(claims: dict[str, Any], now: float) -> int:
    expiry = _numeric_date(claims, "exp")
    if expiry is None:
        raise MissingClaimError("exp")
    if expiry + LEEWAY_SECONDS <= now:
        raise TokenExpiredError(expiry, now)
    not_before = _numeric_date(claims, "nbf")
    if not_before is not None and not_before - LEEWAY_SECONDS > now:
        raise InvalidClaimError("nbf", "lies in the future")
    return expiry


def _numeric_date(claims: dict[str, Any], claim: str) -> int | None:
    value = claims.get(claim)
    if value is None:
        return None
    # bool is an int in Python; a fraction is allowed by RFC 7519, 2 and cut off here.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        raise InvalidClaimError(claim, "is not a time in Unix seconds")
    return int(value)


def _check_audience(claims: dict[str, Any], expected: Collection[str]) -> list[str]:
    value = claims.get("aud")
    audience = [value] if isinstance(value, str) else value
    if not audience:
        raise MissingClaimError("aud")
    if not isinstance(audience, list) or not all(isinstance(one, str) and one for one in audience):
        raise InvalidClaimError("aud", "is not a list of texts")
    if len(audience) > MAX_AUDIENCES:
        raise InvalidClaimError("aud", f"has more than {MAX_AUDIENCES} entries")
    if not set(audience) & set(expected):
        raise InvalidClaimError("aud", "names none of the expected audiences")
    return audience


def _check_expected(audience: Collection[str]) -> None:
    if isinstance(audience, str) or not audience or not all(isinstance(one, str) and one for one in audience):
        raise ArgumentError("at least one expected audience is needed, as a set of texts", field="audience")
