"""Asking the services of clouds (`identity.md` 8.2, 8.3): their answers, and who may be told a secret.

Requests keep to the rules of `identity.http`. Plain http goes straight to its host, past any proxy; only
https to public services may use one. Each request has its own client: they come from short-lived event loops
as well as from long ones, and no pool has to be closed by anybody.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx

from identity import encoding, http
from identity.cloud.errors import CloudRequestFailed
from identity.errors import ConfigError
from identity.record import record
from identity.renewal import backoff

ANSWER_LIMIT = 64 * 1024

LONGEST_BACKOFF = 1.6

_ERROR_CODE = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class ServiceAnswer:
    """A complete answer of a service that is no redirect. The repr shows no content."""

    service: str
    answer: http.HttpAnswer = field(repr=False)

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def headers(self) -> httpx.Headers:
        return self.answer.headers

    @property
    def body(self) -> bytes:
        return self.answer.body

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

    def expect_ok(self) -> ServiceAnswer:
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
) -> ServiceAnswer:
    """Send one request and read its whole answer within `timeout` seconds.

    `service` names the other side in errors. Raises CloudRequestFailed for everything that is not a complete
    answer with a status outside 300..399.
    """
    secure = url.lower().startswith("https:")
    try:
        tls = http.public_authorities() if secure else None
        async with asyncio.timeout(timeout), http.client(tls, proxies=secure) as client:
            answer = await http.send(
                client,
                method,
                url,
                max_bytes=ANSWER_LIMIT,
                where=service,
                headers=headers,
                params=params,
                body=body,
            )
    except TimeoutError:
        raise CloudRequestFailed(
            service, f"no complete answer within {timeout:g} s", transient=True
        ) from None
    except http.FetchFailed as failed:
        raise CloudRequestFailed(
            service, failed.reason, status=failed.status, transient=failed.transient
        ) from None
    if 300 <= answer.status < 400:
        raise CloudRequestFailed(
            service, "answered with a redirect, which is never followed", status=answer.status
        )
    return ServiceAnswer(service, answer)


@record
class Retries(NamedTuple):
    """How often to ask, and how long to wait in between: `first` seconds, doubled up to LONGEST_BACKOFF."""

    attempts: int = 6
    first: float = 0.05

    def waits(self) -> Iterator[float]:
        """The pauses between the attempts, in seconds."""
        return (backoff(n, self.first, LONGEST_BACKOFF) for n in range(1, self.attempts))


async def fetch_patiently(
    service: str,
    method: str,
    url: str,
    *,
    retries: Retries | None = None,
    probe: bool = False,
    **request: Any,
) -> ServiceAnswer:
    """`fetch` for services of the machine (metadata, tokens), until they answer with status 200.

    Throttling, server errors and broken connections are tried again; everything else is final. With `probe`,
    only answers are: where nothing answers, there is no such machine. Raises CloudRequestFailed.
    """
    waits = (retries or Retries()).waits()
    while True:
        try:
            return (await fetch(service, method, url, **request)).expect_ok()
        except CloudRequestFailed as exc:
            again = exc.transient and not (probe and exc.status is None)
            wait = next(waits, None) if again else None
            if wait is None:
                raise
        await asyncio.sleep(wait)


def require_private(url: str, what: str) -> str:
    """`url` without a trailing slash, if a secret may be sent there: https, or http on a local address.

    `what` names the setting it came from. Raises ConfigError.
    """
    parsed = parse_url(url, what)
    if parsed.scheme == "https" or http.is_local(parsed.host):
        return url.rstrip("/")
    raise ConfigError(f"{what} must be an https address, or http on a local address", field=what)


def parse_url(url: str, what: str) -> httpx.URL:
    """An absolute http(s) URL with a host and without user and password. Raises ConfigError naming `what`."""
    try:
        return http.absolute_url(url)
    except ValueError as error:
        raise ConfigError(f"{what} cannot be used: {error}", field=what) from None


def parse_object(text: bytes | str) -> dict[str, Any] | None:
    """A JSON object, or None for everything that is not one with exactly one meaning."""
    try:
        return encoding.parse_object(text.encode() if isinstance(text, str) else text)
    except (encoding.Malformed, UnicodeEncodeError):
        return None
