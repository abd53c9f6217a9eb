"""From the messages of the Workload API to values, without any I/O (`identity.md` 5).

A message is taken whole or not at all: what is wrong with it is raised, and whoever reads the stream keeps
the state it had. Nothing outside this module and the client sees a protobuf object.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from identity.spiffe.errors import (
    ArgumentError,
    FetchJwtBundleError,
    FetchJwtSvidError,
    FetchX509BundleError,
    FetchX509SvidError,
    PySpiffeError,
    ValidateJwtSvidError,
)
from identity.spiffe.jwt_bundle import JwtBundle, JwtBundleSet
from identity.spiffe.jwt_svid import JwtSvid
from identity.spiffe.proto import workload_pb2 as pb
from identity.spiffe.spiffe_bundle import MAX_TRUST_DOMAINS
from identity.spiffe.spiffe_id import SpiffeId, TrustDomain
from identity.spiffe.x509_bundle import X509Bundle, X509BundleSet
from identity.spiffe.x509_svid import X509Svid

MAX_SVIDS = 64

_Svid = TypeVar("_Svid", X509Svid, JwtSvid)


class X509Context:
    """All X.509 identities of this workload and the authorities it may believe. Immutable."""

    __slots__ = ("_bundles", "_svids")

    def __init__(self, x509_svids: Sequence[X509Svid], x509_bundle_set: X509BundleSet) -> None:
        """Raises ArgumentError when there is no SVID."""
        if not x509_svids:
            raise ArgumentError("an X.509 context needs at least one SVID", field="x509_svids")
        self._svids = tuple(x509_svids)
        self._bundles = x509_bundle_set

    @property
    def default_svid(self) -> X509Svid:
        """The first SVID: the one to use unless a workload knows better."""
        return self._svids[0]

    @property
    def x509_svids(self) -> list[X509Svid]:
        return list(self._svids)

    @property
    def x509_bundle_set(self) -> X509BundleSet:
        """A copy: whom this workload believes is not to be changed by whoever looks."""
        return self._bundles.copy()

    def get_bundle_for_trust_domain(self, trust_domain: TrustDomain) -> X509Bundle | None:
        """A copy of the bundle of a domain, if it is trusted."""
        bundle = self._bundles.get_bundle_for_trust_domain(trust_domain)
        return bundle.copy() if bundle else None

    def __repr__(self) -> str:
        return f"X509Context({', '.join(str(svid.spiffe_id) for svid in self._svids)}; {self._bundles!r})"


def x509_context(response: pb.X509SVIDResponse) -> X509Context:
    """Identities and bundles of one message. Raises FetchX509SvidError."""
    try:
        _at_most(MAX_SVIDS, response.svids, "X.509 SVIDs")
        if not response.svids:
            raise ValueError("it holds no SVID")
        svids = [_x509_svid(entry) for entry in response.svids]
        bundles = _x509_bundles(response.federated_bundles)
        # Own authorities last: no federated entry may stand in their place.
        for svid, entry in zip(svids, response.svids, strict=True):
            bundles.put(X509Bundle.parse_raw(svid.spiffe_id.trust_domain, entry.bundle))
    except (PySpiffeError, ValueError) as exc:
        raise FetchX509SvidError(f"unusable message with X.509 SVIDs: {exc}") from exc
    return X509Context(_first_of_each_hint(svids), bundles)


def x509_bundle_set(response: pb.X509BundlesResponse) -> X509BundleSet:
    """The bundles of one message. Raises FetchX509BundleError."""
    try:
        if not response.bundles:
            raise ValueError("it holds no bundle")
        return _x509_bundles(response.bundles)
    except (PySpiffeError, ValueError) as exc:
        raise FetchX509BundleError(f"unusable message with X.509 bundles: {exc}") from exc


def jwt_bundle_set(response: pb.JWTBundlesResponse) -> JwtBundleSet:
    """The bundles of one message. Raises FetchJwtBundleError.

    A bundle without keys is taken: it means that all tokens of its domain are to be refused.
    """
    try:
        if not response.bundles:
            raise ValueError("it holds no bundle")
        domains = _by_trust_domain(response.bundles)
        return JwtBundleSet.of(JwtBundle.parse(domain, data) for domain, data in domains.items())
    except (PySpiffeError, ValueError) as exc:
        raise FetchJwtBundleError(f"unusable message with JWT bundles: {exc}") from exc


def jwt_svids(
    response: pb.JWTSVIDResponse, audience: Iterable[str], subject: SpiffeId | None, now: float
) -> list[JwtSvid]:
    """The tokens of one answer, each checked against what it is said to be. Raises FetchJwtSvidError."""
    try:
        _at_most(MAX_SVIDS, response.svids, "JWT-SVIDs")
        if not response.svids:
            raise ValueError("it holds no token")
        svids = [_jwt_svid(entry, set(audience), now) for entry in response.svids]
        if subject is not None and svids[0].spiffe_id != subject:
            raise ValueError("the token is for another SPIFFE ID than the one asked for")
    except (PySpiffeError, ValueError) as exc:
        raise FetchJwtSvidError(f"unusable answer with JWT-SVIDs: {exc}") from exc
    return _first_of_each_hint(svids)


def validated_jwt_svid(
    response: pb.ValidateJWTSVIDResponse, token: str, audience: str, now: float
) -> JwtSvid:
    """The token that the agent confirmed. Raises ValidateJwtSvidError when its answer is about another."""
    try:
        svid = JwtSvid.parse_insecure(token, {audience}, now=now)
        if SpiffeId(response.spiffe_id) != svid.spiffe_id:
            raise ValueError("the agent names another SPIFFE ID than the token")
    except (PySpiffeError, ValueError) as exc:
        raise ValidateJwtSvidError(f"unusable answer about a JWT-SVID: {exc}") from exc
    return svid


def _x509_svid(entry: pb.X509SVID) -> X509Svid:
    if not (entry.spiffe_id and entry.x509_svid and entry.x509_svid_key and entry.bundle):
        raise ValueError("a mandatory field of an SVID is empty")
    svid = X509Svid.parse_raw(entry.x509_svid, entry.x509_svid_key, hint=entry.hint)
    if svid.spiffe_id != SpiffeId(entry.spiffe_id):
        raise ValueError("an SVID's certificate names another SPIFFE ID than the message")
    return svid


def _jwt_svid(entry: pb.JWTSVID, audience: set[str], now: float) -> JwtSvid:
    if not (entry.spiffe_id and entry.svid):
        raise ValueError("a mandatory field of an SVID is empty")
    svid = JwtSvid.parse_insecure(entry.svid, audience, now=now, hint=entry.hint)
    if svid.spiffe_id != SpiffeId(entry.spiffe_id):
        raise ValueError("a token names another SPIFFE ID than the message")
    return svid


def _x509_bundles(entries: Mapping[str, bytes]) -> X509BundleSet:
    """Bundles by domain; no bytes at all are a bundle without authorities, by which a domain is revoked."""
    return X509BundleSet.of(
        X509Bundle.parse_raw(domain, data) if data else X509Bundle(domain)
        for domain, data in _by_trust_domain(entries).items()
    )


def _by_trust_domain(entries: Mapping[str, bytes]) -> dict[TrustDomain, bytes]:
    """The standard's keys are ids such as `spiffe://example.org`; bare names are understood too."""
    _at_most(MAX_TRUST_DOMAINS, entries, "trust domains")
    domains = {_trust_domain(name): data for name, data in entries.items()}
    if len(domains) != len(entries):
        raise ValueError("one trust domain stands twice")
    return domains


def _trust_domain(key: str) -> TrustDomain:
    domain = TrustDomain(key)
    if key not in (domain.as_spiffe_id(), domain.name):
        raise ValueError("the key of a bundle is the id of a workload, not of a trust domain")
    return domain


def _first_of_each_hint(svids: list[_Svid]) -> list[_Svid]:
    kept: list[_Svid] = []
    seen: set[str] = set()
    for svid in svids:
        if svid.hint and svid.hint in seen:
            continue
        seen.add(svid.hint)
        kept.append(svid)
    return kept


def _at_most(limit: int, items: Sequence[object] | Mapping[str, bytes], what: str) -> None:
    if len(items) > limit:
        raise ValueError(f"{len(items)} {what} are more than {limit}")
