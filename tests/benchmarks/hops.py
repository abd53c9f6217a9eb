"""What a hop between nodes costs (`callboard bench hops`): over a peer, and over NATS, beside one node.

Generator and sinks (`raw`) are processes of their own. CPU is that of all nodes together per message that
arrived; the NATS server's own is a row of its own.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from actors.messages.wire import ALL, ONE
from identity.errors import ConfigError
from tests.benchmarks.adapters import READY
from tests.benchmarks.node import NAME, SINK_ID, raw
from tests.benchmarks.processes import Child, cpu_of
from tests.benchmarks.stages import Stage, side_by_side
from tests.benchmarks.table import Figure, Wanted
from tests.gateway.links.nats_server import PROGRAM, NatsServer
from tests.interop.harness import free_port

SETTLING = 0.5
"""Seconds in which the first node hears what is subscribed at the second."""
LOCAL_TARGET = Wanted(ratio=1 / 1.3)
"""An all-local group with the backbone on costs at most so many times what it costs without."""


class Network(NamedTuple):
    """Nodes that run: who sends is at the first, who receives at the last."""

    endpoints: list[str]
    nodes: list[int]
    """Process ids."""
    others: list[int]


@asynccontextmanager
async def network(kind: str) -> AsyncIterator[Network]:
    """`alone`, `alone on NATS`, `peers` or `NATS`."""
    async with AsyncExitStack() as stack:
        options: list[str] = []
        others = []
        if kind.endswith("NATS"):
            server = NatsServer(Path(stack.enter_context(TemporaryDirectory())), "max_payload: 8MB")
            stack.callback(server.kill)
            await server.start()
            others = [server.pid]
            options = ["--backbone", server.url]
        ports = [free_port() for _ in range(1 if kind.startswith("alone") else 2)]
        if kind == "peers":
            options = ["--peer", ",".join(f"127.0.0.1:{port}" for port in ports)]
        nodes = [await stack.enter_async_context(_node(port, *options)) for port in ports]
        await asyncio.gather(*map(_listens, nodes))
        await asyncio.sleep(SETTLING)
        yield Network(
            [f"http://127.0.0.1:{port}" for port in ports], [node.process.pid for node in nodes], others
        )


def _node(port: int, *options: str) -> Child:
    callboard = str(Path(sys.executable).with_name("callboard"))
    return Child(callboard, "start", "--insecure", "--listen", f"127.0.0.1:{port}", *options)


async def _listens(node: Child) -> None:
    while not (await node.line()).startswith(READY):
        pass


async def crossing(kind: str, *, size: int, count: int, receivers: int = 1, batch: int = 64) -> list[Figure]:
    """CPU microseconds of the nodes for each message that arrived."""
    single = receivers == 1
    to = {
        "name": (*NAME, SINK_ID) if single else NAME,
        "size": size,
        "count": count,
        "fanout": ONE if single else ALL,
        "batch": batch,
    }
    due = count * receivers
    async with network(kind) as found, AsyncExitStack() as stack:
        workers = [
            raw(found.endpoints[-1], "sink", {**to, "connections": receivers, "count": due}),
            raw(found.endpoints[0], "generate", to),
        ]
        for one in workers:
            await stack.enter_async_context(one)
        before = nats_before = 0.0
        for step in ("up", "ready"):
            await asyncio.gather(*(one.expect(step) for one in workers))
            await asyncio.sleep(SETTLING if step == "ready" else 0.0)
            before, nats_before = _used(found.nodes), _used(found.others)
            for one in workers:
                one.proceed()
        sunk, _ = await asyncio.gather(*(one.expect("done") for one in workers))
        used, nats_used = _used(found.nodes) - before, _used(found.others) - nats_before
    got = sunk["received"]
    where = "a message" if single else f"a group of {receivers + 1} at one node, each message"
    stage = f"{where}, {size} B" + ("" if batch > 1 else ", sent alone")
    if got < due:
        stage += f" ({due - got} of {due} lost)"
    each = got if single else got / receivers
    return [
        Figure(f"{stage}, CPU of the nodes", used / max(each, 1) * 1e6, "us", False),
        Figure(f"{stage}, CPU of NATS", nats_used / max(each, 1) * 1e6, "us", False),
    ]


def _used(pids: list[int]) -> float:
    return sum(cpu_of(pid) or 0.0 for pid in pids)


async def measure(progress: Callable[[str], None], *, scale: float = 1.0) -> str:
    """The tables. Raises ConfigError where there is no nats-server."""
    if PROGRAM is None:
        raise ConfigError("bench hops needs nats-server (Debian: apt-get install nats-server)", field="hops")

    def times(count: int) -> int:
        return max(20, int(count * scale))

    hops = [
        Stage(partial(crossing, size=64, count=times(60_000)), (None, None), 3),
        Stage(partial(crossing, size=1024, count=times(40_000)), (None, None), 3),
        Stage(partial(crossing, size=64, count=times(20_000), batch=1), (None, None), 3),
    ]
    local = [
        Stage(
            partial(crossing, size=size, count=times(8_000), receivers=7, batch=batch),
            (LOCAL_TARGET, None),
            3,
        )
        for size, batch in ((64, 64), (1024, 64), (64, 1))
    ]
    sides = {"one node": "alone", "two peers": "peers", "two on NATS": "NATS"}
    first = await side_by_side(sides, hops, progress)
    second = await side_by_side({"no backbone": "alone", "on NATS": "alone on NATS"}, local, progress)
    return f"{first}\n\n{second}"
