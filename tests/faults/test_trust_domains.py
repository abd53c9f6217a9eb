"""A root believed for a domain that is not its own: bundles in which several trust domains stand together."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from actors.errors import ConnectionLost
from identity.errors import ConfigError
from identity.spiffe import FileTls, SpiffeId, TrustDomain, X509Bundle, X509BundleSet, verify_x509_svid
from identity.spiffe.certificates import certificate_bytes, private_key_bytes
from identity.spiffe.errors import ParseX509BundleError, UntrustedX509SvidError
from identity.spiffe.x509_bundle import bundles_of_pem
from tests.gateway.planes import TRANSPORTS, plane, serving
from tests.identity.spiffe.trust import Authority

OWN, PARTNER = TrustDomain("example.org"), TrustDomain("partner.test")


class Nameless(Authority):
    """An authority whose certificate names no trust domain, as one of a company's own has it."""

    def __init__(self, name: str = "example.org") -> None:
        super().__init__(name)
        self.root = self.certificate(self.key, ca=True, root=True)


def pem(*authorities: Authority) -> str:
    return certificate_bytes([authority.root for authority in authorities]).decode()


def admin_signed_by(partner: Authority) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The certificate of an administrator of example.org, made by somebody else's authority."""
    return Authority("example.org").svid("/admin", issuer=(partner.root, partner.key))


def shown(leaf: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {"type": "pem", "cert": leaf.public_bytes(Encoding.PEM).decode(), "key": text}


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_partners_authority_in_the_same_file_does_not_speak_for_us(
    transport: str, tmp_path: Path
) -> None:
    own, partner = Authority("example.org"), Authority("partner.test")
    bundle = tmp_path / "svid_bundle.pem"
    bundle.write_text(pem(own, partner))
    tls = {
        "source": shown(*own.svid("/node")),
        "client_ca": {"type": "file", "path": str(bundle), "trust_domains": ["example.org"]},
    }
    async with serving(tls, transport=transport) as at:
        at.transport = "fast"
        for identity, welcome in (
            (own.svid("/admin"), True),
            (admin_signed_by(partner), False),
            (partner.svid("/admin"), False),
        ):
            client_tls = {"source": shown(*identity), "insecure_skip_verify": True}
            async with plane() as client:
                if welcome:
                    assert await at.dial(client, client_tls)
                    continue
                with pytest.raises(ConnectionLost):
                    await at.dial(client, client_tls)


async def test_a_file_may_serve_several_domains_whose_authorities_say_whose_they_are() -> None:
    own, partner = Authority("example.org"), Authority("partner.test")
    domains = ["example.org", "partner.test"]
    tls = {
        "source": shown(*own.svid("/node")),
        "client_ca": {"type": "pem", "data": pem(own, partner), "trust_domains": domains},
    }
    async with serving(tls, transport="fast") as at:
        for identity, welcome in ((partner.svid("/web"), True), (admin_signed_by(partner), False)):
            client_tls = {"source": shown(*identity), "insecure_skip_verify": True}
            async with plane() as client:
                if welcome:
                    assert await at.dial(client, client_tls)
                    continue
                with pytest.raises(ConnectionLost):
                    await at.dial(client, client_tls)


@pytest.mark.parametrize(
    ("authorities", "domains", "why"),
    [
        ([Nameless(), Authority("partner.test")], ["example.org"], "name no trust domain"),
        ([Nameless()], ["example.org", "partner.test"], "name no trust domain"),
        ([Authority("partner.test")], ["example.org"], r"example\.org: no authority of that trust domain"),
        ([Authority()], ["example.org", "partner.test"], r"partner\.test: no authority of that trust domain"),
    ],
)
async def test_whose_authorities_they_are_must_be_clear_at_the_start(
    authorities: list[Authority], domains: list[str], why: str
) -> None:
    tls = {
        "source": shown(*Authority().svid("/node")),
        "client_ca": {"type": "pem", "data": pem(*authorities), "trust_domains": domains},
    }
    with pytest.raises(ConfigError, match=why) as refused:
        async with serving(tls, transport="fast"):
            pass
    assert refused.value.field == "tls.client_ca"


def test_authorities_without_a_name_serve_the_one_domain_of_their_file() -> None:
    # Two at a time: an authority is replaced by another.
    first, second = Nameless(), Nameless()
    bundles = bundles_of_pem(pem(first, second, Authority()).encode(), [OWN])
    for authority in (first, second):
        leaf, _ = authority.svid("/web")
        assert verify_x509_svid([leaf], bundles, time.time()) == SpiffeId("spiffe://example.org/web")


def test_files_of_spiffe_helper_hold_foreign_authorities_apart(tmp_path: Path) -> None:
    own, partner = Authority("example.org"), Authority("partner.test")
    leaf, key = own.svid("/web")
    paths = [tmp_path / name for name in ("tls.crt", "tls.key", "svid_bundle.pem")]
    for path, data in zip(
        paths, (certificate_bytes([leaf]), private_key_bytes(key), pem(partner, own).encode()), strict=True
    ):
        path.write_bytes(data)
    material = FileTls(*map(str, paths)).material(time.time())
    assert material.trust_bundle == pem(own).encode()
    forged, _ = admin_signed_by(partner)
    with pytest.raises(UntrustedX509SvidError):
        material.verify_peer(certificate_bytes([forged]), time.time())


def test_an_authority_in_the_wrong_bundle_vouches_for_nobody() -> None:
    partner = Authority("partner.test")
    forged, _ = admin_signed_by(partner)
    wrong = X509BundleSet.of([X509Bundle(OWN, [partner.root])])
    with pytest.raises(UntrustedX509SvidError, match=r"no X\.509 authority for trust domain example\.org"):
        verify_x509_svid([forged], wrong, time.time())


@pytest.mark.parametrize(
    "name", ["spiffe://Example.org", "SPIFFE://example.org", "spiffe://", "spiffe://a/b/"]
)
def test_an_authority_with_an_unreadable_name_spoils_its_file(name: str) -> None:
    strange = Authority()
    strange.root = strange.certificate(strange.key, ca=True, root=True, uris=[name])
    with pytest.raises(ParseX509BundleError, match="unreadable"):
        bundles_of_pem(pem(strange).encode(), [OWN])


def test_an_authority_of_two_domains_spoils_its_file() -> None:
    both = Authority()
    both.root = both.certificate(
        both.key, ca=True, root=True, uris=[f"spiffe://{OWN}", f"spiffe://{PARTNER}"]
    )
    with pytest.raises(ParseX509BundleError, match="unreadable"):
        bundles_of_pem(pem(both).encode(), [OWN])
