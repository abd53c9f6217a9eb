"""One HTTP request to a service that is told, or tells, secrets (`identity.md` 8.2, 8.3).

The rules, for every request of cloud identity:

1. No redirect is followed: credentials go to the host that was meant and to no other.
2. Plain http goes straight to its host, past any proxy. Only https to public services may use one.
3. An answer has a total time limit, 64 KiB at most, and no content coding (so no decompression bomb).
4. No error quotes what was sent or received; a library's exception never travels on, since its text may.

Each request opens its own connection: they are hourly, come from short-lived event loops as well as from
long ones, and no pool has to be closed by anybody.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from identity.cloud.errors import CloudRequestFailed
from identity.errors import ConfigError

ANSWER_LIMIT = 64 * 1024
USER_AGENT = "callboard"

_HOST = re.compile(rb"[A-Za-z0-9._:-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_ERROR_CODE = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer that is no redirect. The repr shows no content."""

    service: str
    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def transient(self) -> bool:
        """Whether the service asks to come again: throttled or in trouble."""
        return self.status == 429 or self.status >= 500

    def text(self) -> str:
        """The content as UTF-8 without white space around it. Raises CloudRequestFailed."""
        try:
            return self.body.decode().strip()
        except UnicodeDecodeError:
            raise CloudRequestFailed(self.service, "the answer is not UTF-8", status=self.status) from None

    def json(self) -> dict[str, Any]:
        """The content as a JSON object. Raises CloudRequestFailed."""
        parsed = parse_object(self.body)
        if parsed is None:
            raise CloudRequestFailed(self.service, "the answer is not a JSON object", status=self.status)
        return parsed

    def member(self, name: str) -> str:
        """A non-empty text member of the JSON object. Raises CloudRequestFailed."""
        value = self.json().get(name)
        if not isinstance(value, str) or not value:
            raise CloudRequestFailed(self.service, f"the answer has no text {name!r}", status=self.status)
        return value

    def failure(self, code: object = "") -> CloudRequestFailed:
        """The error that says which status came, with the service's error code when it looks like one."""
        known = code if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else ""
        problem = f"answered {self.status}" + (f" ({known})" if known else "")
        return CloudRequestFailed(
            self.service, problem, status=self.status, code=known, transient=self.transient
        )

    def expect_ok(self) -> Answer:
        """This answer, if its status is 200. Raises CloudRequestFailed with OAuth's `error` code, if any."""
        if self.status != 200:
            raise self.failure((parse_object(self.body) or {}).get("error"))
        return self


async def fetch(
    service: str,
    method: str,
    url: str,
    *,
    timeout: float,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    """Send one request and read its whole answer within `timeout` seconds, by the rules of this module.

    `service` names the other side in errors. Raises CloudRequestFailed for everything that is not a complete
    answer with a status outside 300..399.
    """
    sent = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity", **(headers or {})}
    if not all(_HEADER_VALUE.fullmatch(value) for value in sent.values()):
        raise CloudRequestFailed(service, "a header for it would hold line breaks or non-ASCII characters")
    try:
        async with asyncio.timeout(timeout), _client(url) as client:
            request = client.build_request(
                method, httpx.URL(url).copy_merge_params(params or {}), headers=sent, content=body
            )
            return await _read(service, await client.send(request, stream=True, auth=None))
    except TimeoutError:
        raise CloudRequestFailed(
            service, f"no complete answer within {timeout:g} s", transient=True
        ) from None
    except (httpx.TransportError, OSError) as exc:
        raise CloudRequestFailed(service, _connection_problem(exc), transient=True) from None
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, ValueError) as exc:
        raise CloudRequestFailed(service, f"no request possible ({type(exc).__name__})") from None


def require_private(url: str, what: str) -> str:
    """`url` without a trailing slash, if a secret may be sent there: https, or http on a local address.

    `what` names the setting it came from. Raises ConfigError.
    """
    parsed = parse_url(url, what)
    if parsed.scheme == "https" or (parsed.scheme == "http" and _is_local(parsed.host)):
        return url.rstrip("/")
    raise ConfigError(f"{what} must be an https address, or http on a local address", field=what)


def parse_url(url: str, what: str) -> httpx.URL:
    """An absolute http(s) URL with a host and without user and password. Raises ConfigError naming `what`."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError, ValueError):
        raise ConfigError(f"{what} is not a URL", field=what) from None
    plain_host = _HOST.fullmatch(parsed.raw_host)
    if parsed.scheme not in ("http", "https") or not plain_host or parsed.userinfo:
        raise ConfigError(f"{what} must be an http(s) URL with a host and without a password", field=what)
    return parsed


def parse_object(text: bytes | str) -> dict[str, Any] | None:
    """A JSON object, or None for everything else (other values, NaN, nesting too deep)."""
    try:
        parsed = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


async def _read(service: str, response: httpx.Response) -> Answer:
    """Read at most ANSWER_LIMIT bytes; whoever sends more, or in another coding, is not believed."""
    try:
        if 300 <= response.status_code < 400:
            raise CloudRequestFailed(
                service, "answered with a redirect, which is never followed", status=response.status_code
            )
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise CloudRequestFailed(service, "answered in a content coding that was not asked for")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > ANSWER_LIMIT:
                raise CloudRequestFailed(
                    service, f"answered more than {ANSWER_LIMIT} bytes", status=response.status_code
                )
        return Answer(service, response.status_code, response.headers, bytes(body))
    finally:
        await response.aclose()


def _client(url: str) -> httpx.AsyncClient:
    secure = url.lower().startswith("https:")
    # trust_env is what makes httpx look at proxy settings.
    return httpx.AsyncClient(
        verify=_tls() if secure else False,  # plain http has no TLS to verify
        trust_env=secure,
        follow_redirects=False,
        timeout=None,  # noqa: S113  # fetch() limits the whole exchange
    )


@functools.cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _connection_problem(exc: Exception) -> str:
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({cause.verify_message})"
        cause = cause.__cause__ or cause.__context__
    if isinstance(exc, httpx.ConnectError):
        return "no connection"
    return f"the connection failed ({type(exc).__name__})"


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_link_local or address.is_private


def _no_constant(name: str) -> None:
    raise ValueError(name)
