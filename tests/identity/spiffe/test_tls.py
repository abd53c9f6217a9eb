"""TLS material from a source and from files: rotation, revocation, expiry, and what a peer must prove."""

from __future__ import annotations

import contextlib
import os
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from identity.errors import ConfigError
from identity.spiffe.certificates import certificate_bytes, private_key_bytes
from identity.spiffe.errors import ParseCertificateError, UntrustedX509SvidError, X509SourceError
from identity.spiffe.retry import RetryPolicy
from identity.spiffe.sources import AsyncX509Source
from identity.spiffe.spiffe_id import SpiffeId, TrustDomain
from identity.spiffe.tls import FileTls, SourceTls, TlsMaterial
from tests.identity.spiffe.test_sources import Updates
from tests.identity.spiffe.trust import Authority
from tests.identity.spiffe.workload_server import PATIENCE, WorkloadServer

WEB = SpiffeId("spiffe://example.org/web")


@pytest.fixture
async def source(server: WorkloadServer) -> AsyncIterator[AsyncX509Source]:
    server.federated = [Authority("partner.test")]
    server.paths = ["/web", "/batch"]
    hasty = RetryPolicy(base_backoff_in_seconds=0.01, max_backoff=0.05)
    async with await AsyncX509Source(socket_path=server.path, retry_policy=hasty).start(PATIENCE) as source:
        yield source


def is_consistent(material: TlsMaterial) -> bool:
    leaf = x509.load_pem_x509_certificates(material.certificate_chain)[0]
    return load_pem_private_key(material.private_key, None).public_key() == leaf.public_key()


async def test_a_source_gives_the_same_object_until_it_rotates(
    server: WorkloadServer, source: AsyncX509Source
) -> None:
    tls = SourceTls(source)
    updates = Updates(source)
    first = tls.material(time.time())
    assert first.spiffe_id == WEB
    assert is_consistent(first)
    assert tls.material(time.time()) is first
    server.rotate()
    await updates.next()
    second = tls.material(time.time())
    assert second is not first
    assert second.certificate_chain != first.certificate_chain
    assert is_consistent(second)


async def test_an_identity_can_be_chosen(source: AsyncX509Source) -> None:
    batch = SpiffeId("spiffe://example.org/batch")
    assert SourceTls(source, spiffe_id=batch).material(time.time()).spiffe_id == batch
    with pytest.raises(X509SourceError, match=r"no X\.509 SVID for spiffe://example\.org/none"):
        SourceTls(source, spiffe_id=SpiffeId("spiffe://example.org/none")).material(time.time())


async def test_only_named_domains_are_trusted(server: WorkloadServer, source: AsyncX509Source) -> None:
    partner_leaf, _ = server.federated[0].svid()
    chain = certificate_bytes([partner_leaf])
    own = SourceTls(source).material(time.time())
    assert len(x509.load_pem_x509_certificates(own.trust_bundle)) == 1
    with pytest.raises(UntrustedX509SvidError):
        own.verify_peer(chain, time.time())
    both = SourceTls(source, trust_domains=[TrustDomain("example.org"), TrustDomain("partner.test")])
    material = both.material(time.time())
    assert len(x509.load_pem_x509_certificates(material.trust_bundle)) == 2
    assert material.verify_peer(chain, time.time()).trust_domain.name == "partner.test"
    with pytest.raises(UntrustedX509SvidError):
        material.verify_peer(chain, time.time(), expected=[WEB])
    with pytest.raises(ParseCertificateError):
        material.verify_peer(b"nothing", time.time())
    gone = SourceTls(source, trust_domains=[TrustDomain("nowhere.test")]).material(time.time())
    assert gone.trust_bundle == b""


async def test_a_revoked_identity_gives_nothing(server: WorkloadServer, source: AsyncX509Source) -> None:
    tls = SourceTls(source)
    updates = Updates(source)
    tls.material(time.time())
    calls: list[None] = []

    def heard() -> None:
        calls.append(None)

    tls.subscribe_for_updates(heard)
    server.deny()
    await updates.next()
    tls.unsubscribe_for_updates(heard)
    assert calls == [None]
    with pytest.raises(X509SourceError, match="revoked"):
        tls.material(time.time())


async def test_an_expired_identity_gives_nothing(source: AsyncX509Source) -> None:
    tls = SourceTls(source)
    with pytest.raises(X509SourceError, match="expired"):
        tls.material(time.time() + 7200)


async def test_the_key_is_not_shown(source: AsyncX509Source) -> None:
    material = SourceTls(source).material(time.time())
    assert "BEGIN" not in repr(material)
    assert "key" not in repr(material)


