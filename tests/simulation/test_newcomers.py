"""Who comes into a group while others talk hears each of them in order, from where it is counted on."""

from __future__ import annotations

import asyncio

import pytest

from actors.names import Name
from gateway import Session, Slim
from gateway.testing import World

BOB, CAROL, CHANNEL = (Name("org", "demo", each) for each in ("bob", "carol", "channel"))


@pytest.mark.parametrize("mls", [False, True], ids=["clear", "mls"])
@pytest.mark.parametrize(("jitter", "loss"), [(0.3, 0.0), (0.05, 0.05)], ids=["slow", "loss"])
@pytest.mark.parametrize("seed", range(2))
def test_a_newcomer_hears_who_talks_in_order(seed: int, jitter: float, loss: float, mls: bool) -> None:
    async def test(world: World) -> None:
        node = await world.node()
        alice, bob, carol = [
            await world.application(f"org/demo/{each}", node) for each in ("alice", "bob", "carol")
        ]
        for host in world.hosts[1:]:
            line = world.line(host, node)
            line.jitter, line.loss = jitter, loss
        for name in (BOB, CAROL):
            await alice.set_route(name)
        heard: dict[Name, list[int]] = {alice.local_name: [], bob.local_name: []}
        expected: dict[Name, list[int]] = {name: [] for name in heard}
        accepted: list[Session] = []
        welcome: list[Name] = []

        group: Session

        async def talk(session: Session, who: Name) -> None:
            for number in range(100):
                # With MLS a moderator lists a guest as soon as it is in the tree, before it is welcome.
                if carol.local_name in session.members and (welcome if session is group else accepted):
                    expected[who].append(number)
                await session.publish(b"%d" % number)
                await asyncio.sleep(0.05)

        async def bobs(app: Slim) -> None:
            async for session in app.sessions():
                await talk(session, app.local_name)

        async def listen() -> None:
            async for session in carol.sessions():
                accepted.append(session)
                async for message in session:
                    heard[message.source].append(int(message.payload))

        world.host("bob").call(bobs(bob))
        world.host("carol").call(listen())
        async with alice.group(CHANNEL, invite=[BOB], mls=mls) as group:
            talking = asyncio.ensure_future(talk(group, alice.local_name))
            await asyncio.sleep(0.5)
            await (await group.invite(CAROL))
            welcome.append(CAROL)
            await talking
            world.heal()
            await asyncio.sleep(20.0)
        for name, numbers in heard.items():
            assert numbers == sorted(set(numbers)), f"{name} out of order"
            assert set(expected[name]) <= set(numbers), f"{name} was not heard whole"
            assert expected[name]

    World(seed).run(test)
