"""SPIFFE identities: ids, SVIDs, bundles, and the Workload API, under the names of the published `spiffe`
module (`identity.md` 4 to 7). The asynchronous forms of client and sources begin with `Async`.

Each name is imported when it is first used: who reads a certificate needs no gRPC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from identity.on_use import names_on_use

if TYPE_CHECKING:
    from identity.spiffe.blocking import JwtSource, StreamCancelHandler, WorkloadApiClient, X509Source
    from identity.spiffe.jwt_bundle import JwtBundle, JwtBundleSet
    from identity.spiffe.jwt_svid import JwtSvid
    from identity.spiffe.retry import RetryPolicy
    from identity.spiffe.slim import SpireProvider, SpireVerifier
    from identity.spiffe.sources import AsyncJwtSource, AsyncX509Source
    from identity.spiffe.spiffe_bundle import SpiffeBundle, parse_bundle_map
    from identity.spiffe.spiffe_id import SpiffeId, TrustDomain
    from identity.spiffe.tls import FileTls, SourceTls, TlsMaterial
    from identity.spiffe.workload_api import AsyncWorkloadApiClient, StreamHandle
    from identity.spiffe.workload_messages import X509Context
    from identity.spiffe.x509_bundle import X509Bundle, X509BundleSet
    from identity.spiffe.x509_svid import X509Svid, verify_x509_svid

_HOMES = {
    "identity.spiffe.blocking": (
        "JwtSource",
        "StreamCancelHandler",
        "WorkloadApiClient",
        "X509Source",
    ),
    "identity.spiffe.jwt_bundle": (
        "JwtBundle",
        "JwtBundleSet",
    ),
    "identity.spiffe.jwt_svid": ("JwtSvid",),
    "identity.spiffe.retry": ("RetryPolicy",),
    "identity.spiffe.slim": (
        "SpireProvider",
        "SpireVerifier",
    ),
    "identity.spiffe.sources": (
        "AsyncJwtSource",
        "AsyncX509Source",
    ),
    "identity.spiffe.spiffe_bundle": (
        "SpiffeBundle",
        "parse_bundle_map",
    ),
    "identity.spiffe.spiffe_id": (
        "SpiffeId",
        "TrustDomain",
    ),
    "identity.spiffe.tls": (
        "FileTls",
        "SourceTls",
        "TlsMaterial",
    ),
    "identity.spiffe.workload_api": (
        "AsyncWorkloadApiClient",
        "StreamHandle",
    ),
    "identity.spiffe.workload_messages": ("X509Context",),
    "identity.spiffe.x509_bundle": (
        "X509Bundle",
        "X509BundleSet",
    ),
    "identity.spiffe.x509_svid": (
        "X509Svid",
        "verify_x509_svid",
    ),
}
"""The same as above: where each name is at home."""

__getattr__, __dir__ = names_on_use(globals(), _HOMES)

__all__ = [
    "AsyncJwtSource",
    "AsyncWorkloadApiClient",
    "AsyncX509Source",
    "FileTls",
    "JwtBundle",
    "JwtBundleSet",
    "JwtSource",
    "JwtSvid",
    "RetryPolicy",
    "SourceTls",
    "SpiffeBundle",
    "SpiffeId",
    "SpireProvider",
    "SpireVerifier",
    "StreamCancelHandler",
    "StreamHandle",
    "TlsMaterial",
    "TrustDomain",
    "WorkloadApiClient",
    "X509Bundle",
    "X509BundleSet",
    "X509Context",
    "X509Source",
    "X509Svid",
    "parse_bundle_map",
    "verify_x509_svid",
]
