"""What a World says to whom it meets with a wrong test or program: what, where, and what to do instead."""

from __future__ import annotations

import asyncio
import gc
import re
import sys
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Any

import pytest

from gateway import Slim
from gateway.testing import Deadlock, Leftovers, Livelock, NotInWorld, World, WorldError
from gateway.testing.real import RealWorld

Test = Callable[[World], Coroutine[Any, Any, object]]


def said(test: Test, kind: type[BaseException] = WorldError) -> str:
    """The error with which a test ends, and its notes."""
    with pytest.raises(kind) as caught:
        World(1).run(test)
    return "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])


async def waiting() -> None:
    await asyncio.Event().wait()


async def broken() -> None:
    raise ValueError("broken")


async def exits(code: int) -> None:
    sys.exit(code)


def test_a_deadlock_names_the_line_of_the_test_and_of_each_program_and_nothing_of_ours() -> None:
    async def test(world: World) -> None:
        await world.application("org/demo/alice", await world.node())
        world.host("frozen").run(waiting)
        killed = world.host("killed").run(waiting)
        await asyncio.sleep(1)
        world.host("frozen").freeze()
        world.host("killed").kill()
        await killed

    text = said(test, Deadlock)
    assert re.search(r"- the test, at .*test_what_is_said\.py:\d+, in test", text)
    assert "- frozen: waiting (frozen), at " in text
    assert "- killed: waiting (killed), at " in text
    assert "in waiting: Event.wait" in text
    assert ", in test, for killed: waiting\n" in text
    assert "callboard" not in text.partition("repeat it")[0]


def test_a_livelock_says_since_when_by_the_clock_of_the_trace() -> None:
    async def test(world: World) -> None:
        await asyncio.sleep(7)
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    assert "time stands still at 7.000000; what runs most: the test, at " in said(test, Livelock)


def test_the_story_of_a_failure_has_the_programs_that_failed_and_where() -> None:
    async def test(world: World) -> None:
        world.host("agent").run(broken)
        await asyncio.sleep(1)
        assert not world.now

    text = said(test, AssertionError)
    assert re.search(
        r"agent: broken failed: ValueError: broken \(.*test_what_is_said\.py:\d+, in broken\)", text
    )


def test_what_is_left_over_is_said_once_and_alone_in_one_line() -> None:
    async def test(world: World) -> None:
        world.host("agent").run(broken)

    text = said(test, Leftovers)
    assert text.startswith("left over when all was quiet: agent: broken failed: ValueError")
    assert text.count("broken failed") == 1


def test_of_a_group_of_errors_its_members_are_said() -> None:
    async def grouped() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(broken())

    async def test(world: World) -> None:
        world.host("agent").run(grouped)

    assert "grouped failed: ValueError: broken (" in said(test, Leftovers)


def test_a_task_that_is_left_says_where_it_waits() -> None:
    kept = []

    async def leaves() -> None:
        kept.append(asyncio.create_task(waiting(), name="forgotten"))

    async def test(world: World) -> None:
        world.host("agent").run(leaves)

    assert "agent: the task forgotten runs on, at " in said(test, Leftovers)


def test_a_session_that_nobody_took_up_is_said_in_words() -> None:
    async def test(world: World) -> None:
        node = await world.node()
        alice, _ = [await world.application(f"org/demo/{who}", node) for who in ("alice", "bob")]
        await alice.set_route("org/demo/bob")
        async with alice.session("org/demo/bob"):
            pass

    assert "an application on bob took up none of 1 sessions that others opened with it" in said(
        test, Leftovers
    )


def test_a_program_that_exits_ends_and_takes_nothing_with_it() -> None:
    async def well(world: World) -> None:
        program = world.host("agent").run(exits, 0)
        await asyncio.sleep(1)
        assert program.done()

    async def badly(world: World) -> None:
        world.host("agent").run(exits, 3)
        await asyncio.sleep(1)

    World(1).run(well)
    assert "agent: exits failed: SystemExit: 3" in said(badly, Leftovers)


def test_the_trace_has_the_dials_that_failed_and_why() -> None:
    async def dials(world: World, endpoint: str) -> None:
        await world.application("org/demo/alice", endpoint)

    for endpoint, cause in {
        "sim://nowhere": "there is no host 'nowhere' in this World",
        "http://127.0.0.1:46357": "refused; 127.0.0.1 is 'alice' itself, a node is at sim://NAME",
    }.items():
        text = said(lambda world, endpoint=endpoint: dials(world, endpoint), Exception)  # type: ignore[misc]
        assert f"alice                 cannot connect to {endpoint}: " in text
        assert cause in text


