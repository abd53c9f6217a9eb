"""A node and its applications, each a process of its own, and what CPU time they used.

The workers (`worker`) take their steps together, so that the measured part starts when all sessions are open.
Times are read from the system's monotonic clock, which on Linux and macOS all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.benchmarks.adapters import PATIENCE, READY, adapter, split
from tests.benchmarks.trees import on_tree
from tests.benchmarks.workloads import Arguments, Report


class Child:
    """A process that speaks in lines; leaving its block kills it."""

    def __init__(self, *command: str) -> None:
        self._command = command
        self._process: asyncio.subprocess.Process | None = None

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    async def line(self) -> str:
        """Its next line of stdout. Raises ConnectionError at its end, TimeoutError after `PATIENCE`."""
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)
        if not line:
            raise ConnectionError(f"{' '.join(self._command[:4])} ... ended with {await self.process.wait()}")
        return line.decode()

    async def expect(self, step: str) -> Report:
        """Its report of this step."""
        report: Report = json.loads(await self.line())
        if report["step"] != step:
            raise ConnectionError(f"a worker is at step {report['step']!r} instead of {step!r}")
        return report

    async def drain(self) -> None:
        """Read what it goes on to print, so that it never waits for a reader."""
        assert self.process.stdout is not None
        while await self.process.stdout.readline():
            pass

    def proceed(self) -> None:
        """Let a worker take its next step."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, limit=2**24, cwd=Path(__file__).parents[2]
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


def cpu_of(pid: int) -> float | None:
    """CPU seconds that a process has used, all threads, to the nanosecond; None where that is not told."""
    if sys.platform != "linux":
        return None
    try:
        # The id of another process's clock, as clock_getcpuclockid(3) makes it.
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return None


def memory_of(pid: int) -> int | None:
    """Resident bytes of a process; None where there is no /proc."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Side:
    """Whose node and whose applications."""

    node: str
    applications: str

    @property
    def label(self) -> str:
        if self.node == self.applications:
            return adapter(self.node).label
        return f"{adapter(self.applications).label} via {adapter(self.node).label}"


@dataclass(frozen=True, slots=True)
class Role:
    """One worker: what it does, as whom, and under which head its CPU time is counted."""

    head: str
    work: str
    names: Sequence[str]
    arguments: Arguments


class Outcome(NamedTuple):
    """The reports of a run in the order of its roles, and CPU seconds per head."""

    reports: list[Report]
    cpu: dict[str, float]


@asynccontextmanager
async def running_node(key: str) -> AsyncIterator[tuple[Child, str]]:
    """A node of the broker with this adapter, and its endpoint."""
    async with Child(*adapter(key).node_command()) as node:
        while not (ready := await node.line()).startswith(READY):
            pass
        draining = asyncio.create_task(node.drain())
        try:
            yield node, f"http://{ready.removeprefix(READY).strip()}"
        finally:
            draining.cancel()


def worker(module: str, order: Mapping[str, Any], tree: Path | None = None) -> Child:
    """A worker process, not yet started, that runs `module` with its order, upon the floors of `tree`."""
    if tree is not None:
        return Child(*on_tree(tree, module, json.dumps(order)))
    return Child(sys.executable, "-m", module, json.dumps(order))


async def in_step(node: Child, workers: Sequence[Child]) -> tuple[list[Report], float | None]:
    """Start the workers and take them through their steps; their reports and the node's CPU seconds."""
    async with AsyncExitStack() as stack:
        for one in workers:
            await stack.enter_async_context(one)
        before = None
        for step in ("up", "ready"):
            await asyncio.gather(*(one.expect(step) for one in workers))
            before = cpu_of(node.process.pid)
            for one in workers:
                one.proceed()
        reports = await asyncio.gather(*(one.expect("done") for one in workers))
        after = cpu_of(node.process.pid)
    return reports, None if before is None or after is None else after - before


async def run(side: Side, roles: Sequence[Role]) -> Outcome:
    """One node, one process per role, all steps together."""
    async with running_node(side.node) as (node, endpoint):
        _, tree = split(side.applications)
        workers = [worker("tests.benchmarks.worker", order_for(side, role, endpoint), tree) for role in roles]
        reports, used = await in_step(node, workers)
    cpu = {} if used is None else {"node": used}
    for role, report in zip(roles, reports, strict=True):
        cpu[role.head] = cpu.get(role.head, 0.0) + report["cpu"]
    return Outcome(reports, cpu)


def order_for(side: Side, role: Role, endpoint: str) -> dict[str, Any]:
    return {
        "adapter": split(side.applications)[0],
        "endpoint": endpoint,
        "names": list(role.names),
        "work": role.work,
        "arguments": dict(role.arguments),
    }
