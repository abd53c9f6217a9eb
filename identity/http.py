"""The one HTTP client of this floor: small answers of servers that may be slow, broken or hostile.

Issuers' keys (`identity.md` 3.3) and the services of clouds (8.2, 8.3) are asked by the same rules:

1. No redirect is followed: what is sent goes to the host that was meant and to no other.
2. Nothing of the environment is used (.netrc, proxies), unless the caller lets https through a proxy.
3. An answer has a bound in bytes, before and after it was unpacked. The caller bounds the time.
4. No error quotes what was sent or received; a library's exception never travels on, since its text may.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import httpx

from identity.authorities import SYSTEM_FILE, context_of
from identity.errors import AuthError, ConfigError

USER_AGENT = "callboard"

_HOST = re.compile(rb"[A-Za-z0-9._:-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=\"?(\d{1,9})(?!\d)", re.IGNORECASE)
_NO_CACHE = re.compile(r"(?:^|[\s,])no-(?:store|cache)", re.IGNORECASE)


class FetchFailed(AuthError):
    """No usable answer came from `where`; `reason` says why in a few words."""

    def __init__(
        self, where: str, reason: str, *, status: int | None = None, transient: bool = False
    ) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason
        self.status = status
        """The HTTP status, where it came that far."""
        self.transient = transient
        """Whether the same request may succeed in a moment: there was no connection, or it broke."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A complete answer, whatever its status. The repr shows no content."""

    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def max_age(self) -> float | None:
        """Seconds it may be cached, as its Cache-Control says; None when it does not say."""
        cache_control = self.headers.get("cache-control", "")
        if _NO_CACHE.search(cache_control):
            return 0.0
        match = _MAX_AGE.search(cache_control)
        return float(match[1]) if match else None


def client(
    tls: ssl.SSLContext | None, *, connect: float | None = None, proxies: bool = False
) -> httpx.AsyncClient:
    """A client for `send`. `tls` is None for plain http, `connect` the seconds a connection may take to open.

    Each request opens its own connection: they are rare, and whoever answered an hour ago may be gone.
    """
    return httpx.AsyncClient(
        verify=tls or False,
        follow_redirects=False,
        trust_env=proxies,  # this is what makes the library look at proxy settings
        timeout=httpx.Timeout(None, connect=connect),
        limits=httpx.Limits(max_connections=2, max_keepalive_connections=0),
        headers={"User-Agent": USER_AGENT, "Accept": "*/*"},
    )


async def send(
    http: httpx.AsyncClient,
    method: str,
    url: str | httpx.URL,
    *,
    max_bytes: int,
    where: str = "",
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    body: bytes | None = None,
    gzip: bool = False,
) -> HttpAnswer:
    """Send one request and read its whole answer, of at most `max_bytes`. The caller bounds the time.

    With `gzip` the answer may be packed. `where` names the other side in errors, by default by its URL.
    Raises FetchFailed for everything that is not a complete answer.
    """
    where = where or str(url)
    sent = {"Accept-Encoding": "gzip" if gzip else "identity", **(headers or {})}
    if not all(_HEADER_VALUE.fullmatch(value) for value in sent.values()):
        raise FetchFailed(where, "a header for it would hold line breaks or non-ASCII characters")
    try:
        target = httpx.URL(url).copy_merge_params(params) if params else httpx.URL(url)
        request = http.build_request(method, target, headers=sent, content=body)
        response = await http.send(request, stream=True, auth=None)
        try:
            content = await _read(where, response, max_bytes, gzip=gzip)
        finally:
            await response.aclose()
    except (httpx.TransportError, OSError) as error:
        raise FetchFailed(where, _connection_problem(error), transient=True) from None
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ValueError) as error:
        raise FetchFailed(where, f"no request possible ({type(error).__name__})") from None
    return HttpAnswer(response.status_code, response.headers, content)


async def get(http: httpx.AsyncClient, url: httpx.URL, max_bytes: int) -> HttpAnswer:
    """The document at `url`, packed or not. Raises FetchFailed for anything but status 200."""
    answer = await send(http, "GET", url, max_bytes=max_bytes, gzip=True)
    if answer.status != 200:
        raise FetchFailed(str(url), f"status {answer.status}", status=answer.status)
    return answer


@cache
def public_authorities() -> ssl.SSLContext:
    """A context for the public authorities, or for those of SSL_CERT_FILE. Takes some 20 ms, once.

    Raises ConfigError.
    """
    if path := os.environ.get(SYSTEM_FILE):
        return context_of(path, SYSTEM_FILE)
    try:
        return httpx.create_ssl_context()
    except OSError as error:  # SSLError is one
        raise ConfigError(f"the certificate authorities cannot be loaded: {error}", field="ca_file") from None


def absolute_url(text: str) -> httpx.URL:
    """An http(s) URL with a plain host and without user information. Raises ValueError, saying why not."""
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, TypeError, ValueError):
        raise ValueError("not a URL") from None
    if url.scheme not in ("http", "https") or not _HOST.fullmatch(url.raw_host):
        raise ValueError("not an absolute http(s) URL")
    if url.port is not None and not 0 < url.port < 1 << 16:
        raise ValueError("a port that does not exist")
    if url.userinfo:
        raise ValueError("user information does not belong there")
    return url


def trusted_url(text: str) -> httpx.URL:
    """A URL that may be believed: https, or http on loopback. Raises ValueError, saying why not."""
    url = absolute_url(text)
    if url.scheme == "http" and not is_loopback(url.host):
        raise ValueError("plain http is allowed on loopback only; use https")
    if url.fragment:
        raise ValueError("a fragment does not belong there")
    return url


def origin(url: httpx.URL) -> tuple[str, str, int]:
    """Scheme, host and port: what must be equal for two URLs to belong to one server."""
    return url.scheme, url.host, url.port or {"https": 443, "http": 80}[url.scheme]


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def is_local(host: str) -> bool:
    """Whether a host is this machine or in its own network."""
    address = _address(host)
    return is_loopback(host) or (address is not None and (address.is_link_local or address.is_private))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


async def _read(where: str, response: httpx.Response, max_bytes: int, *, gzip: bool) -> bytes:
    """The body, unpacked here: the library would unpack a chunk whole, however large it becomes."""
    status = response.status_code
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in (("", "identity", "gzip", "x-gzip") if gzip else ("", "identity")):
        raise FetchFailed(where, "answered in a content coding that was not asked for", status=status)
    unzip = zlib.decompressobj(wbits=31) if "gzip" in encoding else None
    body = bytearray()
    received = 0
    async for chunk in response.aiter_raw():
        received += len(chunk)
        try:
            body += chunk if unzip is None else unzip.decompress(chunk, max_bytes + 1 - len(body))
        except zlib.error:
            raise FetchFailed(where, "damaged gzip", status=status) from None
        if max(received, len(body)) > max_bytes or (unzip is not None and unzip.unconsumed_tail):
            raise FetchFailed(where, f"answered more than {max_bytes} bytes", status=status)
    if unzip is not None and not unzip.eof:
        raise FetchFailed(where, "damaged gzip", status=status)
    return bytes(body)


def _connection_problem(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({cause.verify_message})"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectError):
        return "no connection"
    return f"the connection failed ({type(error).__name__})"
