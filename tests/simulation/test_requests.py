"""Requests while the peer says other things: only the answer is one."""

from __future__ import annotations

import asyncio

import pytest

from actors.names import Name
from actors.session.conversation import Conversation
from gateway import Session, SlimTimeout
from gateway.testing import World

ALICE, BOB = (Name("org", "demo", each) for each in ("alice", "bob"))
TALK = 40
SEEDS = range(5)


async def talking(session: Session, pause: float = 0.01) -> None:
    """Whatever comes, it has other things to say too."""
    for number in range(TALK):
        await session.publish(b"by the way %d" % number)
        await asyncio.sleep(pause)


async def asked(world: World, *, reliable: bool) -> tuple[list[bytes], list[bytes]]:
    """What ten requests brought, and what else was received."""
    node = await world.node()
    alice, bob = [await world.application(f"org/demo/{each}", node) for each in ("alice", "bob")]
    for host in world.hosts[1:]:
        world.line(host, node).jitter = 0.1
    await alice.set_route(BOB)

    async def answer() -> None:
        async for session in bob.sessions():
            talk = asyncio.ensure_future(talking(session))
            async for message in session:
                await message.reply(b"answer " + message.payload)
            talk.cancel()

    world.host("bob").call(answer())
    timeout = 1.0 if reliable else None
    others: list[bytes] = []
    async with alice.session(BOB, timeout=timeout) as session:

        async def listen() -> None:
            async for message in session:
                others.append(message.payload)

        listening = asyncio.ensure_future(listen())
        answers = [(await session.request(b"%d" % number, 60.0)).payload for number in range(10)]
        await asyncio.sleep(5.0)
    await listening
    return answers, others


ANSWERS = [b"answer %d" % number for number in range(10)]
TALKED = [b"by the way %d" % number for number in range(TALK)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("reliable", [True, False], ids=["reliable", "best effort"])
def test_between_ours_only_the_marked_answer_counts(seed: int, reliable: bool) -> None:
    async def test(world: World) -> None:
        answers, others = await asked(world, reliable=reliable)
        assert (answers, others) == (ANSWERS, TALKED)

    World(seed).run(test)


@pytest.mark.parametrize("seed", SEEDS)
def test_of_a_peer_that_does_not_mark_nothing_counts_that_was_under_way(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Conversation, "introduction", None)

    async def test(world: World) -> None:
        node = await world.node()
        alice, bob = [await world.application(f"org/demo/{each}", node) for each in ("alice", "bob")]
        for host in world.hosts[1:]:
            world.line(host, node).jitter = 0.1
        await alice.set_route(BOB)

        async def answer() -> None:
            async for session in bob.sessions():
                await talking(session, 0.0)
                async for message in session:
                    await session.publish(b"answer " + message.payload)

        world.host("bob").call(answer())
        async with alice.session(BOB) as session:
            assert (await session.request(b"0", 60.0)).payload == b"answer 0"
            others = [(await session.get_message(1.0)).payload for _ in range(TALK)]
            assert others == TALKED

    World(seed).run(test)


def test_a_peer_of_ours_that_does_not_answer_is_not_taken_at_its_other_words() -> None:
    async def test(world: World) -> None:
        node = await world.node()
        alice, bob = [await world.application(f"org/demo/{each}", node) for each in ("alice", "bob")]
        await alice.set_route(BOB)

        async def talk() -> None:
            async for session in bob.sessions():
                await talking(session)

        world.host("bob").call(talk())
        async with alice.session(BOB) as session:
            with pytest.raises(SlimTimeout):
                await session.request(b"well?", 5.0)

    World(1).run(test)
