"""JWT-SVIDs: signed tokens that name a SPIFFE ID (`identity.md` 6.3).

Checks run in this order: form, header, `sub`, bundle of its trust domain, key by `kid`, signature, and only
then the claims `exp` and `aud`. `parse_insecure` leaves out the three in the middle; it is for tokens that
come straight from the agent.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from copy import deepcopy
from typing import Any

from identity.errors import InvalidToken
from identity.jose import jws
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
from identity.spiffe.jwt_bundle import SVID_ALGORITHMS, JwtBundle, JwtBundleSet
from identity.spiffe.spiffe_id import SpiffeId

MAX_AUDIENCES = 256
LEEWAY_SECONDS = 5.0
"""How far the clocks of two hosts may differ; applied to `exp`, and to `nbf` where a token has one."""

_TYPES = ("JWT", "JOSE")
_ALGORITHMS = {algorithm.value: algorithm for algorithm in SVID_ALGORITHMS}


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
        self._claims = deepcopy(claims)
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
        """All claims of the token, a copy at every depth."""
        return deepcopy(self._claims)

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
        _, claims = _open(token)
        return cls._checked(claims, _subject(claims), token, audience, now, hint)

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
        opened, claims = _open(token)
        spiffe_id = _subject(claims)
        _check_signature(opened, spiffe_id, jwt_bundle)
        return cls._checked(claims, spiffe_id, token, audience, now, "")

    @classmethod
    def _checked(
        cls,
        claims: dict[str, Any],
        spiffe_id: SpiffeId,
        token: str,
        expected: Collection[str],
        now: float | None,
        hint: str,
    ) -> JwtSvid:
        moment = time.time() if now is None else now
        expiry = _check_life(claims, moment)
        audience = _check_audience(claims, expected)
        return cls(spiffe_id, audience, expiry, claims, token, hint=hint)

    def __eq__(self, other: object) -> bool:
        return self._token == other._token if isinstance(other, JwtSvid) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._token)

    def __repr__(self) -> str:
        return f"JwtSvid({self._spiffe_id}, expiry={self._expiry})"


def _open(token: str) -> tuple[jws.Jws, dict[str, Any]]:
    """Header and claims of a token whose signature is not checked yet. Raises JwtSvidError."""
    if not isinstance(token, str) or not token:
        raise InvalidTokenError("the JWT-SVID is empty")
    try:
        opened = jws.parse(token, _ALGORITHMS)
        claims = jws.claims_of(opened.payload)
    except InvalidToken as refusal:
        if refusal.rule == "algorithm":
            raise InvalidAlgorithmError("the JWT-SVID's algorithm is not one of RS*, PS* and ES*") from None
        raise InvalidTokenError(f"no JWT-SVID: {refusal}", rule=refusal.rule) from None
    if "typ" in opened.header and opened.header["typ"] not in _TYPES:
        raise InvalidTypeError("the type of a JWT-SVID is 'JWT' or 'JOSE'")
    if opened.kid == "":
        raise InvalidTokenError("the JWT-SVID's key id is empty", rule="header")
    return opened, claims


def _subject(claims: dict[str, Any]) -> SpiffeId:
    subject = claims.get("sub")
    if subject is None or subject == "":
        raise MissingClaimError("sub")
    try:
        return SpiffeId(subject)
    except SpiffeIdError as exc:
        raise InvalidClaimError("sub", f"is not a SPIFFE ID: {exc}") from exc


def _check_signature(opened: jws.Jws, spiffe_id: SpiffeId, bundles: JwtBundle | JwtBundleSet) -> None:
    domain = spiffe_id.trust_domain
    bundle = bundles if isinstance(bundles, JwtBundle) else bundles.get_bundle_for_trust_domain(domain)
    if bundle is None or bundle.trust_domain != domain:
        raise AuthorityNotFoundError(f"there is no JWT bundle for trust domain {domain}", rule="trust_domain")
    authority = bundle.authority(opened.kid) if opened.kid else None
    if authority is None:
        raise AuthorityNotFoundError(f"the JWT bundle of {domain} has no key with the token's id")
    if opened.algorithm not in authority.algorithms:
        raise InvalidAlgorithmError(f"the token's key does not sign with {opened.algorithm.value}")
    if not authority.fits(opened.algorithm, opened.signed, opened.signature):
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
