"""A node's data plane: the actors that route, the links they use, the listeners and the dialled peers.

It runs inside an asyncio loop. Embedded applications and `callboard start` use the same one.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable
from typing import Any

from loguru import logger

from actors.app import App, Collaborators
from actors.codec import Codec
from actors.errors import AlreadyConnected, ConnectionLost, NotConnected
from actors.messages import VOCABULARY
from actors.messages.routing import Close, ConnectionState, Gather, Opened, Status, StatusReport
from actors.messages.session import AppSettings
from actors.names import Name
from actors.routing.outbox import HIGH, PATIENCE
from actors.routing.route_table import RouteTable
from actors.session.mls_session import mls_sessions
from actors.system import Address, AskTimeout, LoopSystem
from actors.system.tasks import Tasks
from gateway.actor import Gateway
from gateway.auth import client_headers, server_check
from gateway.config import ClientConfig, ServerConfig
from gateway.links.link import AcceptedLink, DialledLink
from gateway.links.stream import Stream
from gateway.transport import Server, dialler, listener
from identity.protocols import Provider, Verifier

NEGOTIATION_WAIT = 0.5
"""Seconds for which `connect` waits for the peer to tell its version; older peers never do."""


class Draw:
    """Random numbers below a bound, of the system's randomness, which is fetched many bytes at a time."""

    _FETCH = 2048

    def __init__(self) -> None:
        self._bytes = b""
        self._at = 0

    def __call__(self, below: int) -> int:
        """A number from 0 to `below` - 1; `below` is at most 2**32. The bias is under 2**-32."""
        if self._at == len(self._bytes):
            self._bytes, self._at = os.urandom(self._FETCH), 0
        self._at += 8
        return int.from_bytes(self._bytes[self._at - 8 : self._at], "little") % below


StateCallback = Callable[[ConnectionState], None]


