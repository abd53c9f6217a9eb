"""Authentication when a stream is opened (`dataplane.md` 1): of the HTTP request, not of messages.

A link shows `Authorization: Basic ...` or `Authorization: Bearer TOKEN`, a listener checks it. Both are
opened before the first dial or accept and closed with the data plane: tokens may come from an agent, keys
from an issuer.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from actors.memo import Memo
from gateway.config import AuthConfig, JwtKeyConfig
from gateway.security.users import PASSWORD_BYTES, USERS_BYTES, PasswordHash, parse_users
from gateway.surroundings import current
from identity import token_tool
from identity.errors import ConfigError, InvalidToken
from identity.jose.keys import Algorithm, Key, KeyData, KeyFormat
from identity.protocols import Provider, Verifier
from identity.provider import IdentityProvider, IdentityVerifier
from identity.registry import IdentityRole
from identity.watch import WatchedFile

Headers = dict[str, str]


class ClientAuth(Protocol):
    """What a dialled stream shows."""

    async def start(self) -> None:
        """Obtain what is needed to make headers. Raises ConfigError or AuthError."""

    async def headers(self) -> list[tuple[str, str]]:
        """The headers of a new stream. Raises AuthError when there is nothing valid to show."""

    async def close(self) -> None:
        """Release what `start` opened. Idempotent."""


class ServerAuth(Protocol):
    """What a listener demands."""

    async def start(self) -> None:
        """Open what is needed to check headers. Raises ConfigError or AuthError."""

    async def check(self, headers: Headers) -> str:
        """Who calls, as the headers of a new stream prove: a user, or the subject of a token.

        Raises AuthError.
        """

    async def close(self) -> None:
        """Release what `start` opened. Idempotent."""


def client_auth(auth: AuthConfig) -> ClientAuth | None:
    """What a link shows; None when it is nothing. Raises ConfigError naming the key at fault."""
    if auth.kind == "none":
        return None
    if auth.kind == "basic":
        if auth.file is not None:
            where = f"{auth.where}.file"
            raise ConfigError(f"{where}: of a listener; a link shows username and password", field=where)
        return _ShowBasic(auth.username, auth.password)
    return _ShowBearer(_made(auth, IdentityProvider, KeyFormat.Pem), auth.custom_claims)


def server_auth(auth: AuthConfig) -> ServerAuth | None:
    """What a listener demands; None when it is nothing. Raises ConfigError naming the key at fault."""
    if auth.kind == "none":
        return None
    if auth.kind == "basic":
        if auth.file is not None:
            return _CheckUsers(auth.file, f"{auth.where}.file")
        return _CheckBasic(auth.username, auth.password)
    return _CheckBearer(bearer_verifier(auth))


def bearer_verifier(auth: AuthConfig) -> Verifier:
    """A verifier of bearer tokens, not initialized. Raises ConfigError naming the key at fault."""
    made: Verifier = _made(auth, IdentityVerifier, *KeyFormat)
    return made


def order_provider(auth: AuthConfig) -> Provider:
    """The identity of orders to applications, not initialized. Raises ConfigError naming the key at fault."""
    made: Provider = _made(auth, IdentityProvider, KeyFormat.Pem)
    return made


def basic_header(username: str, password: str) -> str:
    """The value of an Authorization header (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


class _NothingToOpen:
    async def start(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to release."""


class _ShowBasic(_NothingToOpen):
    def __init__(self, username: str, password: str) -> None:
        self._headers = [("authorization", basic_header(username, password))]

    async def headers(self) -> list[tuple[str, str]]:
        return list(self._headers)


class _ShowBearer:
    def __init__(
        self, provider: Provider, claims: Mapping[str, Any], clock: Callable[[], float] = time.time
    ) -> None:
        self._provider, self._claims, self._clock = provider, claims, clock

    async def start(self) -> None:
        await self._provider.initialize()

    async def headers(self) -> list[tuple[str, str]]:
        now = self._clock()
        if self._claims:
            token = await self._provider.get_token_with_claims(self._claims, now)
        else:
            token = self._provider.get_token(now)
        return [("authorization", f"Bearer {token}")]

    async def close(self) -> None:
        await self._provider.close()


class _CheckBasic(_NothingToOpen):
    def __init__(self, username: str, password: str) -> None:
        self._username = username
        self._expected = f"{username}:{password}".encode()

    async def check(self, headers: Headers) -> str:
        if not hmac.compare_digest(_basic_credentials(headers), self._expected):
            raise _wrong_basic(headers)
        return self._username


CHECKS, CHECKS_WAITING = 2, 64
"""Passwords that are checked at a time, and that may wait for it: each costs 16 MiB and some 50 ms."""
_CHECKED_BOUND = 4096


class _CheckUsers(_NothingToOpen):
    """A file of users, followed while it is rewritten. A password that was right is not hashed again."""

    def __init__(self, path: str, where: str, clock: Callable[[], float] = time.time) -> None:
        self._users: WatchedFile[Mapping[str, PasswordHash]] = WatchedFile(
            path, parse_users, max_bytes=USERS_BYTES, field=where
        )
        self._clock = clock
        self._around = current()
        self._secret = self._around.random(32)
        self._right: Memo[bytes, None] = Memo(_CHECKED_BOUND)
        """What was right, keyed by a secret of this process; with the hash, so that a new password counts."""
        self._unknown = PasswordHash.make(b"", self._around.random(16))
        """Checked for users that there are not: they are to take as long as others."""
        self._turns = asyncio.Semaphore(CHECKS)
        self._waiting = 0

    async def check(self, headers: Headers) -> str:
        name, _, password = _basic_credentials(headers).partition(b":")
        user = name.decode(errors="replace")
        kept = self._users.get(self._clock()).get(user)
        if not password or len(password) > PASSWORD_BYTES:
            raise _wrong_basic(headers)
        seen = hmac.digest(self._secret, (kept or self._unknown).digest + password, "sha256")
        if kept is None or seen not in self._right:
            if not await self._fits(kept or self._unknown, password) or kept is None:
                raise _wrong_basic(headers)
            self._right.remember(seen, None)
        return user

    async def _fits(self, kept: PasswordHash, password: bytes) -> bool:
        if self._waiting >= CHECKS_WAITING:
            raise InvalidToken("too many passwords are being checked: try again", rule="busy")
        found = False

        def look() -> None:
            nonlocal found
            found = kept.fits(password)

        self._waiting += 1
        try:
            async with self._turns:
                await self._around.threads(look)
        finally:
            self._waiting -= 1
        return found


class _CheckBearer:
    def __init__(self, verifier: Verifier, clock: Callable[[], float] = time.time) -> None:
        self._verifier, self._clock = verifier, clock

    async def start(self) -> None:
        await self._verifier.initialize()

    async def check(self, headers: Headers) -> str:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise InvalidToken("a bearer token is wanted", rule="missing")
        claims = await self._verifier.get_claims(token.strip(), self._clock())
        subject = claims.get("sub")
        return subject if isinstance(subject, str) else ""

    async def close(self) -> None:
        await self._verifier.close()


def claimed(headers: Headers) -> str:
    """Who a refused caller says to be: the user, or the subject of its token. Proves nothing."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "basic":
            return _basic_credentials(headers).partition(b":")[0].decode(errors="replace")
        case "bearer":
            try:
                return token_tool.inspect(value.strip()).subject or ""
            except InvalidToken:
                return ""
    return ""


def _wrong_basic(headers: Headers) -> InvalidToken:
    if not headers.get("authorization", "").lower().startswith("basic "):
        return InvalidToken("basic authentication is wanted", rule="missing")
    return InvalidToken("basic authentication failed", rule="basic")


def _basic_credentials(headers: Headers) -> bytes:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


# From configuration to providers and verifiers


def _made(auth: AuthConfig, role: IdentityRole, *formats: KeyFormat) -> Any:
    """The provider or verifier of a section; a ConfigError names the key of the section at fault."""
    line = role.of_kind(auth.kind)
    if line is None:
        raise ConfigError(f"{auth.where}: there is no {role.__name__} of type {auth.kind}", field=auth.where)
    try:
        values = {option.argument: auth.values.get(option.keys[0]) for option in line.options if option.keys}
        keys = {
            name: _key(value, *formats) for name, value in values.items() if isinstance(value, JwtKeyConfig)
        }
        return role.make(line, {**values, **keys})
    except ConfigError as error:
        argument, _, rest = (error.field or "").partition(".")
        option = line.option(argument)
        member = ".".join(filter(None, (auth.where, option.keys[0] if option else argument, rest)))
        raise ConfigError(f"{member}: {error}", field=member) from error


def _key(config: JwtKeyConfig, *formats: KeyFormat) -> Key | None:
    """The configured key; None when the issuer is to be asked.

    Raises ConfigError naming what is not known, or not for this side.
    """
    if config.material is None:
        return None
    algorithm = next((a for a in Algorithm if a.value == config.algorithm), None)
    if algorithm is None:
        raise ConfigError(
            f"one of {', '.join(a.value for a in Algorithm)}, got {config.algorithm!r}", field="key.algorithm"
        )
    format_ = next((f for f in formats if f.value.lower() == config.format), None)
    if format_ is None:
        raise ConfigError(
            f"one of {', '.join(f.value.lower() for f in formats)}, got {config.format!r}",
            field="key.format",
        )
    material = config.material
    if material.path is not None:
        return Key(algorithm, format_, KeyData.File(material.path))
    return Key(algorithm, format_, KeyData.Content(material.text or ""))
