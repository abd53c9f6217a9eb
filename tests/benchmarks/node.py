"""The node alone, driven raw (`callboard bench node`): CPU per forwarded message, memory per connection.

Generator and sink (`raw`) are processes of their own and the same for every node. CPU is that of the node's
process, native threads included, per message that left it; the kernel's part of its reads and writes counts.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from actors.messages.wire import ONE
from tests.benchmarks.adapters import adapter
from tests.benchmarks.processes import Child, in_step, memory_of, running_node, worker
from tests.benchmarks.stages import Stage, side_by_side
from tests.benchmarks.table import Figure, Wanted

ALL = 256
"""A fan-out that reaches all who subscribed."""
NAME = ("org", "bench", "sink")
SINK_ID = 11
CPU_TARGET = Wanted(ratio=1 / 2.5)
"""At most 2.5 times the original's CPU."""
MEMORY_TARGET = Wanted(value=10.0)
"""KiB per idle connection."""


def raw(endpoint: str, work: str, arguments: Mapping[str, Any]) -> Child:
    return worker("tests.benchmarks.raw", {"endpoint": endpoint, "work": work, "arguments": dict(arguments)})


async def forwarding(key: str, *, size: int, count: int, receivers: int = 1) -> list[Figure]:
    """CPU microseconds of the node for each message that left it, from one generator to `receivers` sinks."""
    single = receivers == 1
    arguments = {
        "name": (*NAME, SINK_ID) if single else NAME,
        "size": size,
        "count": count,
        "fanout": ONE if single else ALL,
    }
    due = count * receivers
    async with running_node(key) as (node, endpoint):
        workers = [
            raw(endpoint, "sink", {**arguments, "connections": receivers, "count": due}),
            raw(endpoint, "generate", arguments),
        ]
        (sunk, generated), cpu = await in_step(node, workers)
    got = sunk["received"]
    stage = f"forwarding, {size} B" if single else f"fan-out to {receivers}, {size} B, each delivery"
    if got < due:
        stage += f" ({due - got} of {due} lost)"
    figures = [Figure(f"{stage}, rate", got / (sunk["end"] - generated["start"]), "messages/s", True)]
    if cpu is not None:
        figures.insert(0, Figure(f"{stage}, CPU", cpu / max(got, 1) * 1e6, "us", False))
    return figures


async def idle(key: str, *, connections: int) -> list[Figure]:
    """KiB by which each connection with one open, negotiated, silent stream makes the node larger."""
    async with (
        running_node(key) as (node, endpoint),
        raw(endpoint, "hold", {"connections": connections}) as holder,
    ):
        await holder.expect("up")
        before = memory_of(node.process.pid)
        holder.proceed()
        await holder.expect("ready")
        after = memory_of(node.process.pid)
    if before is None or after is None:
        return []
    stage = f"an idle connection, {connections} open"
    return [Figure(stage, (after - before) / connections / 1024, "KiB", False)]


def stages(scale: float = 1.0) -> list[Stage]:
    """What is measured of each node; `scale` multiplies the numbers of messages and connections."""

    def times(count: int) -> int:
        return max(20, int(count * scale))

    made = [
        Stage(partial(forwarding, size=size, count=times(count)), (wanted, None), name=f"node-{size}")
        for size, count, wanted in (
            (64, 100_000, CPU_TARGET),
            (1024, 60_000, CPU_TARGET),
            (65_536, 3_000, None),
        )
    ]
    fan_out = partial(forwarding, size=1024, count=times(4_000), receivers=20)
    made.append(Stage(fan_out, (None, None), name="node-fan-out"))
    made.append(Stage(partial(idle, connections=times(1_000)), (MEMORY_TARGET,)))
    return made


def allow_files() -> None:
    """Let this process and its children hold as many connections as the system permits."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)


async def measure(keys: Sequence[str], progress: Callable[[str], None], *, scale: float = 1.0) -> str:
    """Measure the nodes of these brokers; the table."""
    allow_files()
    return await side_by_side({adapter(key).label: key for key in keys}, stages(scale), progress)
