"""X.509 SVIDs: what may be one, and whom we believe."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from identity.spiffe.certificates import MAX_CHAIN, certificate_bytes, private_key_bytes
from identity.spiffe.errors import (
    InvalidIntermediateCertificateError,
    InvalidLeafCertificateError,
    LoadCertificateError,
    LoadPrivateKeyError,
    ParseCertificateError,
    ParsePrivateKeyError,
    StoreCertificateError,
    StorePrivateKeyError,
    UntrustedX509SvidError,
    X509SvidError,
)
from identity.spiffe.spiffe_id import SpiffeId, TrustDomain
from identity.spiffe.x509_bundle import X509Bundle, X509BundleSet
from identity.spiffe.x509_svid import X509Svid, check_chain, verify_x509_svid
from tests.identity.spiffe.trust import Authority

HOME = Authority()
PARTNER = Authority("partner.test")


def bundles(*authorities: Authority) -> X509BundleSet:
    return X509BundleSet.of(X509Bundle(TrustDomain(one.name), [one.root]) for one in authorities)


def with_intermediate() -> tuple[list[x509.Certificate], ec.EllipticCurvePrivateKey]:
    middle_key = ec.generate_private_key(ec.SECP256R1())
    middle = HOME.certificate(middle_key, ca=True, uris=[HOME.id])
    leaf, key = HOME.svid(issuer=(middle, middle_key))
    return [leaf, middle], key


def test_a_chain_with_its_key_is_an_svid() -> None:
    chain, key = with_intermediate()
    svid = X509Svid(SpiffeId("spiffe://example.org/web"), chain, key, hint="internal")
    assert (svid.leaf, svid.cert_chain, svid.private_key, svid.hint) == (chain[0], chain, key, "internal")
    assert svid.expiry == chain[0].not_valid_after_utc.timestamp()
    assert verify_x509_svid(chain, bundles(HOME, PARTNER), time.time()) == svid.spiffe_id
    assert "PRIVATE" not in repr(svid)


@pytest.mark.parametrize(
    "options",
    [
        {"uris": []},
        {"uris": ["spiffe://example.org/web", "spiffe://example.org/api"]},
        {"uris": ["spiffe://example.org/web", "https://example.org"]},
        {"uris": ["https://example.org/web"]},
        {"uris": ["spiffe://example.org"]},
        {"uris": ["spiffe://example.org/"]},
        {"uris": ["spiffe://EXAMPLE.org/web"]},
        {"uris": ["spiffe://example.org/web\n"]},
        {"uris": ["spiffe://example.org/%77eb"]},
        {"uris": ["spiffe://example.org/web"], "ca": True},
        {"uris": ["spiffe://example.org/web"], "eku": [ExtendedKeyUsageOID.SERVER_AUTH]},
    ],
)
def test_a_leaf_that_breaks_a_rule_is_refused(options: dict[str, Any]) -> None:
    leaf = HOME.certificate(ec.generate_private_key(ec.SECP256R1()), **options)
    with pytest.raises(InvalidLeafCertificateError):
        check_chain([leaf])


def test_a_leaf_may_do_without_extended_key_usage() -> None:
    leaf, _ = HOME.svid(eku=None)
    assert check_chain([leaf]).path == "/web"


def test_what_follows_the_leaf_is_an_authority() -> None:
    leaf, _ = HOME.svid()
    other, _ = HOME.svid("/other")
    with pytest.raises(InvalidIntermediateCertificateError):
        check_chain([leaf, other])
    with pytest.raises(X509SvidError, match="at least a leaf"):
        check_chain([])
    with pytest.raises(X509SvidError, match="longer than"):
        check_chain([leaf, *[HOME.root] * MAX_CHAIN])


def test_key_and_id_belong_to_the_leaf() -> None:
    leaf, key = HOME.svid()
    with pytest.raises(X509SvidError, match="does not belong"):
        X509Svid(SpiffeId("spiffe://example.org/web"), [leaf], ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(InvalidLeafCertificateError, match="another SPIFFE ID"):
        X509Svid(SpiffeId("spiffe://example.org/other"), [leaf], key)


@pytest.mark.parametrize(
    "chain",
    [
        pytest.param([Authority().svid()[0]], id="rival-authority-of-one-name"),
        pytest.param(
            [PARTNER.certificate(PARTNER.key, uris=["spiffe://example.org/web"])], id="other-domain"
        ),
        pytest.param([HOME.svid(ttl=-1)[0]], id="expired"),
        pytest.param([HOME.svid(start=600)[0]], id="not-yet-valid"),
        pytest.param([HOME.svid(critical_unknown=True)[0]], id="unknown-critical-extension"),
        pytest.param([with_intermediate()[0][0]], id="missing-intermediate"),
    ],
)
def test_a_path_that_does_not_hold_is_refused(chain: list[x509.Certificate]) -> None:
    with pytest.raises(UntrustedX509SvidError):
        verify_x509_svid(chain, bundles(HOME, PARTNER), time.time())


def test_a_leaf_is_no_authority_even_when_it_signs() -> None:
    between, between_key = HOME.svid("/between")
    leaf, _ = HOME.svid(issuer=(between, between_key))
    with pytest.raises(InvalidIntermediateCertificateError):
        verify_x509_svid([leaf, between], bundles(HOME), time.time())
    with pytest.raises(UntrustedX509SvidError):
        trusting_leaf = X509BundleSet.of([X509Bundle(TrustDomain("example.org"), [between])])
        verify_x509_svid([leaf], trusting_leaf, time.time())


def test_without_authorities_nobody_is_believed() -> None:
    leaf, _ = HOME.svid()
    empty = X509BundleSet.of([X509Bundle(TrustDomain("example.org"))])
    for trusted in (X509BundleSet(), bundles(PARTNER), empty):
        with pytest.raises(
            UntrustedX509SvidError, match=r"no X\.509 authority for trust domain example\.org"
        ):
            verify_x509_svid([leaf], trusted, time.time())


@pytest.mark.parametrize("now", [-1e18, 1e18, float("nan"), float("inf")])
def test_an_impossible_time_is_refused(now: float) -> None:
    with pytest.raises(UntrustedX509SvidError):
        verify_x509_svid([HOME.svid()[0]], bundles(HOME), now)


def test_an_expected_peer_is_compared_as_a_whole() -> None:
    leaf, _ = HOME.svid()
    web, admin = SpiffeId("spiffe://example.org/web"), SpiffeId("spiffe://example.org/web/admin")
    assert verify_x509_svid([leaf], bundles(HOME), time.time(), expected=[admin, web]) == web
    with pytest.raises(UntrustedX509SvidError, match="not among the expected"):
        verify_x509_svid([leaf], bundles(HOME), time.time(), expected=[admin])


# Bytes and files


def test_pem_and_der_carry_the_same() -> None:
    chain, key = with_intermediate()
    for encoding, parse in ((Encoding.PEM, X509Svid.parse), (Encoding.DER, X509Svid.parse_raw)):
        svid = parse(certificate_bytes(chain, encoding), private_key_bytes(key, encoding))
        assert svid.cert_chain == chain


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_saved_files_load_and_the_key_is_private(tmp_path: Path, encoding: Encoding) -> None:
    chain, key = with_intermediate()
    svid = X509Svid(SpiffeId("spiffe://example.org/web"), chain, key)
    certificate_file, key_file = tmp_path / "tls.crt", tmp_path / "tls.key"
    key_file.write_bytes(b"older and longer" * 1000)
    key_file.chmod(0o644)
    svid.save(certificate_file, key_file, encoding)
    assert stat.S_IMODE(os.stat(key_file).st_mode) == 0o600
    assert X509Svid.load(certificate_file, key_file, encoding).cert_chain == chain


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    leaf, key = HOME.svid()
    svid = X509Svid(SpiffeId("spiffe://example.org/web"), [leaf], key)
    missing, here = tmp_path / "no" / "file", tmp_path / "tls.crt"
    here.write_bytes(certificate_bytes([leaf]))
    with pytest.raises(LoadCertificateError, match="no/file"):
        X509Svid.load(missing, here)
    with pytest.raises(LoadPrivateKeyError, match="no/file"):
        X509Svid.load(here, missing)
    with pytest.raises(StoreCertificateError, match="no/file"):
        svid.save(missing, here)
    with pytest.raises(StorePrivateKeyError, match="no/file"):
        svid.save(here, missing)
    with pytest.raises(ParsePrivateKeyError):
        X509Svid.load(here, here)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(5 * 1024 * 1024)
    with pytest.raises(LoadCertificateError, match="larger than"):
        X509Svid.load(huge, huge)


def test_keys_of_other_kinds_are_refused() -> None:
    leaf, key = HOME.svid()
    chain = certificate_bytes([leaf])
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass"))
    other = x25519.X25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    for pem in (locked, other, b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"):
        with pytest.raises(ParsePrivateKeyError) as caught:
            X509Svid.parse(chain, pem)
        assert "AAAA" not in str(caught.value)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_by_name(data: bytes) -> None:
    for parse in (X509Svid.parse, X509Svid.parse_raw):
        with pytest.raises((ParseCertificateError, X509SvidError)):
            parse(data, data)
