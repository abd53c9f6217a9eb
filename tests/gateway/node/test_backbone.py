"""Nodes of one process on NATS: who is told what, exactly once, and what losses do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from actors.messages.wire import ALL, ONE
from actors.names import Name
from gateway.node.data_plane import DataPlane
from tests.gateway.links.nats_server import (
    NatsServer,
    backbone,
    cluster,
    in_step,
    needs_nats_server,
    until,
)
from tests.gateway.stage import BOB, CHANNEL, Local

pytestmark = needs_nats_server


class Nodes:
    """Nodes on a backbone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers: list[NatsServer] = []
        self.nodes: list[DataPlane] = []

    async def server(self, extra: str = "") -> NatsServer:
        made = await NatsServer(self.folder, extra).start()
        self.servers.append(made)
        return made

    async def cluster(self, size: int = 2) -> list[NatsServer]:
        self.servers += await cluster(self.folder, size)
        return self.servers

    async def node(self, *servers: NatsServer, **options: Any) -> DataPlane:
        made = DataPlane(strict=True, node_id=f"node {len(self.nodes)}")
        self.nodes.append(made)
        await made.join(backbone(*(servers or self.servers), **options))
        return made

    async def close(self) -> None:
        await asyncio.gather(*(node.close(1.0) for node in self.nodes))
        for server in self.servers:
            server.kill()


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    made = Nodes(tmp_path)
    yield made
    await made.close()


async def test_every_member_gets_every_message_of_a_group_once(nodes: Nodes) -> None:
    servers = await nodes.cluster(2)
    for number in range(5):
        await nodes.node(servers[number % 2])
    members = [Local(node) for node in nodes.nodes for _ in range(2)]
    await asyncio.gather(*(member.order(CHANNEL) for member in members))
    await in_step(*nodes.nodes)
    # Interest has to reach the other server of the cluster too.
    await heard_by_all(nodes)
    for number, member in enumerate(members):
        member.publish(CHANNEL, b"%d" % number, fanout=ALL)
    for number, member in enumerate(members):
        expected = sorted(b"%d" % other for other in range(len(members)) if other != number)
        await member.until(lambda member=member: len(member.blobs()) >= len(members) - 1)
        await in_step(*nodes.nodes)
        assert sorted(member.blobs()) == expected


async def heard_by_all(nodes: Nodes) -> None:
    """Wait until what one node says on a name of everybody's reaches all others."""
    name = Name("org", "ns", "roll")
    callers = [Local(node) for node in nodes.nodes]
    await asyncio.gather(*(caller.order(name) for caller in callers))
    await in_step(*nodes.nodes)
    for caller in callers:
        others = [other for other in callers if other is not caller]
        said = str(id(caller)).encode()
        async with asyncio.timeout(10):
            while not all(said in other.blobs() for other in others):
                caller.publish(name, said, fanout=ALL)
                await in_step(*nodes.nodes)
    await asyncio.gather(*(caller.order(name, subscribe=False) for caller in callers))


async def test_a_message_for_one_stays_at_home_where_it_can_and_reaches_one(nodes: Nodes) -> None:
    await nodes.server()
    here, first, second = [Local(await nodes.node()) for _ in range(3)]
    for member in (first, second):
        await member.order(BOB)
    await in_step(*nodes.nodes)
    blobs = [b"%d" % number for number in range(40)]
    here.publish(BOB, *blobs, fanout=ONE)
    async with asyncio.timeout(10):
        while len(first.blobs()) + len(second.blobs()) < len(blobs):
            await in_step(*nodes.nodes)
    await in_step(*nodes.nodes)
    assert sorted(first.blobs() + second.blobs()) == sorted(blobs)
    assert first.blobs()
    assert second.blobs()
    at_home = Local(nodes.nodes[0])
    await at_home.order(BOB)
    here.publish(BOB, b"home", fanout=ONE)
    await at_home.heard(b"home")


async def test_a_message_to_an_id_reaches_who_has_it(nodes: Nodes) -> None:
    await nodes.server()
    here, there, elsewhere = [Local(await nodes.node()) for _ in range(3)]
    await there.order(BOB.with_id(7))
    await elsewhere.order(BOB.with_id(8))
    await in_step(*nodes.nodes)
    here.publish(BOB.with_id(7), b"seven")
    here.publish(BOB.with_id(8), b"eight", fanout=ALL)
    await there.heard(b"seven")
    await elsewhere.heard(b"eight")


async def test_nobody_there_is_told_at_once(nodes: Nodes) -> None:
    await nodes.server()
    here, there = [Local(await nodes.node()) for _ in range(2)]
    here.publish(BOB, b"lost", fanout=ONE)
    await here.until(lambda: here.undelivered)
    assert [frame.key for frame in here.undelivered] == [BOB.key]
    await there.order(BOB)
    await in_step(*nodes.nodes)
    here.publish(BOB, b"found", fanout=ONE)
    await there.heard(b"found")


async def test_who_subscribed_himself_is_nobody_else(nodes: Nodes) -> None:
    await nodes.server()
    here = Local(await nodes.node())
    await here.order(BOB)
    await in_step(*nodes.nodes)
    here.publish(BOB, b"to others", fanout=ONE)
    await here.until(lambda: here.undelivered)
    assert here.blobs() == []


async def test_a_backbone_that_is_lost_comes_back_and_own_applications_are_served_on(nodes: Nodes) -> None:
    server = await nodes.server()
    here, there = [Local(await nodes.node()) for _ in range(2)]
    await there.order(BOB)
    await in_step(*nodes.nodes)
    server.kill()
    await until(nodes.nodes[0], lambda found: not found["up"])
    neighbour = Local(nodes.nodes[0])
    await neighbour.order(CHANNEL)
    here.publish(CHANNEL, b"at home", fanout=ALL)
    await neighbour.heard(b"at home")
    here.publish(BOB, b"lost", fanout=ONE)
    await here.until(lambda: here.undelivered)
    await server.start()
    for node in nodes.nodes:
        found = await until(node, lambda found: found["up"])
        assert (found["losses"], found["returns"]) == (1, 1)
    here.publish(BOB, b"back", fanout=ONE)
    await there.heard(b"back")
