"""What the claims of a signed token must say (RFC 7519; `identity.md` 3.2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from identity.errors import InvalidToken
from identity.log import logger
from identity.record import record

LEEWAY = 60.0
"""Seconds by which the clocks of issuer and verifier may differ, for `exp` and `nbf`."""


@record
class TokenLifetime(NamedTuple):
    """The time in which a token is good, in Unix seconds, both ends inclusive, leeway included."""

    first: float
    last: float

    def check(self, now: float) -> None:
        """Raise InvalidToken with rule "expired" or "not_yet_valid" unless `now` lies in it."""
        if now > self.last:
            raise InvalidToken(f"expired {_span(now - self.last)} ago (leeway included)", rule="expired")
        if now < self.first:
            raise InvalidToken(
                f"not valid for another {_span(self.first - now)} (leeway included)", rule="not_yet_valid"
            )


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """What a verifier demands. A configured value is compared; `require_*` makes its absence an error too."""

    issuer: str | None = None
    audience: tuple[str, ...] = ()
    subject: str | None = None
    require_iss: bool = False
    require_aud: bool = False
    require_sub: bool = False
    leeway: float = LEEWAY

    def check(self, claims: Mapping[str, Any]) -> TokenLifetime:
        """The time in which a token with these claims is good.

        Raises InvalidToken; `rule` is the claim at fault ("exp", "nbf", "iat", "iss", "aud" or "sub").
        """
        self.check_issuer(claims)
        self._check_audience(claims)
        self._check_subject(claims)
        expires = _numeric_date(claims, "exp")
        if expires is None:
            raise InvalidToken("the token has no exp: it would never expire", rule="exp")
        begins = _numeric_date(claims, "nbf")
        _numeric_date(claims, "iat")
        return TokenLifetime(-math.inf if begins is None else begins - self.leeway, expires + self.leeway)

    def check_issuer(self, claims: Mapping[str, Any]) -> None:
        """Raise InvalidToken unless `iss` is as configured. Keys are fetched only after this."""
        issuer = _text(claims, "iss", required=self.require_iss)
        if self.issuer is None:
            return
        if issuer is None:
            _warn_missing("iss", "require_iss")
        elif issuer != self.issuer:
            slash = " (they differ by a slash at the end)" if _alike(issuer, self.issuer) else ""
            raise InvalidToken(f"issued by somebody else than {self.issuer!r}{slash}", rule="iss")

    def _check_audience(self, claims: Mapping[str, Any]) -> None:
        """`aud` is a text or an array of texts; one of them must be configured (RFC 7519 section 4.1.3)."""
        if "aud" not in claims:
            if self.require_aud:
                raise InvalidToken("the token has no aud", rule="aud")
            if self.audience:
                _warn_missing("aud", "require_aud")
            return
        audience = [claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"]
        if not isinstance(audience, list) or not all(isinstance(entry, str) for entry in audience):
            raise InvalidToken("aud is neither a text nor an array of texts", rule="aud")
        if not self.audience:
            raise InvalidToken("the token is for an audience, and none is configured here", rule="aud")
        if not set(audience) & set(self.audience):
            raise InvalidToken(f"made for another audience than {', '.join(self.audience)}", rule="aud")

    def _check_subject(self, claims: Mapping[str, Any]) -> None:
        subject = _text(claims, "sub", required=self.require_sub or self.subject is not None)
        if self.subject is not None and subject != self.subject:
            raise InvalidToken(f"the subject is not {self.subject!r}", rule="sub")


def _alike(one: str, other: str) -> bool:
    """Whether two issuers are the same but for slashes at the end, which people overlook."""
    return one.rstrip("/") == other.rstrip("/")


def _text(claims: Mapping[str, Any], name: str, *, required: bool) -> str | None:
    if name not in claims:
        if required:
            raise InvalidToken(f"the token has no {name}", rule=name)
        return None
    value = claims[name]
    if not isinstance(value, str) or (required and not value):
        found = "empty" if value == "" else f"a {kind_of(value)}"
        raise InvalidToken(f"{name} is not a usable text: it is {found}", rule=name)
    return value


def kind_of(value: object) -> str:
    """What a claim is, in JSON's words."""
    kinds = {bool: "truth value", int: "number", float: "number", list: "list", dict: "object"}
    return kinds.get(type(value), "null")


def _numeric_date(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519 section 2): a JSON number, fractions allowed, from the epoch on."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1 << 63:
        raise InvalidToken(f"{name} is not a date", rule=name)
    return float(value)


def _span(seconds: float) -> str:
    """A duration for a sentence: "40 s", "12 min", "3 h", "20 days"."""
    for unit, size, up_to in (("s", 1, 180), ("min", 60, 180 * 60), ("h", 3600, 72 * 3600)):
        if seconds < up_to:
            return f"{math.ceil(seconds / size)} {unit}"
    return f"{math.ceil(seconds / 86400)} days"


@cache
def _warn_missing(claim: str, option: str) -> None:
    """Once per process and claim: the sender is the same each time, and messages are many."""
    logger.warning(
        "a token without a claim was accepted", claim=claim, cause=f"{option}=True refuses such tokens"
    )
