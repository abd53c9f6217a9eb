"""A node under control: it registers with its controllers, and serves the channel itself (`controller.md` 4).

    dial ──► register ──► reports, commands, orders ──(stream over)──► full jitter ──► dial

The node carries messages without controllers; what they have set stays while they are away.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from actors.alarm import RETRY_PAUSE, SourceAlarms
from actors.controller import names
from actors.controller.turn import Declined
from actors.errors import AlreadyConnected, NotConnected
from actors.messages.controlled import FollowNames, Lead, Leading, Led, TableTold, TableWanted, UnfollowNames
from actors.messages.controller import (
    Configure,
    Direction,
    DrawnLink,
    GroupSeen,
    ItemOutcome,
    NamesTold,
    Order,
    OrderDone,
)
from actors.messages.routing import ConnectionState, RouteEntry
from actors.names import Name
from actors.routing.budget import ByteBudget
from actors.system import AskFailed
from gateway.codec import WireCodec
from gateway.config import ClientConfig, ServerConfig
from gateway.config.controlled import ControllerLink
from gateway.controller.calls import Methods, RpcCaller, listen
from gateway.http2.limits import Counters
from gateway.links.schemes import scheme_of
from gateway.links.stream import Stream
from gateway.links.transport import dialler
from gateway.node.control_channel import ControlChannel, RegisteredChannel
from gateway.node.data_plane import DataPlane
from gateway.proto import controller_pb2 as pb
from gateway.security.auth import bearer_verifier, claimed, client_auth, order_provider, server_auth
from gateway.security.material import Side, TlsSource
from identity.errors import AuthError, SlimError
from identity.log import logger
from identity.protocols import Provider, Verifier

PATH = "/controller.proto.v1.ControllerService/OpenControlChannel"
FIRST_DELAY, LARGEST_DELAY = 1.0, 10.0
"""Seconds: before attempt n a random part of FIRST_DELAY * 2**n passes, at most of LARGEST_DELAY."""
CONNECT_TIME = 10.0
"""Seconds in which a connection that a controller wants has to stand."""
ORDER_TIME = 120.0
"""Seconds after which the agent has answered every order: queue and patience."""
TABLE_TIME = 5.0
HIGH_WATER = 1024 * 1024


def redial_delay(attempt: int, random: float) -> float:
    """Seconds before attempt number `attempt`, with full jitter (`controller.md` 10, point 3)."""
    return random * min(LARGEST_DELAY, FIRST_DELAY * 2.0 ** min(attempt, 16))


class ControlledNode:
    """Everything about controllers that a node has. `start` it once, `close` it once.

    `patience` is of `actors.controlled.orders`, for tests.
    """

    def __init__(
        self,
        data_plane: DataPlane,
        config: ControllerLink,
        registration: pb.RegisterNodeRequest,
        *,
        patience: dict[str, float] | None = None,
    ) -> None:
        self._plane = data_plane
        self._config = config
        self._registration = registration
        self._patience = patience
        self._drawn: dict[str, str] = {}
        """Connections that controllers wanted: the configuration of each, by endpoint."""
        self._commands = asyncio.Lock()
        """One command after the other: what two say of one connection may contradict itself."""
        self._alarms = SourceAlarms(RETRY_PAUSE)
        """Of connections over which routes are refused: a controller asks again and again."""
        self._held = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._channels: set[ControlChannel] = set()
        self._registered_at: dict[str, RegisteredChannel] = {}
        """The latest channel to each controller that is dialled, by endpoint."""

    async def start(self) -> list[str]:
        """Listen, and begin to dial. Returns the addresses of the controller servers.

        Raises ConfigError, AuthError and OSError.
        """
        config = self._config
        provider = None if config.token_provider.kind == "none" else order_provider(config.token_provider)
        verifier = None if config.token_verifier.kind == "none" else bearer_verifier(config.token_verifier)
        self._agent = self._plane.spawn_control_agent(WireCodec(), provider, verifier, self._patience)
        self._plane.observe(self._state_changed)
        self._held.callback(self._plane.unobserve, self._state_changed)
        loop = asyncio.get_running_loop()
        parts = [part for part in (provider, verifier) if part is not None]
        self._tasks += [loop.create_task(self._open(part)) for part in parts]
        addresses = [await self._listen(server) for server in config.servers]
        self._tasks += [loop.create_task(self._keep_registered(client)) for client in config.clients]
        return addresses

    async def close(self) -> None:
        """End all streams, and stop dialling and listening."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for channel in list(self._channels):
            channel.end("the node is shutting down")
        await self._held.aclose()

    async def _open(self, part: Provider | Verifier) -> None:
        """Open an identity, however long its agent takes: orders say meanwhile that there is none."""
        attempt = 0
        self._held.push_async_callback(part.close)
        while True:
            try:
                await part.initialize()
                return
            except SlimError as error:
                logger.warning("the identity of orders is not there", cause=str(error))
            await asyncio.sleep(redial_delay(attempt, self._plane.surroundings.fraction()))
            attempt += 1

    # Controllers that we dial

    def figures(self) -> dict[str, bool]:
        """By endpoint, whether the node is registered there now."""
        return {
            client.endpoint: (channel := self._registered_at.get(client.endpoint)) is not None
            and channel in self._channels
            and channel.registered
            for client in self._config.clients
        }

    async def _keep_registered(self, client: ClientConfig) -> None:
        """Be registered with a controller, over one stream after the other."""
        endpoint, attempt, complaint = client.endpoint, 0, ""
        # Nothing else tells that it is gone: it is asked also while there is no stream.
        client = replace(client, keepalive=replace(client.keepalive, while_idle=True))
        auth, source = client_auth(client.auth), TlsSource(client.tls, Side.CLIENT)
        scheme = scheme_of(endpoint, self._plane.surroundings)
        async with AsyncExitStack() as held:
            dial: Callable[[], Any] | None = None if scheme is None else scheme.dialler(client)
            while True:
                try:
                    if dial is None:
                        for part in (auth, None if client.plaintext else source):
                            if part is not None:
                                held.push_async_callback(part.close)
                                await part.start()
                        dial = dialler(client, auth, source, HIGH_WATER, ByteBudget(), Counters(), PATH)
                    channel, cause = await self._registered(await dial(), endpoint)
                    if channel.registered:
                        attempt, complaint = 0, ""
                        logger.warning("the controller is lost", endpoint=endpoint, cause=cause)
                    elif (reason := channel.refused or cause) != complaint:
                        complaint = reason
                        logger.warning(
                            "the controller does not take this node", endpoint=endpoint, cause=reason
                        )
                except SlimError as error:
                    if str(error) != complaint:
                        complaint = str(error)
                        logger.warning("dialling the controller goes on", endpoint=endpoint, cause=str(error))
                await asyncio.sleep(redial_delay(attempt, self._plane.surroundings.fraction()))
                attempt += 1

    async def _registered(self, stream: Stream, endpoint: str) -> tuple[RegisteredChannel, str]:
        """Register over a stream, and wait for its end: why it ended."""
        over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def closed(cause: str) -> None:
            self._channels.discard(channel)
            if not over.done():
                over.set_result(cause)

        channel = RegisteredChannel(self, stream, closed, self._registration)
        self._channels.add(channel)
        self._registered_at[endpoint] = channel
        channel.start()
        try:
            return channel, await over
        except asyncio.CancelledError:
            channel.end("the node is shutting down")
            raise

    # Tools that dial us

    async def _listen(self, config: ServerConfig) -> str:
        refused = self._plane.door.refused
        auth, source = server_auth(config.auth), TlsSource(config.tls, Side.SERVER)
        for part in (auth, source):
            if part is not None:
                self._held.push_async_callback(part.close)
                await part.start()

        async def admit(caller: RpcCaller) -> Callable[[Stream], None]:
            if auth is not None:
                headers = dict(caller.headers)
                try:
                    await auth.check(headers)
                except AuthError as error:
                    refused("authentication", caller.peer, str(error), claimed(headers))
                    raise
            return self._accept

        server = listen(config, Methods({}, {PATH: admit}), source, refused)
        try:
            address = await server.start()
        except OSError as exc:
            reason = exc.strerror or str(exc)
            raise OSError(f"cannot listen on {config.endpoint}: {reason}") from exc
        self._held.push_async_callback(server.stop, 0.5)
        logger.info("controllers may call", endpoint=address)
        return address

    def _accept(self, stream: Stream) -> None:
        channel = ControlChannel(self, stream, lambda _: self._channels.discard(channel))
        self._channels.add(channel)
        channel.start()

    # What channels ask for (`gateway.node.control_channel.ControlledPart`)

    async def configure(self, command: Configure) -> tuple[Sequence[ItemOutcome], Sequence[ItemOutcome]]:
        async with self._commands:
            links = await asyncio.gather(*map(self._connect, command.links))
            routes = await self._lead(command)
            links += [await self._disconnect(id) for id in command.closed]
        return links, routes

    async def order(self, order: Order) -> OrderDone:
        try:
            done: OrderDone = await self._plane.system.ask(self._agent, order, ORDER_TIME)
        except TimeoutError:
            return OrderDone("", order.order, "DEADLINE_EXCEEDED", f"no answer within {ORDER_TIME:g} s")
        except AskFailed as error:
            return OrderDone("", order.order, "INTERNAL", f"the node failed: {type(error).__name__}")
        return done

    async def table(self) -> Sequence[RouteEntry]:
        told: TableTold = await self._plane.system.ask(self._agent, TableWanted(), TABLE_TIME)
        return told.entries

    def connections(self) -> Sequence[tuple[int, bool, str]]:
        dialled = [(index, False, endpoint) for endpoint, index in self._plane.dialled().items()]
        return [*((index, self._plane.is_edge(index), "") for index in self._plane.accepted), *dialled]

    def follow(self, inbox: Callable[[NamesTold], None]) -> Callable[[], None]:
        system = self._plane.system
        address = system.inbox(lambda told, _: inbox(told))
        system.tell(self._agent, FollowNames(address))

        def stop() -> None:
            system.tell(self._agent, UnfollowNames(address))
            system.close_inbox(address)

        return stop

    def follow_groups(self, inbox: Callable[[Sequence[GroupSeen]], None]) -> Callable[[], None]:
        return self._plane.groups.follow(inbox)

    # Connections and routes

    async def _connect(self, wanted: DrawnLink) -> ItemOutcome:
        try:
            return ItemOutcome(wanted.connection_id, await self._connected(wanted.config))
        except (SlimError, ValueError, RecursionError) as error:
            return ItemOutcome(wanted.connection_id, str(error) or type(error).__name__)

    async def _connected(self, text: str) -> str:
        """Have a connection as it is wanted; why there is none.

        Raises SlimError, ValueError and RecursionError.
        """
        config = ClientConfig.read(json.loads(text))
        endpoint = config.endpoint
        if endpoint in self._plane.dialled():
            if self._drawn.get(endpoint, text) == text:
                return ""
            await self._plane.disconnect(endpoint)
        try:
            async with asyncio.timeout(CONNECT_TIME):
                connection = await self._plane.link(config, announce=config.announce, routes=config.routes)
        except TimeoutError:
            return f"no connection to {endpoint} within {CONNECT_TIME:g} s"
        except AlreadyConnected:
            return f"{endpoint} is being dialled already"
        self._drawn[endpoint] = text
        logger.info("connected for a controller", endpoint=endpoint, conn=connection)
        return ""

    async def _disconnect(self, connection_id: str) -> ItemOutcome:
        """Close a connection that a controller wanted. One of our own configuration stays."""
        if connection_id in self._plane.dialled():
            if connection_id not in self._drawn:
                return ItemOutcome(connection_id, "the node's own configuration has this connection")
            try:
                await self._plane.disconnect(connection_id)
            except NotConnected:
                logger.debug("closed meanwhile", endpoint=connection_id)
        self._drawn.pop(connection_id, None)
        return ItemOutcome(connection_id)

    async def _lead(self, command: Configure) -> list[ItemOutcome]:
        known = self._plane.dialled()
        outcomes: dict[int, ItemOutcome] = {}
        possible: list[list[tuple[int, Leading]]] = [[], []]
        wanted = [(one, 0) for one in command.routes] + [(one, 1) for one in command.withdrawn]
        for place, (direction, withdrawn) in enumerate(wanted):
            outcomes[place] = ItemOutcome(direction)
            try:
                leading = _leading(direction, known.get(direction.connection_id))
            except Declined as error:
                outcomes[place] = ItemOutcome(direction, error.text)
                continue
            if leading is not None:
                possible[withdrawn].append((place, leading))
            elif not withdrawn:
                # What leaves by a connection that is gone need not be withdrawn.
                text = f"Connection {direction.connection_id} not found"
                name = Name(*names.checked(direction.name, "subscription"))
                self._plane.routes.past.refused(name, 0, text, self._plane.surroundings.clock())
                outcomes[place] = ItemOutcome(direction, text)
        lead = Lead(tuple(one for _, one in possible[0]), tuple(one for _, one in possible[1]))
        led: Led = await self._plane.system.ask(self._agent, lead, CONNECT_TIME)
        for (place, _), why in zip([*possible[0], *possible[1]], led.errors, strict=True):
            outcomes[place] = ItemOutcome(wanted[place][0], why)
        for place, (direction, _) in enumerate(wanted):
            if cause := outcomes[place].error:
                level, more = self._alarms.level(direction.connection_id, self._plane.surroundings.clock())
                fields = {"endpoint": direction.connection_id, "name": direction.name, "cause": cause}
                logger.log(level, f"route of a controller refused{more}", **fields)
        return list(outcomes.values())

    def _state_changed(self, state: ConnectionState) -> None:
        if state.state == "closed":
            self._plane.system.tell(self._agent, state)


def _leading(direction: Direction, connection: int | None) -> Leading | None:
    """A route in numbers; None without its connection. Raises Declined for a name that is none."""
    triple = names.checked(direction.name, "subscription")
    return None if connection is None else Leading(Name(*triple, direction.id), connection)


def registration(
    node_id: str, group: str, servers: Sequence[tuple[ServerConfig, str]], version: str
) -> pb.RegisterNodeRequest:
    """What a node says of itself: `servers` with the address in use of each."""
    made = pb.RegisterNodeRequest(node_id=node_id, callboard_version=version)
    if group:
        made.group_name = group
    for config, address in servers:
        if address.startswith("unix:"):
            continue
        details = made.connection_details.add(endpoint=address, mtls_required=not config.tls.insecure)
        for key in ("local_endpoint", "external_endpoint", "group_name"):
            value = config.metadata.get(key)
            if isinstance(value, str) and value:
                setattr(details, key, value.encode())
    return made
