"""The two roles every identity system plays towards the rest: provider and verifier (`identity.md` 1).

Sessions use these protocols and nothing else of this floor. The `try_` forms never do I/O and never
wait: a verifier whose keys are not at hand raises `KeysMissing`, and the caller parks the message and
awaits the form without `try_`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

Claims = dict[str, Any]


class KeysMissing(Exception):
    """Keys must be fetched before the answer is known: await the asynchronous form instead."""


@runtime_checkable
class Provider(Protocol):
    """Makes the tokens of one application."""

    async def initialize(self) -> None:
        """Open what the provider needs (files, sockets) and obtain a first token. Idempotent.

        Raises ConfigError or AuthError.
        """

    async def close(self) -> None:
        """Release files, sockets and tasks. Idempotent."""

    def get_id(self) -> str:
        """The stable identity id: the text the instance id is computed from (`dataplane.md` 3)."""

    def get_token(self, now: float) -> str:
        """A token for a message sent at `now` (Unix seconds). Never does I/O; may reuse one for up to 5 s.

        Raises AuthError when no valid token is at hand.
        """

    async def get_token_with_claims(self, claims: Mapping[str, Any], now: float) -> str:
        """A token that carries `claims` too (the MLS credential, `identity.md` 1.1).

        Raises ConfigError when this provider cannot add claims.
        """


@runtime_checkable
class RotatingProvider(Provider, Protocol):
    """A provider that can tell when its identity was replaced; the ones of this project all can."""

    @property
    def generation(self) -> int:
        """Grows whenever what tokens are made of (secret, key, token of somebody else) was replaced."""


@runtime_checkable
class Verifier(Protocol):
    """Checks the tokens of other applications. The same token may be verified many times."""

    async def initialize(self) -> None:
        """Open what the verifier needs. Idempotent. Raises ConfigError or AuthError."""

    async def close(self) -> None:
        """Release files, sockets and tasks. Idempotent."""

    def try_verify(self, token: str, now: float) -> None:
        """Check a token at `now` (Unix seconds) without I/O. Raises InvalidToken or KeysMissing."""

    def try_get_claims(self, token: str, now: float) -> Claims:
        """Check a token and return its claims, without I/O. Raises InvalidToken or KeysMissing."""

    async def verify(self, token: str, now: float) -> None:
        """Check a token; may fetch keys. Raises InvalidToken."""

    async def get_claims(self, token: str, now: float) -> Claims:
        """Check a token and return its claims; may fetch keys. Raises InvalidToken."""


@runtime_checkable
class RotatingVerifier(Verifier, Protocol):
    """A verifier that can tell when its word of before does not count any more; those of this project can."""

    @property
    def generation(self) -> int:
        """Grows whenever keys or secrets changed: what was verified before must be verified again."""


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """`WouldBlock`, the name of KeysMissing up to 0.1; gone in 0.3."""
        if name == "WouldBlock":
            warnings.warn("WouldBlock is now called KeysMissing", DeprecationWarning, stacklevel=2)
            return KeysMissing
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
