"""A server of the data plane, and what it keeps open for identity and TLS."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import NamedTuple

from actors.record import record
from actors.routing.budget import ByteBudget
from gateway.config import ServerConfig
from gateway.http2.limits import Counters
from gateway.links.health import Health
from gateway.links.schemes import scheme_of
from gateway.links.stream import Stream
from gateway.links.transport import Server, listener
from gateway.node.dialled import open_parts
from gateway.node.doorkeeper import Doorkeeper
from gateway.security.auth import server_auth
from gateway.security.material import Side, TlsSource
from gateway.surroundings import Surroundings


@record
class Listening(NamedTuple):
    """One listener. `held` is closed behind it."""

    server: Server
    held: AsyncExitStack
    source: TlsSource | None = None


async def made_ready(
    config: ServerConfig,
    accept: Callable[[Stream], None],
    surroundings: Surroundings,
    high: int,
    waiting: ByteBudget,
    counters: Counters,
    doorkeeper: Doorkeeper,
    health: Health,
) -> Listening:
    """A listener as configured, to be started; what it needs is open. Raises ConfigError or AuthError."""
    async with AsyncExitStack() as held:
        scheme = scheme_of(config.endpoint, surroundings)
        if scheme is not None:
            return Listening(scheme.listener(config, accept), held.pop_all())
        auth, source = server_auth(config.auth), TlsSource(config.tls, Side.SERVER)
        await open_parts(held, auth, source)
        refused, most = doorkeeper.door.refused, doorkeeper.connections
        server = listener(
            config,
            accept,
            auth,
            source,
            high,
            waiting,
            counters,
            refused,
            most,
            health,
            lambda: doorkeeper.connections_per_address,
        )
        return Listening(server, held.pop_all(), source)
