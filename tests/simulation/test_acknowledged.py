"""Acknowledged means delivered: when answers to those who ask again are lost, and when somebody goes.

Five messages are said and the second is lost, so that the others are acknowledged behind a hole.
"""

from __future__ import annotations

import asyncio

import pytest

from actors.errors import MessageLost, MessageUndelivered, SessionClosed, SlimTimeout
from actors.messages.session import AppSettings
from actors.messages.wire import MessageType
from actors.names import Name
from gateway import CompletionHandle, Session, Slim, SlimError
from gateway.testing import Line, World

BOB, CAROL, CHANNEL = (Name("org", "demo", each) for each in ("bob", "carol", "channel"))
MANY = 10_000
MLS = pytest.mark.parametrize("mls", [False, True], ids=["clear", "mls"])

Heard = list[int | str]


async def cast(world: World, *names: str) -> list[Slim]:
    """Applications at one node; all know the ways to all."""
    node = await world.node()
    apps = [await world.application(f"org/demo/{name}", node) for name in names]
    for app in apps:
        for other in apps:
            if app is not other:
                await app.set_route(other.local_name.without_id())
    return apps


async def listen(app: Slim, heard: Heard) -> None:
    """Note what comes, and the gaps."""
    async for session in app.sessions():
        async for message in session.messages(gaps="items"):
            heard.append("lost" if isinstance(message, MessageLost) else int(message.payload))


async def say(session: Session, line: Line) -> list[CompletionHandle]:
    """Five messages; the second does not come through on `line`."""
    handles = [await session.publish(b"1")]
    await handles[0]
    line.lose(MessageType.MSG)
    for number in range(2, 6):
        handles.append(await session.publish(b"%d" % number))
        await asyncio.sleep(0.01)
    return handles


async def outcomes(handles: list[CompletionHandle]) -> dict[int, str]:
    """By number: "" for what worked, else the kind of the error."""
    found = {}
    for number, handle in enumerate(handles, 1):
        try:
            await handle.wait_for(600.0)
        except SlimTimeout:
            raise
        except SlimError as error:
            found[number] = type(error).__name__
        else:
            found[number] = ""
    return found


@MLS
def test_one_lost_answer_at_the_end_of_a_session(mls: bool) -> None:
    async def test(world: World) -> None:
        alice, bob = await cast(world, "alice", "bob")
        heard: Heard = []
        world.host("bob").call(listen(bob, heard))
        line = world.line("bob", "node")
        async with alice.session(BOB, mls=mls) as session:
            line.lose(MessageType.RTX_REPLY)
            handles = await say(session, line)
        assert set((await outcomes(handles)).values()) == {""}
        assert heard == [1, 2, 3, 4, 5]

    World(1).run(test)


@MLS
def test_answers_that_are_lost_until_the_receiver_gives_up(mls: bool) -> None:
    async def test(world: World) -> None:
        alice, bob = await cast(world, "alice", "bob")
        heard: Heard = []
        world.host("bob").call(listen(bob, heard))
        line = world.line("bob", "node")
        async with alice.session(BOB, timeout=1.0, max_retries=3, mls=mls) as session:
            line.lose(MessageType.RTX_REPLY, MANY)
            handles = await say(session, line)
            await asyncio.sleep(0.1)
            line.lose(MessageType.MSG, MANY)
            await asyncio.sleep(20.0)
            line.mend()
            assert await outcomes(handles) == {1: "", 2: "MessageUndelivered", 3: "", 4: "", 5: ""}
        assert heard == [1, "lost", 3, 4, 5]

    World(1).run(test)


@MLS
def test_answers_that_are_lost_while_messages_come_through(mls: bool) -> None:
    async def test(world: World) -> None:
        alice, bob = await cast(world, "alice", "bob")
        heard: Heard = []
        world.host("bob").call(listen(bob, heard))
        line = world.line("bob", "node")
        async with alice.session(BOB, timeout=1.0, max_retries=3, mls=mls) as session:
            line.lose(MessageType.RTX_REPLY, MANY)
            handles = await say(session, line)
            assert set((await outcomes(handles)).values()) == {""}
        assert heard == [1, 2, 3, 4, 5]

    World(1).run(test)


@MLS
@pytest.mark.parametrize("loudly", [True, False], ids=["loudly", "silently"])
def test_a_sender_that_dies_behind_a_hole(mls: bool, loudly: bool) -> None:
    async def test(world: World) -> None:
        alice, bob = await cast(world, "alice", "bob")
        heard: Heard = []
        world.host("bob").call(listen(bob, heard))
        line = world.line("bob", "node")
        session = await alice.session(BOB, timeout=60.0, max_retries=1, mls=mls)
        line.lose(MessageType.RTX_REPLY, MANY)
        await say(session, line)
        await asyncio.sleep(1.0)
        world.host("alice").kill(loudly=loudly)
        await asyncio.sleep(100.0)
        assert heard == [1, "lost", 3, 4, 5]

    World(1).run(test)


