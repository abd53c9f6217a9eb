"""X.509 SVIDs: a certificate chain that names a SPIFFE ID, and the key that proves it (`identity.md` 6.2).

Two questions are kept apart. *May this be an SVID?* is answered without trust in anybody, when an `X509Svid`
is made. *Do we believe it?* is answered by `verify_x509_svid` against bundles, for the chain of a peer.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from identity.spiffe.certificates import (
    MAX_CHAIN,
    PrivateKey,
    key_belongs_to,
    load_certificates,
    load_private_key,
    parse_der_certificates,
    parse_der_private_key,
    parse_pem_certificates,
    parse_pem_private_key,
    save_certificates,
    save_private_key,
)
from identity.spiffe.errors import (
    InvalidIntermediateCertificateError,
    InvalidLeafCertificateError,
    SpiffeIdError,
    UntrustedX509SvidError,
    X509SvidError,
)
from identity.spiffe.spiffe_id import SpiffeId
from identity.spiffe.x509_bundle import X509BundleSet, speaks_for

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


class X509Svid:
    """A workload's own X.509 identity. Immutable; its repr shows no key."""

    __slots__ = ("_cert_chain", "_hint", "_private_key", "_spiffe_id")

    def __init__(
        self,
        spiffe_id: SpiffeId,
        cert_chain: Sequence[x509.Certificate],
        private_key: PrivateKey,
        *,
        hint: str = "",
    ) -> None:
        """Check the chain, that its leaf names `spiffe_id`, and that `private_key` belongs to the leaf.

        Raises X509SvidError or a subclass.
        """
        if check_chain(cert_chain) != spiffe_id:
            raise InvalidLeafCertificateError("the leaf names another SPIFFE ID than the one stated")
        if not key_belongs_to(private_key, cert_chain[0]):
            raise X509SvidError("the private key does not belong to the leaf certificate")
        self._spiffe_id = spiffe_id
        self._cert_chain = tuple(cert_chain)
        self._private_key = private_key
        self._hint = hint

    @property
    def spiffe_id(self) -> SpiffeId:
        return self._spiffe_id

    @property
    def cert_chain(self) -> list[x509.Certificate]:
        """Leaf first, then intermediates."""
        return list(self._cert_chain)

    @property
    def leaf(self) -> x509.Certificate:
        return self._cert_chain[0]

    @property
    def private_key(self) -> PrivateKey:
        return self._private_key

    @property
    def hint(self) -> str:
        """The operator's name for this identity; empty when there is none."""
        return self._hint

    @property
    def expiry(self) -> float:
        """When the leaf's life ends, Unix seconds."""
        return self.leaf.not_valid_after_utc.timestamp()

    @classmethod
    def parse(cls, certs_chain_bytes: bytes, private_key_bytes: bytes) -> X509Svid:
        """An SVID from PEM. Raises X509SvidError, ParseCertificateError or ParsePrivateKeyError."""
        chain = parse_pem_certificates(certs_chain_bytes, limit=MAX_CHAIN)
        return cls(check_chain(chain), chain, parse_pem_private_key(private_key_bytes))

    @classmethod
    def parse_raw(cls, certs_chain_bytes: bytes, private_key_bytes: bytes, *, hint: str = "") -> X509Svid:
        """An SVID from DER. Raises X509SvidError, ParseCertificateError or ParsePrivateKeyError."""
        chain = parse_der_certificates(certs_chain_bytes, limit=MAX_CHAIN)
        return cls(check_chain(chain), chain, parse_der_private_key(private_key_bytes), hint=hint)

    @classmethod
    def load(
        cls,
        certs_chain_path: str | Path,
        private_key_path: str | Path,
        encoding: Encoding = Encoding.PEM,
    ) -> X509Svid:
        """An SVID from two files. Raises X509SvidError or X509CertificateError."""
        chain = load_certificates(certs_chain_path, encoding)
        return cls(check_chain(chain), chain, load_private_key(private_key_path, encoding))

    def save(
        self,
        certs_chain_path: str | Path,
        private_key_path: str | Path,
        encoding: Encoding = Encoding.PEM,
    ) -> None:
        """Write chain and key to two files; only the owner may read the key. Raises X509CertificateError."""
        save_certificates(certs_chain_path, self._cert_chain, encoding)
        save_private_key(private_key_path, self._private_key, encoding)

    def __repr__(self) -> str:
        return f"X509Svid({self._spiffe_id}, until {self.leaf.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ})"


