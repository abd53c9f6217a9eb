"""What an application does about connections, names and routes (`api.md` 3): the base of `Slim`."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from actors.errors import ConnectionLost, NotConnected
from actors.messages.routing import ConnectionState
from actors.messages.session import RemoveRoute, SetRoute, SubscribeName, UnsubscribeName
from actors.names import Name
from gateway.api.accepting import Arrivals
from gateway.api.arguments import endpoints_of, grace_of, instance_of, mapping_of, name_of, number_of, refused
from gateway.api.life import Life
from gateway.config import ClientConfig, ServerConfig
from gateway.node.data_plane import DataPlane
from gateway.node.peer_policy import peer_configs
from gateway.node.sharing import sharing
from gateway.telemetry import Counts, counter
from identity.errors import SlimError
from identity.log import logger

_STATES = 1024
"""Changes of connections kept for one reader of `Slim.connection_states`; the oldest make way, counted."""


WAIT = 60.0
"""Seconds for which the connection that an application is made with is tried."""

Endpoints = str | Mapping[str, Any] | Sequence[str]
"""Where to connect: a client configuration, an endpoint, or several of the same service."""


class StateCounts(Counts, part="app"):
    connection_states_dropped: int = counter(
        "Changes of connections that readers of Slim.connection_states did not get."
    )


class Connecting(ABC):
    """The connections of one application, and what it receives and sends by them."""

    _name: Name
    _life: Life
    _arrivals: Arrivals

    def _begin_connecting(self) -> None:
        self._lost: ConnectionLost | None = None
        """The latest of our connections that was lost for good."""
        self._connections: dict[str, int] = {}
        self._kept_routes: list[Name] = []

        self._dialled_at: str | None = None
        """The endpoint of the connection that entering makes, once it is there."""

    async def _connect_first(self, config: Mapping[str, Any], wait: float) -> None:
        """The connection that the application was made with."""
        await self.connect(config, wait=wait)
        self._dialled_at = config["endpoint"]

    async def _disconnect_first(self, plane: DataPlane) -> None:
        """It goes with the application, unless others use it."""
        endpoint, self._dialled_at = self._dialled_at, None
        if endpoint is not None and not sharing(plane).leave(self, endpoint):
            with contextlib.suppress(NotConnected):
                await plane.disconnect(endpoint)

    @abstractmethod
    async def _ready(self) -> DataPlane:
        """The data plane, with identity initialized."""

    @abstractmethod
    async def _operate(self, kind: Any, *arguments: Any) -> None:
        """Have the App actor do something and wait for its outcome."""

    # Connections

    async def connect(
        self, client_config: Endpoints, *, subscribe: bool = True, wait: timedelta | float = 0.0
    ) -> int:
        """Dial a node and, if `subscribe`, receive for this application's name there.

        Applications of one data plane share a connection: who connects to an endpoint that another one has
        dialled uses that. `client_config` may be a bare endpoint, such as http://127.0.0.1:46357, or several
        of the same service: one is used at a time, the next when it is gone. For up to `wait` seconds it is
        tried again; the log says meanwhile what is waited for. Returns the connection's id. Raises
        ConfigError, AlreadyConnected when this application is connected there already, ConnectionLost.
        """
        given = endpoints_of(client_config, "client_config")
        config, patience = ClientConfig.read(given), grace_of(wait, "wait")
        plane = await self._ready()
        if not given.get("link_id"):
            config = dataclasses.replace(config, link_id=plane.surroundings.uuid4())
        plane.unobserve(self._connection_changed)
        plane.observe(self._connection_changed)
        await sharing(plane).connect(self, plane, config, lambda: _dial(plane, config, patience))
        return await self.join(config.endpoint, subscribe=subscribe)

    async def join(self, endpoint: str, *, subscribe: bool = True) -> int:
        """Use a connection that another application of the data plane has made. Returns its id.

        Where it cannot be used, for want of a token for instance, it is left again.
        """
        plane = self._life.placed().plane
        sharing(plane).join(self, endpoint)
        connection = plane.dialled()[endpoint]
        self._connections[endpoint] = connection
        try:
            if subscribe:
                await self._operate(SubscribeName, self._name, connection)
            for name in self._kept_routes:
                await self._operate(SetRoute, name, connection)
        except (SlimError, asyncio.CancelledError):
            with contextlib.suppress(SlimError):
                await self.disconnect(endpoint)
            raise
        self._kept_routes.clear()
        return connection

    async def _leave(self, endpoint: str) -> None:
        """Use a connection of the data plane no longer."""
        await self._operate(UnsubscribeName, self._name, self._connections.pop(endpoint))

    async def peer(self, endpoints: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]) -> None:
        """Let this process's data plane be a node among others: a peer of those at `endpoints`.

        Each is a client configuration, or an endpoint such as http://127.0.0.1:46357. Returns when each has
        joined, or could not be reached for now: it is tried on and on, and so is a peer that is lost. Run a
        server (`run_server`) to be called by them too. Raises ConfigError, AlreadyConnected.
        """
        plane = await self._ready()
        await plane.peer(peer_configs(endpoints))

    async def disconnect(self, endpoint: str | int) -> None:
        """Leave the connection to `endpoint` (or with that id); its last user closes it.

        Raises NotConnected.
        """
        if not isinstance(endpoint, str | int):
            raise refused("endpoint", "an endpoint, or a connection's id", endpoint)
        plane = await self._ready()
        if isinstance(endpoint, int):
            found = [known for known, index in plane.dialled().items() if index == endpoint]
            if not found:
                raise NotConnected(f"no connection with id {endpoint}")
            endpoint = found[0]
        if sharing(plane).leave(self, endpoint):
            if endpoint not in self._connections:
                raise NotConnected(f"not connected to {endpoint}")
            await self._leave(endpoint)
            return
        self._connections.pop(endpoint, None)
        await plane.disconnect(endpoint)

    def _connection_changed(self, state: ConnectionState) -> None:
        """With the last connection that is lost for good, nobody can open a session with us any more."""
        for endpoint, index in list(self._connections.items()):
            if index == state.connection and state.state == "closed":
                del self._connections[endpoint]
                self._lost = ConnectionLost(endpoint, state.detail)
                if not self._connections:
                    self._arrivals.wake_all()

    async def connection_states(self) -> AsyncIterator[ConnectionState]:
        """What happens to dialled connections, from now on: attached, lost, restored, closed."""
        plane = await self._ready()
        queue: asyncio.Queue[ConnectionState] = asyncio.Queue(_STATES)

        def note(state: ConnectionState) -> None:
            if queue.full():
                queue.get_nowait()
                plane.telemetry.shared(StateCounts).connection_states_dropped += 1
            queue.put_nowait(state)

        plane.observe(note)
        try:
            while True:
                yield await queue.get()
        finally:
            plane.unobserve(note)

    async def run_server(self, server_config: Mapping[str, Any]) -> str:
        """Serve this process's data plane. Returns the address in use.

        Raises ConfigError, and OSError when the address cannot be had.
        """
        config = ServerConfig.read(mapping_of(server_config, "server_config"))
        return await (await self._ready()).serve(config)

    async def stop_server(self, endpoint: str) -> None:
        """Stop serving at `endpoint`.

        Raises NotConnected ("server not found") when servers run here and none of them is there; where
        none was ever run it only says so in the log, so that a program may end with it in any case.
        """
        instance_of(endpoint, str, "endpoint", "an endpoint")
        plane = await self._ready()
        if plane.never_served:
            logger.warning("server not found", endpoint=endpoint, cause="no server was run here")
            return
        await plane.stop_server(endpoint)

    # Names and routes

    async def subscribe(self, name: Name | str, connection: int | None = None) -> None:
        """Receive for `name` too; its id is replaced by this application's own.

        It is announced on `connection`, or else on the connection made last, if there is one.
        """
        ours = name_of(name, "name").with_id(self._name.id)
        number_of(connection, "connection")
        await self._ready()
        await self._operate(SubscribeName, ours, self._chosen(connection))

    async def unsubscribe(self, name: Name | str, connection: int | None = None) -> None:
        """Undo `subscribe`."""
        ours = name_of(name, "name").with_id(self._name.id)
        number_of(connection, "connection")
        await self._ready()
        await self._operate(UnsubscribeName, ours, self._chosen(connection))

    async def set_route(self, name: Name | str, connection: int | None = None) -> None:
        """Messages for `name` leave by `connection`, or else by the connection made last.

        Without any, an application of the process-wide data plane keeps the route for its first
        connection; others raise NotConnected.
        """
        peer = name_of(name, "name")
        number_of(connection, "connection")
        await self._ready()
        connection = self._chosen(connection)
        if connection is not None:
            await self._operate(SetRoute, peer, connection)
        elif self._life.alone:
            raise NotConnected
        else:
            self._kept_routes.append(peer)

    async def remove_route(self, name: Name | str, connection: int | None = None) -> None:
        """Undo `set_route`."""
        peer = name_of(name, "name")
        number_of(connection, "connection")
        await self._ready()
        connection = self._chosen(connection)
        if connection is not None:
            await self._operate(RemoveRoute, peer, connection)
        elif peer in self._kept_routes:
            self._kept_routes.remove(peer)
        elif self._life.alone:
            raise NotConnected

    def _chosen(self, connection: int | None) -> int | None:
        """`connection`, or else the one made last: by this application, or in its process."""
        if connection is not None:
            return connection
        mine = list(self._connections.values())
        if mine:
            return mine[-1]
        place = self._life.place
        if place is None or self._life.alone:
            return None
        dialled = list(place.plane.dialled().values())
        return dialled[-1] if dialled else None


async def _dial(plane: DataPlane, config: ClientConfig, wait: float) -> None:
    """Connect, for up to `wait` seconds again and again, and say what is waited for."""
    clock = plane.surroundings.clock
    until, attempt, told = clock() + wait, 0, ""
    while True:
        try:
            await plane.connect(config)
        except ConnectionLost as error:
            left = until - clock()
            if left <= 0:
                raise
            if str(error) != told:
                told = str(error)
                logger.warning("waiting for a node", seconds=round(left), cause=told)
        else:
            if attempt:
                logger.info("connected", endpoint=config.endpoint)
            return
        pause = config.backoff.delay(attempt, plane.surroundings.fraction())
        await asyncio.sleep(min(pause, left))
        attempt += 1
