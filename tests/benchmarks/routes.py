"""The route table as it grows (`callboard bench routes`): CPU per connection, subscription; bytes per name.

One node in this process, its peers on streams in memory: what is measured is the node's own work for each.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable, Sequence
from functools import partial

from actors.names import Name
from gateway.links import memory
from gateway.links.stream import StreamStatus
from gateway.node.data_plane import DataPlane
from gateway.proto import dataplane_pb2 as pb
from tests.benchmarks.processes import memory_of
from tests.benchmarks.table import Figure, Wanted, table

CONNECTIONS = (250, 1000, 4000, 8000)
NAMES = 300_000
EACH = 100
"""Subscriptions and ends of connections measured one at a time at each size."""
BATCH = 1000

CONNECT = Wanted(value=600)
SUBSCRIBE = Wanted(value=200)
NAME = Wanted(value=1024)


class Peer:
    """One end of a stream in memory, which listens to nothing."""

    def __init__(self, plane: DataPlane) -> None:
        self._stream, other = memory.pair(asyncio.get_running_loop())
        self._stream.start(self, 1 << 20)
        plane.accept(other)

    def subscribe(self, *names: Name) -> None:
        self._stream.send([subscription(name) for name in names])

    def close(self) -> None:
        self._stream.close(StreamStatus.OK)

    def stream_messages(self, messages: Sequence[bytes]) -> None: ...

    def stream_drained(self) -> None: ...

    def stream_closed(self, cause: str) -> None: ...


def subscription(name: Name) -> bytes:
    """A Subscribe for `name`, acknowledged under its instance id."""
    first, second, third, id = name.components()
    named = pb.Name(
        name=pb.EncodedName(component_0=first, component_1=second, component_2=third, component_3=id),
        str_name=pb.StringName(
            str_component_0=name.strings[0],
            str_component_1=name.strings[1],
            str_component_2=name.strings[2],
        ),
    )
    header = pb.SLIMHeader(source=named, destination=named, fanout=1)
    return pb.Message(subscribe=pb.Subscribe(header=header, subscription_id=id)).SerializeToString()


async def _settle(plane: DataPlane) -> None:
    """Until the streams were read and the actors have nothing left to do."""
    for _ in range(4):
        await asyncio.sleep(0)
    await plane.system.idle()


async def measure(
    progress: Callable[[str], None], *, connections: Sequence[int] = CONNECTIONS, names: int = NAMES
) -> list[Figure]:
    """Three figures for each number of connections, two for the names."""
    plane, peers, figures = DataPlane(), list[Peer](), list[Figure]()

    async def each(what: str, step: Callable[[int], object], times: int = EACH) -> None:
        began = time.process_time()
        for number in range(times):
            step(number)
            await _settle(plane)
        cost = (time.process_time() - began) / times * 1e6
        figures.append(Figure(what, cost, "us", False))
        progress(str(figures[-1]))

    def subscribe(count: int, number: int) -> None:
        peers[number].subscribe(Name("org", "bench", f"at-{count}-{number}", number + 1))

    for count in connections:
        # All since the size before: a collection of garbage, which a thousand of them pay for, may fall
        # into any hundred.
        await each(f"connect, {count} open", lambda _: peers.append(Peer(plane)), count - len(peers))
        await each(f"subscribe, {count} open", partial(subscribe, count))
        await each(f"close, {count} open", lambda _: peers.pop().close())
    gc.collect()
    before, began = memory_of(os.getpid()), time.process_time()
    for start in range(0, names, BATCH):
        batch = [Name("org", "bench", f"application-{n}", n + 1) for n in range(start, start + BATCH)]
        peers[start // BATCH % len(peers)].subscribe(*batch)
        await _settle(plane)
    cost = (time.process_time() - began) / names * 1e6
    gc.collect()
    after = memory_of(os.getpid())
    figures.append(Figure(f"subscribe, {names} names, in batches (with making them)", cost, "us", False))
    if before is not None and after is not None:
        figures.append(Figure(f"a name, {names} held", (after - before) / names, "bytes", False))
    for figure in figures[-2:]:
        progress(str(figure))
    await plane.close(0.0)
    return figures


def report(figures: Sequence[Figure]) -> str:
    """The table, with what is wanted of each figure."""
    wanted = [_wanted(figure) for figure in figures]
    return table({"here": figures}, wanted)


def _wanted(figure: Figure) -> Wanted | None:
    if figure.unit == "bytes":
        return NAME
    return CONNECT if figure.stage.startswith("connect") else SUBSCRIBE
