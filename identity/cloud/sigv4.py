"""AWS Signature Version 4: requests in, signatures out; no I/O and no clock.

    canonical request --SHA-256--> string to sign --HMAC with the day's key--> signature

The signature travels in the `Authorization` header, which is what STS gets from us; presigned URLs, the other
form, are not made here.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from identity.record import record

ALGORITHM = "AWS4-HMAC-SHA256"

# Proxies and HTTP libraries change these on the way, so they are never signed.
UNSIGNED_HEADERS = frozenset(
    {"authorization", "connection", "expect", "transfer-encoding", "upgrade", "user-agent", "x-amzn-trace-id"}
)

_WHITE_SPACE = re.compile(r"[ \t\r\n]+")


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """An access key, long-lived or temporary. Its repr shows the key id only."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    """Present exactly when the key is temporary."""
    expires_at: float | None = None
    """Unix seconds, or None when the source names no end."""


@record
class SigningRequest(NamedTuple):
    """An HTTP request as it will be sent."""

    method: str
    target: str
    """Path and query, as they stand in the request line."""
    headers: tuple[tuple[str, str], ...]
    """Must hold `Host`. Names in any case; a name may occur several times."""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Signer:
    """What a signature depends on besides the request."""

    credentials: AwsCredentials
    region: str
    service: str
    now: float
    """Unix seconds; AWS accepts 5 minutes of difference (15 for some services)."""
    normalize: bool = True
    """Resolve `.`, `..` and empty path segments first: every service but S3 does."""
    sign_body: bool = False
    """Also send and sign `x-amz-content-sha256`."""
    omit_session_token: bool = False
    """Leave the session token out of what is signed; the caller adds it afterwards."""

    @property
    def timestamp(self) -> str:
        return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.now))

    @property
    def scope(self) -> str:
        return f"{self.timestamp[:8]}/{self.region}/{self.service}/aws4_request"

    @property
    def signed_token(self) -> str | None:
        return None if self.omit_session_token else self.credentials.session_token


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature and the two texts it was made from; they may hold a session token: no repr shows them."""

    canonical_request: str = field(repr=False)
    string_to_sign: str = field(repr=False)
    value: str = field(repr=False)
    additions: tuple[tuple[str, str], ...] = field(repr=False)
    """Headers that the request needs in addition."""


def sign_headers(request: SigningRequest, signer: Signer) -> Signature:
    """Sign a request; `additions` are the headers to add."""
    added = [("X-Amz-Date", signer.timestamp)]
    if signer.signed_token:
        added.append(("X-Amz-Security-Token", signer.signed_token))
    if signer.sign_body:
        added.append(("x-amz-content-sha256", _sha256(request.body)))
    path, _, query = request.target.partition("?")
    headers = _canonical_headers([*request.headers, *added])
    signature = _sign(request, signer, path, _query_pairs(query), headers)
    authorization = (
        f"{ALGORITHM} Credential={signer.credentials.access_key_id}/{signer.scope}, "
        f"SignedHeaders={';'.join(headers)}, Signature={signature.value}"
    )
    return Signature(
        signature.canonical_request,
        signature.string_to_sign,
        signature.value,
        (*added, ("Authorization", authorization)),
    )


def signing_key(secret_access_key: str, scope: str) -> bytes:
    """The key of one day, region and service."""
    key = b"AWS4" + secret_access_key.encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    return key


def _sign(
    request: SigningRequest, signer: Signer, path: str, query: list[tuple[str, str]], headers: dict[str, str]
) -> Signature:
    canonical = "\n".join(
        (
            request.method,
            _canonical_path(path, normalize=signer.normalize),
            "&".join(f"{name}={value}" for name, value in sorted(query)),
            *(f"{name}:{value}" for name, value in headers.items()),
            "",
            ";".join(headers),
            _sha256(request.body),
        )
    )
    to_sign = "\n".join((ALGORITHM, signer.timestamp, signer.scope, _sha256(canonical.encode())))
    value = _hmac(signing_key(signer.credentials.secret_access_key, signer.scope), to_sign).hex()
    return Signature(canonical, to_sign, value, ())


def _canonical_path(path: str, *, normalize: bool) -> str:
    """Encode the path of the request line once more: `%20` on the wire is signed as `%2520`."""
    if normalize:
        kept: list[str] = []
        for segment in path.split("/"):
            if segment == "..":
                del kept[-1:]
            elif segment not in ("", "."):
                kept.append(segment)
        trailing = "/" if kept and path.endswith("/") else ""
        path = "/" + "/".join(kept) + trailing
    return quote(path or "/", safe="/")


def _query_pairs(query: str) -> list[tuple[str, str]]:
    """Split a query into encoded pairs; what is encoded already is not encoded twice."""
    pairs = (item.partition("=") for item in query.split("&") if item)
    return [(_encode(unquote_to_bytes(name)), _encode(unquote_to_bytes(value))) for name, _, value in pairs]


def _canonical_headers(headers: tuple[tuple[str, str], ...] | list[tuple[str, str]]) -> dict[str, str]:
    """Names in lower case, sorted; values trimmed, runs of white space made one, repeats joined in order."""
    merged: dict[str, list[str]] = {}
    for name, value in headers:
        if name.lower() not in UNSIGNED_HEADERS:
            merged.setdefault(name.lower(), []).append(_WHITE_SPACE.sub(" ", value).strip(" "))
    return {name: ",".join(merged[name]) for name in sorted(merged)}


def _encode(value: bytes) -> str:
    return quote(value, safe="")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
