"""A handler that blocks its loop is named, with the time it took; a fork is told that it has nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.api.slim import Slim
from gateway.config import ServerConfig
from gateway.node.data_plane import DataPlane
from gateway.node.loop_watch import LoopWatch
from tests.gateway.app_stage import PLAIN, identity, name

BLOCKED = 0.5
WAIT = 10.0


def a_slow_handler() -> None:
    time.sleep(BLOCKED)


async def test_who_blocks_the_loop_is_named_meanwhile_and_the_time_it_took_afterwards(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch = LoopWatch(asyncio.get_running_loop(), period=0.02, blocked=0.1)
    watch.use()
    try:
        await asyncio.sleep(0.1)
        assert "blocked" not in caplog.text
        a_slow_handler()
        meanwhile = caplog.text
        async with asyncio.timeout(WAIT):
            while "the event loop was blocked" not in caplog.text:  # noqa: ASYNC110 (the log has no event)
                await asyncio.sleep(0.01)
    finally:
        watch.leave()
    assert "the event loop is blocked, and with it all sessions" in meanwhile
    assert "place='a_slow_handler (" in meanwhile
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(lines) == 2
    took = float(lines[1].partition("seconds=")[2].partition(" ")[0])
    assert BLOCKED - 0.2 <= took < BLOCKED + 2
    assert "test_blocked_loops.py" in lines[1]


async def test_a_loop_is_watched_for_as_long_as_a_data_plane_lives_in_it() -> None:
    def watches() -> int:
        return sum(thread.name == "callboard loop watch" for thread in threading.enumerate())

    async def until(count: int) -> None:
        async with asyncio.timeout(WAIT):
            while watches() != count:  # noqa: ASYNC110 (a thread has no event for its end)
                await asyncio.sleep(0.02)

    # Those of other tests have a period to end.
    await until(0)
    planes = [DataPlane(), DataPlane()]
    assert watches() == 1
    for plane in planes:
        await plane.close(0.2)
    await until(0)


async def in_child(*calls: Callable[[], Awaitable[Any]]) -> list[str]:
    """What these raise in a child of this process, in a loop of its own."""
    read, write = os.pipe()
    gc.disable()
    child = os.fork()
    if child == 0:
        answers = []
        for call in calls:

            async def calling(call: Callable[[], Awaitable[Any]] = call) -> None:
                async with asyncio.timeout(2):
                    await call()

            try:
                asyncio.run(calling())
                answers.append("nothing")
            except BaseException as error:
                answers.append(f"{type(error).__name__}: {error}")
        os.write(write, "\n".join(answers).encode())
        os._exit(0)
    gc.enable()
    os.close(write)
    try:
        said = await asyncio.wait_for(asyncio.to_thread(lambda: os.read(read, 65536)), WAIT)
    finally:
        os.close(read)
        await asyncio.to_thread(os.waitpid, child, 0)
    return said.decode().splitlines()


@pytest.mark.parametrize("transport", ["in one process", "fast", "grpc"])
async def test_a_child_is_told_that_what_the_parent_connected_is_the_parents(transport: str) -> None:
    node = DataPlane()
    apps = []
    for who in ("alice", "bob"):
        apps.append(
            Slim(name(who), *identity(who), data_plane=node if transport == "in one process" else None)
        )
    alice, bob = apps
    if transport != "in one process":
        config = {"endpoint": "127.0.0.1:0", "tls": PLAIN, "transport": transport}
        address = await node.serve(ServerConfig.read(config))
        for app in apps:
            await app.connect({"endpoint": f"http://{address}", "tls": PLAIN, "transport": transport})

    async def same(request: Any) -> bytes:
        return bytes(request.payload)

    async with bob.serve(same), alice.session(name("bob")) as session:
        assert (await session.request(b"before")).payload == b"before"
        answers = await in_child(
            lambda: session.publish(b"from the child"),
            lambda: session.get_message(1.0),
            lambda: alice.connect("http://127.0.0.1:1"),
            lambda: alice.session(name("bob"))._open(),
            alice.listen_for_session,
            alice.close,
        )
        assert len(answers) == 6
        for answer in answers:
            assert answer.startswith("NotConnected: this application was made before the process was forked")
        assert (await session.request(b"after")).payload == b"after"
    for app in apps:
        await app.close(0.5)
    await node.close(0.5)
