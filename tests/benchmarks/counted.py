"""The workloads of `instructions`, in one process: `python on_tree.py TREE tests.benchmarks.counted ORDER`.

Nothing here depends on the weather: clocks stand still while there is work and jump to the next timer when
there is none, random bytes come from a seed, and streams are in memory. After each measured part the
process calls `MARK`, which nothing else does: there the profiler writes down what was counted.

ORDER is JSON: the patterns of the rows wanted, a factor for the number of messages, and a layout: where
objects lie in memory decides which of them share a place in the interpreter's caches, so that the
median of some layouts says more than one.
"""

from __future__ import annotations

import asyncio
import fnmatch
import gc
import json
import os
import random
import selectors
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

from tests.benchmarks.places import found

Work = Callable[[int], Awaitable[object]]
"""Handles so many messages."""

WALL = 1_790_000_000.0
"""The Unix time of every run."""
SECRET = "a-secret-of-the-benchmark-with-32-bytes-or-more"
MARK = "getppid"
"""The call, of C and of `os`, that ends a measured part."""
MARKS = 3
"""Marks of a row: after the warming, the short run and the long one."""
BATCH = 64
TELLS = 10_000
"""What `tests.benchmarks.actors` tells at a time."""
WAIT = timedelta(seconds=60)


class Row(NamedTuple):
    """A workload: it is warmed by a short run, then counted for a short and for a long one."""

    name: str
    step: int
    """Messages that it handles at a time."""
    short: int
    """Steps, as is `long`."""
    long: int
    open: Callable[[], AbstractAsyncContextManager[Work]]


# -- Clocks and randomness -------------------------------------------------------------------------------


