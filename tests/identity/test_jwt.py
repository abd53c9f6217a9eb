"""The JWT provider and verifier, with configured keys (`identity.md` 3.1, 3.2)."""

from __future__ import annotations

import base64
import json
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt as pyjwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from identity.claims import ClaimRules
from identity.errors import ConfigError, InvalidToken
from identity.jose.keys import Algorithm, Key, KeyData, KeyFormat
from identity.jwt import JwtProvider, JwtVerifier
from identity.key_source import ConfiguredKeys
from identity.protocols import Provider, Verifier
from tests.identity.key_samples import (
    HMAC_TEXT,
    content,
    encode,
    jwk,
    jwks,
    private_pem,
    public_pem,
    signing,
    verifying,
)
from tests.identity.vectors import Case, each_case

NOW = 1_800_000_000
HOUR = timedelta(hours=1)
ES256, HS256 = Algorithm.ES256, Algorithm.HS256
WORDS = "words that are long enough to be a key of HS256"
RULES = ClaimRules(issuer="issuer", audience=("peer",))


def provider(key: Key | None = None, **options: Any) -> JwtProvider:
    settings = {"issuer": "issuer", "audience": ["peer", "b"], "subject": "org/ns/app", **options}
    return JwtProvider(key or signing(ES256), settings.pop("duration", HOUR), **settings)


def verifier(key: Key | None = None, rules: ClaimRules = RULES) -> JwtVerifier:
    return JwtVerifier(ConfiguredKeys(key or verifying(ES256), "public_key"), rules)


def rule(check: JwtVerifier, text: str, now: float = NOW) -> str:
    with pytest.raises(InvalidToken) as caught:
        check.try_verify(text, now)
    assert len(text) < 40 or text not in str(caught.value)
    return caught.value.rule


def payload(text: str) -> dict[str, Any]:
    return dict(json.loads(base64.urlsafe_b64decode(text.split(".")[1] + "==")))


# The provider


def test_both_are_what_sessions_expect() -> None:
    assert isinstance(provider(), Provider)
    assert isinstance(verifier(), Verifier)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_every_algorithm_from_provider_to_verifier(algorithm: Algorithm) -> None:
    made = provider(signing(algorithm)).get_token(NOW)
    verifier(verifying(algorithm)).try_verify(made, NOW)
    assert rule(verifier(verifying(algorithm, 1)), made) == "signature"


def test_header_and_claims_are_in_the_order_of_the_original() -> None:
    made = provider().get_token(NOW + 0.9)
    assert base64.urlsafe_b64decode(made.split(".")[0] + "==") == b'{"typ":"JWT","alg":"ES256"}'
    claims = payload(made)
    assert list(claims) == ["iss", "sub", "aud", "exp", "iat", "nbf", "pubkey"]
    assert len(base64.b64decode(claims.pop("pubkey"), validate=True)) == 32
    assert claims == {
        "iss": "issuer",
        "sub": "org/ns/app",
        "aud": ["peer", "b"],
        "exp": NOW + 3600,
        "iat": NOW,
        "nbf": NOW,
    }


def test_absent_values_are_left_out() -> None:
    assert list(payload(provider(issuer=None, audience=None).get_token(NOW))) == [
        "sub",
        "exp",
        "iat",
        "nbf",
        "pubkey",
    ]


def test_key_id_goes_into_the_header() -> None:
    assert pyjwt.get_unverified_header(provider(key_id="k1").get_token(NOW))["kid"] == "k1"


def test_reuse_for_five_seconds_or_two_thirds_of_the_life() -> None:
    mine = provider()
    first = mine.get_token(NOW)
    assert mine.get_token(NOW + 4.9) is first
    assert mine.get_token(NOW + 5) != first
    brief = provider(duration=timedelta(seconds=3))
    first = brief.get_token(NOW)
    assert brief.get_token(NOW + 1.9) is first
    assert brief.get_token(NOW + 2) != first
    assert payload(provider(token_reuse=0).get_token(NOW))["exp"] == NOW + 3600


