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

from actors.errors import HandshakeFailed, MessageUndelivered, SessionClosed
from actors.messages.session import AppSettings
from gateway.api.session import Session
from gateway.api.slim import Slim
from gateway.config import ServerConfig
from gateway.node.data_plane import DataPlane
from gateway.node.loop_watch import LoopWatch
from tests.gateway.app_stage import PLAIN, identity, name
from tests.gateway.planes import plane

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
    for each in planes:
        await each.close(0.2)
    await until(0)


class Service:
    """An application in a loop of its own, in a thread; it handles messages, and takes long for the third."""

    def __init__(self, where: str, settings: AppSettings, takes: Callable[[], Awaitable[None]]) -> None:
        self.handled: list[bytes] = []
        self._where, self._settings, self._takes = where, settings, takes
        self._loop = asyncio.new_event_loop()
        self._ready, self._stop, self._news = threading.Event(), asyncio.Event(), threading.Condition()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._live(),))

    async def __aenter__(self) -> Service:
        self._thread.start()
        assert await asyncio.to_thread(self._ready.wait, WAIT)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        await asyncio.to_thread(self._thread.join, WAIT)
        self._loop.close()

    async def has_handled(self, payloads: list[bytes], limit: float) -> bool:
        """Wait until it has, `limit` seconds at most."""

        def waited() -> bool:
            with self._news:
                return self._news.wait_for(lambda: set(payloads) <= set(self.handled), limit)

        return await asyncio.to_thread(waited)

    async def _live(self) -> None:
        async with (
            plane() as own,
            Slim(name("bob"), *identity("bob"), data_plane=own, settings=self._settings) as bob,
        ):
            await bob.connect(self._where)
            receiving = {asyncio.ensure_future(self._sessions(bob))}
            self._ready.set()
            await self._stop.wait()
            for task in receiving:
                task.cancel()

    async def _sessions(self, bob: Slim) -> None:
        async with asyncio.TaskGroup() as tasks:
            async for session in bob.sessions():
                tasks.create_task(self._messages(session))

    async def _messages(self, session: Session) -> None:
        async for message in session:
            with self._news:
                self.handled.append(message.payload)
                self._news.notify_all()
            if message.payload == b"3":
                await self._takes()


@pytest.mark.parametrize(
    ("seconds", "interval"),
    [(1.0, 0.1), pytest.param(45.0, 10.0, marks=[pytest.mark.long, pytest.mark.timeout(180)])],
)
@pytest.mark.parametrize("where", ["the loop", "a thread"])
async def test_a_handler_that_takes_long_loses_nothing_acknowledged_and_in_a_thread_no_session(
    where: str, seconds: float, interval: float
) -> None:
    async def takes() -> None:
        if where == "the loop":
            time.sleep(seconds)  # noqa: ASYNC251 (this is the fault)
        else:
            await asyncio.to_thread(time.sleep, seconds)

    settings = AppSettings(ping_interval=interval)
    acknowledged: list[bytes] = []
    async with plane() as node, plane() as own:
        address = await node.serve(ServerConfig.read({"endpoint": "127.0.0.1:0", "tls": PLAIN}))
        async with (
            Service(f"http://{address}", settings, takes) as service,
            Slim(name("alice"), *identity("alice"), data_plane=own, settings=settings) as alice,
        ):
            await alice.connect(f"http://{address}")
            await alice.set_route(name("bob"))
            ended = 0
            async with asyncio.timeout(seconds + 60):
                while len(acknowledged) < 20:
                    try:
                        async with alice.session(name("bob"), timeout=interval, max_retries=2) as session:
                            while len(acknowledged) < 20:
                                payload = b"%d" % (len(acknowledged) + 1)
                                await (await session.publish(payload))
                                acknowledged.append(payload)
                    except (MessageUndelivered, HandshakeFailed, SessionClosed):
                        ended += 1
            assert await service.has_handled(acknowledged, seconds + WAIT)
            assert (ended == 0) is (where == "a thread")


def test_a_program_that_owns_its_thread_calls_into_a_loop_in_another() -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def same(request: Any) -> bytes:
        await asyncio.sleep(0)
        return bytes(request.payload)

    async def ask(payload: bytes) -> bytes:
        async with (
            Slim(name("bob"), *identity("bob")) as bob,
            Slim(name("alice"), *identity("alice")) as alice,
            bob.serve(same),
            alice.session(name("bob")) as session,
        ):
            return (await session.request(payload)).payload

    try:
        assert asyncio.run_coroutine_threadsafe(ask(b"hello"), loop).result(WAIT) == b"hello"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT)
        loop.close()


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
