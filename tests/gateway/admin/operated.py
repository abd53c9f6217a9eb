"""Nodes that are asked what they know, and applications at them: over sockets, all in the test's process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from actors.names import Name
from actors.routing.budget import ByteBudget
from gateway import IdentityProvider, IdentityVerifier, Slim
from gateway.admin.explain import Walk, explain
from gateway.admin.facts import NodeFacts
from gateway.admin.inquiry import inquire
from gateway.admin.peer_inquiries import PeerInquiries
from gateway.config import ClientConfig
from gateway.config.node import NodeConfig
from gateway.http2.limits import Counters
from gateway.links.transport import dialler
from gateway.node.data_plane import DataPlane
from gateway.node.node import Node
from gateway.security.material import Side, TlsSource
from tests.gateway.stage import Peer

SECRET, OTHER = "a shared secret of at least thirty-two bytes", "another secret of at least thirty-two bytes"
ALICE, BOB = Name("org", "demo", "alice"), Name("org", "demo", "bob")
WAIT = 10.0


class Operated:
    """Nodes by their names, and what is asked about them."""

    def __init__(self) -> None:
        self.held = AsyncExitStack()
        self.nodes: dict[str, Node] = {}
        self.inquiries: dict[str, PeerInquiries] = {}

    async def node(self, name: str, *peers: str, **service: Any) -> Node:
        """One more node, which dials those `peers` that are nodes here, or endpoints."""
        dialled = [
            {
                "endpoint": f"http://{self.nodes[peer].addresses[0]}" if peer in self.nodes else peer,
                "peer": True,
                "tls": {"insecure": True},
                "backoff": {"type": "fixed", "interval": 0.1},
            }
            for peer in peers
        ]
        server = {"endpoint": "127.0.0.1:0", "tls": {"insecure": True}}
        dataplane = {"servers": [server], "clients": dialled}
        config = NodeConfig.read(
            {"services": {"slim/0": {"node_id": name, "dataplane": dataplane, **service}}}
        )
        node = self.nodes[name] = Node(config)
        self.held.push_async_callback(node.close, 0.2)
        await node.start()
        inquiries = self.inquiries[name] = PeerInquiries(node)
        self.held.callback(inquiries.close)
        inquiries.start()
        return node

    async def application(
        self, name: Name, node: str, secret: str = SECRET, route: Name | None = None
    ) -> Slim:
        """An application with a data plane of its own: as in another process."""
        plane = DataPlane()
        self.held.push_async_callback(plane.close, 0.2)
        text = "/".join(name.strings)
        pair = (kind.SharedSecret(text, secret) for kind in (IdentityProvider, IdentityVerifier))
        app = Slim(name, *pair, data_plane=plane)
        self.held.push_async_callback(app.close, 0.2)
        await app.connect(f"http://{self.nodes[node].addresses[0]}")
        if route is not None:
            await app.set_route(route)
        return app

    async def original(self, node: str) -> Peer:
        """A stream of somebody who does not say that he is one of ours."""
        endpoint = f"http://{self.nodes[node].addresses[0]}"
        config = ClientConfig.read({"endpoint": endpoint, "tls": {"insecure": True}})
        source = TlsSource(config.tls, Side.CLIENT)
        stream = await dialler(config, None, source, 1 << 20, ByteBudget(), Counters())()
        self.held.callback(stream.abort, "the test is over")
        return Peer(stream)

    async def facts(self, source: Name = ALICE, target: Name = BOB, *nodes: str) -> list[NodeFacts]:
        asked = [self.nodes[name] for name in nodes or self.nodes]
        return list(await asyncio.gather(*(inquire(node, source, target) for node in asked)))

    async def walk(self, source: Name = ALICE, target: Name = BOB, *nodes: str) -> Walk:
        """What the nodes say together: all of them, or those that are named."""
        return explain(await self.facts(source, target, *nodes))

    async def told(self, node: str, source: Name = ALICE, target: Name = BOB) -> Walk:
        """What one node says that asks the others by itself."""
        return explain(await self.inquiries[node].gather(source, target))

    async def until(self, holds: Callable[[Walk], bool], *nodes: str) -> Walk:
        """Ask until it is so: names and losses take their time from node to node."""
        async with asyncio.timeout(WAIT):
            while not holds(walk := await self.walk(ALICE, BOB, *nodes)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return walk


def says(text: str) -> Callable[[Walk], bool]:
    """Whether the step that is missing says so."""
    return lambda walk: walk.missing is not None and text in walk.missing.text


def reaches(walk: Walk) -> bool:
    return walk.missing is None and walk.verdict == f"{walk.source} reaches {walk.target}"
