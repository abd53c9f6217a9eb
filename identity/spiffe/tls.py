"""X.509 identities as bytes for TLS, from a source or from spiffe-helper's files (`identity.md` 3.6, 4).

Whoever serves or dials TLS asks for `material(now)` with each new handshake: it never waits, and gives the
very same object until something changed, so a TLS context is built once per rotation and open connections
keep theirs. No sockets here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from identity.errors import ConfigError
from identity.log import logger
from identity.spiffe.certificates import (
    MAX_CHAIN,
    MAX_FILE_BYTES,
    certificate_bytes,
    parse_pem_certificates,
    private_key_bytes,
)
from identity.spiffe.errors import PySpiffeError, UntrustedX509SvidError, X509SourceError
from identity.spiffe.sources import AsyncX509Source
from identity.spiffe.spiffe_id import SpiffeId, TrustDomain
from identity.spiffe.x509_bundle import X509BundleSet, bundles_of_pem
from identity.spiffe.x509_svid import X509Svid, verify_x509_svid
from identity.watch import WatchedFile


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """One state of what a handshake is made with: an own certificate, and whom it trusts. PEM throughout."""

    certificate_chain: bytes | None = field(default=None, repr=False)
    """Leaf first, then intermediates; None for a client that shows no certificate."""
    private_key: bytes | None = field(default=None, repr=False)
    """PKCS#8, not encrypted."""
    trust_bundle: bytes | None = field(default=None, repr=False)
    """The authorities for the TLS library to check peers with; None: the system's."""
    bundles: X509BundleSet | None = field(default=None, repr=False)
    """The same authorities by trust domain, where peers are known by their SPIFFE IDs."""
    spiffe_id: SpiffeId | None = None
    """Who the own certificate is of, when it is an X.509 SVID."""
    expiry: float = math.inf
    """When that SVID ends, Unix seconds."""

    def verify_peer(self, chain: bytes, now: float, *, expected: Iterable[SpiffeId] = ()) -> SpiffeId:
        """The SPIFFE ID of a peer whose TLS handshake gave `chain` (PEM, leaf first).

        To be called after the handshake as well: the TLS library takes any trusted authority for any peer,
        but an authority speaks only for its own trust domain. With `expected`, the peer must be one of these.
        Raises X509SvidError or ParseCertificateError; without authorities by domain, nobody is known.
        """
        certificates = parse_pem_certificates(chain, limit=MAX_CHAIN)
        return verify_x509_svid(certificates, self.bundles or X509BundleSet(), now, expected=expected)


class SourceTls:
    """TLS material from an X.509 source, as new as the source."""

    def __init__(
        self,
        source: AsyncX509Source,
        *,
        spiffe_id: SpiffeId | None = None,
        trust_domains: Iterable[TrustDomain] = (),
    ) -> None:
        """`spiffe_id` chooses among several identities; by default it is the source's choice.

        Peers of the own trust domain are trusted, or exactly those of `trust_domains` if there are any. The
        source must be started, and stays the caller's to close.
        """
        self._source = source
        self._spiffe_id = spiffe_id
        self._trust_domains = tuple(trust_domains)
        self._material: TlsMaterial | None = None
        source.subscribe_for_updates(self._forget)

    def material(self, now: float) -> TlsMaterial:
        """The current material. Raises X509SourceError when it is revoked, closed, or has ended at `now`."""
        if self._material is None:
            svid = self._choose()
            domains = self._trust_domains or (svid.spiffe_id.trust_domain,)
            found = (self._source.get_bundle_for_trust_domain(domain) for domain in domains)
            self._material = _material(svid, X509BundleSet.of(bundle for bundle in found if bundle))
        if self._material.expiry <= now:
            raise X509SourceError(
                f"the X.509 SVID of {self._material.spiffe_id} has expired; is the agent running?"
            )
        return self._material

    def subscribe_for_updates(self, callback: Callable[[], None]) -> None:
        """Have `callback` called in the source's loop after each change, a revocation included."""
        self._source.subscribe_for_updates(callback)

    def unsubscribe_for_updates(self, callback: Callable[[], None]) -> None:
        """Stop calling `callback`."""
        self._source.unsubscribe_for_updates(callback)

    def _choose(self) -> X509Svid:
        if self._spiffe_id is None:
            return self._source.svid
        for svid in self._source.get_x509_context().x509_svids:
            if svid.spiffe_id == self._spiffe_id:
                return svid
        raise X509SourceError(f"the agent gives no X.509 SVID for {self._spiffe_id}")

    def _forget(self) -> None:
        self._material = None


class FileTls:
    """TLS material from the three files that spiffe-helper keeps up to date.

    The files are looked at once a second at most, when the material is wanted. While they do not fit
    together (the helper is writing) the last good state stays.
    """

    def __init__(self, certificate: str, key: str, bundle: str) -> None:
        """Paths of `tls.crt`, `tls.key` and `svid_bundle.pem`. Raises ConfigError naming the unusable one."""
        self._files = tuple(
            WatchedFile(path, bytes, max_bytes=MAX_FILE_BYTES, field=field)
            for path, field in ((certificate, "certificate"), (key, "key"), (bundle, "bundle"))
        )
        self._generations = self._read_generations()
        try:
            # The clock does not matter: the files were read a moment ago.
            self._material = _from_pem(*(file.get(0.0) for file in self._files))
        except PySpiffeError as exc:
            raise ConfigError(
                f"{certificate}, {key} and {bundle} do not make an identity: {exc}", field="certificate"
            ) from exc

    def material(self, now: float) -> TlsMaterial:
        """The current material. Raises UntrustedX509SvidError when it has ended at `now`."""
        contents = [file.get(now) for file in self._files]
        generations = self._read_generations()
        if generations != self._generations:
            self._generations = generations
            try:
                self._material = _from_pem(*contents)
            except PySpiffeError as exc:
                path = str(self._files[0].path)
                logger.warning("the identity read before stays in use", path=path, cause=str(exc))
        if self._material.expiry <= now:
            raise UntrustedX509SvidError(
                f"{self._files[0].path}: the X.509 SVID has expired; is spiffe-helper running?"
            )
        return self._material

    def _read_generations(self) -> tuple[int, ...]:
        return tuple(file.generation for file in self._files)


def _from_pem(certificate: bytes, key: bytes, bundle: bytes) -> TlsMaterial:
    svid = X509Svid.parse(certificate, key)
    return _material(svid, bundles_of_pem(bundle, [svid.spiffe_id.trust_domain]))


def _material(svid: X509Svid, bundles: X509BundleSet) -> TlsMaterial:
    return TlsMaterial(
        certificate_bytes(svid.cert_chain),
        private_key_bytes(svid.private_key),
        trust_bytes(bundles),
        bundles,
        svid.spiffe_id,
        svid.expiry,
    )


def trust_bytes(bundles: X509BundleSet) -> bytes:
    """All authorities of a set, PEM, in an order that does not change."""
    ordered = sorted(bundles.bundles, key=lambda bundle: bundle.trust_domain.name)
    return b"".join(bundle.to_bytes() for bundle in ordered)
