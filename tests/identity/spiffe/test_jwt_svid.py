"""JWT-SVIDs: each rule refused by name, and the attacks on tokens."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from identity.encoding import b64url_encode
from identity.errors import InvalidToken
from identity.spiffe.errors import (
    ArgumentError,
    AuthorityNotFoundError,
    InvalidAlgorithmError,
    InvalidClaimError,
    InvalidTokenError,
    InvalidTypeError,
    JwtSvidError,
    MissingClaimError,
    TokenExpiredError,
)
from identity.spiffe.jwt_bundle import JwtBundle, JwtBundleSet
from identity.spiffe.jwt_svid import JwtSvid
from identity.spiffe.spiffe_id import TrustDomain
from tests.identity.spiffe.trust import Authority, jwk

HOME = Authority()
BUNDLE = JwtBundle.parse(TrustDomain("example.org"), HOME.jwks())
BUNDLES = JwtBundleSet.of([BUNDLE])


def check(token: str, **options: Any) -> JwtSvid:
    return JwtSvid.parse_and_validate(token, BUNDLES, {"slim"}, **options)


def signed(header: dict[str, Any] | str, payload: dict[str, Any] | str) -> str:
    """A token with any header and payload, its ES256 signature by the true key."""
    texts = [part if isinstance(part, str) else json.dumps(part) for part in (header, payload)]
    body = ".".join(b64url_encode(text.encode()) for text in texts)
    signature = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).sign(
        body.encode(), HOME.jwt_key
    )
    return f"{body}.{b64url_encode(signature)}"


CLAIMS = {"sub": "spiffe://example.org/web", "aud": ["slim"], "exp": 4102444800}
HEADER = {"alg": "ES256", "kid": "k1"}


def test_a_good_token_tells_its_claims_and_hides_itself() -> None:
    token = HOME.token(["slim", "other"], role="x")
    svid = check(token)
    assert str(svid.spiffe_id) == "spiffe://example.org/web"
    assert svid.audience == {"slim", "other"}
    assert svid.audience_list == ["slim", "other"]
    assert svid.claims["role"] == "x"
    assert svid.expiry > time.time()
    assert svid.token == token
    assert token not in repr(svid)
    assert svid == JwtSvid.parse_insecure(token, {"slim"})
    assert hash(svid) == hash(JwtSvid.parse_and_validate(token, BUNDLE, {"other"}))
    svid.claims.clear()
    assert svid.claims


@pytest.mark.parametrize(
    ("change", "error", "rule"),
    [
        ({"sub": None}, MissingClaimError, "sub"),
        ({"sub": ""}, MissingClaimError, "sub"),
        ({"sub": 5}, InvalidClaimError, "sub"),
        ({"sub": ["spiffe://example.org/web"]}, InvalidClaimError, "sub"),
        ({"sub": "spiffe://example.org/web\n"}, InvalidClaimError, "sub"),
        ({"sub": "spiffe://EXAMPLE.org/web"}, InvalidClaimError, "sub"),
        ({"sub": "spiffe://example.org.evil/web"}, AuthorityNotFoundError, "trust_domain"),
        ({"sub": "spiffe://example/web"}, AuthorityNotFoundError, "trust_domain"),
        ({"aud": None}, MissingClaimError, "aud"),
        ({"aud": []}, MissingClaimError, "aud"),
        ({"aud": ""}, InvalidClaimError, "aud"),
        ({"aud": 5}, InvalidClaimError, "aud"),
        ({"aud": ["slim", 5]}, InvalidClaimError, "aud"),
        ({"aud": "slimmer"}, InvalidClaimError, "aud"),
        ({"aud": "sl"}, InvalidClaimError, "aud"),
        ({"aud": ["SLIM"]}, InvalidClaimError, "aud"),
        ({"aud": ["slim"] * 300}, InvalidClaimError, "aud"),
        ({"exp": None}, MissingClaimError, "exp"),
        ({"exp": "4102444800"}, InvalidClaimError, "exp"),
        ({"exp": True}, InvalidClaimError, "exp"),
        ({"exp": -1}, InvalidClaimError, "exp"),
        ({"exp": 2**70}, InvalidClaimError, "exp"),
        ({"exp": 0}, TokenExpiredError, "expired"),
        ({"nbf": 4102444800}, InvalidClaimError, "nbf"),
        ({"nbf": "soon"}, InvalidClaimError, "nbf"),
    ],
)
def test_a_claim_that_breaks_a_rule_is_named(
    change: dict[str, Any], error: type[InvalidToken], rule: str
) -> None:
    claims = {name: value for name, value in {**CLAIMS, **change}.items() if value is not None}
    with pytest.raises(error) as caught:
        check(signed(HEADER, claims))
    assert caught.value.rule == rule


@pytest.mark.parametrize("change", [{"exp": 4102444800.5}, {"iat": 4102444800}, {"nbf": 5}, {"extra": None}])
def test_claims_that_do_not_matter_are_let_pass(change: dict[str, Any]) -> None:
    assert check(signed(HEADER, {**CLAIMS, **change}))


def test_the_clock_may_differ_by_five_seconds() -> None:
    token = signed(HEADER, {**CLAIMS, "exp": 1000, "nbf": 500})
    for now in (495.0, 1000.0, 1004.9):
        assert check(token, now=now)
    with pytest.raises(InvalidClaimError):
        check(token, now=494.9)
    with pytest.raises(TokenExpiredError, match="expired 6 s ago") as caught:
        check(token, now=1006.0)
    assert caught.value.expiry == 1000


NONES = ("none", "None", "NONE", "nOnE", "")


@pytest.mark.parametrize(
    "header",
    [{**HEADER, "alg": alg} for alg in (*NONES, "HS256", "HS512", "EdDSA", "es256", "ES256 ", None, 5, [])],
)
def test_other_algorithms_do_not_exist(header: dict[str, Any]) -> None:
    with pytest.raises(InvalidAlgorithmError):
        check(signed(header, CLAIMS))
    body = signed(header, CLAIMS).rpartition(".")[0]
    with pytest.raises(JwtSvidError):
        check(f"{body}.")


def test_a_public_key_is_no_hmac_secret() -> None:
    pem = HOME.jwt_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    body = ".".join(b64url_encode(json.dumps(part).encode()) for part in ({**HEADER, "alg": "HS256"}, CLAIMS))
    with pytest.raises(InvalidAlgorithmError):
        check(f"{body}.{b64url_encode(algorithm.sign(body.encode(), pem))}")


@pytest.mark.parametrize("alg", ["ES384", "ES512", "RS256", "PS256"])
def test_a_key_signs_with_its_own_algorithm_only(alg: str) -> None:
    with pytest.raises(InvalidAlgorithmError):
        check(signed({**HEADER, "alg": alg}, CLAIMS))


def test_keys_in_the_header_are_ignored() -> None:
    rival = Authority()
    key = jwk(rival.jwt_key.public_key(), "k1")
    certificate = base64.b64encode(rival.root_der).decode()
    for member in (
        {"jwk": key},
        {"jku": "http://127.0.0.1/keys"},
        {"x5c": [certificate]},
        {"x5u": "file:///etc"},
    ):
        with pytest.raises(InvalidTokenError) as caught:
            check(rival.token(headers=member))
        assert caught.value.rule == "signature"
        assert check(HOME.token(headers=member))


@pytest.mark.parametrize("kid", ["", 5, None, ["k1"], {"k": 1}])
def test_a_key_id_is_a_text(kid: Any) -> None:
    with pytest.raises(InvalidTokenError) as caught:
        check(signed({**HEADER, "kid": kid}, CLAIMS))
    assert caught.value.rule == "header"


@pytest.mark.parametrize("kid", ["../../etc/passwd", "' OR 1=1", "$(reboot)", "K1", "k1\n", "k1 "])
def test_a_key_id_is_only_compared(kid: str) -> None:
    with pytest.raises(AuthorityNotFoundError):
        check(signed({**HEADER, "kid": kid}, CLAIMS))


def test_without_key_id_no_key_is_tried() -> None:
    with pytest.raises(AuthorityNotFoundError):
        check(signed({"alg": "ES256"}, CLAIMS))


@pytest.mark.parametrize("typ", ["jwt", "JWS", "at+jwt", 5, None, ""])
def test_other_types_are_refused(typ: Any) -> None:
    with pytest.raises(InvalidTypeError):
        check(signed({**HEADER, "typ": typ}, CLAIMS))


def test_header_extensions_are_refused() -> None:
    with pytest.raises(InvalidTokenError, match="crit"):
        check(signed({**HEADER, "crit": ["b64"], "b64": False}, CLAIMS))


DEEP = '{"a":' * 50_000 + "1" + "}" * 50_000


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a",
        "..",
        "a.b.c.d",
        "ä.ö.ü",
        "\ud800.\ud800.\ud800",
        signed('{"alg":"ES256","kid":"k1","kid":"k1"}', CLAIMS),
        signed(
            HEADER,
            '{"sub":"spiffe://example.org/a","sub":"spiffe://example.org/web","aud":"slim","exp":4102444800}',
        ),
        signed(HEADER, '{"sub":"spiffe://example.org/web","aud":"slim","exp":NaN}'),
        signed(HEADER, '{"sub":"spiffe://example.org/web","aud":"slim","exp":1e999}'),
        signed(HEADER, "[]"),
        signed(HEADER, "null"),
        signed("5", CLAIMS),
        signed(HEADER, DEEP[:40_000] + "1" + "}" * 8000),
        signed(HEADER, CLAIMS) + "=",
        signed(HEADER, CLAIMS).replace(".", " .", 1),
        signed(HEADER, CLAIMS) + "\n",
    ],
)
def test_malformed_tokens_are_refused(token: str) -> None:
    with pytest.raises(InvalidTokenError):
        check(token)


def test_a_token_has_one_spelling() -> None:
    """The last character of a signature has unused bits; a token must not have twins that verify as well."""
    token = signed(HEADER, CLAIMS)
    twin = token[:-1] + chr(ord(token[-1]) + 1)
    for other in (twin, token[:-1], token + "A"):
        with pytest.raises(InvalidToken):
            check(other)


def test_an_ecdsa_signature_is_two_numbers_of_full_length() -> None:
    body = signed(HEADER, CLAIMS).rpartition(".")[0]
    for signature in (bytes(64), bytes(63) + b"\1", encode_dss_signature(5, 7), b"\xff" * 64, bytes(65)):
        with pytest.raises(InvalidTokenError):
            check(f"{body}.{b64url_encode(signature)}")


def test_only_the_own_domain_vouches_for_a_subject() -> None:
    partner = Authority("partner.test")
    both = JwtBundleSet.of([BUNDLE, JwtBundle.parse(TrustDomain("partner.test"), partner.jwks())])
    forged = jwt.encode(CLAIMS, partner.jwt_key, algorithm="ES256", headers={"kid": "k1"})
    with pytest.raises(InvalidTokenError):
        JwtSvid.parse_and_validate(forged, both, {"slim"})
    with pytest.raises(AuthorityNotFoundError):
        JwtSvid.parse_and_validate(partner.token(), BUNDLE, {"slim"})
    assert JwtSvid.parse_and_validate(partner.token(), both, {"slim"})


@pytest.mark.parametrize("audience", [set(), [], "slim", {""}, [5]])
def test_an_expected_audience_is_needed(audience: Any) -> None:
    for parse in (
        lambda: JwtSvid.parse_and_validate(HOME.token(), BUNDLE, audience),
        lambda: JwtSvid.parse_insecure(HOME.token(), audience),
    ):
        with pytest.raises(ArgumentError) as caught:
            parse()
        assert caught.value.field == "audience"


@pytest.mark.parametrize("bits", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
def test_rsa_algorithms(bits: str) -> None:
    bundle = JwtBundle(TrustDomain("example.org"), {"r": RSA.public_key()})
    token = jwt.encode(CLAIMS, RSA, algorithm=bits, headers={"kid": "r"})
    assert JwtSvid.parse_and_validate(token, bundle, {"slim"})
    numbers = RSA.public_key().public_numbers()
    entry = {
        "kty": "RSA",
        "n": b64url_encode(numbers.n.to_bytes(256)),
        "e": "AQAB",
        "kid": "r",
        "alg": "PS256",
    }
    pinned = JwtBundle.parse(TrustDomain("example.org"), json.dumps({"keys": [entry]}).encode())
    if bits == "PS256":
        assert JwtSvid.parse_and_validate(token, pinned, {"slim"})
    else:
        with pytest.raises(InvalidAlgorithmError):
            JwtSvid.parse_and_validate(token, pinned, {"slim"})


@pytest.mark.parametrize(
    ("curve", "alg"), [(ec.SECP256R1(), "ES256"), (ec.SECP384R1(), "ES384"), (ec.SECP521R1(), "ES512")]
)
def test_ecdsa_algorithms(curve: ec.EllipticCurve, alg: str) -> None:
    key = ec.generate_private_key(curve)
    bundle = JwtBundle(TrustDomain("example.org"), {"e": key.public_key()})
    token = jwt.encode(CLAIMS, key, algorithm=alg, headers={"kid": "e"})
    assert JwtSvid.parse_and_validate(token, bundle, {"slim"})


RSA = rsa.generate_private_key(65537, 2048)


@given(st.text(max_size=200))
def test_any_text_is_refused_by_name(text: str) -> None:
    for token in (text, f"{text}.{text}.{text}"):
        with pytest.raises(InvalidToken):
            check(token)


@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=80))
def test_any_bytes_are_refused_by_name(header: bytes, payload: bytes, signature: bytes) -> None:
    with pytest.raises(InvalidToken):
        check(".".join(b64url_encode(part) for part in (header, payload, signature)))
