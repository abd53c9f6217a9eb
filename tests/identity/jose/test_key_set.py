"""Reading keys: what is refused, what is left out, which key a token gets."""

from __future__ import annotations

import base64
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from identity.encoding import Malformed, parse_object
from identity.errors import InvalidToken
from identity.jose import jws
from identity.jose.key_set import MAX_KEYS, KeySet, helper_bundle, key_set, read_keys, read_signing_key
from identity.jose.keys import Algorithm, KeyFormat
from tests.identity.key_samples import ASYMMETRIC, jwk, jwks, private, private_jwk, private_pem, public_pem
from tests.identity.vectors import Case, each_case

RS256, ES256, EdDSA, HS256 = Algorithm.RS256, Algorithm.ES256, Algorithm.EdDSA, Algorithm.HS256
Pem, Jwk, Jwks = KeyFormat.Pem, KeyFormat.Jwk, KeyFormat.Jwks


def kids(keys: KeySet, algorithm: Algorithm, kid: str | None = None, **claims: Any) -> list[str | None]:
    return [key.kid for key in keys.candidates(algorithm, kid, claims)]


def rule(keys: KeySet, algorithm: Algorithm, kid: str | None = None, **claims: Any) -> str:
    with pytest.raises(InvalidToken) as caught:
        keys.candidates(algorithm, kid, claims)
    return caught.value.rule


def read_set(*keys: Any) -> KeySet:
    return read_keys(json.dumps({"keys": list(keys)}).encode(), RS256, Jwks)


# PEM


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_pem_is_tied_to_the_configured_algorithm(algorithm: Algorithm) -> None:
    keys = read_keys(public_pem(algorithm).encode(), algorithm, Pem)
    assert kids(keys, algorithm) == [None]
    assert {rule(keys, other, "any kid") for other in Algorithm if other is not algorithm} == {"algorithm"}


def test_pem_may_be_pkcs1_or_a_certificate() -> None:
    key = private("RS")
    pkcs1 = key.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    assert len(read_keys(pkcs1, RS256, Pem)) == 1
    name = x509.Name([])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    assert len(read_keys(certificate, RS256, Pem)) == 1


