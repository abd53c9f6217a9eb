"""SPIFFE bundle documents and maps of them (`identity.md` 6.4).

bundle document   {"keys": [...], "spiffe_sequence": 7, "spiffe_refresh_hint": 300}
bundle map        {"trust_domains": {"example.org": <bundle document>, ...}}
spiffe-helper     {"example.org": "<base64 of a JWK set>", ...}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509

from identity.encoding import b64_decode
from identity.spiffe.errors import SpiffeBundleError, TrustDomainError
from identity.spiffe.jwt_bundle import (
    JwtBundle,
    bundle_entries,
    read_document,
    read_jwt_authorities,
)
from identity.spiffe.spiffe_id import TrustDomain
from identity.spiffe.x509_bundle import X509Bundle

X509_SVID_USE = "x509-svid"
DEFAULT_REFRESH_HINT_SECONDS = 300
MAX_TRUST_DOMAINS = 256


@dataclass(frozen=True, slots=True)
class SpiffeBundle:
    """What a trust domain publishes about itself: both kinds of authorities."""

    trust_domain: TrustDomain
    jwt_bundle: JwtBundle
    x509_entries: tuple[bytes, ...]
    """The certificates of the `x509-svid` entries, DER, as the document has them."""
    sequence: int | None
    """Grows with each change of the document; `None` when not stated."""
    refresh_hint: int
    """How often to look for a new document, seconds."""

    @classmethod
    def parse(cls, trust_domain: TrustDomain, document: bytes) -> SpiffeBundle:
        """Read a bundle document. Raises SpiffeBundleError."""
        try:
            return cls._from_object(trust_domain, read_document(document))
        except ValueError as exc:
            raise SpiffeBundleError(f"SPIFFE bundle of {trust_domain}: {exc}") from exc

    @classmethod
    def _from_object(cls, trust_domain: TrustDomain, document: Mapping[str, Any]) -> SpiffeBundle:
        entries = bundle_entries(document)
        hint = _count(document, "spiffe_refresh_hint")
        return cls(
            trust_domain,
            JwtBundle.of_authorities(trust_domain, read_jwt_authorities(entries, use_optional=False)),
            tuple(_x509_entry(entry) for entry in entries if entry.get("use") == X509_SVID_USE),
            _count(document, "spiffe_sequence"),
            DEFAULT_REFRESH_HINT_SECONDS if hint is None else hint,
        )

    @property
    def x509_bundle(self) -> X509Bundle:
        """The X.509 authorities. Entries that hold no readable certificate vouch for nobody."""
        authorities = []
        for der in self.x509_entries:
            try:
                authorities.append(x509.load_der_x509_certificate(der))
            except (ValueError, x509.InvalidVersion):
                continue
        return X509Bundle(self.trust_domain, authorities)


def parse_bundle_map(document: bytes) -> dict[TrustDomain, SpiffeBundle]:
    """Read a map of SPIFFE bundles. Raises SpiffeBundleError; one name standing twice is refused."""
    try:
        domains = read_document(document).get("trust_domains")
        if not isinstance(domains, dict):
            raise ValueError("it has no object 'trust_domains'")
        return {
            domain: SpiffeBundle._from_object(domain, _object(bundle))
            for domain, bundle in _by_trust_domain(domains).items()
        }
    except (ValueError, TrustDomainError) as exc:
        raise SpiffeBundleError(f"map of SPIFFE bundles: {exc}") from exc


def _by_trust_domain(members: Mapping[str, Any]) -> dict[TrustDomain, Any]:
    if len(members) > MAX_TRUST_DOMAINS:
        raise ValueError(f"{len(members)} trust domains are more than {MAX_TRUST_DOMAINS}")
    domains = {TrustDomain.named(name): value for name, value in members.items()}
    if len(domains) != len(members):
        raise ValueError("one trust domain stands twice")
    return domains


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("a bundle is not an object")
    return value


def _count(document: Mapping[str, Any], member: str) -> int | None:
    value = document.get(member)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError(f"{member!r} is not a count")
    return value


def _x509_entry(entry: Mapping[str, Any]) -> bytes:
    chain = entry.get("x5c")
    if not isinstance(chain, list) or not chain or not isinstance(chain[0], str):
        raise ValueError("an entry for X.509 SVIDs has no certificate in 'x5c'")
    return b64_decode(chain[0])
