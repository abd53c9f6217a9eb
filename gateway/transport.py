"""Which transport carries a stream: chosen by configuration, seen by nobody above."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from gateway.config import ClientConfig, ServerConfig
from gateway.links.grpc_stream import GrpcDialler, GrpcServer
from gateway.links.http2_stream import FastDialler, FastServer
from gateway.links.stream import Stream
from gateway.tls import (
    client_context,
    client_material,
    grpc_client_credentials,
    grpc_server_credentials,
    server_context,
    server_material,
)

Headers = Callable[[], Awaitable[list[tuple[str, str]]]]
Authenticate = Callable[[dict[str, str]], Awaitable[None]]


class Server(Protocol):
    """A listener."""

    async def start(self) -> str:
        """Listen; the address in use. Raises OSError."""

    async def stop(self, grace: float) -> None:
        """Accept nothing more, and end open streams within `grace` seconds."""


def listener(
    config: ServerConfig,
    accept: Callable[[Stream], None],
    authenticate: Authenticate | None,
    high_water: int,
) -> Server:
    """A listener as configured; each new stream is given to `accept`. Raises ConfigError.

    Without `authenticate` everybody is let in. `high_water` is the bytes at which a stream's writer waits.
    """
    tls = config.tls
    source = partial(server_material, tls)
    if config.transport == "fast":
        context = None if tls.insecure else server_context(tls, source)
        return FastServer(config, accept, authenticate, context, high_water)
    credentials = None
    if not tls.insecure:
        credentials = grpc_server_credentials(source, client_certificates=tls.client_ca is not None)
    return GrpcServer(config, accept, authenticate, credentials)


def dialler(config: ClientConfig, auth_headers: Headers, high_water: int) -> Callable[[], Awaitable[Stream]]:
    """A function that opens one stream as configured. Raises ConfigError."""

    async def headers() -> list[tuple[str, str]]:
        return [*config.headers.items(), *await auth_headers()]

    source = partial(client_material, config.tls)
    if config.transport == "fast":
        context = None
        if not config.plaintext:
            context = partial(client_context, config.tls, source)
            context()
        return FastDialler(config, headers, context, high_water).dial
    credentials = None
    if not config.plaintext:
        credentials = grpc_client_credentials(config.tls, source)
    return GrpcDialler(config, headers, credentials).dial
