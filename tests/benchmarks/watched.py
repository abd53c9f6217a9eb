"""`python -m tests.benchmarks.watched`: what a node that is looked at takes more than one that is not.

Three nodes: without an admin port, with one, and with one of which a watcher takes the events, and which is
asked once a second for its metrics and its first hundred connections. Each in turn passes on the same
messages; what counts is the CPU of the node's process, per message, beside that of the first in that round.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import httpx

import gateway
from gateway.node.runner import run
from tests.benchmarks.processes import cpu_of
from tests.gateway.app_stage import connected
from tests.gateway.cli.processes import free_addresses, running

SIZE = 1024
AHEAD = 256
"""Messages under way."""
LIMIT = 60.0


@asynccontextmanager
async def looked_at(admin: str) -> AsyncIterator[None]:
    """Somebody watches: the events, the metrics and a list."""

    async def watch() -> None:
        async with aiohttp.ClientSession() as session, session.get(f"http://{admin}/api/v1/events") as events:
            async for _ in events.content:
                pass

    async def scrape() -> None:
        async with httpx.AsyncClient(base_url=f"http://{admin}", trust_env=False) as client:
            while True:
                for path in ("/metrics", "/api/v1/connections?limit=100"):
                    (await client.get(path)).raise_for_status()
                await asyncio.sleep(1.0)

    tasks = [asyncio.create_task(watch()), asyncio.create_task(scrape())]
    try:
        yield
    finally:
        for task in tasks:
            assert not task.done(), task
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Pair:
    """Two applications at one node."""

    def __init__(self, pid: int, sender: gateway.Session, receiver: gateway.Session) -> None:
        self._pid, self._sender, self._receiver = pid, sender, receiver

    @classmethod
    async def at(cls, endpoint: str, pid: int, held: AsyncExitStack) -> Pair:
        names = "org/bench/from", "org/bench/to"
        slims = [await held.enter_async_context(connected(name, endpoint)) for name in names]
        await slims[0].set_route(names[1])
        opened, established = await slims[0].create_session(
            names[1], gateway.SessionConfiguration.PointToPoint()
        )
        await established
        return cls(pid, opened, await slims[1].listen_for_session())

    def _cpu(self) -> float:
        used = cpu_of(self._pid)
        assert used is not None, "the CPU of another process cannot be seen here"
        return used

    async def measure(self, count: int) -> float:
        """CPU of the node, in microseconds for each message."""
        before = self._cpu()
        for _ in range(count // AHEAD):
            for _ in range(AHEAD):
                await self._sender.publish(b"x" * SIZE)
            for _ in range(AHEAD):
                await self._receiver.get_message()
        return (self._cpu() - before) / count * 1e6


async def play(rounds: int, count: int) -> None:
    """Measure, and print it."""
    async with AsyncExitStack() as held:
        made = []
        unseen, admin = free_addresses(2)
        for options in ((), ("--admin", unseen), ("--admin", admin)):
            endpoint = free_addresses(1)[0]
            folder = held.enter_context(tempfile.TemporaryDirectory())
            node = held.enter_context(
                running("start", "--listen", endpoint, "--insecure", *options, CALLBOARD_RUN=folder)
            )
            node.until("listening on", LIMIT)
            made.append(await Pair.at(endpoint, node.process.pid, held))
        await held.enter_async_context(looked_at(admin))
        rows = []
        for _ in range(rounds + 1):
            began = time.monotonic()
            rows.append([await each.measure(count) for each in made])
            print(" ".join(f"{each:6.2f}" for each in rows[-1]), f"us   {time.monotonic() - began:.1f} s")
        for at, what in enumerate(("no port", "a port", "watched")):
            found = statistics.median(row[at] for row in rows[1:])
            ratio = statistics.median(row[at] / row[0] for row in rows[1:])
            print(f"{what:8} {found:6.2f} us {ratio:6.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--count", type=int, default=20_000)
    given = parser.parse_args()
    run(play(given.rounds, given.count))
