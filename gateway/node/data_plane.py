"""A node's data plane: the actors that route, the links they use, the listeners and the dialled peers.

It runs inside an asyncio loop. Embedded applications and `callboard start` use the same one.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from actors.app.actor import AppActor
from actors.app.collaborators import Collaborators
from actors.app.lasting import Lasting
from actors.controlled.agent import ControlAgent
from actors.controlled.own_names import OwnNames
from actors.errors import AlreadyConnected, NotConnected
from actors.messages import VOCABULARY
from actors.messages.codec import Codec
from actors.messages.routing import (
    AnnounceNames,
    Close,
    ConnectionState,
    Opened,
    RouteByHand,
    RulesChanged,
)
from actors.messages.session import AppSettings
from actors.messages.wire import Introduction, Role
from actors.moderation.leading import JournaledGroup
from actors.names import Name
from actors.routing.budget import NODE_LIMIT, ByteBudget
from actors.routing.control import RouteControl
from actors.routing.outbox import HIGH, PATIENCE
from actors.routing.route_table import RouteTable
from actors.session.mls_session import mls_sessions
from actors.system import Address, AskTimeout, LoopSystem, Supervision
from actors.system.tasks import Tasks
from gateway.codec.family import FIRST
from gateway.config import MAX_MESSAGE_SIZE, ClientConfig, ServerConfig
from gateway.config.auth import Proof
from gateway.config.network import BackboneConfig
from gateway.http2.limits import Counters
from gateway.links.health import Health
from gateway.links.link import AcceptedLink
from gateway.links.nats import NatsLink
from gateway.links.nats_wire import Origin
from gateway.links.stream import Stream, StreamStatus
from gateway.node import figures, forks
from gateway.node.dialled import Dialled
from gateway.node.dialling import Dialling
from gateway.node.doorkeeper import Doorkeeper
from gateway.node.gateway_actor import Gateway
from gateway.node.group_reports import GroupReports
from gateway.node.listening import Listeners
from gateway.node.loop_watch import loop_watch
from gateway.node.peer_policy import LOOPBACK_ONLY, PeerPolicy
from gateway.node.peering import Peering
from gateway.node.standing import Standing
from gateway.security.rules import RuleSet
from gateway.surroundings import Surroundings, current
from identity.log import logger
from identity.protocols import Provider, Verifier

StateCallback = Callable[[ConnectionState], None]


ROUTE_TABLE = Supervision(max_restarts=1, period=1.0, backoff=0.0)
"""A route table that fails by itself once goes on with its core; again within a second, the node ends."""
APP = Supervision(max_restarts=None)
"""An application's names are registered again however often its actor fails."""


