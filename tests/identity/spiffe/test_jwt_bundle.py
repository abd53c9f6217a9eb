"""JWT bundles and sets of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from identity.encoding import Malformed
from identity.jose.key_set import MAX_KEYS, public_jwk
from identity.spiffe.errors import ArgumentError, ParseJWTBundleError, SpiffeBundleError
from identity.spiffe.jwt_bundle import JWT_SVID_USE, SVID_ALGORITHMS, JwtBundle, JwtBundleSet
from identity.spiffe.spiffe_bundle import SpiffeBundle
from identity.spiffe.spiffe_id import TrustDomain
from tests.identity.spiffe.trust import Authority, jwk

HOME, PARTNER = Authority(), Authority("partner.test")
TD, PARTNER_TD = TrustDomain("example.org"), TrustDomain("partner.test")
KEY = jwk(HOME.jwt_key.public_key(), "k1")


def keys(*entries: object, **members: Any) -> bytes:
    return json.dumps({"keys": entries, **members}).encode()


def test_jwt_bundles_give_keys_by_id(tmp_path: Path) -> None:
    bundle = JwtBundle.parse(TD, keys(KEY, {**KEY, "kid": "k2", "use": None}))
    assert list(bundle.jwt_authorities) == ["k1", "k2"]
    assert bundle.get_jwt_authority("k1") is not None
    for kid in ("k3", "", None):
        assert bundle.get_jwt_authority(kid) is None
    path = tmp_path / "keys.json"
    path.write_bytes(HOME.jwks())
    assert JwtBundle.load(TD, path) == JwtBundle(TD, {"k1": HOME.jwt_key.public_key()})
    assert repr(bundle) == "JwtBundle(example.org, 2 keys)"
    with pytest.raises(ParseJWTBundleError, match="nowhere"):
        JwtBundle.load(TD, tmp_path / "nowhere")


@pytest.mark.parametrize(
    "entry",
    [
        {**KEY, "use": "sig"},
        {**KEY, "use": "JWT-SVID"},
        {**KEY, "use": ["jwt-svid"]},
        {**KEY, "kid": ""},
        {**KEY, "kid": "k" * 2000},
        {**KEY, "kid": {"a": 1}},
        {**KEY, "kty": "oct", "k": "AAAA"},
        {**KEY, "x": "****"},
        {"kty": "unknown"},
        {},
    ],
)
def test_one_strange_entry_does_not_spoil_the_others(entry: dict[str, Any]) -> None:
    assert list(JwtBundle.parse(TD, keys(entry, {**KEY, "kid": "good"})).jwt_authorities) == ["good"]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"keys": {}}',
        b'{"keys": [1]}',
        b'{"keys": [], "keys": []}',
        b'{"keys": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        keys(*[{}] * (MAX_KEYS + 1)),
        keys(KEY, KEY),
        b'{"keys": [], "pad": "' + b"x" * 4 * 1024 * 1024 + b'"}',
    ],
    ids=range(11),
)
def test_documents_that_are_no_key_set_are_refused(document: bytes) -> None:
    with pytest.raises(ParseJWTBundleError, match=r"example\.org"):
        JwtBundle.parse(TD, document)
    with pytest.raises(SpiffeBundleError, match=r"example\.org"):
        SpiffeBundle.parse(TD, document)


def test_no_keys_at_all_is_a_bundle_that_trusts_nobody() -> None:
    assert JwtBundle.parse(TD, keys()).jwt_authorities == {}


def test_keys_given_directly_must_fit() -> None:
    weak = rsa.generate_private_key(65537, 1024).public_key()
    for key in (weak, ed25519.Ed25519PrivateKey.generate().public_key()):
        with pytest.raises(ArgumentError) as caught:
            JwtBundle(TD, {"key": key})  # type: ignore[dict-item]
        assert caught.value.field == "jwt_authorities"


def test_a_jwk_on_the_curve_that_only_svids_use() -> None:
    public = ec.generate_private_key(ec.SECP521R1()).public_key()
    bundle = JwtBundle.parse(TD, keys(jwk(public, "k1")))
    assert bundle.jwt_authorities == {"k1": public}


def test_a_set_finds_the_bundle_of_a_domain() -> None:
    bundles = JwtBundleSet.of([JwtBundle.parse(TD, HOME.jwks())])
    assert bundles.get_bundle_for_trust_domain(TD) in bundles.bundles
    assert bundles.get_bundle_for_trust_domain(PARTNER_TD) is None
    bundles.put(JwtBundle.parse(PARTNER_TD, PARTNER.jwks()))
    bundles.put(JwtBundle(PARTNER_TD, {}))
    assert bundles.bundles == {JwtBundle.parse(TD, HOME.jwks()), JwtBundle(PARTNER_TD, {})}
    assert repr(bundles) == "JwtBundleSet(example.org, partner.test)"


def test_a_bundle_needs_a_trust_domain() -> None:
    with pytest.raises(ArgumentError):
        JwtBundle("example.org", {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"x": "AAAA"},
        {"x": 5},
        {"x": KEY["y"]},
        {"crv": "secp256k1"},
        {"crv": ["P-256"]},
        {"kty": "oct", "k": "AAAA"},
        {"kty": None},
        {"alg": "HS256"},
        {"alg": 5},
        {"d": "AAAA"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA", "n": "A" * 5000, "e": "AQAB"},
    ],
)
def test_broken_keys_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        public_jwk({**KEY, **change}, frozenset({JWT_SVID_USE}), SVID_ALGORITHMS)
