"""X.509 bundles and sets of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from identity.spiffe.certificates import certificate_bytes
from identity.spiffe.errors import (
    ArgumentError,
    LoadX509BundleError,
    ParseX509BundleError,
    SaveX509BundleError,
)
from identity.spiffe.spiffe_id import TrustDomain
from identity.spiffe.x509_bundle import X509Bundle, X509BundleSet
from tests.identity.spiffe.trust import Authority

HOME, PARTNER = Authority(), Authority("partner.test")
TD, PARTNER_TD = TrustDomain("example.org"), TrustDomain("partner.test")


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


def test_a_set_finds_the_bundle_of_a_domain() -> None:
    bundles = X509BundleSet.of([X509Bundle(TD, [HOME.root])])
    assert bundles.get_bundle_for_trust_domain(TD) in bundles.bundles
    assert bundles.get_bundle_for_trust_domain(PARTNER_TD) is None
    bundles.put(X509Bundle(PARTNER_TD, [PARTNER.root]))
    bundles.put(X509Bundle(PARTNER_TD))
    assert bundles.bundles == {X509Bundle(TD, [HOME.root]), X509Bundle(PARTNER_TD)}
    assert repr(bundles) == "X509BundleSet(example.org, partner.test)"


def test_a_bundle_needs_a_trust_domain() -> None:
    with pytest.raises(ArgumentError):
        X509Bundle("example.org")  # type: ignore[arg-type]
