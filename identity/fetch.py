"""Fetching small documents from an issuer that may be slow, broken or hostile (`identity.md` 3.3).

Bounded in every direction: time, bytes on the wire, bytes after decompression. Redirects are answers like any
other and are not followed; nothing from the environment (proxies, .netrc) is used, so no credential of ours
travels along.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
import zlib
from dataclasses import dataclass
from typing import NamedTuple

import httpx

from identity.errors import AuthError

USER_AGENT = "callboard"

_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=\"?(\d{1,9})(?!\d)", re.IGNORECASE)
_NO_CACHE = re.compile(r"(?:^|[\s,])no-(?:store|cache)", re.IGNORECASE)


class FetchFailed(AuthError):
    """A document could not be had from `url`; `reason` says why in a few words."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url}: {reason}")
        self.url = url
        self.reason = reason


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """How long, in seconds, and how much, in bytes, an issuer may take."""

    connect: float = 3.0
    total: float = 10.0
    """For one refresh: discovery and key set together."""
    max_bytes: int = 512 * 1024


class Document(NamedTuple):
    """An answer with status 200."""

    body: bytes
    max_age: float | None
    """Seconds it may be cached, as its Cache-Control says; None when it does not say."""


def client(limits: FetchLimits, tls: ssl.SSLContext) -> httpx.AsyncClient:
    """A client that keeps to `limits` where the library can; `get` does the rest."""
    return httpx.AsyncClient(
        verify=tls,
        follow_redirects=False,
        trust_env=False,
        timeout=httpx.Timeout(limits.total, connect=limits.connect),
        limits=httpx.Limits(max_connections=2, max_keepalive_connections=0),
        headers={
            "User-Agent": USER_AGENT,
            "Accept": "application/json, application/jwk-set+json",
            "Accept-Encoding": "gzip",
        },
    )


async def get(http: httpx.AsyncClient, url: httpx.URL, max_bytes: int) -> Document:
    """The document at `url`. The caller bounds the time. Raises FetchFailed for anything but status 200."""
    try:
        async with http.stream("GET", url) as response:
            if response.status_code != 200:
                raise FetchFailed(str(url), f"status {response.status_code}")
            body = await _read(response, max_bytes)
            return Document(body, _max_age(response.headers.get("cache-control", "")))
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise FetchFailed(str(url), type(error).__name__) from error


def trusted_url(text: str) -> httpx.URL:
    """An absolute URL that may be fetched: https, or http on loopback. Raises ValueError, saying why not."""
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, TypeError):
        raise ValueError("not a URL") from None
    if not url.host or url.scheme not in ("http", "https"):
        raise ValueError("not an absolute http(s) URL")
    if url.scheme == "http" and not _is_loopback(url.host):
        raise ValueError("plain http is allowed on loopback only; use https")
    if url.port is not None and not 0 < url.port < 1 << 16:
        raise ValueError("a port that does not exist")
    if url.userinfo or url.fragment:
        raise ValueError("user information and fragments do not belong there")
    return url


def origin(url: httpx.URL) -> tuple[str, str, int]:
    """Scheme, host and port: what must be equal for two URLs to belong to one server."""
    return url.scheme, url.host, url.port or {"https": 443, "http": 80}[url.scheme]


async def _read(response: httpx.Response, max_bytes: int) -> bytes:
    """The body, unpacked here: the library would unpack a chunk whole, however large it becomes."""
    url = str(response.url)
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise FetchFailed(url, "an encoding that was not asked for")
    unzip = zlib.decompressobj(wbits=31) if "gzip" in encoding else None
    body = bytearray()
    received = 0
    async for chunk in response.aiter_raw():
        received += len(chunk)
        try:
            body += chunk if unzip is None else unzip.decompress(chunk, max_bytes + 1 - len(body))
        except zlib.error:
            raise FetchFailed(url, "damaged gzip") from None
        if max(received, len(body)) > max_bytes or (unzip is not None and unzip.unconsumed_tail):
            raise FetchFailed(url, f"larger than {max_bytes} bytes")
    if unzip is not None and not unzip.eof:
        raise FetchFailed(url, "damaged gzip")
    return bytes(body)


def _max_age(cache_control: str) -> float | None:
    if _NO_CACHE.search(cache_control):
        return 0.0
    match = _MAX_AGE.search(cache_control)
    return float(match[1]) if match else None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