def test_the_story_has_what_was_done_also_where_many_messages_came_after_it() -> None:
    async def test(world: World) -> None:
        node = await world.node()
        await world.application("org/demo/alice", node)
        world.host("bob").freeze()
        for number in range(200):
            world.network.note("alice → node", "sent", b"%d" % number)
        assert not world.now

    text = said(test, AssertionError)
    assert "bob                   frozen" in text
    assert "..." in text


def test_who_dials_again_and_again_is_in_the_trace_once() -> None:
    async def test(world: World) -> None:
        node = await world.node()
        await world.application("org/demo/alice", node)
        node.kill()
        await asyncio.sleep(100)
        await node.restart()
        await asyncio.sleep(30)
        node.kill()
        await asyncio.sleep(100)
        assert not world.now

    assert said(test, AssertionError).count("alice                 cannot connect to sim://node: conn") == 2


def test_what_is_not_quiet_because_a_node_stays_down_says_so() -> None:
    async def test(world: World) -> None:
        (await world.node()).kill()
        await world.quiet(patience=10)

    assert "node is down: nobody restarted it" in said(test, Leftovers)


def test_a_fault_of_a_line_to_nobody_is_said() -> None:
    async def test(world: World) -> None:
        world.line(await world.node(), "alcie").stall()

    assert "and there is no host 'alcie'" in said(test, Leftovers)


@pytest.mark.filterwarnings("error")
def test_what_a_failed_test_leaves_behind_warns_nobody() -> None:
    async def serves(app: Slim) -> None:
        await app.serve(lambda request: asyncio.sleep(0, b""))

    async def test(world: World) -> None:
        app = await world.application("org/demo/bob", await world.node())
        world.host("bob").run(serves, app)
        await asyncio.sleep(1)
        assert not world.now

    said(test, AssertionError)
    gc.collect()


def prog() -> int:
    return 1


def runs_itself() -> None:
    with closing(waiting()) as coroutine:
        asyncio.run(coroutine)


def run_coroutine(world: World, coroutine: Any) -> None:
    with closing(coroutine):
        world.host("a").run(coroutine)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda world: run_coroutine(world, waiting()), "run takes a coroutine function and its arguments"),
        (lambda world: world.host("a").run(prog), "run takes a coroutine function; prog returned a int"),
        (
            lambda world: world.host("a").run(runs_itself),
            "in place of runs_itself, what it gives to asyncio.run",
        ),
        (lambda world: world.host("a").call(waiting), "call takes a coroutine, <function waiting"),
        (
            lambda world: world.partition(world.host("a"), world.host("b")),
            "partition takes groups: ['a'], [...]",
        ),
        (lambda world: world.line("a", 3), "a host is wanted, or the name of one; a int is none"),
        (
            lambda world: world.host("node", strict=False),
            "the host 'node' is there already: give strict when",
        ),
    ],
    ids=["coroutine", "function", "main", "called", "partition", "line", "options"],
)
def test_a_wrong_call_says_what_is_right(wrong: Callable[[World], object], words: str) -> None:
    async def test(world: World) -> None:
        await world.node()
        wrong(world)

    assert words in said(test, (TypeError, ValueError, RuntimeError))  # type: ignore[arg-type]


def test_a_node_that_was_not_awaited_is_said() -> None:
    async def test(world: World) -> None:
        with closing(world.node()) as node:
            await world.application("org/demo/alice", node)  # type: ignore[arg-type]

    assert "a node is wanted, or an endpoint; a coroutine is none: await it" in said(test, TypeError)


async def test_a_node_that_is_one_is_had_again_and_a_dead_one_is_not(world: World) -> None:
    node = await world.node()
    assert await world.node() is node
    node.kill()
    with pytest.raises(NotInWorld, match="restart it"):
        await world.node()


def test_on_real_sockets_the_same_is_said() -> None:
    async def fails(world: Any) -> None:
        world.host("agent").run(broken)
        await asyncio.sleep(0.01)
        raise AssertionError

    async def wrong(world: Any) -> None:
        node = await world.node()
        assert await world.node() is node
        with pytest.raises(TypeError, match="run takes a coroutine function; prog returned a int"):
            node.run(prog)
        with pytest.raises(TypeError, match="call takes a coroutine, <function waiting"):
            node.call(waiting)
        with pytest.raises(ValueError, match="broken"):
            await node.call(broken())
        node.kill()
        with pytest.raises(NotInWorld, match="restart it"):
            node.kill()

    with pytest.raises(AssertionError) as caught:
        RealWorld(1).run(fails)
    assert caught.value.__notes__[0].startswith("agent: broken failed: ValueError: broken (")
    RealWorld(1).run(wrong)
