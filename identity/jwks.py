"""An issuer's keys, found by OpenID discovery and kept fresh (`identity.md` 3.3).

One task per issuer does all the fetching (`identity.key_rounds`); the first `initialize` starts it, the
last `close` ends it.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakKeyDictionary

import httpx

from identity import http
from identity.authorities import context_of
from identity.encoding import Malformed, parse_object
from identity.errors import AuthError, ConfigError
from identity.http import FetchFailed, HttpAnswer
from identity.jose.key_set import KeySet, key_set
from identity.key_cache import RefreshPolicy
from identity.key_rounds import KeyRounds, RoundsSource
from identity.record import record


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """How long, in seconds, and how much, in bytes, an issuer may take."""

    connect: float = 3.0
    total: float = 10.0
    """For one refresh: discovery and key set together."""
    max_bytes: int = 512 * 1024


@record
class _Where(NamedTuple):
    """What makes two verifiers' keys the same: they share one fetcher."""

    issuer: str
    base: httpx.URL
    hosts: frozenset[str]
    ca_file: str | None
    limits: FetchLimits
    policy: RefreshPolicy


_FETCHERS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Where, _Fetcher]] = WeakKeyDictionary()
"""The running fetchers of each event loop."""


class _Untrusted(AuthError):
    """The discovery document points where keys must not come from."""


class IssuerKeys(RoundsSource):
    """The keys of one issuer. A `KeySource`.

    `issuer` is an https URL (plain http on loopback). Keys on another server than the issuer's are
    taken only from the hosts named in `jwks_hosts` ("www.example.com" or "www.example.com:8443").
    `ca_file` replaces the public certificate authorities. Raises ConfigError.

    All objects of one event loop with the same arguments share their keys and the task that fetches them.
    """

    def __init__(
        self,
        issuer: str,
        *,
        jwks_hosts: Iterable[str] = (),
        ca_file: str | None = None,
        limits: FetchLimits | None = None,
        policy: RefreshPolicy | None = None,
    ) -> None:
        super().__init__(issuer)
        base = _issuer_url(issuer)
        self._where = _Where(
            issuer, base, frozenset(jwks_hosts), ca_file, limits or FetchLimits(), policy or RefreshPolicy()
        )
        self._tls = None if ca_file is None else context_of(ca_file, "ca_file")

    async def initialize(self) -> None:
        """Start fetching; does not wait for the first answer. Raises ConfigError."""
        if self._rounds is not None:
            return
        if self._tls is None:
            self._tls = await asyncio.to_thread(http.public_authorities)
        if self._rounds is None:  # still: another call may have come first
            running = _FETCHERS.setdefault(asyncio.get_running_loop(), {})
            if self._where not in running:
                running[self._where] = _Fetcher(self._where, self._tls)
            fetcher = self._rounds = running[self._where]
            fetcher.users += 1

    async def close(self) -> None:
        """Stop fetching, unless others share the task. Whoever waits gets what is there."""
        fetcher, self._rounds = self._rounds, None
        if not isinstance(fetcher, _Fetcher):
            return
        fetcher.users -= 1
        if not fetcher.users:
            _FETCHERS[asyncio.get_running_loop()].pop(self._where)
            await fetcher.stop()

    def __repr__(self) -> str:
        return f"IssuerKeys({self._where.issuer!r}, generation={self.generation})"


class _Fetcher(KeyRounds):
    """Fetches over HTTP."""

    def __init__(self, where: _Where, tls: ssl.SSLContext) -> None:
        self.users = 0
        _, self._base, self._hosts, _, self._limits, policy = where
        self._tls = tls
        super().__init__(where.issuer, policy, self._limits.total, time.monotonic)

    async def keep_fresh(self) -> None:
        async with http.client(self._tls, connect=self._limits.connect) as self._client:
            await super().keep_fresh()

    async def fetch(self) -> tuple[KeySet, float | None]:
        document = await self._fetch(self._client)
        # Reading 256 keys takes some 20 ms: not in the loop that serves everybody.
        return await asyncio.to_thread(_read_keys, document.body), document.max_age

    async def _fetch(self, client: httpx.AsyncClient) -> HttpAnswer:
        """The key set, from where discovery says, else from the usual place beside it."""
        try:
            answer = await http.get(client, self._well_known("openid-configuration"), self._limits.max_bytes)
            location = await asyncio.to_thread(self._jwks_uri, answer.body)
        except (FetchFailed, Malformed) as undiscovered:
            try:
                return await http.get(client, self._well_known("jwks.json"), self._limits.max_bytes)
            except FetchFailed as error:
                raise AuthError(f"discovery: {undiscovered}; {error}") from error
        return await http.get(client, location, self._limits.max_bytes)

    def _well_known(self, name: str) -> httpx.URL:
        return httpx.URL(f"{str(self._base).rstrip('/')}/.well-known/{name}")

    def _jwks_uri(self, body: bytes) -> httpx.URL:
        """Where the discovery document says the keys are.

        Raises Malformed when the document is of no use, and _Untrusted when it points where it must not.
        """
        configuration = parse_object(body)
        named, location = configuration.get("issuer"), configuration.get("jwks_uri")
        if not isinstance(location, str):
            raise Malformed("a discovery document without jwks_uri")
        if named is not None and (not isinstance(named, str) or named.rstrip("/") != self.issuer.rstrip("/")):
            raise _Untrusted("the discovery document is of another issuer")
        try:
            url = http.trusted_url(location)
        except ValueError as error:
            raise _Untrusted(f"the jwks_uri is unusable: {error}") from None
        host = url.host if url.port is None else f"{url.host}:{url.port}"
        if http.origin(url) != http.origin(self._base) and host not in self._hosts:
            raise _Untrusted(f"its keys are on {host}; name it in jwks_hosts to allow that")
        return url


def _read_keys(body: bytes) -> KeySet:
    return key_set(parse_object(body))


def _issuer_url(issuer: str) -> httpx.URL:
    try:
        url = http.trusted_url(issuer)
        if url.query:
            raise ValueError("a query does not belong there")
    except ValueError as error:
        raise ConfigError(f"issuer cannot be resolved to keys: {error}", field="issuer") from None
    return url
