"""Cloud identity for SLIM applications: a provider that hands out tokens of the auth server and renews them.

A background task renews by the schedule of `identity.renewal`. The token in hand serves until it has expired.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Self, Unpack

from identity.cloud.claims import expiry_claim, text_claim, unverified_claims
from identity.cloud.exchange import JwtOptions, get_jwt
from identity.cloud.models import JWTType
from identity.errors import AuthError, ConfigError, InvalidToken, SlimError
from identity.log import logger as log
from identity.record import record
from identity.renewal import RenewalSchedule
from identity.variant import Variant


@record
class IssuedToken(NamedTuple):
    """A token with what its claims say. The repr shows no token."""

    text: str
    subject: str
    expires_at: float

    def __repr__(self) -> str:
        return f"<IssuedToken of {self.subject} until {self.expires_at:.0f}>"

    @classmethod
    def read(cls, text: str) -> IssuedToken:
        """Read a token's `sub` and `exp` without verifying it. Raises InvalidToken."""
        claims = unverified_claims(text)
        if claims is None:
            raise InvalidToken("the auth server issued something that is not a JWT", rule="malformed")
        subject, expires_at = text_claim(claims, "sub"), expiry_claim(claims)
        if not subject or expires_at is None:
            raise InvalidToken("the auth server issued a token without `sub` or `exp`", rule="missing_claim")
        return cls(text, subject, expires_at)


class CloudProvider(Variant, secrets=("additional_params",)):
    """An identity provider (`identity.protocols.Provider`) whose tokens the auth server issues.

    The arguments are those of `get_jwt`; `fetch` replaces that exchange as a whole, and `clock` the time
    (Unix seconds).
    """

    jwt_type: JWTType
    workspace_group_id: str | None
    server_url: str | None

    def __init__(
        self,
        jwt_type: JWTType = JWTType.DATABASE_ACCESS,
        workspace_group_id: str | None = None,
        server_url: str | None = None,
        *,
        fetch: Callable[[], Awaitable[str]] | None = None,
        clock: Callable[[], float] = time.time,
        **options: Unpack[JwtOptions],
    ) -> None:
        self._fetch = fetch or (lambda: get_jwt(jwt_type, workspace_group_id, server_url, **options))
        self._clock = clock
        self._token: IssuedToken | None = None
        self._generation = 0
        self._renewal: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()  # against two initialize() at the same time

    @classmethod
    def configured(cls, **given: Any) -> Self:
        """`jwt_type` is a text here: "database" (by default) or "api"."""
        wanted = given.pop("jwt_type", JWTType.DATABASE_ACCESS.value)
        jwt_type = next((each for each in JWTType if each.value == wanted), None)
        if jwt_type is None:
            known = " or ".join(f'"{each.value}"' for each in JWTType)
            raise ConfigError(f"{known}, got {wanted!r}", field="jwt_type")
        return cls(jwt_type, **given)

    async def initialize(self) -> None:
        """Obtain the first token and start renewing. Idempotent. Raises ConfigError or AuthError."""
        async with self._starting:
            if self._renewal is None:
                self._accept(await self._fetch())
                self._renewal = asyncio.create_task(self._renew(), name="cloud-identity-renewal")

    async def close(self) -> None:
        """Stop renewing. The last token stays at hand until it expires. Idempotent."""
        if (renewal := self._renewal) is not None:
            self._renewal = None
            renewal.cancel()
            await asyncio.gather(renewal, return_exceptions=True)

    def get_id(self) -> str:
        """The `sub` of the issued tokens. Raises AuthError before `initialize()`."""
        return self._current().subject

    @property
    def generation(self) -> int:
        """Grows with each token that the auth server issued."""
        return self._generation

    def get_token(self, now: float) -> str:
        """The token in hand. Raises AuthError before `initialize()`, InvalidToken when it has expired."""
        token = self._current()
        if now >= token.expires_at:
            raise InvalidToken(
                f"the cloud token of {token.subject} has expired and could not be renewed", rule="expired"
            )
        return token.text

    @property
    def carries_claims(self) -> bool:
        """Never: only the auth server could add claims."""
        return False

    async def get_token_with_claims(self, claims: Mapping[str, Any], now: float) -> str:
        """Always raises ConfigError: only the auth server could add claims."""
        raise ConfigError(
            "cloud identity cannot add claims to its tokens, so it cannot carry an MLS key: "
            "use SharedSecret, Jwt or Spire where MLS is enabled",
            field="provider",
        )

    def _current(self) -> IssuedToken:
        if self._token is None:
            raise AuthError("cloud identity has no token yet: await initialize() first")
        return self._token

    def _accept(self, text: str) -> None:
        """Take a new token, if it still speaks for the same application and is not over already."""
        token = IssuedToken.read(text)
        if token.expires_at <= self._clock():
            raise InvalidToken("the auth server issued a token that has expired", rule="expired")
        if self._token and token.subject != self._token.subject:
            raise InvalidToken(
                f"the renewed token is for {token.subject}, not {self._token.subject}", rule="subject"
            )
        self._token = token
        self._generation += 1

    async def _renew(self) -> None:
        schedule = RenewalSchedule()
        pause = schedule.renewed(self._clock(), self._current().expires_at)
        while True:
            await schedule.wait(pause, self._clock)
            try:
                self._accept(await self._fetch())
            except Exception as exc:
                # A client of others may raise anything; of an unknown error not even the text is logged.
                pause = schedule.failed(self._clock())
                why = str(exc) if isinstance(exc, SlimError) else type(exc).__name__
                if schedule.is_told:
                    log.warning("cloud token not renewed", count=schedule.failures, cause=why)
            else:
                pause = schedule.renewed(self._clock(), self._current().expires_at)
                log.info("cloud token renewed", name=self._current().subject)
