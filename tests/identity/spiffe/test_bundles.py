"""Bundles of both kinds, sets of them, bundle documents and maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from identity.spiffe.certificates import certificate_bytes
from identity.spiffe.errors import (
    ArgumentError,
    LoadX509BundleError,
    ParseJWTBundleError,
    ParseX509BundleError,
    SaveX509BundleError,
    SpiffeBundleError,
)
from identity.spiffe.jwt_bundle import MAX_KEYS, JwtBundle, JwtBundleSet
from identity.spiffe.spiffe_bundle import SpiffeBundle, parse_bundle_map
from identity.spiffe.spiffe_id import TrustDomain
from identity.spiffe.x509_bundle import X509Bundle, X509BundleSet
from tests.identity.spiffe.trust import Authority, jwk

HOME, PARTNER = Authority(), Authority("partner.test")
TD, PARTNER_TD = TrustDomain("example.org"), TrustDomain("partner.test")
KEY = jwk(HOME.jwt_key.public_key(), "k1")


def keys(*entries: object, **members: Any) -> bytes:
    return json.dumps({"keys": entries, **members}).encode()


# X.509


def test_x509_bundles_are_read_and_written(tmp_path: Path) -> None:
    bundle = X509Bundle(TD, [HOME.root, PARTNER.root])
    for encoding, parse in ((Encoding.PEM, X509Bundle.parse), (Encoding.DER, X509Bundle.parse_raw)):
        assert parse(TD, bundle.to_bytes(encoding)) == bundle
        path = tmp_path / parse.__name__
        bundle.save(path, encoding)
        assert X509Bundle.load(TD, path, encoding) == bundle
    with pytest.raises(LoadX509BundleError, match="nowhere"):
        X509Bundle.load(TD, tmp_path / "nowhere")
    with pytest.raises(SaveX509BundleError):
        bundle.save(tmp_path / "no" / "where")


def test_x509_authorities_come_and_go() -> None:
    bundle = X509Bundle(TD)
    bundle.add_authority(HOME.root)
    assert bundle.x509_authorities == {HOME.root}
    assert repr(bundle) == "X509Bundle(example.org, 1 authorities)"
    bundle.remove_authority(HOME.root)
    assert bundle == X509Bundle(TD)


@pytest.mark.parametrize("data", [b"", b"nothing", HOME.root_der[:-5], HOME.root_der * 1025])
def test_unreadable_x509_bundles_are_refused(data: bytes) -> None:
    for parse in (X509Bundle.parse, X509Bundle.parse_raw):
        with pytest.raises(ParseX509BundleError, match=r"example\.org"):
            parse(TD, data)
    with pytest.raises(ParseX509BundleError):
        X509Bundle.parse(TD, certificate_bytes([HOME.root]) * 1025)


# JWT


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
    with pytest.raises(ArgumentError) as caught:
        JwtBundle(TD, {"weak": weak})
    assert caught.value.field == "jwt_authorities"
    for kind in (JwtBundle, X509Bundle):
        with pytest.raises(ArgumentError):
            kind("example.org", {})  # type: ignore[operator]


# Sets


def test_sets_find_the_bundle_of_a_domain() -> None:
    x509_set = X509BundleSet.of([X509Bundle(TD, [HOME.root])])
    jwt_set = JwtBundleSet.of([JwtBundle.parse(TD, HOME.jwks())])
    for bundles in (x509_set, jwt_set):
        assert bundles.get_bundle_for_trust_domain(TD) in bundles.bundles
        assert bundles.get_bundle_for_trust_domain(PARTNER_TD) is None
    x509_set.put(X509Bundle(PARTNER_TD, [PARTNER.root]))
    jwt_set.put(JwtBundle.parse(PARTNER_TD, PARTNER.jwks()))
    assert len(x509_set.bundles) == len(jwt_set.bundles) == 2
    x509_set.put(X509Bundle(PARTNER_TD))
    assert len(x509_set.bundles) == 2
    assert repr(x509_set) == "X509BundleSet(example.org, partner.test)"
    assert repr(jwt_set) == "JwtBundleSet(example.org, partner.test)"


# SPIFFE bundle documents


def test_a_bundle_document_has_both_kinds_and_its_numbers() -> None:
    bundle = SpiffeBundle.parse(TD, HOME.spiffe_bundle(spiffe_sequence=7, spiffe_refresh_hint=60))
    assert (bundle.sequence, bundle.refresh_hint) == (7, 60)
    assert bundle.x509_bundle == X509Bundle(TD, [HOME.root])
    assert bundle.jwt_bundle == JwtBundle.parse(TD, HOME.jwks())
    plain = SpiffeBundle.parse(TD, HOME.spiffe_bundle())
    assert (plain.sequence, plain.refresh_hint) == (None, 300)


def test_in_a_bundle_document_use_is_needed() -> None:
    bundle = SpiffeBundle.parse(TD, keys({**KEY, "use": None}, {**KEY, "use": "X509-SVID"}))
    assert not bundle.jwt_bundle.jwt_authorities
    assert not bundle.x509_entries


def test_an_unreadable_certificate_vouches_for_nobody() -> None:
    bundle = SpiffeBundle.parse(TD, keys({"kty": "EC", "use": "x509-svid", "x5c": ["MIIB"]}))
    assert len(bundle.x509_entries) == 1
    assert not bundle.x509_bundle.x509_authorities


@pytest.mark.parametrize(
    "document",
    [
        keys(spiffe_sequence="7"),
        keys(spiffe_sequence=True),
        keys(spiffe_sequence=-1),
        keys(spiffe_refresh_hint=1.5),
        keys({"use": "x509-svid"}),
        keys({"use": "x509-svid", "x5c": []}),
        keys({"use": "x509-svid", "x5c": [5]}),
        keys({"use": "x509-svid", "x5c": ["*"]}),
    ],
)
def test_malformed_members_are_refused(document: bytes) -> None:
    with pytest.raises(SpiffeBundleError):
        SpiffeBundle.parse(TD, document)


def test_a_map_of_bundles() -> None:
    document = {"trust_domains": {one.name: json.loads(one.spiffe_bundle()) for one in (HOME, PARTNER)}}
    bundles = parse_bundle_map(json.dumps(document).encode())
    assert {domain: bundle.x509_bundle.x509_authorities for domain, bundle in bundles.items()} == {
        TD: {HOME.root},
        PARTNER_TD: {PARTNER.root},
    }


@pytest.mark.parametrize(
    "document",
    [
        b"{}",
        b'{"trust_domains": []}',
        b'{"trust_domains": {"example.org": []}}',
        b'{"trust_domains": {"Example": {"keys": []}}}',
        b'{"trust_domains": {"a": {"keys": []}, "a": {"keys": []}}}',
        b'{"trust_domains": {"a": {"keys": []}, "spiffe://a": {"keys": []}}}',
        json.dumps({"trust_domains": {f"d{n}": {"keys": []} for n in range(257)}}).encode(),
    ],
)
def test_malformed_maps_are_refused(document: bytes) -> None:
    with pytest.raises(SpiffeBundleError):
        parse_bundle_map(document)
