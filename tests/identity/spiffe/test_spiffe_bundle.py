"""SPIFFE bundle documents and maps of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from identity.spiffe.errors import SpiffeBundleError
from identity.spiffe.jwt_bundle import JwtBundle
from identity.spiffe.spiffe_bundle import SpiffeBundle, parse_bundle_map
from identity.spiffe.spiffe_id import TrustDomain
from identity.spiffe.x509_bundle import X509Bundle
from tests.identity.spiffe.trust import Authority, jwk

HOME, PARTNER = Authority(), Authority("partner.test")
TD, PARTNER_TD = TrustDomain("example.org"), TrustDomain("partner.test")
KEY = jwk(HOME.jwt_key.public_key(), "k1")


def keys(*entries: object, **members: Any) -> bytes:
    return json.dumps({"keys": entries, **members}).encode()


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
