"""Nodes on the stand-in for NATS: what is carried, to whom, and what losses do."""

from __future__ import annotations

import asyncio
from typing import Any

from actors.messages.wire import NodeInquiry
from actors.names import Name
from gateway import Slim
from gateway.testing import SimHost, World
from gateway.testing.backbone import SimClient

BOB = Name("org", "demo", "bob")


async def echo(app: Slim) -> None:
    async for session in app.sessions():
        async for message in session:
            await message.reply(b"echo: " + message.payload)


async def pair(world: World) -> tuple[Slim, SimHost, SimHost]:
    """Alice at one node, bob who answers at the other. Returns alice, bob's node and the backbone."""
    one, two = await world.backbone("nats", "one", "two")
    alice = await world.application("org/demo/alice", one)
    bob = await world.application("org/demo/bob", two)
    world.host("bob").run(echo, bob)
    await alice.set_route(BOB)
    return alice, two, world.host("nats")


async def ask(app: Slim) -> bytes:
    async with app.session(BOB) as session:
        return bytes((await session.request(b"hello", 30.0)).payload)


async def test_applications_at_two_nodes_reach_each_other(world: World) -> None:
    alice, _, nats = await pair(world)
    assert await ask(alice) == b"echo: hello"
    carried = [line for line in world.trace.lines() if "nats → two" in line and "MSG" in line]
    assert carried
    assert not nats.serves


async def test_a_backbone_that_died_is_dialled_until_it_is_back(world: World) -> None:
    alice, _, nats = await pair(world)
    async with alice.session(BOB) as session:
        nats.kill()
        question = asyncio.ensure_future(session.request(b"hello", 30.0))
        await asyncio.sleep(5.0)
        assert not question.done()
        await nats.restart()
        assert (await question).payload == b"echo: hello"


async def test_a_node_that_was_restarted_stands_on_it_again(world: World) -> None:
    alice, two, _ = await pair(world)
    two.kill(loudly=False)
    await asyncio.sleep(1.0)
    await two.restart()
    await asyncio.sleep(1.0)
    assert await ask(alice) == b"echo: hello"


async def test_silence_ends_the_stream_and_its_end_the_silence(world: World) -> None:
    alice, two, nats = await pair(world)
    world.line(two, nats).stall()
    await asyncio.sleep(20.0)
    assert two.plane.backbone is not None
    assert not two.plane.backbone.ends_at()
    world.line(two, nats).mend()
    await asyncio.sleep(10.0)
    assert await ask(alice) == b"echo: hello"


class Heard:
    """A client on a host, and what comes to it."""

    def __init__(self, world: World, name: str) -> None:
        process = world.host(name).process
        assert process is not None
        self.client: SimClient = process.client()
        self.heard: list[tuple[str, bytes]] = []

    async def join(self) -> Heard:
        options = {"ping_interval": 2, "max_outstanding_pings": 2, "connect_timeout": 2}
        await self.client.connect(["nats://nats"], closed_cb=self._closed, **options)
        return self

    async def hear(self, message: Any) -> None:
        self.heard.append((message.subject, message.data))

    async def _closed(self) -> None:
        self.heard.append(("closed", b""))


async def test_one_of_a_queue_all_others_and_never_the_publisher_have_it(world: World) -> None:
    await world.host("nats").carry()
    one, two, three = [await Heard(world, name).join() for name in ("one", "two", "three")]
    for each in (one, two, three):
        await each.client.subscribe("all.x", cb=each.hear)
        await each.client.subscribe("one.x", "queue", cb=each.hear)
        await each.client.flush()
    for number in range(20):
        await one.client.publish("one.x", b"%d" % number)
    await one.client.publish("all.x", b"to all\nof them")
    await one.client.flush()
    await asyncio.sleep(1.0)
    assert one.heard == []
    shares = [[data for subject, data in each.heard if subject == "one.x"] for each in (two, three)]
    assert all(shares)
    assert sorted(map(int, shares[0] + shares[1])) == list(range(20))
    assert [each.heard[-1] for each in (two, three)] == [("all.x", b"to all\nof them")] * 2
    for each in (one, two, three):
        await each.client.drain()
    await asyncio.sleep(1.0)
    assert one.heard == [("closed", b"")]


async def test_who_wants_to_know_is_told_that_nobody_is_there(world: World) -> None:
    await world.host("nats").carry()
    one = await Heard(world, "one").join()
    await one.client.subscribe("inbox.*", cb=one.hear)
    await one.client.publish("one.x", b"hello", "inbox.7")
    await one.client.publish("one.x", b"hello")
    await one.client.flush()
    await asyncio.sleep(1.0)
    assert one.heard == [("inbox.7", b"")]
    await one.client.close()


async def test_who_is_asked_answers_to_an_inbox_of_which_no_other_hears(world: World) -> None:
    await world.host("nats").carry()
    one, two, three = [await Heard(world, name).join() for name in ("one", "two", "three")]

    async def answer(message: Any) -> None:
        await two.client.publish(message.reply, b"answer")

    await one.client.subscribe("inbox.one.*", cb=one.hear)
    await three.client.subscribe("inbox.three.*", cb=three.hear)
    await two.client.subscribe("questions", cb=answer)
    await asyncio.sleep(1.0)
    await one.client.publish("questions", b"who is there?", "inbox.one.7")
    await asyncio.sleep(1.0)
    assert one.heard == [("inbox.one.7", b"answer")]
    assert three.heard == []
    for each in (one, two, three):
        await each.client.close()


async def test_nodes_ask_one_another_about_names(world: World) -> None:
    alice, two, _ = await pair(world)
    await asyncio.sleep(1.0)
    plane, backbone = two.plane, two.plane.backbone
    asked: list[NodeInquiry] = []
    answers: list[asyncio.Task[None]] = []

    def heard(message: Any, _: Any) -> None:
        asked.append(message.inquiry)
        assert backbone is not None
        told = message.inquiry._replace(facts=b"two knows bob")
        answers.append(two.call(backbone.answer(told)))

    plane.routes.inquiries = plane.system.inbox(heard)
    link = world.host("one").plane.backbone
    assert link is not None
    inquiry = NodeInquiry(0, alice.local_name, BOB)
    assert await world.host("one").call(link.inquire(BOB, inquiry, 1.0)) == [b"two knows bob"]
    assert [(each.source, each.target) for each in asked] == [(alice.local_name, BOB)]
    await asyncio.gather(*answers)
    plane.system.close_inbox(plane.routes.inquiries)
    plane.routes.inquiries = None