class JumpingSelector(selectors.SelectSelector):
    """Waits for nothing but what is ready; its `now` jumps over the time that would have been waited."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(None if timeout is None else 0)
        if not ready and timeout:
            self.now += timeout
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop on the selector's time."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def make_repeatable(loop: asyncio.AbstractEventLoop) -> None:
    """Replace the clocks and the random bytes of this process. Before the floors are imported."""
    drawn = random.Random(1)
    random.seed(1)
    time.time = lambda: WALL
    time.monotonic = loop.time
    os.urandom = drawn.randbytes


def laid_out(layout: int) -> list[bytes]:
    """Objects of all small sizes that, while they are kept, move those that are made later."""
    return [bytes(size) for size in range(1, 480, 16) for _ in range(29 * layout)]


# -- The stages, each alone ------------------------------------------------------------------------------


@asynccontextmanager
async def codec(step: str, size: int) -> AsyncIterator[Work]:
    """One step of the codec."""
    from tests.benchmarks.codec import works

    once = getattr(works(size), step)

    async def work(count: int) -> None:
        for _ in range(count):
            once()

    yield work


@asynccontextmanager
async def http2(size: int, at_a_time: int = BATCH) -> AsyncIterator[Work]:
    """A batch from a client's connection to a server's, and what the server says to it."""
    connection = found("gateway.http2.connection:Http2Connection", "gateway.http2.connection:Connection")
    side = found("gateway.http2.endpoint:Http2Role", "gateway.http2.endpoint:Side")
    limits = found("gateway.http2.limits:Limits")
    counters = found("gateway.http2.limits:Counters")
    request = found("gateway.http2.headers:request")
    client = connection(side.CLIENT, limits(), counters(), 0.0)
    server = connection(side.SERVER, limits(), counters(), 0.0)
    batch = [bytes(size)] * min(at_a_time, max(1, 65_536 // size))
    received = 0

    def carry() -> list[Any]:
        """Bytes both ways until nothing is left to say; what the server is told."""
        told = []
        while client.wants_output or server.wants_output:
            told += server.receive(client.output(0.0)[0], 0.0)
            client.receive(server.output(0.0)[0], 0.0)
        return told

    stream = client.open(request("http", "node:1", "/callboard.bench.Bench/Stream", []), 0.0)
    (asked,) = (event for event in carry() if hasattr(event, "headers"))
    server.accept(asked.stream)
    server.resume(asked.stream)
    carry()

    async def work(count: int) -> None:
        nonlocal received
        due = received + count
        while received < due:
            client.send(stream, batch)
            received += sum(len(event.messages) for event in carry())

    yield work


@asynccontextmanager
async def system(kind: str, **arguments: int) -> AsyncIterator[Work]:
    """A measurement of `tests.benchmarks.actors`."""
    from tests.benchmarks import actors

    yield partial(getattr(actors, kind), **arguments)


# -- Messages from end to end ----------------------------------------------------------------------------


class Pair(NamedTuple):
    """Both ends of a reliable session."""

    sender: Any
    receiver: Any

    async def lone(self, count: int) -> None:
        """One message at a time: published, received, acknowledged."""
        for _ in range(count):
            handle = await self.sender.publish(b"x" * 64)
            await self.receiver.get_message(WAIT)
            await handle

    async def batches(self, count: int) -> None:
        """`BATCH` messages at a time."""
        for _ in range(count // BATCH):
            handles = [await self.sender.publish(b"x" * 64) for _ in range(BATCH)]
            for _ in range(BATCH):
                await self.receiver.get_message(WAIT)
            for handle in handles:
                await handle

    async def answers(self, count: int) -> None:
        """Questions, each after the answer to the one before; nobody waits for acknowledgements."""
        for _ in range(count):
            await self.sender.publish(b"x" * 64)
            await self.receiver.get_message(WAIT)
            await self.receiver.publish(b"x" * 64)
            await self.sender.get_message(WAIT)


class Applications(NamedTuple):
    """Applications that reach one another; each is named `org/bench/` and its number."""

    slims: Sequence[Any]
    names: Sequence[Any]

    async def open(self) -> Pair:
        """A reliable session of the first two, established."""
        import gateway

        config = gateway.SessionConfiguration.PointToPoint(timeout=timedelta(seconds=5), max_retries=10)
        opened, established = await self.slims[0].create_session(self.names[1], config)
        await established
        return Pair(opened, await self.slims[1].listen_for_session(WAIT))

    async def sessions(self, count: int) -> None:
        """Sessions, one after the other."""
        for _ in range(count):
            await self.open()


@asynccontextmanager
async def applications(count: int, *, node: bool) -> AsyncIterator[Applications]:
    """Applications of one data plane, or of one each with a node between, on streams in memory."""
    import gateway

    async with AsyncExitStack() as held:

        def plane() -> Any:
            made = gateway.DataPlane()
            held.push_async_callback(made.close, 0.0)
            return made

        middle = plane()
        names = [gateway.Name("org", "bench", str(number)) for number in range(count)]
        slims: list[Any] = []
        # The first, who sends, comes last: its routes lead to the others.
        for name in reversed(names):
            provider = gateway.IdentityProvider.SharedSecret(str(name), SECRET)
            verifier = gateway.IdentityVerifier.SharedSecret(str(name), SECRET)
            mine = plane() if node else middle
            connection = await dial(mine, middle) if node else None
            slim = gateway.Slim(name, provider, verifier, data_plane=mine)
            held.push_async_callback(slim.close)
            if node:
                await slim.subscribe(name, connection)
            slims.insert(0, slim)
        if node:
            for name in names[1:]:
                await slims[0].set_route(name, connection)
        yield Applications(slims, names)


@asynccontextmanager
async def openings() -> AsyncIterator[Work]:
    """Sessions through a node."""
    async with applications(2, node=True) as both:
        yield both.sessions


@asynccontextmanager
async def group(members: int) -> AsyncIterator[Work]:
    """Batches to a group of so many members and who sends, in clear, through a node."""
    import gateway

    async with applications(members + 1, node=True) as all_:
        config = gateway.SessionConfiguration.Group(timeout=timedelta(seconds=5), max_retries=10)
        channel = gateway.Name("org", "bench", "channel")
        opened, established = await all_.slims[0].create_session(channel, config)
        await established
        for name in all_.names[1:]:
            await (await opened.invite(name))
        joined = [await slim.listen_for_session(WAIT) for slim in all_.slims[1:]]

        async def work(count: int) -> None:
            for _ in range(count // BATCH):
                handles = [await opened.publish(b"x" * 1024) for _ in range(BATCH)]
                for member in joined:
                    for _ in range(BATCH):
                        await member.get_message(WAIT)
                for handle in handles:
                    await handle

        yield work


async def dial(client: Any, node: Any) -> int:
    """Connect two data planes by a stream in memory; the client's connection."""
    pair, config = found("gateway.links.memory:pair"), found("gateway.config:ClientConfig")

    async def opened() -> Any:
        ours, theirs = pair(asyncio.get_running_loop())
        node.accept(theirs)
        return ours

    made: int = await client.connect(
        config.read({"endpoint": "http://memory:1", "tls": {"insecure": True}}), dial=opened
    )
    return made