@MLS
@pytest.mark.parametrize("how", ["removed", "dies"])
def test_a_member_that_goes_behind_a_hole_of_another(how: str, mls: bool) -> None:
    async def test(world: World) -> None:
        alice, bob, carol = await cast(world, "alice", "bob", "carol")
        heard: Heard = []
        world.host("carol").call(listen(carol, heard))
        line = world.line("carol", "node")
        said = asyncio.Event()

        async def speak() -> None:
            session = await bob.listen_for_session()
            line.lose(MessageType.RTX_REPLY, MANY)
            await asyncio.sleep(1.0)
            await say(session, line)
            await asyncio.sleep(0.5)
            said.set()

        world.host("bob").call(speak())
        group = await alice.group(CHANNEL, [BOB, CAROL], timeout=60.0, max_retries=1, mls=mls)
        await said.wait()
        if how == "removed":
            await (await group.remove(BOB))
        else:
            world.host("bob").kill(loudly=False)
            await asyncio.sleep(80.0)
        await asyncio.sleep(1.0)
        assert heard == [1, "lost", 3, 4, 5]
        await group.close()

    World(1).run(test)


@MLS
def test_who_is_removed_behind_a_hole_receives_the_rest_before_its_session_is_closed(mls: bool) -> None:
    """With `get_message`, and after a while: the session is over, and what was delivered is there."""

    async def test(world: World) -> None:
        alice, bob, carol = await cast(world, "alice", "bob", "carol")
        heard: Heard = []
        removed = asyncio.Event()
        world.host("carol").call(listen(carol, []))
        line = world.line("bob", "node")

        async def read() -> None:
            session = await bob.listen_for_session()
            line.lose(MessageType.RTX_REPLY, MANY)
            await removed.wait()
            assert session.over
            with pytest.raises(SessionClosed):
                while True:
                    try:
                        heard.append(int((await session.get_message()).payload))
                    except MessageLost:
                        heard.append("lost")

        reading = world.host("bob").call(read())
        group = await alice.group(CHANNEL, [BOB, CAROL], timeout=60.0, max_retries=1, mls=mls)
        await say(group, line)
        await asyncio.sleep(0.5)
        await (await group.remove(BOB))
        removed.set()
        await reading
        assert heard == [1, "lost", 3, 4, 5]
        await group.close()

    World(1).run(test)


@MLS
def test_a_receiver_that_is_dropped_meanwhile_is_named(mls: bool) -> None:
    async def test(world: World) -> None:
        alice, bob, carol = await cast(world, "alice", "bob", "carol")
        heard: dict[Name, Heard] = {BOB: [], CAROL: []}
        world.host("bob").call(listen(bob, heard[BOB]))
        world.host("carol").call(listen(carol, heard[CAROL]))
        group = await alice.group(CHANNEL, [BOB, CAROL], timeout=10.0, max_retries=20, mls=mls)
        await (await group.publish(b"1"))
        world.host("carol").kill(loudly=False)
        handle = await group.publish(b"2")
        with pytest.raises(MessageUndelivered) as caught:
            await handle.wait_for(300.0)
        assert caught.value.missing == caught.value.gone == (str(carol.local_name),)
        assert (heard[BOB], heard[CAROL]) == ([1, 2], [1])
        await (await group.publish(b"3"))
        await group.close()

    World(1).run(test)


def test_a_receiver_that_acknowledged_before_it_left_had_it() -> None:
    async def test(world: World) -> None:
        alice, bob, carol = await cast(world, "alice", "bob", "carol")
        heard: Heard = []
        world.host("bob").call(listen(bob, heard))
        others: Heard = []
        world.host("carol").call(listen(carol, others))
        group = await alice.group(CHANNEL, [BOB, CAROL])
        handle = await group.publish(b"1")
        await (await group.remove(CAROL))
        await handle
        assert (heard, others) == ([1], [1])
        await group.close()

    World(1).run(test)


def test_what_is_acknowledged_waits_for_no_room_at_the_end() -> None:
    """The receiver is slow: what it has not taken when the session ends it gets all the same."""

    async def test(world: World) -> None:
        node = await world.node()
        alice = await world.application("org/demo/alice", node)
        bob = await world.host("bob").application("org/demo/bob", node, settings=AppSettings(inbox=2))
        await alice.set_route(BOB)
        line = world.line("bob", "node")
        heard: Heard = []

        async def later() -> None:
            session = await bob.listen_for_session()
            await asyncio.sleep(30.0)
            async for message in session.messages(gaps="items"):
                heard.append("lost" if isinstance(message, MessageLost) else int(message.payload))

        world.host("bob").call(later())
        session = await alice.session(BOB, timeout=1.0, max_retries=2)
        handles = await say(session, line)
        had = [number for number, error in (await outcomes(handles)).items() if not error]
        assert len(had) > 2
        await session.close(0.0)
        await asyncio.sleep(40.0)
        assert set(had) <= set(heard)
        assert heard == sorted(heard, key=str)

    World(1).run(test)
