"""Nodes of one process on NATS: who is told what, exactly once, and what losses do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats
import pytest

from actors.errors import AlreadyConnected
from actors.messages.routing import Forward
from actors.messages.wire import ALL, ONE, MessageType, Ping
from actors.names import Name
from gateway.codec import WireCodec, frame_bytes
from gateway.links.nats_wire import Origin, subject
from gateway.node.data_plane import DataPlane
from tests.gateway.links.nats_server import (
    NatsServer,
    backbone,
    cluster,
    figures,
    in_step,
    needs_nats_server,
    until,
)
from tests.gateway.stage import BOB, CHANNEL, Local, message

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


async def test_what_comes_while_a_node_leaves_reaches_its_edges(nodes: Nodes) -> None:
    await nodes.server()
    here, there = [Local(await nodes.node()) for _ in range(2)]
    await there.order(BOB)
    await in_step(*nodes.nodes)
    blobs = [b"%d" % number for number in range(200)]
    here.publish(BOB, *blobs, fanout=ALL)
    await in_step(nodes.nodes[0])
    await nodes.nodes[1].close(3.0)
    assert there.blobs() == blobs
    here.publish(BOB, b"nobody", fanout=ONE)
    await here.until(lambda: here.undelivered)


async def test_a_message_over_what_the_server_takes_is_refused_and_told(nodes: Nodes) -> None:
    await nodes.server("max_payload: 65536")
    here, there = [Local(await nodes.node()) for _ in range(2)]
    await there.order(CHANNEL)
    await in_step(*nodes.nodes)
    here.publish(CHANNEL, bytes(66_000), b"small", fanout=ALL)
    await there.heard(b"small")
    await here.until(lambda: here.told)
    found = await figures(nodes.nodes[0])
    assert (found["oversized"], found["up"]) == (1, True)
    assert 65_000 < found["limit"] < 65_536


async def test_what_is_in_clear_stays_off_where_mls_is_required(nodes: Nodes) -> None:
    await nodes.server()
    here = Local(await nodes.node(require_mls=True))
    there = Local(await nodes.node())
    await there.order(CHANNEL)
    await in_step(*nodes.nodes)
    sealed = b"\x00\x01\x00\x02" + bytes(9)
    here.publish(CHANNEL, b"in clear", sealed, fanout=ALL)
    await there.heard(sealed)
    assert (await figures(nodes.nodes[0]))["unencrypted"] == 1


async def test_what_strangers_say_on_nats_is_counted_and_nothing_else(nodes: Nodes) -> None:
    server = await nodes.server()
    node = await nodes.node()
    member = Local(node)
    await member.order(CHANNEL)
    await in_step(node)
    client = await nats.connect(server.url)
    where = subject((CHANNEL.key, CHANNEL.instance), one=False)
    stranger = Origin("stranger", 1).prefix()
    frame = frame_bytes(WireCodec().encode(message(CHANNEL, b"well formed", fanout=ALL), ""))
    bad = [b"", b"\xff" * 99, stranger + b"\x05", stranger + b"\x02\xff\xff", stranger + b"\x00"]
    for data in [*bad, stranger + bytes((len(frame) & 127 | 128, len(frame) >> 7)) + frame]:
        await client.publish(where, data)
    await client.drain()
    await member.heard(b"well formed")
    assert (await figures(node))["malformed"] == len(bad)


async def test_two_nodes_with_one_id_reach_each_other_and_people_are_told_once(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    await nodes.server()
    twins = [DataPlane(strict=True, node_id="twin") for _ in range(2)]
    nodes.nodes += twins
    for twin in twins:
        await twin.join(backbone(*nodes.servers))
    here, there = map(Local, twins)
    await there.order(CHANNEL)
    await in_step(*twins)
    here.publish(CHANNEL, b"one", fanout=ALL)
    await there.heard(b"one")
    here.publish(CHANNEL, b"two", fanout=ALL)
    await there.heard(b"one", b"two")
    told = [record for record in caplog.records if "has our id" in record.getMessage()]
    assert len(told) == 1


async def test_names_that_come_and_go_by_thousands_are_wanted_in_the_end(nodes: Nodes) -> None:
    await nodes.server()
    node = await nodes.node()
    member = Local(node)
    for number in range(100):
        await member.order(Name("org", "ns", f"name {number}"))
    for number in range(100):
        await member.order(Name("org", "ns", f"name {number}"), subscribe=False)
    await member.order(BOB)
    await in_step(node)
    found = await figures(node)
    assert (found["names"], found["subscriptions"]) == (1, 2)


async def test_a_second_backbone_is_refused(nodes: Nodes) -> None:
    server = await nodes.server()
    node = await nodes.node()
    with pytest.raises(AlreadyConnected):
        await node.join(backbone(server))


async def test_a_stream_that_is_cut_comes_back_and_wants_again(nodes: Nodes) -> None:
    await nodes.server()
    here, there = [Local(await nodes.node()) for _ in range(2)]
    await there.order(BOB)
    await in_step(*nodes.nodes)
    link = nodes.nodes[1].backbone
    assert link is not None
    link.reset("cut")
    await until(nodes.nodes[1], lambda found: found["returns"] == 1)
    # It has asked for its names, and the server may be about to read that.
    await in_step(*nodes.nodes)
    here.publish(BOB, b"again")
    await there.heard(b"again")


def ping(here: Local, destination: Name) -> None:
    said = message(destination, b"")._replace(kind=MessageType.PING, content=Ping())
    (target,) = here.router.route(destination.key, destination.instance, ONE)
    forward = Forward((WireCodec().encode(said, ""),), here.index, here.port)
    here.plane.system.tell(here.router.addresses[target], forward)


async def test_a_control_message_that_nobody_wanted_is_sent_once_more(nodes: Nodes) -> None:
    await nodes.server()
    here, there = [Local(await nodes.node()) for _ in range(2)]
    ping(here, BOB)
    await until(nodes.nodes[0], lambda found: found["unanswered"] == 1)
    assert here.undelivered == []
    await there.order(BOB)
    await there.until(lambda: there.got)
    ping(here, CHANNEL)
    await here.until(lambda: here.undelivered)
    found = await figures(nodes.nodes[0])
    assert (found["unanswered"], found["sent_again"]) == (3, 2)