async def test_given_claims_stand_at_top_level() -> None:
    made = await provider().get_token_with_claims({"pubkey": "leaf", "roles": ["a", None]}, NOW)
    claims = verifier().try_get_claims(made, NOW)
    assert (claims["pubkey"], claims["roles"], claims["sub"]) == ("leaf", ["a", None], "org/ns/app")


@pytest.mark.parametrize("claims", [{"exp": 1}, {"sub": "x", "a": 1}, {"a": {1}}, {"a": float("inf")}])
async def test_unusable_claims(claims: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        await provider().get_token_with_claims(claims, NOW)
    assert caught.value.field == "claims"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"subject": ""}, "subject"),
        ({"issuer": ""}, "issuer"),
        ({"audience": "peer"}, "audience"),
        ({"audience": [""]}, "audience"),
        ({"audience": [5]}, "audience"),
        ({"duration": timedelta(0)}, "duration"),
        ({"duration": timedelta(days=-1)}, "duration"),
        ({"duration": 3600}, "duration"),
        ({"key_id": ""}, "key_id"),
        ({"key": verifying(ES256)}, "private_key"),
        ({"key": content(ES256, "{}", KeyFormat.Jwk)}, "private_key"),
        ({"key": content(Algorithm.RS256, private_pem(ES256))}, "private_key"),
        ({"key": Key(ES256, KeyFormat.Pem, KeyData.File("/does/not/exist"))}, "private_key"),
        ({"key": content(ES256, "x" * 600_000)}, "private_key"),
        ({"key": content(HS256, "\ud800")}, "private_key"),
    ],
)
def test_unusable_provider_configuration(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        provider(**options)
    assert caught.value.field == field


def test_without_a_subject_one_is_made_up_and_stays() -> None:
    made, other = provider(subject=None), provider(subject=None)
    assert made.get_id() != other.get_id()
    for now in (NOW, NOW + 100):
        assert pyjwt.decode(made.get_token(now), options={"verify_signature": False})["sub"] == made.get_id()


# The verifier


def test_get_claims_is_the_payload() -> None:
    claims = {"iss": "issuer", "aud": "peer", "exp": NOW, "deep": [{"a": None}]}
    check = verifier()
    assert check.try_get_claims(encode(claims, ES256), NOW) == claims
    check.try_get_claims(encode(claims, ES256), NOW)["deep"].append("changed")
    assert check.try_get_claims(encode(claims, ES256), NOW) == claims


def test_order_of_refusals() -> None:
    good = {"iss": "issuer", "aud": "peer", "exp": NOW}
    check = verifier()
    assert rule(check, "a.b") == "format"
    assert rule(check, encode({**good, "iss": "x"}, ES256, 1)) == "iss"
    assert rule(check, encode(good, Algorithm.ES384)) == "algorithm"
    assert rule(check, encode({**good, "exp": 0}, ES256, 1)) == "signature"
    assert rule(check, encode({**good, "exp": 0}, ES256)) == "expired"


def test_remembered_tokens_still_expire() -> None:
    check = verifier()
    made = encode({"exp": NOW, "nbf": NOW - 100}, ES256)
    check.try_verify(made, NOW)
    check.try_verify(made, NOW + 60)
    assert rule(check, made, NOW + 61) == "expired"
    check.try_verify(made, NOW)
    assert rule(check, made, NOW - 161) == "not_yet_valid"


def test_huge_tokens_are_refused_unread() -> None:
    check = verifier(verifying(HS256))
    check.try_verify(encode({"exp": NOW}, HS256), NOW)
    assert rule(check, "a" * 5_000_000) == "size"


async def test_asynchronous_forms_agree() -> None:
    made, check = provider().get_token(NOW), verifier()
    await check.initialize()
    await check.verify(made, NOW)
    assert await check.get_claims(made, NOW) == check.try_get_claims(made, NOW)
    with pytest.raises(InvalidToken):
        await check.verify(made, NOW + 9999)
    await check.close()


def test_key_set_with_the_algorithms_of_its_keys() -> None:
    check = verifier(
        content(Algorithm.RS256, jwks(jwk(ES256, kid="a"), jwk(Algorithm.EdDSA, kid="b")), KeyFormat.Jwks)
    )
    check.try_verify(encode({"exp": NOW}, Algorithm.EdDSA, kid="b"), NOW)
    check.try_verify(encode({"exp": NOW}, ES256), NOW)
    assert rule(check, encode({"exp": NOW}, Algorithm.EdDSA, kid="a")) == "algorithm"
    assert rule(check, encode({"exp": NOW}, HS256, kid="a")) == "algorithm"
    assert rule(check, encode({"exp": NOW}, ES256, kid="c")) == "unknown_key"


@pytest.mark.parametrize(
    "name", ["../../../../dev/null", "/etc/passwd", "' OR 1=1 --", "$(id)", "a\0b", "", "x" * 9999]
)
def test_kid_is_only_a_name(name: str) -> None:
    made = encode({"exp": NOW}, ES256, kid=name) if name else encode({"exp": NOW}, ES256)
    verifier().try_verify(made, NOW)
    if name:
        assert (
            rule(verifier(content(ES256, jwks(jwk(ES256, kid="a")), KeyFormat.Jwks)), made) == "unknown_key"
        )


@pytest.mark.parametrize(
    "key",
    [
        content(ES256, private_pem(ES256)),
        content(HS256, public_pem(ES256)),
        content(ES256, "nonsense"),
        content(ES256, "{", KeyFormat.Jwk),
        content(ES256, "{}", KeyFormat.Jwks),
        content(ES256, '{"keys":[]}', KeyFormat.Jwks),
        content(ES256, '{"keys":[{"kty":"oct","k":"AAAA"}]}', KeyFormat.Jwks),
        Key(ES256, KeyFormat.Pem, KeyData.File("/does/not/exist")),
    ],
)
def test_unusable_verifier_configuration(key: Key) -> None:
    with pytest.raises(ConfigError) as caught:
        verifier(key)
    assert caught.value.field == "public_key"


def test_no_repr_shows_a_key_or_a_token() -> None:
    made = provider(signing(HS256))
    text = repr([made, verifier(verifying(HS256)), made._key.current(0)]) + made.get_token(NOW)[:0]
    assert HMAC_TEXT not in text
    assert made.get_token(NOW) not in text


@given(st.integers(0, 400), st.text(min_size=1, max_size=2))
def test_no_change_of_a_token_is_accepted(position: int, change: str) -> None:
    good = encode({"iss": "issuer", "aud": "peer", "exp": NOW}, HS256)
    changed = good[:position] + change + good[position + 1 :]
    if changed != good:
        rule(verifier(verifying(HS256)), changed)


# Files


def replace(path: Path, text: str) -> None:
    """The safe way to write: a new file over the old."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


def test_both_follow_their_key_files(tmp_path: Path) -> None:
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    private.write_text(private_pem(ES256))
    public.write_text(public_pem(ES256))
    mine = provider(Key(ES256, KeyFormat.Pem, KeyData.File(private)))
    check = verifier(Key(ES256, KeyFormat.Pem, KeyData.File(public)))
    old = mine.get_token(NOW)
    check.try_verify(old, NOW)
    replace(private, private_pem(ES256, 1))
    replace(public, public_pem(ES256, 1))
    new = mine.get_token(NOW + 2)
    assert new != old
    check.try_verify(new, NOW + 2)
    assert rule(check, old, NOW + 2) == "signature"


def test_a_key_file_that_breaks_leaves_the_last_key(tmp_path: Path) -> None:
    private = tmp_path / "private.pem"
    private.write_text(private_pem(ES256))
    mine = provider(Key(ES256, KeyFormat.Pem, KeyData.File(private)))
    for broken in ("", "-----BEGIN", public_pem(ES256), private_pem(Algorithm.EdDSA)):
        replace(private, broken)
        verifier().try_verify(mine.get_token(NOW), NOW)
    private.unlink()
    verifier().try_verify(mine.get_token(NOW + 9), NOW + 9)


def test_a_key_set_file_may_become_empty_and_then_nothing_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(jwks(jwk(ES256, kid="a")))
    check = verifier(Key(ES256, KeyFormat.Jwks, KeyData.File(path)))
    made = encode({"exp": NOW}, ES256, kid="a")
    check.try_verify(made, NOW)
    replace(path, jwks())
    assert rule(check, made, NOW + 2) == "unknown_key"


def test_bundle_file_of_spiffe_helper(tmp_path: Path) -> None:
    """The file `key.jwt`: trust domain to base64 of a key set; the domain of `sub` chooses."""
    path = tmp_path / "key.jwt"

    def write(**domains: str) -> None:
        wrapped = {
            name.replace("_", "."): base64.b64encode(text.encode()).decode() for name, text in domains.items()
        }
        replace(path, json.dumps(wrapped))

    write(example_org=jwks(jwk(ES256, 0, kid="k", use="jwt-svid")))
    rules = ClaimRules(audience=("slim-demo",))
    check = verifier(Key(Algorithm.RS256, KeyFormat.Jwks, KeyData.File(path)), rules)
    mine = {"sub": "spiffe://example.org/app", "aud": ["slim-demo"], "exp": NOW}
    check.try_verify(encode(mine, ES256, 0, kid="k"), NOW)
    stranger = {**mine, "sub": "spiffe://partner.test/app"}
    assert rule(check, encode(stranger, ES256, 0, kid="k")) == "trust_domain"
    write(example_org=jwks(jwk(ES256, 0, kid="k")), partner_test=jwks(jwk(ES256, 1, kid="k")))
    check.try_verify(encode(stranger, ES256, 1, kid="k"), NOW + 2)
    assert rule(check, encode(stranger, ES256, 0, kid="k"), NOW + 2) == "signature"


def test_newline_at_the_end_of_an_hmac_file_counts_and_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{WORDS}\n")
    lines: list[str] = []
    sink = logger.add(lines.append, level="WARNING", format="{message}")
    try:
        check = verifier(Key(HS256, KeyFormat.Pem, KeyData.File(path)))
    finally:
        logger.remove(sink)
    check.try_verify(pyjwt.encode({"exp": NOW}, f"{WORDS}\n", "HS256"), NOW)
    assert rule(check, pyjwt.encode({"exp": NOW}, WORDS, "HS256")) == "signature"
    assert "newline" in lines[0]
    assert WORDS not in lines[0]


# Vectors


def case_came_out_right(case: Case) -> bool:
    settings = case["verifier"]
    algorithm = Algorithm[settings["alg"]]
    required = settings.get("require") or ()
    rules = ClaimRules(
        issuer=settings.get("issuer"),
        audience=tuple(settings.get("audience") or ()),
        subject=settings.get("subject"),
        require_iss="iss" in required,
        require_aud="aud" in required,
        require_sub="sub" in required,
    )
    try:
        if "jwks" in settings:
            key = content(algorithm, json.dumps(settings["jwks"]), KeyFormat.Jwks)
        else:
            key = content(algorithm, settings["pem"])
        verifier(key, rules).try_verify(case["token"], time.time())
        accepted = True
    except (InvalidToken, ConfigError):
        accepted = False
    return case["accept"] == "either" or accepted == case["accept"]


def real_token_came_out_right(case: Case) -> bool:
    rules = ClaimRules(issuer=case["issuer"], audience=tuple(case["audience"]))
    check = verifier(content(Algorithm[case["alg"]], case["pem"]), rules)
    try:
        claims = check.try_get_claims(case["token"], case["now"])
    except InvalidToken:
        return not case["accept"]
    return bool(case["accept"]) and claims == case["claims"]


@each_case("jwt_verify.json")
def test_vector(case: Case) -> None:
    assert case_came_out_right(case)


@each_case("slim_jwt_real.json")
def test_token_of_an_original(case: Case) -> None:
    assert real_token_came_out_right(case)
