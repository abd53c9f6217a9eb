"""What claims must say (`identity.md` 3.2, 9)."""

from __future__ import annotations

from typing import Any

import pytest
from loguru import logger

from identity import claims as claims_module
from identity.claims import ClaimRules, TokenLifetime
from identity.errors import InvalidToken

NOW = 1_800_000_000
ISSUER = "https://issuer.test"


def rules(**options: Any) -> ClaimRules:
    return ClaimRules(**{"issuer": ISSUER, "audience": ("peer",), **options})


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims with changes; `...` takes one out."""
    base = {"iss": ISSUER, "aud": ["peer"], "sub": "a", "exp": NOW + 600, **changes}
    return {name: value for name, value in base.items() if value is not ...}


def rule(given: dict[str, Any], now: float = NOW, **options: Any) -> str | None:
    try:
        rules(**options).check(given).check(now)
    except InvalidToken as refusal:
        return refusal.rule
    return None


def test_good_claims() -> None:
    assert rule(claims()) is None
    assert rules().check(claims(nbf=NOW)) == TokenLifetime(NOW - 60, NOW + 660)


# Time


@pytest.mark.parametrize(
    "exp", [..., None, True, "1900000000", [], {}, -1, 1 << 63, 1e300, float("inf"), float("nan")]
)
def test_exp_must_be_a_date(exp: object) -> None:
    assert rule(claims(exp=exp)) == "exp"


@pytest.mark.parametrize("name", ["nbf", "iat"])
@pytest.mark.parametrize("value", [None, True, "0", [], -1, 1e300])
def test_other_dates_must_be_dates_where_present(name: str, value: object) -> None:
    assert rule(claims(**{name: value})) == name


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"exp": NOW - 60}, None),
        ({"exp": NOW - 61}, "expired"),
        ({"exp": NOW - 59.5}, None),
        ({"exp": NOW - 60.5}, "expired"),
        ({"exp": 0}, "expired"),
        ({"nbf": NOW + 60}, None),
        ({"nbf": NOW + 61}, "not_yet_valid"),
        ({"iat": NOW + 9999}, None),
    ],
)
def test_leeway_is_a_minute_both_ways(changes: dict[str, Any], expected: str | None) -> None:
    assert rule(claims(**changes)) == expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1 s"), (600, "10 min"), (7200, "120 min"), (90000, "25 h"), (864000, "10 days")],
)
def test_refusals_say_by_how_much(seconds: int, text: str) -> None:
    with pytest.raises(InvalidToken, match=f"expired {text} ago"):
        TokenLifetime(0, NOW).check(NOW + seconds)
    with pytest.raises(InvalidToken, match=f"another {text} "):
        TokenLifetime(NOW, NOW).check(NOW - seconds)


# Issuer


@pytest.mark.parametrize(
    "iss", ["https://issuer.test.evil", "https://issuer.tes", "https://issuer.test/", "", [ISSUER], None, 5]
)
def test_issuer_is_compared_whole(iss: object) -> None:
    assert rule(claims(iss=iss)) == "iss"


def test_missing_issuer_passes_unless_required() -> None:
    assert rule(claims(iss=...)) is None
    assert rule(claims(iss=...), require_iss=True) == "iss"
    assert rule(claims(iss=""), issuer=None, require_iss=True) == "iss"


def test_any_issuer_passes_where_none_is_configured() -> None:
    assert rule(claims(iss="anybody"), issuer=None) is None
    assert rule(claims(iss=5), issuer=None) == "iss"


# Audience


@pytest.mark.parametrize("aud", ["peer", ["peer"], ["x", "peer"]])
def test_audience_that_fits(aud: object) -> None:
    assert rule(claims(aud=aud)) is None


@pytest.mark.parametrize(
    "aud", ["", "peers", "pee", "PEER", [], ["x"], [["peer"]], ["peer", 5], None, 5, {"peer": 1}, True]
)
def test_audience_that_does_not_fit(aud: object) -> None:
    assert rule(claims(aud=aud)) == "aud"


def test_any_overlap_is_enough() -> None:
    assert rule(claims(aud=["a", "b"]), audience=("b", "c")) is None


def test_missing_audience_passes_unless_required() -> None:
    assert rule(claims(aud=...)) is None
    assert rule(claims(aud=...), require_aud=True) == "aud"


def test_a_token_for_an_audience_needs_one_configured() -> None:
    assert rule(claims(), audience=()) == "aud"
    assert rule(claims(aud=...), audience=()) is None


# Subject


def test_subject() -> None:
    assert rule(claims(sub="b"), subject="a") == "sub"
    assert rule(claims(sub="a"), subject="a") is None
    assert rule(claims(sub=...), subject="a") == "sub"
    assert rule(claims(sub=...)) is None
    assert rule(claims(sub=...), require_sub=True) == "sub"
    for unusable in (None, 5, ["a"]):
        assert rule(claims(sub=unusable)) == "sub"
    assert rule(claims(sub=""), require_sub=True) == "sub"


def test_other_claims_may_be_anything() -> None:
    assert rule(claims(extra=None, flag=True, deep=[{"a": [1.5]}])) is None


def test_missing_claims_are_logged_once() -> None:
    claims_module._warn_missing.cache_clear()
    lines: list[str] = []
    sink = logger.add(lines.append, level="WARNING", format="{extra[claim]}")
    try:
        for _ in range(3):
            rule(claims(iss=..., aud=...))
    finally:
        logger.remove(sink)
    assert [line.strip() for line in lines] == ["iss", "aud"]
