"""Worlds: what may happen to hosts and lines, and what is found when all is quiet."""

from __future__ import annotations

import asyncio
import gc
import sys
import types
from collections.abc import Generator
from typing import Any

import pytest

from actors.errors import CannotConnect, HandshakeFailed, SessionError
from actors.messages.wire import MessageType
from actors.names import Name
from gateway import IdentityProvider, IdentityVerifier, Slim
from gateway.testing import Leftovers, NotInWorld, World
from gateway.testing.looking import Seen, disagreements

ALICE, BOB, CHANNEL = (Name("org", "demo", each) for each in ("alice", "bob", "channel"))
SECRET = "a shared secret of at least thirty-two bytes"


async def echo(app: Slim) -> None:
    async for session in app.sessions():
        async for message in session:
            await message.reply(b"echo: " + message.payload)


async def echoing(endpoint: str) -> None:
    """A program as it stands: it knows nothing of Worlds."""
    provider = IdentityProvider.SharedSecret("bob", SECRET)
    verifier = IdentityVerifier.SharedSecret("bob", SECRET)
    async with Slim(BOB, provider, verifier) as app:
        await app.connect({"endpoint": endpoint, "tls": {"insecure": True}})
        await echo(app)


async def pair(world: World) -> tuple[Slim, Slim]:
    """Alice and bob at one node; alice knows the way to bob."""
    node = await world.node()
    alice, bob = [await world.application(f"org/demo/{each}", node) for each in ("alice", "bob")]
    await alice.set_route(BOB)
    return alice, bob


async def ask(app: Slim, payload: bytes = b"hello", timeout: float = 10.0) -> bytes:
    async with app.session(BOB) as session:
        answer = await session.request(payload, timeout)
    return bytes(answer.payload)


async def test_a_question_is_answered(world: World) -> None:
    alice, bob = await pair(world)
    world.host("bob").run(echo, bob)
    assert await ask(alice) == b"echo: hello"
    assert world.now < 1


async def test_a_program_runs_as_it_is_and_again_after_its_host_was_restarted(world: World) -> None:
    await world.node()
    bob = world.host("bob")
    bob.run(echoing, "http://node:46357")
    provider = IdentityProvider.SharedSecret("alice", SECRET)
    verifier = IdentityVerifier.SharedSecret("alice", SECRET)

    async def asking() -> bytes:
        async with Slim(ALICE, provider, verifier) as alice:
            await alice.connect({"endpoint": "http://node:46357", "tls": {"insecure": True}})
            await alice.set_route(BOB)
            await ask(alice)
            await bob.restart()
            await asyncio.sleep(5)
            return await ask(alice, b"again")

    assert await world.host("alice").call(asking()) == b"echo: again"


async def test_applications_come_back_to_a_node_that_was_restarted(world: World) -> None:
    alice, bob = await pair(world)
    world.host("bob").run(echo, bob)
    async with alice.session(BOB) as session:
        await session.request(b"one")
        world.host("node").kill()
        waiting = asyncio.ensure_future(session.request(b"two", 60.0))
        await asyncio.sleep(3)
        assert not waiting.done()
        await world.host("node").restart()
        assert (await waiting).payload == b"echo: two"


async def test_a_node_that_vanished_without_a_word_is_missed_after_its_keepalive(world: World) -> None:
    alice, _ = await pair(world)
    states: list[tuple[str, float]] = []
    alice.data_plane.observe(lambda state: states.append((state.state, world.now)))
    world.host("node").kill(loudly=False)
    await asyncio.sleep(25)
    assert states == []
    await asyncio.sleep(10)
    assert [state for state, _ in states] == ["lost"]
    with pytest.raises(HandshakeFailed):
        await ask(alice)
    await world.host("node").restart()


async def test_an_application_that_sleeps_is_missed_by_its_node_and_hears_of_it_when_it_wakes(
    world: World,
) -> None:
    alice, bob = await pair(world)
    states: list[str] = []
    bob.data_plane.observe(lambda state: states.append(state.state))
    world.host("bob").freeze()
    node = world.host("node").plane
    await asyncio.sleep(45)
    assert len((await node.status())["connections"]) == 2
    await asyncio.sleep(10)
    assert len((await node.status())["connections"]) == 1
    assert states == []
    world.host("bob").thaw()
    await asyncio.sleep(5)
    assert states == ["lost", "restored", "negotiated"]
    assert len((await node.status())["connections"]) == 2
    assert not alice.closed


async def test_a_frozen_host_answers_when_it_thaws(world: World) -> None:
    alice, bob = await pair(world)
    world.host("bob").run(echo, bob)
    async with alice.session(BOB) as session:
        await session.request(b"one")
        world.host("bob").freeze()
        waiting = asyncio.ensure_future(session.request(b"two", 60.0))
        await asyncio.sleep(4)
        assert not waiting.done()
        world.host("bob").thaw()
        assert (await waiting).payload == b"echo: two"