class DataPlane:
    """`strict` packs and unpacks every message between actors: for tests.

    `high_water` (bytes) and `patience` (seconds) are those of `actors.routing.outbox`, `waiting_limit`
    (bytes) bounds what waits on all its streams; `control` is the core of the route table. Time, chance and
    networks are those of `surroundings`, by default the running task's; `clock` (seconds that only grow) and
    `wall` (Unix seconds, by which tokens are made and judged) stand in for theirs. Among other nodes it is
    `node_id` (drawn, unless given), and `peers` says who may come in as a node; `rules` what anybody may
    do by name.
    """

    def __init__(
        self,
        *,
        strict: bool = False,
        high_water: int = HIGH,
        patience: float = PATIENCE,
        waiting_limit: int = NODE_LIMIT,
        clock: Callable[[], float] | None = None,
        wall: Callable[[], float] | None = None,
        control: RouteControl | None = None,
        node_id: str = "",
        peers: PeerPolicy = LOOPBACK_ONLY,
        rules: RuleSet | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        self.surroundings = around = surroundings or current()
        self._loop = around.running_loop()
        self.system = LoopSystem(loop=self._loop, vocabulary=VOCABULARY if strict else None)
        forks.watch(self.system)
        self._watch = loop_watch(self._loop) if around.loop is None else None
        if self._watch is not None:
            self._watch.use()
        self._clock, self._wall = clock or around.clock, wall or around.wall
        self.high_water = high_water
        self.waiting = ByteBudget(waiting_limit)
        self.leading: dict[Name, JournaledGroup] = {}
        """Groups of this process's applications that a journal is kept of, by their channels."""
        self.node_id = node_id or around.random(8).hex()
        boot = int.from_bytes(around.random(8))
        introduction = Introduction(Role.NODE, self.node_id, boot, token=peers.token)
        self._origin = Origin(self.node_id, boot)
        self.backbone: NatsLink | None = None
        self.telemetry = self.system.telemetry
        """What is counted here."""
        self.http2 = self.telemetry.shared(Counters)
        """What HTTP/2 refused."""
        self.doorkeeper = Doorkeeper(self._clock, peers, rules)
        self.door = self.doorkeeper.door
        """Who was not let in."""
        self.control = control = control or RouteControl(no_instance=FIRST.no_instance)
        self.health = Health()
        control.introduce(introduction)
        self.doorkeeper.nodes = control.nodes
        control.register(self.telemetry)
        control.may = self.doorkeeper.why_not_subscribe
        figures.register(self.telemetry, self.waiting, self.http2)
        self.door.register(self.telemetry)
        self.routes = control.table.view
        """Where messages go, to read."""
        self.failed = asyncio.Event()
        """Set when the node cannot go on; it is being closed then."""
        rule = dataclasses.replace(ROUTE_TABLE, gave_up=self._route_table_failed)
        self.route_table = self.system.spawn(RouteTable, control, self._clock, supervision=rule)
        self.links: dict[int, AcceptedLink | NatsLink] = {}
        """By index. Written here only; the Gateway reads it, and says when one is over."""
        self.gateway = self.system.spawn(
            lambda: Gateway(
                self.system,
                self.links,
                self._link_over,
                self.route_table,
                self.routes,
                self._clock,
                high=high_water,
                patience=patience,
                introduction=introduction,
                doorkeeper=self.doorkeeper,
            )
        )
        self._indices = itertools.count(1)
        self._observers: list[StateCallback] = []
        self.peering = Peering(self, self._loop, around.fraction)
        self._standing = Standing()
        self._listeners = Listeners(self, self._standing)
        self._inbox = self.system.inbox(lambda message, _: self._state_changed(message))
        self.groups = GroupReports(self.system, self._loop, self.links, self.routes)
        self._callers = self.groups.callers(self._standing.note_caller)
        """Where connections say how they stand that others opened."""
        self._tasks = Tasks(self._loop)
        self._dialling = Dialling(self, self._inbox, self._tasks)
        self._closed = False
        self._ending: asyncio.Future[None] | None = None
        self._over = asyncio.Event()
        self.never_served = True
        """Whether `serve` has never succeeded."""

    @property
    def no_descriptor(self) -> int:
        """How many callers were refused because no file descriptor was left."""
        return self.http2.refusals.get("descriptors", 0)

    def next_index(self) -> int:
        """A connection index not used before: for a link, or for a local application."""
        return next(self._indices)

    def spawn_app(
        self, name: Name, provider: Provider, verifier: Verifier, codec: Codec, settings: AppSettings
    ) -> Address:
        """An App actor: a local application of this node."""
        around = self.surroundings
        collaborators = Collaborators(
            route_table=self.route_table,
            routes=self.routes,
            codec=codec,
            provider=provider,
            verifier=verifier,
            clock=self._clock,
            wall=self._wall,
            draw=around.draw,
            spawn_task=self._tasks,
            telemetry=self.telemetry,
            crypto=mls_sessions(verifier, wall=self._wall, random=around.random),
            leading=self.leading,
            groups=self.groups.inbox,
            threads=around.threads,
        )
        lasting = Lasting.of(name, collaborators, settings)
        return self.system.spawn(
            AppActor, name, self.next_index(), collaborators, settings, lasting, supervision=APP
        )

    # Listening

    async def serve(self, config: ServerConfig) -> str:
        """Listen. Returns the address in use, with the port where 0 was asked for.

        Raises ConfigError, AlreadyConnected, AuthError when an agent has no identity for it, NotConnected
        when the data plane is closed, and OSError when the address cannot be had.
        """
        self._check_open()
        address = await self._listeners.open(config)
        self.never_served = False
        self.health.listening()
        logger.info("listening", endpoint=address)
        return address

    def read_certificates_again(self) -> None:
        """Those of listeners, for the next handshake."""
        self._listeners.read_certificates_again()

    def rule(self, rules: RuleSet | None) -> None:
        """Put these rules by name in force, for those who are connected too."""
        self.doorkeeper.take(rules)
        self.system.tell(self.route_table, RulesChanged())

    def accept(
        self,
        stream: Stream,
        *,
        listener: str = "",
        proof: Proof = Proof.SUBJECT,
        max_message_size: int = MAX_MESSAGE_SIZE,
    ) -> None:
        """Take a stream that a peer opened, at the endpoint `listener` of ours, where `proof` was asked."""
        index = self.next_index()
        refusal = self.doorkeeper.come(index, stream.peer)
        if refusal:
            stream.close(StreamStatus.RESOURCE_EXHAUSTED, refusal)
            return
        link = AcceptedLink(
            index,
            stream,
            listener=listener,
            proof=proof,
            high=self.high_water,
            max_message_size=max_message_size,
            surroundings=self.surroundings,
        )
        self.take(link, Opened(index, observer=self._callers))

    def take(self, link: AcceptedLink | NatsLink, opened: Opened) -> None:
        """A stream is there: give its link to the actors."""
        self.links[link.index] = link
        self.telemetry.register(link.counts)
        self.system.tell(self.gateway, opened)

    def _link_over(self, index: int) -> None:
        link = self.links.pop(index, None)
        self.doorkeeper.gone(index)
        if link is not None:
            self.telemetry.close(link.counts)
        self._standing.over(index)

    async def stop_server(self, endpoint: str, grace: float = 1.0) -> None:
        """Stop listening, and close the streams accepted there: they are written out for `grace` seconds.

        Raises NotConnected.
        """
        await self._listeners.stop(endpoint, grace)

    async def drain(self, wait: float) -> None:
        """Stop listening, and let applications of ours go to another node while this one still serves them.

        Returns when they have, or after `wait` seconds; what is left of who called is closed then.
        """
        self.health.end("draining")
        await asyncio.gather(*self._listeners.stop_all(1.0, wait))

    # Dialling

    async def connect(
        self, config: ClientConfig, *, dial: Callable[[], Awaitable[Stream]] | None = None
    ) -> int:
        """Dial. Returns the connection's index, which it keeps through reconnects.

        `dial` opens the streams; by default that is the transport that `config` names. Raises ConfigError,
        AuthError when there is nothing to prove who we are with, AlreadyConnected, NotConnected when the
        data plane is closed, and ConnectionLost saying why nobody answered.
        """
        return (await self.dial(config, dial=dial)).index

    async def link(
        self,
        config: ClientConfig,
        *,
        announce: bool = False,
        routes: Sequence[Name] = (),
        dial: Callable[[], Awaitable[Stream]] | None = None,
    ) -> int:
        """Dial another node as a node. Returns the connection's index.

        A node of ours becomes a peer. To any other only messages for the names in `routes` go; with
        `announce` it is told the names of our edges, so that messages come back. Raises as `connect` does.
        """
        made = await self.dial(config, dial=dial, as_node=True)
        for name in routes:
            self.set_route(name, made.index)
        if announce:
            self.system.tell(self.route_table, AnnounceNames(made.index))
        return made.index

    def set_route(self, name: Name, connection: int, *, present: bool = True) -> None:
        """Let messages for `name` leave by `connection` too, or no more.

        Without id it stands for all ids, `org/ns/*` for all applications of a namespace.
        """
        self.system.tell(self.route_table, RouteByHand(name, connection, present))

    async def peer(self, configs: Sequence[ClientConfig]) -> None:
        """Be a peer of the nodes at these endpoints, for as long as this data plane lives.

        Returns when each has joined or could not be reached for now: it is tried on and on. Raises
        ConfigError, AlreadyConnected, and NotConnected when the data plane is closed.
        """
        self._check_open()
        await self.peering.add(configs)

    async def join(self, config: BackboneConfig, *, max_message_size: int = MAX_MESSAGE_SIZE) -> None:
        """Be on a backbone, for as long as this data plane lives.

        Returns when a server took us or none could be reached for now: they are tried on and on. Raises
        ConfigError, AuthError, AlreadyConnected, and NotConnected when the data plane is closed.
        """
        self._check_open()
        if self.backbone is not None:
            raise AlreadyConnected(self.backbone.peer)
        place = (self.next_index(), self._origin, self.surroundings)
        link = self.backbone = NatsLink(
            *place, config, high=self.high_water, max_message_size=max_message_size
        )
        await link.open()
        self.take(link, Opened(link.index, observer=self._inbox, backbone=True))
        await link.tried.wait()

    async def parted(self, node_id: str) -> None:
        """Return when there is no link to that node."""
        await self._standing.parted(node_id)

    async def dial(
        self,
        config: ClientConfig,
        *,
        dial: Callable[[], Awaitable[Stream]] | None = None,
        as_node: bool = False,
    ) -> Dialled:
        """As `connect`, or `as_node`. Returns what is known of the connection, now and later.

        A link to a node that is over already has an `outcome`.
        """
        self._check_open()
        return await self._dialling.dial(config, dial=dial, as_node=as_node)

    async def disconnect(self, endpoint: str) -> None:
        """Close the connection that was dialled to `endpoint`; what was accepted is written out before.

        Returns when it is closed. Raises NotConnected.
        """
        await self._dialling.disconnect(endpoint)

    def dialled(self) -> dict[str, int]:
        """Endpoints and the indices of the connections dialled to them, oldest first."""
        return self._dialling.indices()

    @property
    def accepted(self) -> list[int]:
        """The connections that peers opened, by index."""
        backbone = self.backbone and self.backbone.index
        return [index for index in self.links if index != backbone and index not in self._dialling]

    def is_edge(self, connection: int) -> bool:
        """Whether `connection` is one of an application's, not one to another node, whoever dialled."""
        backbone = self.backbone and self.backbone.index
        return not (
            connection == backbone or connection in self._dialling or connection in self._standing.nodes
        )

    def spawn_control_agent(
        self,
        codec: Codec,
        provider: Provider | None,
        verifier: Verifier | None,
        patience: dict[str, float] | None = None,
    ) -> Address:
        """The actor by which controllers act on this node."""
        index = self.next_index()
        return self.system.spawn(
            lambda: ControlAgent(
                index,
                self.route_table,
                self.routes,
                codec,
                OwnNames(self.is_edge),
                provider=provider,
                verifier=verifier,
                clock=self._clock,
                wall=self._wall,
                draw=self.surroundings.draw,
                spawn_task=self._tasks,
                is_ours=self._standing.applications.__contains__,
                patience=patience,
            )
        )

    def observe(self, callback: StateCallback) -> None:
        """Call `callback` whenever the state of a dialled connection changes."""
        self._observers.append(callback)

    def unobserve(self, callback: StateCallback) -> None:
        """Undo `observe`."""
        if callback in self._observers:
            self._observers.remove(callback)

    def _state_changed(self, state: ConnectionState) -> None:
        self._standing.note(state)
        made = self._dialling.note(state)
        if made is not None and not made.as_node:
            self.groups.dialled(state)
        for callback in list(self._observers):
            callback(state)

    def _route_table_failed(self) -> None:
        """Nobody routes any more: end, so that who runs the node may start another."""
        logger.error("node ends", cause="its route table failed twice within a second")
        self.health.end("failed")
        self.failed.set()
        self._ending = asyncio.ensure_future(self.close(0.0))

    # Figures and the end

    @property
    def closed(self) -> bool:
        return self._closed

    async def status(self) -> dict[str, Any]:
        """Figures of the route table, of each connection by index, of the actor system, and all counters."""
        return await figures.status(self)

    async def close(self, grace: float = 5.0) -> None:
        """Stop listening, write out what is queued, close every stream, end all actors. Idempotent.

        Takes `grace` seconds and a little; streams that are open then are cut.
        """
        if self._closed:
            await self._over.wait()
            return
        self._closed = True
        self.health.end("closed")
        if self._watch is not None:
            self._watch.leave()
        deadline = self._clock() + grace
        self.peering.close()
        self.groups.close()
        try:
            if self.backbone is not None:
                # First: what others still send to our edges reaches them.
                self.backbone.close("node is shutting down")
            await self._close_connections(grace)
        finally:
            for link in list(self.links.values()):
                link.abort("node is shutting down")
            self._tasks.cancel()
            await self.system.shutdown(max(0.1, deadline - self._clock()))
            await self._dialling.close()
            self._over.set()

    async def _close_connections(self, grace: float) -> None:
        self._dialling.end_attempts()
        stopping = self._listeners.stop_all(min(grace, 1.0))
        closing = self.system.ask(self.gateway, Close("node is shutting down"), grace)
        # A loop that is ending has cancelled listeners already; the rest is closed all the same.
        outcomes = await asyncio.gather(closing, *stopping, return_exceptions=True)
        if grace and isinstance(outcomes[0], AskTimeout) and self.links:
            logger.warning("connections cut", count=len(self.links), cause="they did not end in time")

    def _check_open(self) -> None:
        if self._closed:
            raise NotConnected("the data plane is closed")
