"""Which transport carries a stream: chosen by configuration, seen by nobody above."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from gateway.config import ClientConfig, ServerConfig
from gateway.links.grpc_stream import GrpcDialler, GrpcServer
from gateway.links.stream import Stream
from gateway.tls import client_material, grpc_client_credentials, grpc_server_credentials, server_material

Headers = Callable[[], Awaitable[list[tuple[str, str]]]]
Authenticate = Callable[[dict[str, str]], Awaitable[None]]


class Server(Protocol):
    """A listener."""

    async def start(self) -> str:
        """Listen; the address in use. Raises OSError."""

    async def stop(self, grace: float) -> None:
        """Accept nothing more, and end open streams within `grace` seconds."""


def listener(config: ServerConfig, accept: Callable[[Stream], None], authenticate: Authenticate) -> Server:
    """A listener as configured; each new stream is given to `accept`. Raises ConfigError."""
    credentials = None
    if not config.tls.insecure:
        credentials = grpc_server_credentials(
            partial(server_material, config.tls), client_certificates=config.tls.client_ca is not None
        )
    return GrpcServer(config, accept, authenticate, credentials)


def dialler(config: ClientConfig, auth_headers: Headers) -> Callable[[], Awaitable[Stream]]:
    """A function that opens one stream as configured. Raises ConfigError."""

    async def headers() -> list[tuple[str, str]]:
        return [*config.headers.items(), *await auth_headers()]

    credentials = None
    if not config.plaintext:
        credentials = grpc_client_credentials(config.tls, partial(client_material, config.tls))
    return GrpcDialler(config, headers, credentials).dial