@pytest.mark.parametrize(
    ("content", "algorithm", "why"),
    [
        (b"", RS256, "not a public key"),
        (b"\xff\xfe", ES256, "not a public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", RS256, "not a public key"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", RS256, "not a public key"),
        (public_pem(ES256).encode(), RS256, "cannot be used with RS256"),
        (public_pem(ES256).encode(), EdDSA, "cannot be used with EdDSA"),
        (private_pem(ES256).encode(), ES256, "a private key"),
        (public_pem(ES256).encode(), HS256, "PEM document"),
        (private_pem(ES256).encode(), HS256, "PEM document"),
        (b"", HS256, "empty"),
    ],
)
def test_unusable_pem(content: bytes, algorithm: Algorithm, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        read_keys(content, algorithm, Pem)


def test_weak_rsa_is_refused_to_sign_and_to_verify() -> None:
    weak = rsa.generate_private_key(65537, 1024)
    public = weak.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secret = weak.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(Malformed, match="1024 bits"):
        read_keys(public, RS256, Pem)
    with pytest.raises(Malformed, match="1024 bits"):
        read_signing_key(secret, RS256, Pem)


# Keys to sign with


@pytest.mark.parametrize("algorithm", Algorithm)
def test_signing_keys(algorithm: Algorithm) -> None:
    assert read_signing_key(private_pem(algorithm).encode(), algorithm, Pem).algorithm is algorithm


def test_signing_key_may_be_pkcs1() -> None:
    pem = private("RS").private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert read_signing_key(pem, RS256, Pem).algorithm is RS256


@pytest.mark.parametrize(
    ("content", "algorithm", "format", "why"),
    [
        (public_pem(RS256), RS256, Pem, "not a private key"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", RS256, Pem, "not a private key"),
        (private_pem(ES256), RS256, Pem, "cannot be used with RS256"),
        (private_pem(ES256), HS256, Pem, "PEM document"),
        ("{}", RS256, Jwk, "not a usable RSA, EC"),
        ("{}", HS256, Jwks, "given alone, as PEM or JWK"),
        (json.dumps(jwk(ES256)), ES256, Jwk, "a public JWK"),
        (json.dumps(private_jwk(ES256)), RS256, Jwk, "cannot be used with RS256"),
        (json.dumps(private_jwk(ES256) | {"key_ops": ["verify"]}), ES256, Jwk, "other operations"),
        (json.dumps(private_jwk(ES256) | {"d": "!"}), ES256, Jwk, "private half is no key"),
        (json.dumps({"kty": "oct", "k": "c2hvcnQ"}), HS256, Jwk, "under 32 bytes"),
    ],
)
def test_unusable_signing_keys(content: str, algorithm: Algorithm, format: KeyFormat, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        read_signing_key(content.encode(), algorithm, format)


@pytest.mark.parametrize("algorithm", [ES256, RS256, Algorithm.PS384, EdDSA, Algorithm.ES384])
def test_a_private_jwk_signs_what_its_public_half_checks(algorithm: Algorithm) -> None:
    document = private_jwk(algorithm) | {"key_ops": ["sign"], "kid": "one"}
    key = read_signing_key(json.dumps(document).encode(), algorithm, Jwk)
    keys = read_keys(json.dumps(jwk(algorithm)).encode(), algorithm, Jwk).candidates(algorithm, None, {})
    jws.check_signature(jws.parse(jws.sign(key, {"alg": algorithm.value}, {"sub": "a"})), keys)


def test_a_symmetric_jwk_signs() -> None:
    document = json.dumps({"kty": "oct", "k": base64.urlsafe_b64encode(b"k" * 32).decode().rstrip("=")})
    key = read_signing_key(document.encode(), HS256, Jwk)
    assert key.sign(b"signed") == hmac.digest(b"k" * 32, b"signed", "sha256")


def test_encrypted_signing_key() -> None:
    pem = private("ES256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    with pytest.raises(Malformed, match=r"encrypted|not a private key"):
        read_signing_key(pem, ES256, Pem)


# One JWK


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_jwk_is_tied_to_the_configured_algorithm(algorithm: Algorithm) -> None:
    keys = read_keys(json.dumps(jwk(algorithm)).encode(), algorithm, Jwk)
    assert kids(keys, algorithm) == [None]
    assert {rule(keys, other) for other in Algorithm if other is not algorithm} == {"algorithm"}


def test_kid_of_a_token_is_only_text_to_a_single_key() -> None:
    keys = read_keys(json.dumps(jwk(ES256, kid="a")).encode(), ES256, Jwk)
    assert kids(keys, ES256, "../../etc/passwd") == ["a"]


OCT = {"kty": "oct", "k": base64.urlsafe_b64encode(b"k" * 32).decode().rstrip("=")}


def bad_jwks() -> list[tuple[str, dict[str, Any]]]:
    ec_key, rsa_key = jwk(ES256), jwk(RS256)
    return [
        ("alg of another type", {**ec_key, "alg": "RS256"}),
        ("unknown alg", {**ec_key, "alg": "ES521"}),
        ("alg is a number", {**ec_key, "alg": 5}),
        ("for encryption", {**ec_key, "use": "enc"}),
        ("use is a list", {**ec_key, "use": ["sig"]}),
        ("operations of encryption", {**ec_key, "key_ops": ["encrypt"]}),
        ("operations are a text", {**ec_key, "key_ops": "verify"}),
        ("kid is a number", {**ec_key, "kid": 5}),
        ("private half shown", {**ec_key, "d": "AAAA"}),
        ("point not on the curve", {**ec_key, "y": ec_key["x"]}),
        ("coordinate too short", {**ec_key, "x": ec_key["x"][:-4]}),
        ("coordinate with padding", {**ec_key, "x": ec_key["x"] + "="}),
        ("no coordinate", {k: v for k, v in ec_key.items() if k != "y"}),
        ("unknown curve", {**ec_key, "crv": "P-224"}),
        ("curve is a list", {**ec_key, "crv": ["P-256"]}),
        ("other type", {**ec_key, "kty": "RSA"}),
        ("no type", {k: v for k, v in ec_key.items() if k != "kty"}),
        ("type is an object", {**ec_key, "kty": {}}),
        ("even exponent", {**rsa_key, "e": "AQAC"}),
        ("exponent one", {**rsa_key, "e": "AQ"}),
        ("huge exponent", {**rsa_key, "e": rsa_key["n"]}),
        ("zero modulus", {**rsa_key, "n": "AA"}),
        ("short modulus", {**rsa_key, "n": rsa_key["n"][:80]}),
        ("modulus is a number", {**rsa_key, "n": 5}),
        ("X25519", {**jwk(EdDSA), "crv": "X25519"}),
        ("point of 31 bytes", {**jwk(EdDSA), "x": "A" * 42}),
        ("symmetric", {**OCT, "alg": "RS256"}),
        ("unknown type", {"kty": "AKP", "pub": "AAAA"}),
    ]


@pytest.mark.parametrize(
    ("why", "key"), bad_jwks(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_unusable_jwk(why: str, key: dict[str, Any]) -> None:
    for algorithm in (RS256, ES256, EdDSA):
        with pytest.raises(Malformed):
            read_keys(json.dumps(key).encode(), algorithm, Jwk)
    assert kids(read_set(key, jwk(RS256, kid="good")), RS256, "good") == ["good"]
    assert len(read_set(key)) == 0


# Key sets


def test_a_token_with_kid_gets_the_key_of_that_name() -> None:
    keys = read_set(jwk(RS256, 0, kid="a"), jwk(RS256, 1, kid="b"), jwk(ES256, kid="c"))
    assert kids(keys, RS256, "b") == ["b"]
    assert rule(keys, RS256, "c") == "algorithm"
    assert rule(keys, RS256, "d") == "unknown_key"


def test_a_token_without_kid_gets_every_key_that_fits() -> None:
    keys = read_set(jwk(RS256, 0, kid="a"), jwk(ES256), jwk(RS256, 1), jwk(RS256, 2, alg="RS512"))
    assert kids(keys, RS256) == ["a", None]
    assert rule(keys, EdDSA) == "unknown_key"


def test_alg_of_a_key_ties_it() -> None:
    keys = read_set(jwk(RS256, kid="a", alg="PS384"))
    assert rule(keys, RS256, "a") == "algorithm"
    assert kids(keys, Algorithm.PS384, "a") == ["a"]


def test_configured_algorithm_does_not_matter_to_a_set() -> None:
    assert kids(read_keys(jwks(jwk(EdDSA, kid="a")).encode(), RS256, Jwks), EdDSA, "a") == ["a"]


def test_two_keys_of_one_name_are_ambiguous_unless_they_are_one_key() -> None:
    assert rule(read_set(jwk(RS256, 0, kid="a"), jwk(RS256, 1, kid="a")), RS256, "a") == "ambiguous_key"
    assert kids(read_set(jwk(RS256, kid="a"), jwk(RS256, kid="a")), RS256, "a") == ["a"]
    assert kids(read_set(jwk(RS256, kid="a"), jwk(ES256, kid="a")), ES256, "a") == ["a"]


def test_issuers_may_not_publish_spiffe_uses_but_files_may() -> None:
    document = {"keys": [jwk(ES256, kid="a", use="jwt-svid"), jwk(ES256, kid="b", use="sig")]}
    of_issuer, of_file = key_set(document), read_set(*document["keys"])
    assert (len(of_issuer), len(of_file)) == (1, 2)
    assert kids(of_issuer, ES256, "b") == kids(of_file, ES256, "b") == ["b"]
    assert kids(of_file, ES256, "a") == ["a"]


def test_symmetric_set_for_a_configured_hmac() -> None:
    keys = read_keys(json.dumps({"keys": [{**OCT, "kid": "a"}]}).encode(), HS256, Jwks)
    assert kids(keys, HS256, "a") == ["a"]
    for spoiler in (jwk(ES256), {**OCT, "alg": "HS512"}, {**OCT, "k": "AAAA"}, 5):
        with pytest.raises(Malformed):
            read_keys(json.dumps({"keys": [OCT, spoiler]}).encode(), HS256, Jwks)
    with pytest.raises(Malformed):
        read_keys(json.dumps(OCT).encode(), Algorithm.HS384, Jwk)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"[]",
        b'{"keys":null}',
        b'{"keys":{}}',
        b"\xff",
        b'{"keys":' + b"[" * 9999,
        b'{"keys":[],"keys":[]}',
    ],
)
def test_unusable_documents(document: bytes) -> None:
    with pytest.raises(Malformed):
        read_keys(document, RS256, Jwks)


def test_too_many_keys() -> None:
    assert len(key_set({"keys": [{}] * MAX_KEYS})) == 0
    with pytest.raises(Malformed, match="more than 256"):
        key_set({"keys": [{}] * (MAX_KEYS + 1)})


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_no_entry_of_a_set_can_do_harm(entry: object) -> None:
    assert len(key_set({"keys": [entry]})) == 0


# The bundle file of spiffe-helper


def wrapped(**domains: str) -> bytes:
    return json.dumps(
        {d.replace("_", "."): base64.b64encode(j.encode()).decode() for d, j in domains.items()}
    ).encode()


def test_bundle_file_uses_the_keys_of_the_domain_of_sub() -> None:
    """The same kid in two domains: a key of one domain never vouches for the other."""
    ours, theirs = jwk(ES256, 0, kid="k", use="jwt-svid"), jwk(ES256, 1, kid="k", use="jwt-svid")
    keys = read_keys(wrapped(example_org=jwks(ours), partner_test=jwks(theirs)), RS256, Jwks)
    (mine,) = keys.candidates(ES256, "k", {"sub": "spiffe://example.org/a/b"})
    (other,) = keys.candidates(ES256, "k", {"sub": "spiffe://partner.test/a"})
    assert not mine.same_material(other)
    for subject in (
        "spiffe://example.org.evil/a",
        "spiffe://example",
        "spiffe://EXAMPLE.ORG/a",
        "example.org",
        None,
        5,
    ):
        assert rule(keys, ES256, "k", sub=subject) == "trust_domain"
    assert rule(keys, ES256, "k", sub="spiffe://example.org/a\n") == "trust_domain"


@pytest.mark.parametrize(
    "document",
    [
        {"example.org": 5},
        {"example.org": "%%%"},
        {"example.org": base64.b64encode(b"hello").decode()},
        {"example.org": base64.b64encode(b"{}").decode()},
        {"keys": "AAAA"},
    ],
)
def test_unusable_bundle_files(document: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        read_keys(json.dumps(document).encode(), RS256, Jwks)


def test_bundle_files_are_bounded_over_all_domains() -> None:
    keys = jwks(*[jwk(ES256, kid=str(n)) for n in range(130)])
    with pytest.raises(Malformed, match="more than"):
        helper_bundle(parse_object(wrapped(a=keys, b=keys)))


# Vectors


def is_helper_file(case: Case) -> bool:
    return bool(case["class"] == "spiffe-helper")


def helper_case_came_out_right(case: Case) -> bool:
    try:
        keys = read_keys(case["document"].encode(), RS256, Jwks)
    except Malformed:
        return case["accept"] in (False, "either")
    if case["accept"] is False:
        return False
    expected = case["jwt_kids"]
    return expected is None or (
        len(keys) == len(expected) and all(f"kid={kid!r}" in repr(keys) for kid in expected)
    )


def jws_came_out_right(case: Case, format: KeyFormat) -> bool:
    try:
        opened = jws.parse(case["jws"])
        keys = read_keys(json.dumps(case["key"]).encode(), opened.algorithm, format)
        jws.check_signature(opened, keys.candidates(opened.algorithm, opened.kid, {}))
        valid = True
    except (InvalidToken, Malformed):
        valid = False
    return "deviation" in case or valid == (case["result"] == "valid")


@each_case("jwks_bundles.json", is_helper_file)
def test_bundle_file_vector(case: Case) -> None:
    assert helper_case_came_out_right(case)


@each_case("wycheproof_jws.json")
def test_wycheproof_jws(case: Case) -> None:
    assert jws_came_out_right(case, Jwk)


@each_case("wycheproof_jwk.json")
def test_wycheproof_jwk(case: Case) -> None:
    """As tokens for a set of the token's own algorithm: the most a configuration could allow."""
    assert jws_came_out_right(case, Jwks)
