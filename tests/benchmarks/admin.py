"""`python -m tests.benchmarks.admin`: the slowest turn of the loop while the admin port shows a crowded node.

A node with CONNECTIONS connections that stand still, each with two names and its counters, is asked for
everything that the port shows. Times are of the CPU, of the loop's thread alone: what other programs and the
thread of the asker take does not count.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from actors.messages.routing import StatusReport
from actors.names import Name
from actors.routing.connection import ConnectionCounts
from actors.routing.view import Rank
from gateway.admin.endpoints import LISTINGS
from gateway.admin.paging import API, MOST
from gateway.admin.server import AdminServer
from gateway.config.node import NodeConfig
from gateway.links.link import AcceptedLink
from gateway.node.collector import Collector
from gateway.node.node import Node
from gateway.node.runner import run

CONNECTIONS = 10_000
TIMES = 5


class Turns:
    """The longest turns of the loop, by what was asked meanwhile."""

    def __init__(self) -> None:
        self._asked, self._began = "", 0.0
        self.slowest: dict[str, list[float]] = {}
        self._over = False

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.thread_time()
        if self._asked:
            asked = self.slowest[self._asked]
            asked[-1] = max(asked[-1], now - self._began)
        self._began = now
        if not self._over:
            loop.call_soon(self._tick, loop)

    async def measure(self, what: str, asking: Callable[[], Awaitable[Any]]) -> None:
        """Await something, with a tick in each turn of the loop: two ticks are a turn apart."""
        for _ in range(TIMES):
            self.slowest.setdefault(what, []).append(0.0)
            self._over, self._began = False, time.thread_time()
            self._tick(asyncio.get_running_loop())
            self._asked = what
            try:
                await asking()
            finally:
                self._asked, self._over = "", True


def crowd(node: Node, count: int) -> None:
    """Connections that stand still."""
    plane = node.data_plane
    table = plane.control.table
    system = plane.system
    silent = StatusReport({})
    nobody = system.inbox(lambda message, sender: system.tell(sender, silent))
    for number in range(count):
        link = AcceptedLink(plane.next_index(), None)
        plane.links[link.index] = link
        plane.telemetry.register(link.counts)
        plane.telemetry.register(ConnectionCounts())
        table.attach(link.index, nobody, Rank.EDGE)
        table.add(Name("org", "ns", f"app{number}", number), link.index, 1)
        table.add(Name("org", "ns", f"channel{number % 200}"), link.index, 1)


async def main(count: int) -> None:
    """Ask for everything, and print the slowest turn of each."""
    server = {"endpoint": "127.0.0.1:0", "tls": {"insecure": True}}
    config = NodeConfig.read(
        {
            "services": {
                "slim/0": {"dataplane": {"servers": [server]}, "admin": {"endpoint": "127.0.0.1:0"}},
            }
        }
    )
    assert config.admin is not None
    node, turns = Node(config), Turns()
    async with AdminServer(node, lambda: None) as admin:
        base = f"http://{await admin.listen(config.admin)}"
        await node.start()
        collector = Collector(asyncio.get_running_loop())
        collector.start()
        crowd(node, count)
        # One asker for all, without TLS: what it leaves for the collector, 8 ms of it with the certificates
        # of each, would be found in the loop's thread.
        with httpx.Client(base_url=base, timeout=60.0, trust_env=False, verify=False) as asker:
            for path in ("/metrics", f"{API}/node", f"{API}/openapi.json"):
                await turns.measure(path, lambda path=path: fetched(asker, path))  # type: ignore[misc]
            for listing in LISTINGS:
                for query in (f"limit={MOST}", f"limit={MOST}&name=nobody"):
                    path = f"{API}{listing.path}?{query}"
                    await turns.measure(path, lambda path=path: fetched(asker, path))  # type: ignore[misc]
        await turns.measure("watching for 2 s", lambda: watching(admin))
        collector.stop()
        node.data_plane.links.clear()
        await node.close(0.1)
    print(f"{count} connections; the slowest turn of the loop in milliseconds, median and largest of {TIMES}")
    for what, found in sorted(turns.slowest.items(), key=lambda one: -statistics.median(one[1])):
        print(f"{statistics.median(found) * 1000:8.2f} {max(found) * 1000:8.2f}  {what}")


async def fetched(asker: httpx.Client, path: str) -> None:
    """Ask, from a thread."""
    answer = await asyncio.to_thread(asker.get, path)
    answer.raise_for_status()


async def watching(admin: AdminServer) -> None:
    """Be told rates."""
    watcher = admin.events.watch()
    assert watcher is not None
    for _ in range(2):
        await watcher.next()
    admin.events.leave(watcher)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    wanted = parser.parse_args().connections
    with tempfile.TemporaryDirectory() as directory:
        os.environ["CALLBOARD_RUN"] = directory
        run(main(wanted))
