"""Which transport carries a stream: chosen by configuration, seen by nobody above.

The gRPC library is imported by who configures it: it costs a program 16 MiB.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from actors.errors import CannotConnect
from actors.routing.budget import ByteBudget
from gateway.config import ClientConfig, ServerConfig
from gateway.config.network import CONNECTIONS
from gateway.http2.acceptor import PerHost
from gateway.http2.limits import Counters, Limits
from gateway.links.addresses import Resolve, resolve
from gateway.links.health import Health
from gateway.links.http2_stream import FastDialler, FastServer
from gateway.links.stream import METHOD_PATH, Stream, TellRefused
from gateway.security.auth import ClientAuth, ServerAuth
from gateway.security.contexts import (
    client_context,
    grpc_client_credentials,
    grpc_server_credentials,
    server_context,
)
from gateway.security.material import TlsSource

MOST_TAKE = 8 * 1024
"""Bytes of credentials that hardly any server refuses; of more a failure to connect speaks."""


class Server(Protocol):
    """A listener."""

    async def start(self) -> str:
        """Listen; the address in use. Raises OSError."""

    async def stop(self, grace: float) -> None:
        """Accept nothing more, and end open streams within `grace` seconds."""


def listener(
    config: ServerConfig,
    accept: Callable[[Stream], None],
    auth: ServerAuth | None,
    source: TlsSource,
    high_water: int,
    budget: ByteBudget,
    counters: Counters,
    refused: TellRefused | None = None,
    connections: int = CONNECTIONS,
    health: Health | None = None,
    per_address: PerHost | None = None,
) -> Server:
    """A listener as configured; each new stream is given to `accept`. Raises ConfigError or AuthError.

    Without `auth` everybody is let in. `source` is started. `high_water` is the bytes at which a stream's
    writer waits, `budget` bounds what all of them have waiting, `counters` count for our own
    HTTP/2, and `refused` is told of whom they do not let in.
    Room is for somewhat more than so many `connections`: who is too many is told so. `health` is told to who
    asks by `grpc.health.v1`. `per_address` counts the connections of each address; those of the gRPC library
    it does not see.
    """
    tls = config.tls
    authenticate = auth.check if auth is not None else None
    if config.transport == "fast":
        context = None if tls.insecure else server_context(tls, source)
        return FastServer(
            config,
            accept,
            authenticate,
            context,
            high_water,
            budget,
            counters,
            refused=refused,
            connections=connections,
            health=health,
            per_address=per_address,
        )
    from gateway.links.grpc_stream import GrpcServer

    credentials, check_peer = None, None
    if not tls.insecure:
        credentials = grpc_server_credentials(source)
        check_peer = source.check_peer if source.checks_spiffe_ids else None
    return GrpcServer(
        config,
        accept,
        authenticate,
        credentials,
        check_peer,
        budget=budget,
        refused=refused,
        health=health,
    )


def dialler(
    config: ClientConfig,
    auth: ClientAuth | None,
    source: TlsSource,
    high_water: int,
    budget: ByteBudget,
    counters: Counters,
    method: str = METHOD_PATH,
    find: Resolve = resolve,
) -> Callable[[], Awaitable[Stream]]:
    """A function that opens one stream as configured. Raises ConfigError or AuthError.

    `auth` and `source` are started; both are asked again for each stream. `method` is the gRPC method called.
    `find` tells our own HTTP/2 the addresses of a host; the gRPC library asks for itself.
    """

    shown_bytes = 0

    async def headers() -> list[tuple[str, str]]:
        nonlocal shown_bytes
        shown = await auth.headers() if auth is not None else []
        shown_bytes = sum(len(value) for _, value in shown)
        return [*config.headers.items(), *shown]

    def explained(dial: Callable[[], Awaitable[Stream]]) -> Callable[[], Awaitable[Stream]]:
        async def dialled() -> Stream:
            try:
                return await dial()
            except CannotConnect as refusal:
                if shown_bytes <= MOST_TAKE:
                    raise
                raise CannotConnect(config.endpoint, f"{refusal.cause} ({_large(shown_bytes)})") from refusal

        return dialled

    if config.transport == "fast":
        context = None if config.plaintext else partial(client_context, config.tls, source)
        if context is not None:
            context()
        made = FastDialler(config, headers, context, high_water, budget, counters, method, find)
        return explained(made.dial)
    from gateway.links.grpc_stream import GrpcDialler

    credentials = None if config.plaintext else partial(grpc_client_credentials, config.tls, source)
    if credentials is not None:
        credentials()
    return explained(GrpcDialler(config, headers, credentials, method, budget=budget).dial)


def _large(size: int) -> str:
    return (
        f"the token shown has {size} bytes: a node takes {Limits().max_header_list} bytes of headers unless "
        "max_header_list_size says more"
    )
