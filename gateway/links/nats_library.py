"""What is taken of the library nats-py, which is there where somebody wants a backbone (extra `nats`)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, cast

from gateway.config.network import BackboneConfig
from gateway.surroundings import Surroundings
from identity.encoding import Malformed
from identity.errors import ConfigError
from identity.files import read_file

if TYPE_CHECKING:
    from nats.aio.client import Client

END_TIME = 0.2
"""Seconds for a stream that is of no use any more to be closed."""
SEED_BOUND = 64 * 1024
"""Bytes of a credentials file, or of an nkey seed."""


class StreamEncryption:
    """Whether the stream of a client is encrypted: the library goes on in clear when a server says so."""

    def __init__(self) -> None:
        self._shaken = False

    def noting(self, context: ssl.SSLContext) -> ssl.SSLContext:
        """A context that notes its handshake here."""
        noted, kind = self, context.sslobject_class or ssl.SSLObject

        class Noting(kind):  # type: ignore[misc, valid-type]
            def do_handshake(self) -> None:
                super().do_handshake()
                noted._shaken = True

        context.sslobject_class = Noting
        return context

    def guard(self, secret: str, wanted: bool) -> str | Callable[[], str]:
        """A secret that is shown on an encrypted stream only, where one is wanted."""

        def show() -> str:
            self.check(wanted)
            return secret

        return show if wanted else secret

    def check(self, wanted: bool) -> None:
        """Raises ConnectionError."""
        if wanted and not self._shaken:
            raise ConnectionError("the NATS server speaks without TLS, and TLS is wanted")


class NatsClients(Protocol):
    """What stands for the library where there is no machine's own network: under `nats` in
    `Surroundings.schemes`."""

    def client(self) -> Client:
        """A client that is not connected yet."""


def check_backbone(config: BackboneConfig, surroundings: Surroundings) -> None:
    """Look at what a configuration names. Raises ConfigError: the library or a file is not to be had."""
    library(surroundings)
    for key, path in (("credentials", config.credentials), ("nkey", config.nkey)):
        if path is not None:
            try:
                read_file(path, max_bytes=SEED_BOUND)
            except Malformed as error:
                raise ConfigError(f"{key}: {path}: {error}", field=key) from error


async def end(client: Client) -> None:
    """End a stream. The library would wait without end for some that failed in their TLS handshake."""
    with suppress(Exception):
        async with asyncio.timeout(END_TIME):
            await client.close()


def library(surroundings: Surroundings) -> Client:
    """A client of the library, or of what stands for it there. Raises ConfigError where it is missing."""
    clients = cast("NatsClients | None", surroundings.schemes.get("nats"))
    if clients is not None:
        return clients.client()
    try:
        from nats.aio.client import Client
    except ImportError as exc:
        raise ConfigError(
            "a backbone needs the package nats-py: pip install 'callboard[nats]'", field="url"
        ) from exc
    return Client()
