"""Authentication when a stream is opened (`dataplane.md` 1): of the HTTP request, not of messages."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable

from gateway.config import AuthConfig
from identity.errors import InvalidToken

Headers = dict[str, str]


def basic_header(username: str, password: str) -> str:
    """The value of an Authorization header (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def client_headers(auth: AuthConfig) -> Callable[[], Awaitable[list[tuple[str, str]]]]:
    """What a dialled stream shows: a function that makes the headers of each new one.

    Raises ConfigError for a configuration that cannot work.
    """
    if auth.kind == "basic":
        fixed = [("authorization", basic_header(auth.username, auth.password))]

        async def basic() -> list[tuple[str, str]]:
            return fixed

        return basic

    async def none() -> list[tuple[str, str]]:
        return []

    return none


def server_check(auth: AuthConfig) -> Callable[[Headers], Awaitable[None]] | None:
    """What a listener demands: a function that raises AuthError for request headers that do not show it.

    None when it demands nothing.
    """
    if auth.kind == "basic":
        expected = f"{auth.username}:{auth.password}".encode()

        async def basic(headers: Headers) -> None:
            given = _basic_credentials(headers.get("authorization", ""))
            if not hmac.compare_digest(given, expected):
                raise InvalidToken("basic authentication failed", rule="basic")

        return basic

    return None


def _basic_credentials(header: str) -> bytes:
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""