async def test_a_cut_line_refuses_and_mends(world: World) -> None:
    node = await world.node()
    world.line("alice", node).cut()
    with pytest.raises(CannotConnect, match="the line is cut"):
        await world.application("org/demo/alice", node)
    world.line("alice", node).mend()
    assert await world.host("alice").applications[0].connect({"endpoint": "sim://node"})


async def test_what_a_line_loses_comes_again(world: World) -> None:
    alice, bob = await pair(world)
    world.host("bob").run(echo, bob)
    async with alice.session(BOB) as session:
        world.line("alice", "node").lose(MessageType.MSG)
        began = world.now
        assert (await session.request(b"one")).payload == b"echo: one"
        assert 1.0 <= world.now - began < 2.0


async def test_a_line_stalled_one_way_holds_what_goes_that_way(world: World) -> None:
    alice, bob = await pair(world)
    world.host("bob").run(echo, bob)
    async with alice.session(BOB) as session:
        world.line("alice", "node").stall("node")
        waiting = asyncio.ensure_future(session.request(b"one", 60.0))
        await asyncio.sleep(5)
        assert not waiting.done()
        assert any("bob → node" in line and "MSG" in line for line in world.trace.lines())
        world.line("alice", "node").mend()
        assert (await waiting).payload == b"echo: one"


async def test_a_partition_holds_until_it_is_healed(world: World) -> None:
    alice, bob = await pair(world)
    world.host("bob").run(echo, bob)
    world.partition(["alice"], ["node", "bob"])
    waiting = asyncio.ensure_future(ask(alice, timeout=60.0))
    await asyncio.sleep(5)
    assert not waiting.done()
    world.heal()
    assert await waiting == b"echo: hello"


async def test_a_clock_that_is_an_hour_and_more_ahead_makes_tokens_that_nobody_takes(world: World) -> None:
    alice, bob = await pair(world)
    world.host("bob").run(echo, bob)
    world.host("bob").skew(2 * 3600)
    with pytest.raises(HandshakeFailed):
        await ask(alice)
    world.host("bob").skew(-2 * 3600)


async def test_identities_expire_on_virtual_time(world: World) -> None:
    provider, verifier = world.identity("alice", lifetime=60.0)
    token = provider.get_token(world.host("alice").wall())
    verifier.try_verify(token, world.host("alice").wall())
    await asyncio.sleep(61)
    with pytest.raises(Exception, match="expired"):
        verifier.try_verify(token, world.host("alice").wall())


async def test_a_killed_host_does_nothing_any_more(world: World) -> None:
    ticks: list[float] = []

    async def ticking() -> None:
        while True:
            await asyncio.sleep(1)
            ticks.append(world.now)

    world.host("clock").run(ticking)
    await asyncio.sleep(3.5)
    world.host("clock").kill()
    await asyncio.sleep(10)
    assert len(ticks) == 3
    with pytest.raises(NotInWorld, match="it was killed"):
        world.host("clock").run(ticking)
    with pytest.raises(NotInWorld, match="it was killed"):
        world.host("clock").call(ticking())


async def test_a_file_goes_over_to_another_host_with_what_was_not_synced(world: World) -> None:
    one, two = world.host("one"), world.host("two")
    assert one.boot_id != two.boot_id
    one.disk("notes").append(b"unsynced")
    two.take_over("notes", one)
    two.cut_power()
    await two.restart()
    assert two.disk("notes").read() == b"unsynced"
    assert one.disk("notes").read() == b""
    assert two.take_over("notes", two).read() == b"unsynced"


def test_a_program_that_was_killed_and_would_wait_at_its_end_is_put_away_without_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unraised: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", unraised.append)

    @types.coroutine
    def wait() -> Generator[None, None, None]:
        yield

    async def work() -> None:
        try:
            await asyncio.sleep(1e9)
        finally:
            try:
                await wait()
            finally:
                asyncio.get_running_loop()  # there is none any more

    async def program() -> None:
        await work()

    async def test(world: World) -> None:
        host = world.host("host")
        host.run(program)
        await asyncio.sleep(1.0)
        host.kill()

    World(1).run(test)
    gc.collect()
    assert not unraised


async def test_groups_agree_in_a_world_with_mls(world: World) -> None:
    node = await world.node()
    lead = await world.application("org/demo/alice", node)
    await lead.set_route(BOB)
    bob = await world.application("org/demo/bob", node)
    async with lead.group(CHANNEL, invite=[BOB], mls=True) as group:
        theirs = await bob.listen_for_session(5.0)
        await (await group.publish(b"all"))
        assert (await theirs.get_message(5.0)).payload == b"all"
        await world.settle()
        assert group.fingerprint == theirs.fingerprint


# What is left over