class Connection:
    """Two ends of mutual TLS, made of two materials, without a network."""

    def __init__(self, server: TlsMaterial, client: TlsMaterial, directory: Path) -> None:
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = context(server, ssl.PROTOCOL_TLS_SERVER, directory).wrap_bio(
            to_server, to_client, server_side=True
        )
        self.client = context(client, ssl.PROTOCOL_TLS_CLIENT, directory).wrap_bio(to_client, to_server)
        for end in (self.client, self.server) * 3:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()

    def carries(self, data: bytes) -> bool:
        self.client.write(data)
        return self.server.read() == data


def context(material: TlsMaterial, protocol: int, directory: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(protocol)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_verify_locations(cadata=material.trust_bundle.decode())
    own = directory / "own.pem"
    own.write_bytes(material.certificate_chain + material.private_key)
    made.load_cert_chain(own)
    return made


def peer_of(end: ssl.SSLObject) -> bytes:
    der = end.getpeercert(binary_form=True)
    assert der is not None
    return ssl.DER_cert_to_PEM_cert(der).encode()


async def test_material_makes_mutual_tls_and_open_connections_outlive_a_rotation(
    server: WorkloadServer, source: AsyncX509Source, tmp_path: Path
) -> None:
    tls, now = SourceTls(source), time.time()
    updates = Updates(source)
    old = tls.material(now)
    before = Connection(old, old, tmp_path)
    assert before.carries(b"before")
    assert old.verify_peer(peer_of(before.client), now) == WEB
    assert old.verify_peer(peer_of(before.server), now, expected=[WEB]) == WEB
    server.rotate(Authority())
    await updates.next()
    new = tls.material(now)
    assert Connection(new, new, tmp_path).carries(b"after")
    assert before.carries(b"still here")
    with pytest.raises(ssl.SSLError):
        Connection(new, old, tmp_path)


# Files


class Helper:
    """Writes the files of spiffe-helper."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority()
        self.certificate = directory / "tls.crt"
        self.key = directory / "tls.key"
        self.bundle = directory / "svid_bundle.pem"

    def write(self, *, ttl: float = 3600.0, certificate_only: bool = False) -> None:
        leaf, key = self.authority.svid(ttl=ttl)
        self._replace(self.certificate, certificate_bytes([leaf]))
        if not certificate_only:
            self._replace(self.key, private_key_bytes(key))
            self._replace(self.bundle, certificate_bytes([self.authority.root]))

    def tls(self) -> FileTls:
        return FileTls(str(self.certificate), str(self.key), str(self.bundle))

    @staticmethod
    def _replace(path: Path, content: bytes) -> None:
        new = path.with_suffix(".new")
        new.write_bytes(content)
        os.replace(new, path)


@pytest.fixture
def helper(tmp_path: Path) -> Helper:
    helper = Helper(tmp_path)
    helper.write()
    return helper


def test_files_are_read_again_when_they_change(helper: Helper) -> None:
    tls, now = helper.tls(), time.time()
    first = tls.material(now)
    assert first.spiffe_id == WEB
    assert is_consistent(first)
    assert tls.material(now + 2) is first
    helper.authority = Authority()
    helper.write()
    second = tls.material(now + 4)
    assert second.bundles != first.bundles
    assert is_consistent(second)
    peer, _ = helper.authority.svid("/peer")
    assert second.verify_peer(certificate_bytes([peer]), now).path == "/peer"
    with pytest.raises(UntrustedX509SvidError):
        first.verify_peer(certificate_bytes([peer]), now)


def test_half_written_files_change_nothing(helper: Helper) -> None:
    tls, now = helper.tls(), time.time()
    first = tls.material(now)
    helper.write(certificate_only=True)
    assert tls.material(now + 2) is first
    helper.certificate.write_bytes(b"-----BEGIN")
    assert tls.material(now + 4) is first
    helper.certificate.unlink()
    assert tls.material(now + 6) is first
    helper.write()
    assert tls.material(now + 8) is not first


def test_expired_files_give_nothing(helper: Helper) -> None:
    with pytest.raises(UntrustedX509SvidError, match="is spiffe-helper running"):
        helper.tls().material(time.time() + 7200)


def test_files_that_make_no_identity_are_a_configuration_error(helper: Helper) -> None:
    helper.write(certificate_only=True)
    with pytest.raises(ConfigError, match="do not make an identity"):
        helper.tls()
    helper.bundle.unlink()
    with pytest.raises(ConfigError) as caught:
        helper.tls()
    assert caught.value.field == "bundle"
