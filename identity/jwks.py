"""An issuer's keys, found by OpenID discovery and kept fresh (`identity.md` 3.3).

One task per issuer does all the fetching; the first `initialize` starts it and the last `close` ends it.
Whoever misses a key asks the task and waits for the round in flight: there is never more than one.
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
from identity.key_cache import KeyCache, RefreshPolicy
from identity.log import logger
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


class IssuerKeys:
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
        base = _issuer_url(issuer)
        self._where = _Where(
            issuer, base, frozenset(jwks_hosts), ca_file, limits or FetchLimits(), policy or RefreshPolicy()
        )
        self._tls = None if ca_file is None else context_of(ca_file, "ca_file")
        self._fetcher: _Fetcher | None = None

    async def initialize(self) -> None:
        """Start fetching; does not wait for the first answer. Raises ConfigError."""
        if self._fetcher is not None:
            return
        if self._tls is None:
            self._tls = await asyncio.to_thread(http.public_authorities)
        if self._fetcher is None:  # still: another call may have come first
            running = _FETCHERS.setdefault(asyncio.get_running_loop(), {})
            if self._where not in running:
                running[self._where] = _Fetcher(self._where, self._tls)
            self._fetcher = running[self._where]
            self._fetcher.users += 1

    async def close(self) -> None:
        """Stop fetching, unless others share the task. Whoever waits gets what is there."""
        fetcher, self._fetcher = self._fetcher, None
        if fetcher is None:
            return
        fetcher.users -= 1
        if not fetcher.users:
            _FETCHERS[asyncio.get_running_loop()].pop(self._where)
            await fetcher.stop()

    @property
    def generation(self) -> int:
        return 0 if self._fetcher is None else self._fetcher.generation

    def current(self, now: float) -> KeySet | None:
        """The keys at hand, if they may still be trusted. Their age is measured on a clock nobody sets."""
        return None if self._fetcher is None else self._fetcher.current()

    @property
    def trouble(self) -> str:
        """Why the last fetch failed; empty when it did not."""
        return "" if self._fetcher is None else self._fetcher.complaint

    def may_refresh(self) -> bool:
        """True while a fetch runs, and when one may be caused; False in the pauses after it."""
        return self._fetcher is None or self._fetcher.may_refresh()

    async def refreshed(self, now: float) -> KeySet | None:
        """The keys after the fetch in flight, or after one caused now if that is allowed."""
        if self._fetcher is None:
            raise AuthError(f"keys of {self._where.issuer} are not being fetched: initialize() the verifier")
        await self._fetcher.refreshed()
        return self.current(now)

    def __repr__(self) -> str:
        return f"IssuerKeys({self._where.issuer!r}, generation={self.generation})"


class _Fetcher:
    """The task that keeps one issuer's keys fresh, running from construction to `stop`."""

    def __init__(self, where: _Where, tls: ssl.SSLContext) -> None:
        self.users = 0
        self._issuer, self._base, self._hosts, _, self._limits, policy = where
        self._cache = KeyCache(policy)
        self.complaint = ""
        """Why the last fetch failed."""
        self._wanted = asyncio.Event()
        self._round: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
        """Done when the fetch in flight is over; None between two fetches."""
        self._task = asyncio.create_task(self._keep_fresh(tls), name=f"jwks {self._issuer}")

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @property
    def generation(self) -> int:
        return self._cache.generation

    def current(self) -> KeySet | None:
        return self._cache.current(time.monotonic())

    def may_refresh(self) -> bool:
        return self._round is not None or self._cache.may_fetch(time.monotonic())

    async def refreshed(self) -> None:
        """Wait for the fetch in flight, or for one caused now if that is allowed."""
        if self._round is None and self._cache.may_fetch(time.monotonic()):
            self._cache.forced(time.monotonic())
            self._round = asyncio.get_running_loop().create_future()
            self._wanted.set()
        if self._round is not None:
            # Shielded: one who gives up waiting must not cancel the round for the others.
            await asyncio.shield(self._round)

    async def _keep_fresh(self, tls: ssl.SSLContext) -> None:
        try:
            async with http.client(tls, connect=self._limits.connect) as client:
                while True:
                    await self._refresh(client)
                    self._end_round()
                    try:
                        async with asyncio.timeout(self._cache.next_fetch - time.monotonic()):
                            await self._wanted.wait()
                    except TimeoutError:
                        pass
                    self._wanted.clear()
                    if self._round is None:
                        self._round = asyncio.get_running_loop().create_future()
        finally:
            self._end_round()

    def _end_round(self) -> None:
        if self._round is not None:
            self._round.set_result(None)
            self._round = None

    async def _refresh(self, client: httpx.AsyncClient) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._limits.total):
                document = await self._fetch(client)
            # Reading 256 keys takes some 20 ms: not in the loop that serves everybody.
            keys = await asyncio.to_thread(_read_keys, document.body)
        except TimeoutError:
            self._failed(f"no answer within {self._limits.total:g} s")
            return
        except (AuthError, Malformed) as error:
            self._failed(str(error))
            return
        except Exception as error:  # the one task that can bring keys must outlive whatever a stranger sends
            self._failed(f"unexpected {type(error).__name__}")
            return
        self._cache.fetched(keys, document.max_age, began)
        self.complaint = ""
        logger.debug("keys of an issuer are in use", issuer=self._issuer, count=len(keys))

    def _failed(self, reason: str) -> None:
        self._cache.failed(time.monotonic())
        if reason != self.complaint:
            self.complaint = reason
            logger.warning("keys of an issuer cannot be fetched", issuer=self._issuer, cause=reason)

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
        if named is not None and (
            not isinstance(named, str) or named.rstrip("/") != self._issuer.rstrip("/")
        ):
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
