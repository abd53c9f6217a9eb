"""A node that is stopped and goes on: connections come back, and idle sessions live through it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from actors.messages.routing import ConnectionState
from actors.messages.session import AppSettings
from actors.routing.outbox import HIGH as HIGH_WATER
from gateway.api.slim import Slim
from gateway.node.data_plane import DataPlane
from identity.errors import SlimError
from tests.gateway.app_stage import PLAIN, identity, name
from tests.interop.harness import CallboardNode

HIGH = 16 * 1024
WAIT = 60.0
SESSIONS = 30
PING = 0.2
BIG = bytes(8 * 1024)


class Applications:
    """Alice and bob, each with a data plane, at a node of its own process; bob echoes."""

    def __init__(self, node: CallboardNode, high: int) -> None:
        self.node = node
        self.high = high
        self.states: list[str] = []
        self.news = asyncio.Event()
        self.flood: Any = None
        """A best-effort session."""

    async def start(self, ping: float) -> None:
        endpoint = self.node.endpoint.removeprefix("http://")
        backoff = {"base": 20, "factor": 1.5, "max_delay": "200ms"}
        where = {"endpoint": f"http://{endpoint}", "tls": PLAIN, "backoff": backoff}
        self.planes = [DataPlane(high_water=self.high), DataPlane()]
        self.planes[0].observe(self._take)
        # Bob only hears nothing, and waits as long as always.
        settings = (AppSettings(ping_interval=ping), AppSettings())
        self.alice, self.bob = (
            Slim(name(who), *identity(who), data_plane=plane, settings=one)
            for who, plane, one in zip(("alice", "bob"), self.planes, settings, strict=True)
        )
        for app in (self.alice, self.bob):
            await app.connect(where)
        for who in ("bob", "nobody"):
            await self.alice.set_route(name(who))

    def _take(self, state: ConnectionState) -> None:
        self.states.append(state.state)
        self.news.set()

    async def until(self, state: str) -> None:
        async with asyncio.timeout(WAIT):
            while state not in self.states:
                self.news.clear()
                await self.news.wait()

    async def fill(self) -> None:
        """Have the outbox of alice full, with data that nobody awaits."""
        async with asyncio.timeout(WAIT):
            # A little at a time: how much the kernel takes is its own affair.
            while not await self._congested():
                for _ in range(8):
                    await self.flood.publish(BIG)

    async def _congested(self) -> bool:
        figures = (await self.planes[0].status())["connections"]
        return any(one["congested"] for one in figures.values())

    async def close(self) -> None:
        for app in (self.alice, self.bob):
            await app.close(0.5)
        for plane in self.planes:
            await plane.close(0.5)


@asynccontextmanager
async def applications(
    ping: float, sessions: int = SESSIONS, high: int = HIGH
) -> AsyncIterator[tuple[Applications, list[Any]]]:
    """With idle sessions between them, all of alice's, which the echo of one message has proven."""
    async with CallboardNode() as node:
        made = Applications(node, high)
        await made.start(ping)

        async def echo(request: Any) -> bytes:
            return bytes(request.payload)

        try:
            async with made.bob.serve(echo, sessions=sessions + 1):
                opened = [
                    await made.alice.session("org/default/bob", max_retries=60) for _ in range(sessions)
                ]
                made.flood = await made.alice.session("org/default/bob", timeout=None)
                yield made, opened
        finally:
            node.process.send_signal(signal.SIGCONT)
            await made.close()


async def all_answer(sessions: list[Any]) -> None:
    async with asyncio.timeout(WAIT):
        answers = await asyncio.gather(*(session.request(b"there?", timeout=WAIT) for session in sessions))
    assert [answer.payload for answer in answers] == [b"there?"] * len(sessions)


async def test_idle_sessions_outlive_a_node_that_takes_nothing_for_many_intervals() -> None:
    async with applications(PING) as (made, sessions):
        await all_answer(sessions)
        made.node.process.send_signal(signal.SIGSTOP)
        await made.fill()
        await asyncio.sleep(10 * PING)
        assert [session.closed_because for session in sessions] == [None] * SESSIONS
        made.node.process.send_signal(signal.SIGCONT)
        await all_answer(sessions)
        # Pings were shed: they alone never cost the stream.
        assert "lost" not in made.states


@pytest.mark.parametrize(
    ("count", "ping", "stopped"),
    [
        (100, 1.6, 4.0),
        pytest.param(2000, 10.0, 25.0, marks=[pytest.mark.long, pytest.mark.timeout(300)]),
    ],
)
async def test_all_idle_sessions_go_on_when_a_node_was_stopped_for_long(
    count: int, ping: float, stopped: float
) -> None:
    async with applications(ping, count, HIGH_WATER) as (made, sessions):
        made.node.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(stopped - 1.0)
        said = [await session.publish(b"meanwhile") for session in sessions]
        await asyncio.sleep(1.0)
        assert [session.closed_because for session in sessions] == [None] * count
        made.node.process.send_signal(signal.SIGCONT)
        async with asyncio.timeout(WAIT):
            await asyncio.gather(*said)
        for session in sessions:
            assert (await session.get_message(WAIT)).payload == b"meanwhile"
        await all_answer(sessions)
        # The stream may be lost and dialled again; it is never given up.
        assert "closed" not in made.states
        assert made.states.count("lost") == made.states.count("restored")


async def test_a_dialled_connection_whose_outbox_passes_the_hard_limit_is_dialled_again() -> None:
    async with applications(10.0) as (made, sessions):
        made.node.process.send_signal(signal.SIGSTOP)
        await made.fill()
        await asyncio.sleep(1.1)  # the patience of an outbox
        calls = [
            asyncio.ensure_future(made.alice.session("org/default/nobody")._open())
            for _ in range(10 * HIGH // 1024)
        ]
        await made.until("lost")
        assert "closed" not in made.states
        made.node.process.send_signal(signal.SIGCONT)
        await made.until("restored")
        for call in calls:
            call.cancel()
        with pytest.raises((asyncio.CancelledError, SlimError)):
            await calls[0]
        await asyncio.gather(*calls, return_exceptions=True)
        await all_answer(sessions)