def check_chain(chain: Sequence[x509.Certificate]) -> SpiffeId:
    """The SPIFFE ID of a chain that keeps the rules for X.509 SVIDs, whoever signed it.

    Raises InvalidLeafCertificateError, InvalidIntermediateCertificateError or X509SvidError.
    """
    if not chain:
        raise X509SvidError("an X.509 SVID needs at least a leaf certificate")
    if len(chain) > MAX_CHAIN:
        raise X509SvidError(f"a chain of {len(chain)} certificates is longer than {MAX_CHAIN}")
    spiffe_id = _check_leaf(chain[0])
    for certificate in chain[1:]:
        _check_intermediate(certificate)
    return spiffe_id


def verify_x509_svid(
    chain: Sequence[x509.Certificate],
    bundles: X509BundleSet,
    now: float,
    *,
    expected: Iterable[SpiffeId] = (),
) -> SpiffeId:
    """The SPIFFE ID that a peer proved with `chain` (leaf first) at `now` (Unix seconds).

    Only the bundle of the leaf's own trust domain can vouch for it, and in it only authorities that name no
    other domain: a federated authority never speaks for another. With `expected`, the id must be one of
    these. Raises X509SvidError or a subclass.
    """
    spiffe_id = check_chain(chain)
    domain = spiffe_id.trust_domain
    bundle = bundles.get_bundle_for_trust_domain(domain)
    authorities = [one for one in bundle.x509_authorities if speaks_for(one, domain)] if bundle else []
    if not authorities:
        raise UntrustedX509SvidError(f"there is no X.509 authority for trust domain {domain}")
    try:
        moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
        policy = PolicyBuilder().store(Store(authorities)).time(moment)
        policy.build_client_verifier().verify(chain[0], list(chain[1:]))
    except (VerificationError, ValueError, OverflowError, OSError) as exc:
        raise UntrustedX509SvidError(f"no valid path from the leaf to an authority of {domain}") from exc
    wanted = frozenset(expected)
    if wanted and spiffe_id not in wanted:
        raise UntrustedX509SvidError(f"the peer is {spiffe_id}, which is not among the expected identities")
    return spiffe_id


def _check_leaf(leaf: x509.Certificate) -> SpiffeId:
    extensions = _extensions(leaf, InvalidLeafCertificateError)
    constraints = _find(extensions, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise InvalidLeafCertificateError("the leaf is a CA certificate")
    usage = _find(extensions, x509.KeyUsage)
    if usage is None:
        raise InvalidLeafCertificateError("the leaf has no key usage extension")
    if not usage.digital_signature:
        raise InvalidLeafCertificateError("the leaf's key usage lacks digitalSignature")
    if usage.key_cert_sign or usage.crl_sign:
        raise InvalidLeafCertificateError("the leaf's key usage has keyCertSign or cRLSign")
    extended = _find(extensions, x509.ExtendedKeyUsage)
    if extended is not None and not {
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    } <= set(extended):
        raise InvalidLeafCertificateError("the leaf's extended key usage lacks serverAuth or clientAuth")
    names = _find(extensions, x509.SubjectAlternativeName)
    uris = names.get_values_for_type(x509.UniformResourceIdentifier) if names is not None else []
    if len(uris) != 1:
        raise InvalidLeafCertificateError(f"the leaf has {len(uris)} URI names; an SVID has exactly one")
    try:
        spiffe_id = SpiffeId(uris[0])
    except SpiffeIdError as exc:
        raise InvalidLeafCertificateError(f"the leaf's URI name is not a SPIFFE ID: {exc}") from exc
    if not spiffe_id.path:
        raise InvalidLeafCertificateError("the leaf names a trust domain, not a workload: the path is empty")
    return spiffe_id


def _check_intermediate(certificate: x509.Certificate) -> None:
    extensions = _extensions(certificate, InvalidIntermediateCertificateError)
    constraints = _find(extensions, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise InvalidIntermediateCertificateError("a certificate after the leaf is not a CA certificate")
    usage = _find(extensions, x509.KeyUsage)
    if usage is None or not usage.key_cert_sign:
        raise InvalidIntermediateCertificateError("a CA certificate of the chain lacks keyCertSign")


def _extensions(certificate: x509.Certificate, error: type[X509SvidError]) -> x509.Extensions:
    try:
        return certificate.extensions
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as exc:
        raise error("the extensions of a certificate cannot be read") from exc


def _find(extensions: x509.Extensions, kind: type[_Extension]) -> _Extension | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
