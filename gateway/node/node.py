"""A node as its configuration describes it: listeners, links that are dialled until they stand, routes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from actors.errors import AlreadyConnected
from actors.routing.control import RouteControl
from actors.routing.shares import Shares
from gateway.api.version import get_version
from gateway.codec.family import FIRST
from gateway.config import MAX_MESSAGE_SIZE, ClientConfig, ServerConfig, TlsConfig
from gateway.config.network import LimitsConfig
from gateway.config.node import DEFAULT_NODE, NodeConfig
from gateway.links.nats_library import check_backbone
from gateway.node.data_plane import DataPlane
from gateway.node.memory import MemoryAlarm, MemoryWatch, memory_limit, resident
from gateway.node.peer_policy import PeerPolicy
from gateway.node.reloading import Snapshot, changes
from gateway.security.auth import client_auth, server_auth
from gateway.security.expiry import CertificateEnd, problems
from gateway.security.material import Side, TlsSource
from gateway.surroundings import current
from identity.errors import ConfigError, SlimError
from identity.log import logger

if TYPE_CHECKING:
    from gateway.node.controlled import ControlledNode

LEAVE_WAIT = 2.0
"""Seconds that applications of ours have to go to another node, before their streams are closed."""


class Node:
    """Start it once, close it once."""

    def __init__(self, config: NodeConfig) -> None:
        self.config = config
        self._snapshot = Snapshot.take(config)
        limits = config.limits
        shares = self._shares = Shares()
        peers = config.peers
        self.data_plane = DataPlane(
            control=RouteControl(
                recovery_time=config.controller.recovery, shares=shares, no_instance=FIRST.no_instance
            ),
            # The usual name is that of many nodes: among peers it would be nobody's.
            node_id="" if config.node_id == DEFAULT_NODE else config.node_id,
            peers=PeerPolicy(
                identities=frozenset(peers.identities),
                subjects=frozenset(peers.subjects),
                loopback=peers.loopback,
            ),
            rules=self._snapshot.rules,
        )
        self._limit(limits)
        self._memory: MemoryWatch | None = None
        self.addresses: list[str] = []
        """Where it listens, once started."""
        self.controlled_at: list[str] = []
        """Where controllers may call, once started."""
        self._controlled: ControlledNode | None = None
        self._dialling: list[asyncio.Task[None]] = []

    def _limit(self, limits: LimitsConfig) -> None:
        """Put limits in force."""
        self._shares.limit(
            node=limits.subscriptions,
            peer=limits.subscriptions_per_peer,
            applications=limits.applications_per_peer,
        )
        self.data_plane.doorkeeper.limit(limits)

    @property
    def certificates(self) -> tuple[CertificateEnd, ...]:
        """When those end that this node shows; `problem` of each is for health."""
        return self._snapshot.ends

    @property
    def memory(self) -> MemoryAlarm | None:
        """The alarm, if there is a limit at which it rings."""
        return self._memory.alarm if self._memory is not None else None

    def reload(self, config: NodeConfig) -> list[str]:
        """Take what may change while it runs: certificates, users, rules by name, limits.

        Returns what is different, in words. Raises ConfigError, and then everything stays as it was.
        """
        old, new = self._snapshot, Snapshot.take(config)
        self._snapshot = new
        self.data_plane.read_certificates_again()
        if old.rules != new.rules:
            self.data_plane.rule(new.rules)
        if old.config.limits != new.config.limits:
            self._limit(config.limits)
            self._watch_memory(config.limits)
        self._say_what_ends()
        return changes(old, new)

    def _say_what_ends(self) -> None:
        for said in problems(self.certificates, self.data_plane.surroundings.wall()):
            logger.warning("a certificate ends", cause=said)

    def _watch_memory(self, limits: LimitsConfig) -> None:
        """Ring at this limit, and at no other."""
        if self._memory is not None:
            self._memory.close()
            self._memory = None
        limit = memory_limit(limits.memory)
        if limit is not None:
            sending = self.data_plane.doorkeeper.sending
            self._memory = MemoryWatch(limit, lambda rings: sending.hold_back(yes=rings))
            self._memory.open()

    async def start(self) -> list[str]:
        """Listen everywhere, and begin to dial. Returns the addresses in use.

        Raises ConfigError, AuthError, and OSError when an address cannot be had; it is to be closed then too.
        """
        config, addresses = self.config, self.addresses
        self._watch_memory(config.limits)
        self._say_what_ends()
        read = self.data_plane.telemetry.read
        read("memory_bytes", "Memory that the process has.", resident)
        watched = "Whether senders are held back for memory."
        read("memory_alarm", watched, lambda: int(self.data_plane.doorkeeper.sending.held_back))
        for index, server in enumerate(config.servers):
            with _within(f"{config.where}.dataplane.servers[{index}]"):
                addresses.append(await self._listen(server))
        loop = asyncio.get_running_loop()
        if config.controller.clients or config.controller.servers:
            # Imported by who has a controller: the gRPC library costs others a tenth of a second.
            from gateway.node.controlled import ControlledNode, registration

            said = registration(
                config.node_id, config.group, list(zip(config.servers, addresses, strict=True)), get_version()
            )
            said.boot = self.data_plane.control.nodes.own.boot
            if config.backbone is not None:
                said.backbone = ", ".join(config.backbone.urls)
            self._controlled = ControlledNode(self.data_plane, config.controller, said)
            with _within(f"{config.where}.controller"):
                self.controlled_at = await self._controlled.start()
        clients = config.clients
        self._dialling = [loop.create_task(self._dial(client)) for client in clients if not client.peer]
        peers = [client for client in clients if client.peer]
        if peers:
            self._dialling.append(loop.create_task(self.data_plane.peer(peers)))
        if config.backbone is not None:
            largest = max((server.max_message_size for server in config.servers), default=MAX_MESSAGE_SIZE)
            with _within(f"{config.where}.backbone"):
                await self.data_plane.join(config.backbone, max_message_size=largest)
        self.data_plane.health.listening()
        return addresses

    def controllers(self) -> dict[str, bool]:
        """The controllers that it dials, and whether it is registered there now."""
        return self._controlled.figures() if self._controlled is not None else {}

    async def _listen(self, server: ServerConfig) -> str:
        try:
            return await self.data_plane.serve(server)
        except OSError as exc:
            reason = exc.strerror or str(exc)
            raise OSError(f"cannot listen on {server.endpoint}: {reason}") from exc

    async def close(self, grace: float) -> None:
        """Stop dialling and listening, let applications go to other nodes for LEAVE_WAIT, write out what is
        queued for `grace` seconds, close everything.
        """
        for task in self._dialling:
            task.cancel()
        await asyncio.gather(*self._dialling, return_exceptions=True)
        if self._controlled is not None:
            await self._controlled.close()
        if self._memory is not None:
            self._memory.close()
        await self.data_plane.drain(min(LEAVE_WAIT, grace / 2))
        await self.data_plane.close(grace)

    async def _dial(self, client: ClientConfig) -> None:
        """Dial until a first connection stands; from then on its link dials again by itself."""
        endpoint, attempt, complaint = client.endpoint, 0, ""
        while True:
            try:
                connection = await self.data_plane.link(
                    client, announce=client.announce, routes=client.routes
                )
                break
            except AlreadyConnected:
                return
            except SlimError as error:
                if client.backoff.max_attempts:
                    logger.error("gave up dialling", endpoint=endpoint, cause=str(error))
                    return
                if str(error) != complaint:
                    complaint = str(error)
                    logger.warning("dialling goes on", endpoint=endpoint, cause=str(error))
            await asyncio.sleep(client.backoff.delay(attempt, self.data_plane.surroundings.fraction()))
            attempt += 1
        logger.info("connected", endpoint=endpoint, conn=connection)


@contextmanager
def _within(where: str) -> Iterator[None]:
    """Names of keys in errors get the place of their section in the file."""
    try:
        yield
    except ConfigError as error:
        if (error.field or "").startswith(where):
            raise
        raise ConfigError(str(error), field=f"{where}.{error.field}") from error


def examine(config: NodeConfig) -> None:
    """Look at what the configuration names: keys, certificates, tokens. Opens no connection.

    Raises ConfigError naming the key at fault. SPIFFE agents are not asked.
    """
    Snapshot.take(config)
    for where, server in _servers(config):
        with _within(where):
            server_auth(server.auth)
            _look_at(server.tls, Side.SERVER)
    for where, client in _clients(config):
        with _within(where):
            client_auth(client.auth)
            if not client.plaintext:
                _look_at(client.tls, Side.CLIENT)
    if config.backbone is not None:
        with _within(f"{config.where}.backbone"):
            check_backbone(config.backbone, current())
            _look_at(config.backbone.tls, Side.CLIENT)


def _look_at(tls: TlsConfig, side: Side) -> None:
    if not (tls.insecure or tls.spire or tls.ca_spire):
        TlsSource(tls, side).material()


def _servers(config: NodeConfig) -> Iterator[tuple[str, ServerConfig]]:
    for place, servers in (("dataplane", config.servers), ("controller", config.controller.servers)):
        for index, server in enumerate(servers):
            yield f"{config.where}.{place}.servers[{index}]", server


def _clients(config: NodeConfig) -> Iterator[tuple[str, ClientConfig]]:
    for place, clients in (("dataplane", config.clients), ("controller", config.controller.clients)):
        for index, client in enumerate(clients):
            yield f"{config.where}.{place}.clients[{index}]", client
