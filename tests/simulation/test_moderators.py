"""A scripted moderator with a journal dies over and over, by a kill or a power cut: its group goes on."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random

import pytest

from actors.messages.wire import Frame, MessageType, SessionMessage
from actors.moderation.script import text
from gateway import Name, Script, Slim, SlimError
from gateway.codec import InboundParser, WireCodec
from gateway.testing import World
from gateway.testing.moderating import lead
from tests.interop.led_group import Seen, generations
from tests.simulation.post import Post

MEMBERS = ("org/demo/ann", "org/demo/ben", "org/demo/carl")
MODERATOR, CHANNEL = "org/demo/mod", "org/demo/room"


class Led(Script):
    """Takes ben out and lets him in again, over and over; says who is complete, and counts."""

    max_retries = 8

    def on_start(self) -> None:
        self.state = {"ticks": 0}
        for name in MEMBERS:
            self.invite(name)
        self.schedule(0.5, "tick")

    def on_member_joined(self, member: Name) -> None:
        if len(self.members) == len(MEMBERS):
            self.publish("complete")
            self.schedule(3.0, "again")

    def on_member_left(self, member: Name, reason: str) -> None:
        self.invite(member.without_id())

    def on_invite_failed(self, name: Name, error: SlimError) -> None:
        self.invite(name)

    def on_timer(self, name: str) -> None:
        if name == "again":
            self.remove(MEMBERS[1])
            return
        self.state["ticks"] += 1
        self.publish(f"tick {self.state['ticks']}")
        self.schedule(0.5, "tick")

    def on_message(self, message: SessionMessage) -> None:
        if text(message) == "end":
            self.close()


class Member:
    """Takes one session after the other, and keeps what it hears."""

    def __init__(self, app: Slim) -> None:
        self.app = app
        self.heard: list[str] = []
        self.news = asyncio.Condition()

    async def listen(self) -> None:
        async for session in self.app.sessions():
            async for message in session:
                async with self.news:
                    self.heard.append(message.payload.decode())
                    self.news.notify_all()

    async def hears(self, what: str) -> None:
        """Wait until it hears that, from now on."""
        since = len(self.heard)
        async with asyncio.timeout(400.0), self.news:
            await self.news.wait_for(lambda: what in self.heard[since:])

    async def asks_for_the_end(self) -> None:
        """Say so in the session of the moment, in which it may get lost with that."""
        for session in self.app.open_sessions():
            with contextlib.suppress(SlimError):
                await session.publish(b"end")


async def led(world: World, deaths: int, *, power: bool) -> None:
    """One group, from its founding to its end."""
    random = Random(f"{world.seed} deaths")
    node = await world.node()
    members = []
    for name in MEMBERS:
        app = await world.application(name, node)
        members.append(Member(app))
        host = world.host(name.rpartition("/")[2])
        host.call(members[-1].listen(), f"listening of {name}")
        world.line(host, node).loss = random.choice((0.0, 0.02))
    mod = world.host("mod")
    mod.moderate(MODERATOR, CHANNEL, Led, node)
    for _ in range(deaths):
        await asyncio.sleep(random.choice((random.uniform(0.0, 0.2), random.uniform(0.2, 6.0))))
        if power:
            mod.cut_power()
        else:
            mod.kill()
        await asyncio.sleep(random.choice((0.1, 3.0, 15.0, 50.0)))
        await mod.restart()
    await asyncio.gather(*(member.hears("complete") for member in members))
    for line in world.network.lines():
        line.loss = 0.0
    await asyncio.sleep(2.0)
    for _ in range(12):
        await members[0].asks_for_the_end()
        await asyncio.wait({mod.tasks[-1]}, timeout=10.0)
    assert mod.tasks[-1].done()
    for member in members:
        ticks = [int(each[5:]) for each in member.heard if each.startswith("tick ")]
        assert ticks
        if not power:
            assert ticks == sorted(set(ticks))


class Ticking(Script):
    """Says "tick" at five seconds."""

    def on_start(self) -> None:
        self.invite(MEMBERS[0])
        self.schedule(5.0, "tick")

    def on_timer(self, name: str) -> None:
        self.publish("tick")

    def on_message(self, message: SessionMessage) -> None:
        self.close()


@pytest.mark.parametrize("where", ["mod", "spare"])
def test_what_a_moderator_said_and_nobody_heard_its_successor_says_again(where: str) -> None:
    async def test(world: World) -> None:
        node = await world.node()
        ann = await world.application(MEMBERS[0], node)
        post = Post(
            world.host("mod"), lambda host, stop: lead(host, MODERATOR, CHANNEL, Ticking, "sim://node", stop)
        )
        post.begin()
        session = await ann.listen_for_session()
        await asyncio.sleep(4.5)
        world.line("ann", node).lose(MessageType.MSG, 1)
        await asyncio.sleep(0.9)
        # It was lost, and is not due yet to be sent again.
        post.hand_over(world.host(where))
        async with asyncio.timeout(5.0):
            assert (await session.get_message()).payload == b"tick"
        assert world.now > 5.4
        await session.publish(b"end")
        await asyncio.wait(world.host(where).tasks)
        assert len(world.host("mod").tasks) + len(world.host("spare").tasks) == 2

    World(1).run(test)


def looked_at(world: World, seen: Seen) -> None:
    """Write down what the moderator was seen to say."""
    for line in world.trace.kept():
        if line.who == "mod → node" and line.data is not None:
            record = InboundParser(0).parse(line.data)
            if isinstance(record, Frame):
                seen.message(WireCodec().decode(record))


def play(seed: int) -> Seen:
    seen = Seen()
    world = World(seed)
    with generations(seen):
        world.run(lambda world: led(world, 1 + seed % 4, power=seed % 2 == 1))
    looked_at(world, seen)
    return seen


@pytest.mark.parametrize("seed", range(4))
def test_a_moderator_that_dies_uses_nothing_twice_and_its_group_goes_on(seed: int) -> None:
    seen = play(seed)
    assert seen.payloads
    assert seen.ciphertexts
    assert not seen.violations()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_moderator_dies_in_many_ways() -> None:
    for seed in range(4, 1000):
        assert not play(seed).violations(), seed
