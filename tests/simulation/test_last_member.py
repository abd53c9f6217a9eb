"""What is said to a group that nobody is in any more."""

from __future__ import annotations

import pytest

from actors.errors import ParticipantNotFound
from actors.names import Name
from gateway import Slim
from gateway.testing import World

BOB, CAROL, CHANNEL = (Name("org", "demo", each) for each in ("bob", "carol", "channel"))


@pytest.mark.parametrize("mls", [False, True], ids=["clear", "mls"])
@pytest.mark.parametrize("seed", range(3))
def test_it_fails_and_whoever_joins_next_does_not_hear_it(seed: int, mls: bool) -> None:
    async def test(world: World) -> None:
        node = await world.node()
        alice, bob, carol = [
            await world.application(f"org/demo/{each}", node) for each in ("alice", "bob", "carol")
        ]
        for name in (BOB, CAROL):
            await alice.set_route(name)
        heard: list[bytes] = []

        async def listen(app: Slim) -> None:
            async for session in app.sessions():
                async for message in session:
                    heard.append(message.payload)

        for app in (bob, carol):
            world.host(app.local_name.strings[2]).call(listen(app))
        async with alice.group(CHANNEL, invite=[BOB], mls=mls) as group:
            await (await group.publish(b"hello"))
            await (await group.remove(BOB))
            with pytest.raises(ParticipantNotFound):
                await (await group.publish(b"is anybody there?"))
            await (await group.invite(CAROL))
            await (await group.publish(b"welcome"))
        assert heard == [b"hello", b"welcome"]

    World(seed).run(test)
