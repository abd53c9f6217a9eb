"""JWT bundles: the keys that sign the JWT-SVIDs of trust domains (`identity.md` 6.4, 7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, cast

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from identity.encoding import Malformed, parse_object
from identity.jose import key_set
from identity.jose.key_material import VerificationKey, algorithms_for
from identity.jose.keys import Algorithm, SignatureAlgorithm, SvidAlgorithm
from identity.spiffe.certificates import read_bounded
from identity.spiffe.errors import ArgumentError, ParseJWTBundleError
from identity.spiffe.spiffe_id import TrustDomain

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

SVID_ALGORITHMS: frozenset[SignatureAlgorithm] = frozenset(
    algorithm for algorithm in (*Algorithm, *SvidAlgorithm) if algorithm.value[:2] in ("RS", "PS", "ES")
)
"""What a JWT-SVID may be signed with: nothing symmetric, and no EdDSA (`identity.md` 6.3)."""
JWT_SVID_USE = "jwt-svid"
MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
MAX_KEY_ID = 1024


class JwtBundle:
    """The JWT authorities of one trust domain by key id. Immutable; one without keys trusts nobody."""

    __slots__ = ("_authorities", "_trust_domain")

    def __init__(self, trust_domain: TrustDomain, jwt_authorities: Mapping[str, PublicKey]) -> None:
        """Raises ArgumentError when a key cannot sign JWT-SVIDs (symmetric, EdDSA, short RSA)."""
        if not isinstance(trust_domain, TrustDomain):
            raise ArgumentError("a JWT bundle needs a trust domain", field="trust_domain")
        self._trust_domain = trust_domain
        try:
            self._authorities = {
                kid: VerificationKey(key, algorithms_for(key, SVID_ALGORITHMS), kid)
                for kid, key in jwt_authorities.items()
            }
        except ValueError as exc:
            raise ArgumentError(f"JWT bundle of {trust_domain}: {exc}", field="jwt_authorities") from exc

    @classmethod
    def parse(cls, trust_domain: TrustDomain, bundle_bytes: bytes) -> JwtBundle:
        """A bundle from a JWK set, as the Workload API and key files have it.

        Entries without `use` count; those for other uses, without a key id, or that no JWT-SVID could be
        signed with are left out, so that one strange key does not take the good ones away. Raises
        ParseJWTBundleError for a document that is no JWK set, or whose key ids are not unique.
        """
        try:
            authorities = read_jwt_authorities(bundle_entries(read_document(bundle_bytes)), use_optional=True)
        except ValueError as exc:
            raise ParseJWTBundleError(f"JWT bundle of {trust_domain}: {exc}") from exc
        return cls.of_authorities(trust_domain, authorities)

    @classmethod
    def load(cls, trust_domain: TrustDomain, bundle_path: str | Path) -> JwtBundle:
        """A bundle from a file with a JWK set. Raises ParseJWTBundleError."""
        try:
            data = read_bounded(bundle_path)
        except Malformed as exc:
            raise ParseJWTBundleError(f"cannot read a bundle from {str(bundle_path)!r}: {exc}") from exc
        return cls.parse(trust_domain, data)

    @classmethod
    def of_authorities(cls, trust_domain: TrustDomain, authorities: dict[str, VerificationKey]) -> JwtBundle:
        """A bundle of authorities that were read from a document."""
        bundle = cls(trust_domain, {})
        bundle._authorities = authorities
        return bundle

    @property
    def trust_domain(self) -> TrustDomain:
        return self._trust_domain

    @property
    def jwt_authorities(self) -> dict[str, PublicKey]:
        """Key id -> public key, in the order of the document."""
        return {kid: _public(authority) for kid, authority in self._authorities.items()}

    def get_jwt_authority(self, key_id: str | None) -> PublicKey | None:
        authority = self._authorities.get(key_id) if key_id else None
        return _public(authority) if authority else None

    def authority(self, key_id: str) -> VerificationKey | None:
        """The key with this id together with the algorithms it may be used with."""
        return self._authorities.get(key_id)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, JwtBundle):
            return NotImplemented
        return (self._trust_domain, self._authorities) == (other._trust_domain, other._authorities)

    def __hash__(self) -> int:
        return hash(self._trust_domain)

    def __repr__(self) -> str:
        return f"JwtBundle({self._trust_domain}, {len(self._authorities)} keys)"


class JwtBundleSet:
    """JWT bundles by trust domain."""

    __slots__ = ("_bundles",)

    def __init__(self, bundles: Mapping[TrustDomain, JwtBundle] | None = None) -> None:
        self._bundles = dict(bundles or {})

    @classmethod
    def of(cls, bundle_list: Iterable[JwtBundle]) -> JwtBundleSet:
        """A set of these bundles; of two for one trust domain the later counts."""
        return cls({bundle.trust_domain: bundle for bundle in bundle_list})

    def copy(self) -> JwtBundleSet:
        """One that can be changed without changing this one; bundles cannot be changed."""
        return JwtBundleSet(self._bundles)

    @property
    def bundles(self) -> set[JwtBundle]:
        return set(self._bundles.values())

    def put(self, jwt_bundle: JwtBundle) -> None:
        """Add a bundle, or replace the one of its trust domain."""
        self._bundles[jwt_bundle.trust_domain] = jwt_bundle

    def get_bundle_for_trust_domain(self, trust_domain: TrustDomain) -> JwtBundle | None:
        return self._bundles.get(trust_domain)

    def __eq__(self, other: object) -> bool:
        return self._bundles == other._bundles if isinstance(other, JwtBundleSet) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"JwtBundleSet({', '.join(sorted(td.name for td in self._bundles))})"


def read_document(document: bytes) -> dict[str, Any]:
    """The JSON object of a bundle document of at most 4 MiB. Raises ValueError."""
    if len(document) > MAX_DOCUMENT_BYTES:
        raise ValueError(f"it has {len(document)} bytes, more than {MAX_DOCUMENT_BYTES}")
    return parse_object(document)


def bundle_entries(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The objects in the member `keys` of a JWK set. Raises ValueError."""
    entries = key_set.key_entries(document)
    if not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("an entry of 'keys' is not an object")
    return entries


def read_jwt_authorities(
    entries: Iterable[Mapping[str, Any]], *, use_optional: bool
) -> dict[str, VerificationKey]:
    """The usable JWT-SVID keys among the entries of a JWK set, by key id, in their order.

    With `use_optional`, entries without `use` count as well. Raises ValueError when two of them share an id:
    which of them was meant could not be told.
    """
    uses = frozenset({JWT_SVID_USE, None} if use_optional else {JWT_SVID_USE})
    authorities: dict[str, VerificationKey] = {}
    for entry in entries:
        kid = entry.get("kid")
        if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KEY_ID:
            continue
        try:
            authority = key_set.public_jwk(entry, uses, SVID_ALGORITHMS)
        except Malformed:
            continue
        if kid in authorities:
            raise ValueError("two keys have the same id")
        authorities[kid] = authority
    return authorities


def _public(authority: VerificationKey) -> PublicKey:
    return cast(PublicKey, authority.public_key)  # SVID_ALGORITHMS let no other type in
