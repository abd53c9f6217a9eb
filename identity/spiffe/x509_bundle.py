"""X.509 bundles: the authorities of trust domains (`identity.md` 6.4, 7).

An authority that names a trust domain (`spiffe://example.org` among its names) speaks for that one and no
other, whatever bundle it stands in. Files in PEM do not say whose authorities they hold: `bundles_of_pem`
tells by these names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from identity.encoding import Malformed
from identity.spiffe.certificates import (
    MAX_AUTHORITIES,
    certificate_bytes,
    parse_der_certificates,
    parse_pem_certificates,
    read_bounded,
)
from identity.spiffe.errors import (
    ArgumentError,
    LoadX509BundleError,
    ParseCertificateError,
    ParseX509BundleError,
    SaveX509BundleError,
    SpiffeIdError,
)
from identity.spiffe.spiffe_id import SCHEME, SpiffeId, TrustDomain


class X509Bundle:
    """The X.509 authorities of one trust domain. One without authorities trusts nobody."""

    __slots__ = ("_authorities", "_trust_domain")

    def __init__(
        self, trust_domain: TrustDomain, x509_authorities: Iterable[x509.Certificate] | None = None
    ) -> None:
        """Raises ArgumentError."""
        if not isinstance(trust_domain, TrustDomain):
            raise ArgumentError("an X.509 bundle needs a trust domain", field="trust_domain")
        self._trust_domain = trust_domain
        self._authorities = frozenset(x509_authorities or ())

    @property
    def trust_domain(self) -> TrustDomain:
        return self._trust_domain

    @property
    def x509_authorities(self) -> frozenset[x509.Certificate]:
        return self._authorities

    def copy(self) -> X509Bundle:
        """One that can be changed without changing this one."""
        return X509Bundle(self._trust_domain, self._authorities)

    def add_authority(self, x509_authority: x509.Certificate) -> None:
        self._authorities |= {x509_authority}

    def remove_authority(self, x509_authority: x509.Certificate) -> None:
        self._authorities -= {x509_authority}

    @classmethod
    def parse(cls, trust_domain: TrustDomain, bundle_bytes: bytes) -> X509Bundle:
        """A bundle from PEM with at least one certificate. Raises ParseX509BundleError."""
        try:
            return cls(trust_domain, parse_pem_certificates(bundle_bytes, limit=MAX_AUTHORITIES))
        except ParseCertificateError as exc:
            raise ParseX509BundleError(f"X.509 bundle of {trust_domain}: {exc}") from exc

    @classmethod
    def parse_raw(cls, trust_domain: TrustDomain, bundle_bytes: bytes) -> X509Bundle:
        """A bundle from concatenated DER with at least one certificate. Raises ParseX509BundleError."""
        try:
            authorities = parse_der_certificates(bundle_bytes, limit=MAX_AUTHORITIES)
        except ParseCertificateError as exc:
            raise ParseX509BundleError(f"X.509 bundle of {trust_domain}: {exc}") from exc
        if not authorities:
            raise ParseX509BundleError(f"X.509 bundle of {trust_domain}: no certificate in it")
        return cls(trust_domain, authorities)

    @classmethod
    def load(
        cls, trust_domain: TrustDomain, bundle_path: str | Path, encoding: Encoding = Encoding.PEM
    ) -> X509Bundle:
        """A bundle from a file. Raises LoadX509BundleError or ParseX509BundleError."""
        try:
            data = read_bounded(bundle_path)
        except Malformed as exc:
            raise LoadX509BundleError(f"cannot read a bundle from {str(bundle_path)!r}: {exc}") from exc
        return (
            cls.parse(trust_domain, data) if encoding == Encoding.PEM else cls.parse_raw(trust_domain, data)
        )

    def save(self, bundle_path: str | Path, encoding: Encoding = Encoding.PEM) -> None:
        """Write the authorities to a file. Raises SaveX509BundleError."""
        try:
            Path(bundle_path).write_bytes(self.to_bytes(encoding))
        except OSError as exc:
            raise SaveX509BundleError(f"cannot write a bundle to {str(bundle_path)!r}: {exc}") from exc

    def to_bytes(self, encoding: Encoding = Encoding.PEM) -> bytes:
        """The authorities as PEM or concatenated DER, in the order of their bytes so that equal is equal."""
        return b"".join(sorted(certificate_bytes((one,), encoding) for one in self._authorities))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, X509Bundle):
            return NotImplemented
        return (self._trust_domain, self._authorities) == (other._trust_domain, other._authorities)

    def __hash__(self) -> int:
        return hash(self._trust_domain)

    def __repr__(self) -> str:
        return f"X509Bundle({self._trust_domain}, {len(self._authorities)} authorities)"


class X509BundleSet:
    """X.509 bundles by trust domain."""

    __slots__ = ("_bundles",)

    def __init__(self, bundles: Mapping[TrustDomain, X509Bundle] | None = None) -> None:
        self._bundles = dict(bundles or {})

    @classmethod
    def of(cls, bundle_list: Iterable[X509Bundle]) -> X509BundleSet:
        """A set of these bundles; of two for one trust domain the later counts."""
        return cls({bundle.trust_domain: bundle for bundle in bundle_list})

    def copy(self) -> X509BundleSet:
        """One that can be changed, its bundles too, without changing this one."""
        return X509BundleSet.of(bundle.copy() for bundle in self._bundles.values())

    @property
    def bundles(self) -> set[X509Bundle]:
        return set(self._bundles.values())

    def put(self, bundle: X509Bundle) -> None:
        """Add a bundle, or replace the one of its trust domain."""
        self._bundles[bundle.trust_domain] = bundle

    def get_bundle_for_trust_domain(self, trust_domain: TrustDomain) -> X509Bundle | None:
        return self._bundles.get(trust_domain)

    def __eq__(self, other: object) -> bool:
        return self._bundles == other._bundles if isinstance(other, X509BundleSet) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"X509BundleSet({', '.join(sorted(td.name for td in self._bundles))})"


def named_domains(authority: x509.Certificate) -> frozenset[str] | None:
    """The trust domains that an authority names; none for most authorities, None when it cannot be told."""
    try:
        names = authority.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        return frozenset(SpiffeId(uri).trust_domain.name for uri in uris if uri.lower().startswith(SCHEME))
    except x509.ExtensionNotFound:
        return frozenset()
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, SpiffeIdError):
        return None


def speaks_for(authority: x509.Certificate, trust_domain: TrustDomain) -> bool:
    """Whether an authority of the bundle of `trust_domain` is believed: not if it names another domain."""
    named = named_domains(authority)
    return named is not None and named <= {trust_domain.name}


def bundles_of_pem(data: bytes, trust_domains: Sequence[TrustDomain]) -> X509BundleSet:
    """The bundles of `trust_domains` from one PEM text, as spiffe-helper writes it; others are left out.

    Authorities without a name count for the one wanted domain, if nothing in the text speaks of a second.
    Raises ParseX509BundleError when a domain has no authority in it, or whose one is could not be told.
    """
    wanted = ", ".join(domain.name for domain in trust_domains)
    try:
        authorities = parse_pem_certificates(data, limit=MAX_AUTHORITIES)
    except ParseCertificateError as exc:
        raise ParseX509BundleError(f"X.509 bundle of {wanted}: {exc}") from exc
    by_name: dict[str, list[x509.Certificate]] = {}
    nameless: list[x509.Certificate] = []
    for authority in authorities:
        named = named_domains(authority)
        if named is None or len(named) > 1:
            raise ParseX509BundleError(f"X.509 bundle of {wanted}: an authority's trust domain is unreadable")
        (by_name.setdefault(next(iter(named)), []) if named else nameless).append(authority)
    if nameless:
        others = by_name.keys() - {trust_domains[0].name}
        if len(trust_domains) > 1 or others:
            raise ParseX509BundleError(
                f"X.509 bundle of {wanted}: {len(nameless)} of its authorities name no trust domain, so whom "
                "they may vouch for cannot be told; give a file with the authorities of one trust domain, or "
                "have them from the SPIFFE agent"
            )
        by_name.setdefault(trust_domains[0].name, []).extend(nameless)
    for domain in trust_domains:
        if domain.name not in by_name:
            raise ParseX509BundleError(f"X.509 bundle of {domain}: no authority of that trust domain in it")
    return X509BundleSet.of(X509Bundle(domain, by_name[domain.name]) for domain in trust_domains)