class DataPlane:
    """`strict` packs and unpacks every message between actors: for tests.

    `high_water` (bytes) and `patience` (seconds) are those of `actors.routing.outbox`.
    """

    def __init__(self, *, strict: bool = False, high_water: int = HIGH, patience: float = PATIENCE) -> None:
        self.system = LoopSystem(vocabulary=VOCABULARY if strict else None)
        self._clock = time.monotonic
        self._high = high_water
        self.route_table = self.system.spawn(RouteTable, self._clock)
        self._links: dict[int, AcceptedLink] = {}
        self._gateway = self.system.spawn(
            lambda: Gateway(
                self.system, self._links, self.route_table, self._clock, high=high_water, patience=patience
            )
        )
        self._indices = itertools.count(1)
        self._servers: dict[str, Server] = {}
        self._dialled: dict[str, int] = {}
        self._states: dict[int, str] = {}
        self._versions: dict[int, asyncio.Event] = {}
        self._attached: dict[int, asyncio.Event] = {}
        self._observers: list[StateCallback] = []
        self._port = self.system.port(lambda message, _: self._state_changed(message))
        self._tasks = Tasks()
        self._draw = Draw()
        self._closed = False
        self.never_served = True
        """Whether `serve` has never succeeded."""

    def next_index(self) -> int:
        """A connection index not used before: for a link, or for a local application."""
        return next(self._indices)

    def spawn_app(
        self, name: Name, provider: Provider, verifier: Verifier, codec: Codec, settings: AppSettings
    ) -> Address:
        """An App actor: a local application of this node."""
        collaborators = Collaborators(
            route_table=self.route_table,
            codec=codec,
            provider=provider,
            verifier=verifier,
            clock=self._clock,
            wall=time.time,
            draw=self._draw,
            spawn_task=self._tasks,
            crypto=mls_sessions(verifier, wall=time.time, random=os.urandom),
            threads=asyncio.to_thread,
        )
        return self.system.spawn(App, name, self.next_index(), collaborators, settings)

    # Listening

    async def serve(self, config: ServerConfig) -> str:
        """Listen. Returns the address in use, with the port where 0 was asked for.

        Raises ConfigError, and OSError when the address cannot be had.
        """
        if config.endpoint in self._servers:
            raise AlreadyConnected(config.endpoint)

        def accept(stream: Stream) -> None:
            index = self.next_index()
            self._links[index] = AcceptedLink(
                index, stream, high=self._high, max_message_size=config.max_message_size
            )
            self.system.tell(self._gateway, Opened(index))

        server = listener(config, accept, server_check(config.auth), self._high)
        address = await server.start()
        self._servers[config.endpoint] = server
        self.never_served = False
        logger.info("listening on {}", address)
        return address

    async def stop_server(self, endpoint: str, grace: float = 1.0) -> None:
        """Stop listening; streams accepted there end within `grace` seconds. Raises NotConnected."""
        server = self._servers.pop(endpoint, None)
        if server is None:
            raise NotConnected(f"server not found: {endpoint}")
        await server.stop(grace)

    # Dialling

    async def connect(self, config: ClientConfig) -> int:
        """Dial. Returns the connection's index, which it keeps through reconnects.

        Raises ConfigError, AlreadyConnected, and ConnectionLost saying why nobody answered.
        """
        endpoint = config.endpoint
        if endpoint in self._dialled:
            raise AlreadyConnected(endpoint)
        index = self.next_index()
        self._dialled[endpoint] = index
        try:
            link = DialledLink(
                index,
                dialler(config, client_headers(config.auth), self._high),
                config.backoff,
                endpoint=endpoint,
                high=self._high,
                max_message_size=config.max_message_size,
            )
            await link.connect()
            self._links[index] = link
            self._versions[index], self._attached[index] = asyncio.Event(), asyncio.Event()
            self.system.tell(self._gateway, Opened(index, config.link_id, self._port))
            await self._attached[index].wait()
            try:
                await asyncio.wait_for(self._versions[index].wait(), NEGOTIATION_WAIT)
            except TimeoutError:
                logger.debug("the peer tells no version", conn=index)
        except BaseException:
            self._dialled.pop(endpoint, None)
            raise
        if self._states.get(index) == "closed":
            raise ConnectionLost(endpoint, "closed while connecting")
        return index

    async def disconnect(self, endpoint: str) -> None:
        """Close the connection that was dialled to `endpoint`. Raises NotConnected."""
        index = self._dialled.pop(endpoint, None)
        link = self._links.get(index) if index is not None else None
        if link is None:
            raise NotConnected(f"not connected to {endpoint}")
        link.close("disconnected")

    def dialled(self) -> dict[str, int]:
        """Endpoints and the indices of the connections dialled to them, oldest first."""
        return dict(self._dialled)

    def observe(self, callback: StateCallback) -> None:
        """Call `callback` whenever the state of a dialled connection changes."""
        self._observers.append(callback)

    def unobserve(self, callback: StateCallback) -> None:
        """Undo `observe`."""
        if callback in self._observers:
            self._observers.remove(callback)

    def _state_changed(self, state: ConnectionState) -> None:
        index = state.connection
        if state.state == "negotiated":
            self._versions[index].set()
        else:
            self._states[index] = state.state
            self._attached[index].set()
        if state.state == "closed":
            self._versions.pop(index, None)
            self._attached.pop(index, None)
            for endpoint, dialled in list(self._dialled.items()):
                if dialled == index:
                    del self._dialled[endpoint]
        for callback in list(self._observers):
            callback(state)

    # Figures and the end

    @property
    def closed(self) -> bool:
        return self._closed

    async def status(self) -> dict[str, Any]:
        """Figures of the route table, of each connection by index, and of the actor system."""
        table: StatusReport = await self.system.ask(self.route_table, Status(), 5.0)
        connections: StatusReport = await self.system.ask(self._gateway, Gather(), 5.0)
        return {
            "routes": table.figures,
            "connections": connections.figures,
            "actors": self.system.system_status(),
        }

    async def close(self, grace: float = 5.0) -> None:
        """Stop listening, write out what is queued, close every stream, end all actors. Idempotent."""
        if self._closed:
            return
        self._closed = True
        deadline = time.monotonic() + grace
        closing = asyncio.ensure_future(self.system.ask(self._gateway, Close("node is shutting down"), grace))
        servers, self._servers = self._servers, {}
        stops = [server.stop(min(grace, 1.0)) for server in servers.values()]
        # A loop that is ending has cancelled the listeners already; the rest is closed all the same.
        await asyncio.gather(*stops, return_exceptions=True)
        try:
            await closing
        except AskTimeout:
            logger.warning("connections were cut: they did not end in time", count=len(self._links))
        self._tasks.cancel()
        await self.system.shutdown(max(0.1, deadline - time.monotonic()))
