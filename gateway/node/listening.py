"""The servers of a data plane, by endpoint, and what each keeps open for identity and TLS.

A server that stops takes no calls any more. The streams that it accepted are closed then: written out for a
moment, and not before applications of ours had time to go to another node, where they are to.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from itertools import count
from typing import Any, NamedTuple, Protocol

from actors.errors import AlreadyConnected, NotConnected
from actors.record import record
from actors.routing.budget import ByteBudget
from gateway.config import ServerConfig
from gateway.config.auth import Proof
from gateway.http2.limits import Counters
from gateway.links.health import Health
from gateway.links.link import AcceptedLink
from gateway.links.nats import NatsLink
from gateway.links.schemes import scheme_of
from gateway.links.stream import Stream
from gateway.links.transport import Server, listener
from gateway.node.dialled import open_parts
from gateway.node.doorkeeper import Doorkeeper
from gateway.node.standing import Standing
from gateway.security.auth import server_auth
from gateway.security.material import Side, TlsSource
from gateway.surroundings import Surroundings


class ListeningPlane(Protocol):
    """The data plane, as it is needed here."""

    surroundings: Surroundings
    high_water: int
    waiting: ByteBudget
    http2: Counters
    doorkeeper: Doorkeeper
    health: Health

    @property
    def links(self) -> Mapping[int, AcceptedLink | NatsLink]:
        """By index."""

    def accept(self, stream: Stream, *, listener: str, proof: Proof, max_message_size: int) -> None:
        """Take a stream that a peer opened."""


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
            doorkeeper.tcp,
        )
        return Listening(server, held.pop_all(), source)


class Listeners:
    """Of one data plane; `standing` knows who of those who called is an application."""

    def __init__(self, plane: ListeningPlane, standing: Standing) -> None:
        self._plane, self._standing = plane, standing
        self._known: dict[str, Listening | None] = {}
        """By endpoint; None while it is being opened."""

    async def open(self, config: ServerConfig) -> str:
        """Listen. Returns the address in use.

        A further one at port 0 of a host is known by the address that it gets.

        Raises ConfigError, AlreadyConnected, AuthError, and OSError when the address cannot be had.
        """
        plane, endpoint = self._plane, config.endpoint
        if endpoint in self._known:
            if not config.any_port:
                raise AlreadyConnected(endpoint)
            endpoint = next(name for n in count(2) if (name := f"{config.endpoint} ({n})") not in self._known)
        self._known[endpoint] = None

        def accept(stream: Stream) -> None:
            plane.accept(
                stream,
                listener=endpoint,
                proof=config.auth.proof,
                max_message_size=config.max_message_size,
            )

        parts = (plane.high_water, plane.waiting, plane.http2, plane.doorkeeper, plane.health)
        try:
            async with AsyncExitStack() as held:
                made = await made_ready(config, accept, plane.surroundings, *parts)
                held.push_async_callback(made.held.aclose)
                address = await made.server.start()
                held.pop_all()
                if endpoint != config.endpoint:
                    del self._known[endpoint]
                    endpoint = address
                self._known[endpoint] = made
        finally:
            if self._known.get(endpoint) is None:
                self._known.pop(endpoint, None)
        return address

    def read_certificates_again(self) -> None:
        """For the next handshake of each."""
        for known in self._known.values():
            if known is not None and known.source is not None:
                known.source.read_again()

    async def stop(self, endpoint: str, grace: float) -> None:
        """Stop one; its streams are written out for `grace` seconds. Raises NotConnected."""
        known = self._known.get(endpoint)
        if known is None:
            raise NotConnected(f"server not found: {endpoint}")
        del self._known[endpoint]
        await self._stop(endpoint, known, grace)

    def stop_all(self, grace: float, wait: float = 0.0) -> list[Coroutine[Any, Any, None]]:
        """Stop each, and give applications of ours `wait` seconds to leave before. To be awaited."""
        listeners, self._known = self._known, {}
        return [
            self._stop(endpoint, known, grace, wait)
            for endpoint, known in listeners.items()
            if known is not None
        ]

    async def _stop(self, endpoint: str, known: Listening, grace: float, wait: float = 0.0) -> None:
        links = self._plane.links
        stopping = asyncio.ensure_future(known.server.stop(grace + wait))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                while wait and any(
                    link.listener == endpoint and index in self._standing.applications
                    for index, link in links.items()
                ):
                    await self._standing.one_over()
        for link in [link for link in links.values() if link.listener == endpoint]:
            link.close("the server is stopped")
        try:
            await stopping
        finally:
            await known.held.aclose()