async def test_a_world_settles_after_the_last_sign_of_life_is_missed(world: World) -> None:
    """Anna's host answers that it is there, and her session is over: six rounds of pings tell Bert."""
    node = await world.node()
    anna, bert = [await world.application(f"org/demo/{who}", node) for who in ("anna", "bert")]
    await anna.set_route("org/demo/bert")
    group = await anna.group("org/demo/room", ["org/demo/bert"])
    session = await bert.listen_for_session()
    world.line("bert", node).lose(MessageType.GROUP_CLOSE, 1000)
    with pytest.raises(SessionError):
        await group.close(0.0)
    await world.settle()
    assert "fell silent" in str(session.closed_because)


def leftovers(test: Any, seed: int = 1) -> str:
    with pytest.raises(Leftovers) as caught:
        World(seed).run(test)
    assert "CALLBOARD_SEED=1" in caught.value.__notes__[0]
    return str(caught.value)


def test_a_program_that_fails_is_left_over() -> None:
    async def main(world: World) -> None:
        async def failing() -> None:
            raise ValueError("no good")

        world.host("bob").run(failing)

    assert "failing failed: ValueError: no good" in leftovers(main)


def test_an_error_that_nobody_saw_is_left_over() -> None:
    async def main(world: World) -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)

    assert "ZeroDivisionError" in leftovers(main)


def test_a_program_that_does_not_end_when_asked_to_is_left_over() -> None:
    async def main(world: World) -> None:
        async def leaving_something() -> None:
            world.host("bob").call(asyncio.sleep(5000), "nap")

        await world.host("bob").run(leaving_something)

    assert "the task bob: nap runs on" in leftovers(main)


def test_members_that_disagree_are_found() -> None:
    eve = Name("org", "demo", "eve")

    def side(local: Name, *members: Name, epoch: int | None = None) -> Seen:
        return Seen("host", 7, local, members, epoch, "", 0)

    names = {ALICE, BOB, eve}
    agreed = [side(ALICE, ALICE, BOB), side(BOB, BOB, ALICE)]
    assert disagreements(7, agreed, names) == []
    assert disagreements(7, agreed, names | {CHANNEL}) == []
    stranger = disagreements(7, [*agreed, side(eve, ALICE, BOB, eve)], names)
    assert "session 7: org/demo/alice" in stranger[1]
    assert "does not know org/demo/eve" in stranger[1]
    (ghost,) = disagreements(7, [side(ALICE, ALICE, BOB)], names)
    assert "lists org/demo/bob" in ghost
    assert "who is not in it" in ghost
    (apart,) = disagreements(7, [side(ALICE, ALICE, BOB, epoch=2), side(BOB, ALICE, BOB, epoch=3)], names)
    assert "its members disagree" in apart


# Repeating


def test_one_seed_is_one_history_and_another_is_another() -> None:
    async def main(world: World) -> None:
        alice, bob = await pair(world)
        world.host("bob").run(echo, bob)
        async with alice.session(BOB, mls=True) as session:
            for _ in range(5):
                await session.request(b"question", 60.0)

    def digest(seed: int) -> str:
        world = World(seed, weather=0.5)
        world.run(main)
        return world.trace.digest()

    assert digest(3) == digest(3) != digest(4)


def test_a_failure_shows_its_seed_and_the_last_lines_in_words() -> None:
    async def main(world: World) -> None:
        alice, bob = await pair(world)
        world.host("bob").run(echo, bob)
        await ask(alice)
        raise AssertionError("as wanted")

    with pytest.raises(AssertionError) as caught:
        World(7).run(main)
    note = caught.value.__notes__[0]
    assert "repeat it with CALLBOARD_SEED=7" in note
    assert "alice → node" in note
    assert "MSG 1 of session" in note


@pytest.mark.weather(5)
async def test_questions_are_answered_in_any_weather(world: World) -> None:
    alice, bob = await pair(world)
    world.host("bob").run(echo, bob)
    async with alice.session(BOB) as session:
        for number in range(10):
            answer = await session.request(b"%d" % number, 60.0)
            assert answer.payload == b"echo: %d" % number


async def test_nodes_that_are_peers_lead_to_one_another_also_after_a_restart(world: World) -> None:
    one, two = await world.peers("one", "two")
    alice = await world.application("org/demo/alice", one)
    bob = await world.application("org/demo/bob", two)
    world.host("bob").run(echo, bob)
    await alice.set_route(BOB)
    assert await ask(alice) == b"echo: hello"
    await two.restart()
    await asyncio.sleep(20)
    assert await ask(alice) == b"echo: hello"


async def test_of_two_nodes_that_dial_each_other_one_link_stays_and_nobody_dials_on(world: World) -> None:
    await world.peers("one", "two")
    await asyncio.sleep(5)
    before = world.trace.count
    await asyncio.sleep(100)
    # A word each way every five seconds; a new connection would be six lines or more.
    assert world.trace.count - before <= 2 * 100 / 5 + 2
    assert not [line for line in world.trace.lines(world.trace.count - before) if "connected" in line]
