"""SLIM identities from a SPIFFE agent: the Spire provider and verifier (`identity.md` 4).

The provider holds one token for messages and replaces it in time; a token with other claims (an MLS
credential) is fetched for itself. The verifier checks tokens of peers here, with the bundles that the agent
streams.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from identity.encoding import Malformed
from identity.errors import ConfigError, InvalidToken
from identity.log import logger
from identity.message_key import PUBKEY_CLAIM, new_pubkey
from identity.protocols import Claims, KeysMissing
from identity.renewal import RenewalSchedule
from identity.spiffe.errors import (
    ArgumentError,
    FetchJwtSvidError,
    InvalidClaimError,
    JwtSourceError,
    SpiffeIdError,
)
from identity.spiffe.jwt_svid import LEEWAY_SECONDS, JwtSvid
from identity.spiffe.retry import FINAL_CODES
from identity.spiffe.slim_claims import claims_audience, split_audience
from identity.spiffe.sources import AsyncJwtSource
from identity.spiffe.spiffe_id import SpiffeId
from identity.spiffe.workload_api import AsyncWorkloadApiClient
from identity.variant import Variant
from identity.verified import VerifiedTokens

DEFAULT_AUDIENCES = ("slim",)
START_SECONDS = 30.0
"""How long `initialize` waits for an agent that is not there, or does not know this workload, yet."""

CALL_SECONDS = 10.0


class SpireProvider(Variant):
    """Makes SLIM tokens from JWT-SVIDs. Implements `identity.protocols.Provider`."""

    socket_path: str | None
    target_spiffe_id: str | None
    jwt_audiences: Sequence[str] | None

    def __init__(
        self,
        socket_path: str | None = None,
        target_spiffe_id: str | None = None,
        jwt_audiences: Sequence[str] | None = None,
        *,
        agent_uid: int | None = None,
        start_timeout: float = START_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Nothing is dialled before `initialize`.

        `socket_path` is by default `$SPIFFE_ENDPOINT_SOCKET`, else where agents usually are;
        `target_spiffe_id` chooses among several identities of this workload; `jwt_audiences` is whom the
        tokens are for, by default `["slim"]`. With `agent_uid` the agent's process must run as that user.
        Raises ConfigError.
        """
        self._new_client = _client_factory(socket_path, agent_uid)
        self._target = _spiffe_id(target_spiffe_id)
        self._audiences = _audiences(jwt_audiences)
        self._start_timeout = start_timeout
        self._clock = clock
        self._pubkey = new_pubkey()
        self._client: AsyncWorkloadApiClient | None = None
        self._refresher: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._id: SpiffeId | None = None
        self._svid: JwtSvid | None = None
        self._generation = 0
        self._why_none = "the provider is not initialized"

    async def initialize(self) -> None:
        """Fetch the first token and keep it fresh from then on. Raises FetchJwtSvidError (AuthError)."""
        async with self._starting:
            if self._refresher is not None:
                return
            self._client = self._client or self._new_client()
            schedule = RenewalSchedule()
            try:
                pause = await self._first_fetch(schedule)
            except BaseException as exc:
                await self.close()
                self._why_none = f"the provider could not start ({exc or type(exc).__name__})"
                raise
            self._refresher = asyncio.create_task(self._keep_fresh(schedule, pause), name="spire provider")

    async def close(self) -> None:
        refresher, self._refresher = self._refresher, None
        if refresher is not None:
            refresher.cancel()
            await asyncio.wait([refresher])
        client, self._client = self._client, None
        if client is not None:
            await client.close()
        self._svid, self._why_none = None, "the provider is closed"

    def get_id(self) -> str:
        """The SPIFFE ID. Raises FetchJwtSvidError before the first token came, unless a target was given."""
        own = self._id or self._target
        if own is None:
            raise FetchJwtSvidError(f"no SPIFFE ID is known: {self._why_none}")
        return str(own)

    @property
    def generation(self) -> int:
        """Grows with each JWT-SVID that replaced another."""
        return self._generation

    def get_token(self, now: float) -> str:
        """The current token; one serves all messages of its life. Raises FetchJwtSvidError (AuthError)."""
        if self._svid is None:
            raise FetchJwtSvidError(f"no JWT-SVID is at hand: {self._why_none}")
        if self._svid.expiry <= now:
            age = f"{now - self._svid.expiry:.0f} s"
            raise FetchJwtSvidError(f"the JWT-SVID expired {age} ago and was not replaced: {self._why_none}")
        return self._svid.token

    async def get_token_with_claims(self, claims: Mapping[str, Any], now: float) -> str:
        """A new token that carries `claims` as well. Raises ConfigError or FetchJwtSvidError (AuthError)."""
        try:
            audience = self._audience_with(claims)
        except Malformed as exc:
            raise ConfigError(f"the claims cannot be sent: {exc}", field="claims") from exc
        return (await self._fetch(audience)).token

    async def _first_fetch(self, schedule: RenewalSchedule) -> float:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._start_timeout
        while True:
            try:
                return await self._refresh(schedule)
            except FetchJwtSvidError as exc:
                pause = schedule.failed(self._clock())
                if exc.code in FINAL_CODES or self._client is None or loop.time() + pause >= deadline:
                    raise
                logger.warning("no first JWT-SVID yet, trying again", cause=str(exc))
            await asyncio.sleep(pause)

    async def _keep_fresh(self, schedule: RenewalSchedule, pause: float) -> None:
        while True:
            await schedule.wait(pause, self._clock)
            try:
                pause = await self._refresh(schedule)
            except FetchJwtSvidError as exc:
                pause = schedule.failed(self._clock())
                self._why_none = str(exc)
                if exc.code == "PERMISSION_DENIED":
                    self._svid = None
                if schedule.is_told:
                    logger.warning(
                        "the JWT-SVID could not be replaced", count=schedule.failures, cause=str(exc)
                    )

    async def _refresh(self, schedule: RenewalSchedule) -> float:
        self._svid = await self._fetch(self._audience_with({}))
        self._generation += 1
        self._why_none = "the agent gave no newer one"
        # From now on this identity is asked for by name: another default of the agent is not ours.
        self._id = self._svid.spiffe_id
        return schedule.renewed(self._clock(), self._svid.expiry)

    async def _fetch(self, audience: list[str]) -> JwtSvid:
        if self._client is None:
            raise FetchJwtSvidError(f"no JWT-SVID can be fetched: {self._why_none}")
        svid = await self._client.fetch_jwt_svid(audience, self._id or self._target)
        if not svid.audience.issuperset(audience):
            raise FetchJwtSvidError("the agent left out an audience that was asked for")
        return svid

    def _audience_with(self, claims: Mapping[str, Any]) -> list[str]:
        return [*self._audiences, claims_audience({PUBKEY_CLAIM: self._pubkey, **claims})]