@asynccontextmanager
async def messages(kind: str, *, node: bool) -> AsyncIterator[Work]:
    """A way of sending on a session."""
    async with applications(2, node=node) as both:
        yield getattr(await both.open(), kind)


# -- The measurement -------------------------------------------------------------------------------------

ROWS = [
    *(
        Row(f"codec {step} {size} B", 1, 200, 1_200, partial(codec, step, size))
        for size in (64, 1024, 65_536)
        for step in ("encode", "write", "parse", "decode")
    ),
    *(Row(f"http2 {size} B", BATCH, 4, 20, partial(http2, size)) for size in (64, 1024, 65_536)),
    Row("http2 64 B, each alone", 1, 100, 600, partial(http2, 64, 1)),
    Row("actors tell", TELLS, 1, 2, partial(system, "_tells", actors=1)),
    Row("actors tell to 1,000", TELLS, 1, 2, partial(system, "_tells", actors=1000)),
    Row("actors hop", 1, 500, 3_000, partial(system, "_hops")),
    Row("actors ask", 1, 200, 1_200, partial(system, "_asks")),
    Row("actors timer", 1, 500, 3_000, partial(system, "_timers")),
    Row("actors spawn", 1, 200, 1_200, partial(system, "_spawns")),
    Row("lone message in process", 1, 40, 240, partial(messages, "lone", node=False)),
    Row("lone message through a node", 1, 40, 240, partial(messages, "lone", node=True)),
    Row("batch of 64 in process", BATCH, 4, 14, partial(messages, "batches", node=False)),
    Row("batch of 64 through a node", BATCH, 4, 14, partial(messages, "batches", node=True)),
    Row("ping-pong through a node", 1, 40, 240, partial(messages, "answers", node=True)),
    Row("session through a node", 1, 20, 80, openings),
    Row("batch to a group of 4", BATCH, 2, 6, partial(group, 4)),
]


def chosen(patterns: Sequence[str], scale: float) -> list[Row]:
    """The rows whose names match one of the patterns (all, without any), with their steps times `scale`."""
    rows = [row for row in ROWS if not patterns or any(fnmatch.fnmatch(row.name, p) for p in patterns)]
    return [
        row._replace(
            short=(short := max(1, round(row.short * scale))), long=max(short + 1, round(row.long * scale))
        )
        for row in rows
    ]


async def count(rows: Sequence[Row]) -> None:
    """Do the work of each row; `MARKS` marks each."""
    for row in rows:
        async with row.open() as work:
            await work(row.step * row.short)
            mark()
            for steps in (row.short, row.long):
                await work(row.step * steps)
                mark()


def mark() -> None:
    """End a part; what it leaves behind is neither swept up nor looked through in the next."""
    gc.collect()
    gc.freeze()
    getattr(os, MARK)()


def main() -> None:
    """Do the order of the command line; print what was done."""
    loop = JumpingLoop()
    make_repeatable(loop)
    order = json.loads(sys.argv[1])
    shifted = laid_out(order["layout"])
    rows = chosen(order["rows"], order["scale"])
    loop.run_until_complete(count(rows))
    gateway = find_spec("gateway")
    assert gateway is not None
    runs = [[row.name, row.step * row.short, row.step * row.long] for row in rows]
    del shifted
    done = {"gateway": gateway.origin, "rows": runs}
    sys.stdout.write(json.dumps(done) + "\n")


if __name__ == "__main__":
    main()