class SpireVerifier(Variant):
    """Checks SLIM tokens that are JWT-SVIDs. Implements `identity.protocols.Verifier`.

    What was verified is remembered (bounded) until it expires or the bundles change.
    """

    socket_path: str | None
    target_spiffe_id: str | None
    jwt_audiences: Sequence[str] | None

    def __init__(
        self,
        socket_path: str | None = None,
        target_spiffe_id: str | None = None,
        jwt_audiences: Sequence[str] | None = None,
        *,
        agent_uid: int | None = None,
        start_timeout: float = START_SECONDS,
    ) -> None:
        """Nothing is dialled before `initialize`.

        `socket_path` is by default `$SPIFFE_ENDPOINT_SOCKET`, else where agents usually are; a token needs
        one of `jwt_audiences`, by default `["slim"]`, and if `target_spiffe_id` is given, must be of exactly
        that peer. With `agent_uid` the agent's process must run as that user. Raises ConfigError.
        """
        self._new_client = _client_factory(socket_path, agent_uid)
        self._expected = _spiffe_id(target_spiffe_id)
        self._audiences = frozenset(_audiences(jwt_audiences))
        self._start_timeout = start_timeout
        self._client: AsyncWorkloadApiClient | None = None
        self._source: AsyncJwtSource | None = None
        self._starting: asyncio.Task[None] | None = None
        self._verified: VerifiedTokens[Claims] = VerifiedTokens()
        self._generation = 0

    async def initialize(self) -> None:
        """Open the stream of JWT bundles and await the first. Raises JwtSourceError (AuthError).

        However many wait for it, there is one attempt at a time, and all of them share its outcome.
        """
        if self._is_open():
            return
        if self._starting is None or self._starting.done():
            self._starting = asyncio.create_task(self._start(), name="spire verifier")
        starting, waiting = self._starting, asyncio.current_task()
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            if not starting.cancelled() or (waiting is not None and waiting.cancelling()):
                raise
            raise JwtSourceError("the verifier was closed while it started", code="CANCELLED") from None

    async def close(self) -> None:
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.cancel()
            await asyncio.wait([starting])
        self._forget()
        source, self._source = self._source, None
        if source is not None:
            await source.close()
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    @property
    def generation(self) -> int:
        """Grows whenever the bundles change."""
        return self._generation

    def try_verify(self, token: str, now: float) -> None:
        self._check(token, now)

    def try_get_claims(self, token: str, now: float) -> Claims:
        # Fresh containers at every depth: what is remembered must not change in the hands of a caller.
        return deepcopy(self._check(token, now))

    async def verify(self, token: str, now: float) -> None:
        await self._ready()
        self._check(token, now)

    async def get_claims(self, token: str, now: float) -> Claims:
        await self._ready()
        return self.try_get_claims(token, now)

    async def _ready(self) -> None:
        try:
            await self.initialize()
        except JwtSourceError as exc:
            raise InvalidToken(f"no JWT bundle to check with: {exc}", rule="keys_unavailable") from exc

    async def _start(self) -> None:
        self._client = self._client or self._new_client()
        source = AsyncJwtSource(self._client)
        source.subscribe_for_updates(self._forget)
        self._source = await source.start(self._start_timeout)

    def _forget(self) -> None:
        """The bundles have changed."""
        self._verified.clear()
        self._generation += 1

    def _is_open(self) -> bool:
        return self._source is not None and not self._source.is_closed()

    def _check(self, token: str, now: float) -> Claims:
        known = self._verified.get(token, now)
        if known is not None:
            return known
        svid = self._validate(token, now)
        audience, custom = split_audience(svid.audience_list)
        claims: Claims = {"sub": str(svid.spiffe_id), "aud": audience, "exp": svid.expiry}
        if custom:
            claims["custom_claims"] = custom
        # The end itself is too late, as in `identity.spiffe.jwt_svid`.
        last = math.nextafter(svid.expiry + LEEWAY_SECONDS, -math.inf)
        self._verified.remember(token, -math.inf, last, claims)
        return claims

    def _validate(self, token: str, now: float) -> JwtSvid:
        if self._source is None or self._source.is_closed():
            raise KeysMissing
        try:
            bundles = self._source.get_jwt_bundles()
        except JwtSourceError as exc:
            raise InvalidToken(f"no JWT bundle to check with: {exc}", rule="keys_unavailable") from exc
        svid = JwtSvid.parse_and_validate(token, bundles, self._audiences, now=now)
        if self._expected is not None and svid.spiffe_id != self._expected:
            raise InvalidClaimError("sub", f"is not the expected peer {self._expected}")
        return svid


def _client_factory(socket_path: str | None, agent_uid: int | None) -> Callable[[], AsyncWorkloadApiClient]:
    """What makes clients of this address. The address is checked here, by a client that is never used."""
    if sys.platform == "win32":
        raise ConfigError("the SPIFFE Workload API is not available on Windows", field="socket_path")
    AsyncWorkloadApiClient(socket_path, CALL_SECONDS, agent_uid=agent_uid)
    return lambda: AsyncWorkloadApiClient(socket_path, CALL_SECONDS, agent_uid=agent_uid)


def _spiffe_id(text: str | None) -> SpiffeId | None:
    if text is None:
        return None
    try:
        return SpiffeId(text)
    except SpiffeIdError as exc:
        raise ArgumentError(f"target_spiffe_id: {exc}", field="target_spiffe_id") from exc


def _audiences(audiences: Sequence[str] | None) -> list[str]:
    chosen = list(DEFAULT_AUDIENCES if audiences is None else audiences)
    if isinstance(audiences, str) or not chosen or not all(isinstance(one, str) and one for one in chosen):
        raise ArgumentError("jwt_audiences is a list of texts, at least one", field="jwt_audiences")
    return chosen
