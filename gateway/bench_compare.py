"""The same work for different brokers: throughput, latency, fan-out, sessions and membership, side by side.

A *side* is an adapter for the node and an adapter for the applications, so that also mixtures can be
measured. The node and every end are processes of their own. Each worker process goes through

    up (connected) -> prepare (sessions open) -> go (the measured part) -> result

in step with the others; lines of JSON on its stdin and stdout carry the steps. The measured part starts after
the sessions are open. CPU time is what each process, native threads included, used during the measured part.
Times are read from the system's monotonic clock, which on Linux and macOS all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import resource
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self, TextIO

from gateway.runner import run as run_loop

READY = "listening on "
PATIENCE = 90.0
"""Seconds after which a step of a worker is given up."""
QUIET = 3.0
"""Seconds of silence after which a receiver takes the missing best-effort messages for lost."""

# Adapters


class Session(Protocol):
    """One end of an established session."""

    async def publish(self, payload: bytes) -> Awaitable[object]:
        """Send; awaiting the answer waits for the acknowledgement."""
        ...

    async def receive(self, timeout: float) -> bytes:
        """The next payload; TimeoutError after `timeout` seconds without one."""
        ...

    async def invite(self, name: str) -> None:
        """Add a member, and wait until all members know."""
        ...


class Application(Protocol):
    """One application with a connection of its own."""

    async def open(self, destination: str, *, group: bool, reliable: bool, mls: bool) -> Session:
        """A new session, established."""
        ...

    async def accept(self) -> Session:
        """The next inbound session."""
        ...

    async def close(self) -> None:
        """End the application."""
        ...


class Adapter(Protocol):
    """What the workload needs to know about a broker."""

    label: str

    def node_command(self) -> Sequence[str]:
        """Starts a node without TLS on a free loopback port; it prints `listening on HOST:PORT`."""
        ...

    async def application(self, name: str, endpoint: str) -> Application:
        """An application called `name` (three components), connected to the node at `endpoint`."""
        ...


ADAPTERS = {
    "originals": "gateway.bench_originals:Originals",
    "callboard": "gateway.bench_callboard:Callboard",
}


def adapter(key: str) -> Adapter:
    """The adapter of this name. Raises ImportError when what it needs is not installed."""
    module, name = ADAPTERS[key].split(":")
    made: Adapter = getattr(importlib.import_module(module), name)()
    return made


# Work: each function opens its sessions and returns the part to be measured

Report = dict[str, Any]
Part = Callable[[], Awaitable[Report]]
Arguments = Mapping[str, Any]


async def publish_all(session: Session, payload: bytes, count: int, window: int) -> None:
    """Publish with at most `window` unacknowledged messages; 1 awaits every acknowledgement."""
    pending: deque[Awaitable[object]] = deque()
    for _ in range(count):
        pending.append(await session.publish(payload))
        if len(pending) >= window:
            await pending.popleft()
    while pending:
        await pending.popleft()


async def send(apps: Sequence[Application], to: Arguments) -> Part:
    """Publish `count` payloads of `size` octets to one application."""
    session = await apps[0].open(to["peer"], group=False, reliable=to["reliable"], mls=to["mls"])
    return sending(session, to)


async def send_to_group(apps: Sequence[Application], to: Arguments) -> Part:
    """Publish `count` payloads of `size` octets to a group."""
    session = await apps[0].open(to["channel"], group=True, reliable=True, mls=to["mls"])
    for name in to["members"]:
        await session.invite(name)
    return sending(session, to)


def sending(session: Session, to: Arguments) -> Part:
    async def part() -> Report:
        start = time.monotonic()
        await publish_all(session, b"x" * to["size"], to["count"], to["window"])
        return {"start": start, "end": time.monotonic()}

    return part


async def receive(apps: Sequence[Application], of: Arguments) -> Part:
    """Receive `count` messages, or as many as come."""
    session = await apps[0].accept()

    async def part() -> Report:
        got, end = 0, time.monotonic()
        try:
            while got < of["count"]:
                await session.receive(QUIET if got else PATIENCE)
                got, end = got + 1, time.monotonic()
        except TimeoutError:
            pass
        return {"received": got, "end": end}

    return part


async def ping(apps: Sequence[Application], to: Arguments) -> Part:
    """`count` questions, each after the answer to the one before; all round trips in seconds."""
    session = await apps[0].open(to["peer"], group=False, reliable=to["reliable"], mls=False)

    async def part() -> Report:
        payload, trips = b"x" * to["size"], []
        for _ in range(to["count"]):
            start = time.perf_counter()
            await session.publish(payload)
            await session.receive(PATIENCE)
            trips.append(time.perf_counter() - start)
        return {"trips": trips}

    return part


async def pong(apps: Sequence[Application], of: Arguments) -> Part:
    """Answer `count` questions."""
    session = await apps[0].accept()

    async def part() -> Report:
        for _ in range(of["count"]):
            await session.publish(await session.receive(PATIENCE))
        return {}

    return part


async def open_sessions(apps: Sequence[Application], to: Arguments) -> Part:
    """Open `count` sessions with one application, `window` at a time."""

    async def part() -> Report:
        left = iter(range(to["count"]))

        async def opener() -> None:
            for _ in left:
                await apps[0].open(to["peer"], group=False, reliable=True, mls=False)

        start = time.monotonic()
        await asyncio.gather(*(opener() for _ in range(to["window"])))
        return {"start": start, "end": time.monotonic()}

    return part


async def accept_sessions(apps: Sequence[Application], of: Arguments) -> Part:
    """Accept `count` sessions."""

    async def part() -> Report:
        for _ in range(of["count"]):
            await apps[0].accept()
        return {}

    return part


async def grow_group(apps: Sequence[Application], to: Arguments) -> Part:
    """Invite `members` but the last `measured`; then those, each on its own; seconds per invitation."""
    session = await apps[0].open(to["channel"], group=True, reliable=True, mls=True)
    first, last = to["members"][: -to["measured"]], to["members"][-to["measured"] :]
    for name in first:
        await session.invite(name)

    async def part() -> Report:
        took = []
        for name in last:
            start = time.monotonic()
            await session.invite(name)
            took.append(time.monotonic() - start)
        return {"took": took}

    return part


async def join_group(apps: Sequence[Application], of: Arguments) -> Part:
    """Each application accepts one session whenever it comes."""
    joining = asyncio.gather(*(app.accept() for app in apps))

    async def part() -> Report:
        await joining
        return {}

    return part


WORK: dict[str, Callable[[Sequence[Application], Arguments], Awaitable[Part]]] = {
    work.__name__: work
    for work in (
        send,
        send_to_group,
        receive,
        ping,
        pong,
        open_sessions,
        accept_sessions,
        grow_group,
        join_group,
    )
}

# The worker process


def cpu_of_self() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def work(order: Mapping[str, Any], steps: TextIO) -> None:
    """Do one part in a process of its own: the order names adapter, endpoint, names, work and arguments."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )

    async def step(report: Report) -> None:
        steps.write(json.dumps(report) + "\n")
        if not await reader.readline():
            raise ConnectionError("the measuring process is gone")

    broker = adapter(order["adapter"])
    apps = [await broker.application(name, order["endpoint"]) for name in order["names"]]
    await step({"step": "up"})
    part = await WORK[order["work"]](apps, order["arguments"])
    await step({"step": "ready"})
    cpu = cpu_of_self()
    report = await part()
    await step({"step": "done", "cpu": cpu_of_self() - cpu, **report})
    for app in apps:
        await app.close()


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
            *self._command, stdin=pipe, stdout=pipe, limit=2**24, cwd=Path(__file__).parent.parent
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


def cpu_of(pid: int) -> float | None:
    """CPU seconds that a process has used, to the system's clock tick; None where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# The measuring process


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


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; `cpu` is microseconds per message (or session) of each kind of process."""

    stage: str
    value: float
    unit: str
    higher_is_better: bool
    cpu: dict[str, float] = field(default_factory=dict)


async def run(side: Side, roles: Sequence[Role]) -> Outcome:
    """One node, one process per role, all steps together."""
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(Child(*adapter(side.node).node_command()))
        while not (ready := await node.line()).startswith(READY):
            pass
        stack.callback(asyncio.create_task(node.drain()).cancel)
        endpoint = f"http://{ready.removeprefix(READY).strip()}"
        workers = [
            await stack.enter_async_context(
                Child(
                    sys.executable, "-m", "gateway.bench_compare", json.dumps(order_for(side, role, endpoint))
                )
            )
            for role in roles
        ]
        for step in ("up", "ready"):
            await asyncio.gather(*(worker.expect(step) for worker in workers))
            before = cpu_of(node.process.pid)
            for worker in workers:
                worker.proceed()
        reports = await asyncio.gather(*(worker.expect("done") for worker in workers))
        after = cpu_of(node.process.pid)
    cpu = {} if before is None or after is None else {"node": after - before}
    for role, report in zip(roles, reports, strict=True):
        cpu[role.head] = cpu.get(role.head, 0.0) + report["cpu"]
    return Outcome(reports, cpu)


def order_for(side: Side, role: Role, endpoint: str) -> dict[str, Any]:
    return {
        "adapter": side.applications,
        "endpoint": endpoint,
        "names": list(role.names),
        "work": role.work,
        "arguments": dict(role.arguments),
    }


def each(cpu: Mapping[str, float], count: int) -> dict[str, float]:
    """CPU seconds as microseconds per message."""
    return {head: seconds / count * 1e6 for head, seconds in cpu.items()}


def name(last: str) -> str:
    return f"org/bench/{last}"


def mode_of(reliable: bool) -> str:
    return "reliable" if reliable else "best effort"


async def throughput(
    side: Side, *, size: int, reliable: bool, window: int, count: int, mls: bool = False
) -> list[Figure]:
    """Messages per second from the first publish to the last delivery."""
    arguments = {
        "peer": name("bob"),
        "size": size,
        "reliable": reliable,
        "window": window,
        "count": count,
        "mls": mls,
    }
    roles = [
        Role("receiver", "receive", [name("bob")], arguments),
        Role("sender", "send", [name("alice")], arguments),
    ]
    (received, sent), cpu = await run(side, roles)
    pace = "each acknowledged" if window == 1 else f"window {window}"
    lost = count - received["received"]
    stage = f"one way, {size} B, {mode_of(reliable)}, {pace}" + (", MLS" if mls else "")
    if lost:
        stage += f" ({lost} of {count} lost)"
    rate = received["received"] / (received["end"] - sent["start"])
    return [Figure(stage, rate, "messages/s", True, each(cpu, count))]


async def round_trip(side: Side, *, size: int, reliable: bool, count: int) -> list[Figure]:
    """Median and 99th percentile of a question and its answer, in microseconds."""
    arguments = {"peer": name("bob"), "size": size, "reliable": reliable, "count": count}
    roles = [
        Role("receiver", "pong", [name("bob")], arguments),
        Role("sender", "ping", [name("alice")], arguments),
    ]
    (_, report), cpu = await run(side, roles)
    cuts = quantiles(report["trips"], n=100)
    stage = f"ping-pong, {size} B, {mode_of(reliable)}"
    return [
        Figure(f"{stage}, p50", cuts[49] * 1e6, "us", False, each(cpu, count)),
        Figure(f"{stage}, p99", cuts[98] * 1e6, "us", False),
    ]


async def fan_out(side: Side, *, members: int, size: int, mls: bool, window: int, count: int) -> list[Figure]:
    """Deliveries per second in a reliable group, from the first publish to the last delivery."""
    names = [name(f"member{number}") for number in range(members)]
    arguments = {
        "channel": name("channel"),
        "members": names,
        "size": size,
        "mls": mls,
        "window": window,
        "count": count,
    }
    roles = [Role("receiver", "receive", [member], arguments) for member in names]
    roles.append(Role("sender", "send_to_group", [name("moderator")], arguments))
    (*received, sent), cpu = await run(side, roles)
    got = sum(report["received"] for report in received)
    rate = got / (max(report["end"] for report in received) - sent["start"])
    stage = f"group of 1 + {members}, {size} B, {'MLS' if mls else 'plain'}, window {window}"
    return [Figure(stage, rate, "deliveries/s", True, each(cpu, count * members))]


async def sessions(side: Side, *, window: int, count: int) -> list[Figure]:
    """Point-to-point sessions established per second, `window` at a time."""
    arguments = {"peer": name("bob"), "window": window, "count": count}
    roles = [
        Role("receiver", "accept_sessions", [name("bob")], arguments),
        Role("sender", "open_sessions", [name("alice")], arguments),
    ]
    (_, report), cpu = await run(side, roles)
    rate = count / (report["end"] - report["start"])
    return [Figure(f"opening sessions, {window} at a time", rate, "sessions/s", True, each(cpu, count))]


async def growth(side: Side, *, members: int, measured: int = 3, hosts: int = 4) -> list[Figure]:
    """Median milliseconds to add the `members`-th member (and the next ones) to an MLS group."""
    names = [name(f"member{number}") for number in range(members - 2 + measured)]
    arguments = {"channel": name("channel"), "members": names, "measured": measured}
    roles = [Role("receiver", "join_group", names[host::hosts], {}) for host in range(hosts)]
    roles.append(Role("sender", "grow_group", [name("moderator")], arguments))
    (*_, report), cpu = await run(side, roles)
    stage = f"adding member {members}, MLS"
    return [Figure(stage, median(report["took"]) * 1e3, "ms", False, each(cpu, measured))]


async def measure(side: Side, *, scale: float = 1.0) -> list[Figure]:
    """All stages for one side, in order; `scale` multiplies the numbers of messages."""

    def times(count: int) -> int:
        return max(20, int(count * scale))

    figures: list[Figure] = []
    for size, count in ((64, 20_000), (1024, 10_000), (65_536, 500)):
        for reliable in (True, False):
            figures += await throughput(side, size=size, reliable=reliable, window=256, count=times(count))
        figures += await throughput(side, size=size, reliable=True, window=1, count=times(count // 10))
    for reliable, count in ((True, 200), (False, 2_000)):
        figures += await round_trip(side, size=64, reliable=reliable, count=times(count))
    for mls in (False, True):
        figures += await fan_out(side, members=8, size=1024, mls=mls, window=256, count=times(2_000))
    for window in (1, 16):
        figures += await sessions(side, window=window, count=times(200))
    figures += await growth(side, members=50)
    return figures


async def measure_mls(side: Side, *, scale: float = 1.0) -> list[Figure]:
    """What concerns MLS, and beside it what the same costs without: the rest is the link and the session."""

    def times(count: int) -> int:
        return max(20, int(count * scale))

    figures: list[Figure] = []
    for mls in (False, True):
        figures += await throughput(side, size=1024, reliable=True, window=256, count=times(10_000), mls=mls)
    for mls in (False, True):
        figures += await fan_out(side, members=8, size=1024, mls=mls, window=256, count=times(2_000))
    figures += await growth(side, members=50)
    return figures


def table(columns: Mapping[str, Sequence[Figure]]) -> str:
    """Stage by stage, one column per side; a ratio says how many times better than the first side one is."""
    labels = list(columns)
    heads = ["stage", "unit", *labels, *(f"{label} : {labels[0]}" for label in labels[1:])]
    rows = [heads]
    for figures in zip(*columns.values(), strict=True):
        first = figures[0]
        ratios = [
            figure.value / first.value if first.higher_is_better else first.value / figure.value
            for figure in figures[1:]
        ]
        stage = max((figure.stage for figure in figures), key=len)
        values = [f"{figure.value:,.0f}" for figure in figures]
        rows.append([stage, first.unit, *values, *(f"{ratio:.2f}x" for ratio in ratios)])
        if first.cpu:
            used = [
                " / ".join(f"{figure.cpu[head]:.0f}" for head in sorted(figure.cpu)) for figure in figures
            ]
            totals = [sum(figure.cpu.values()) for figure in figures]
            ratios = [totals[0] / total if total else 0.0 for total in totals[1:]]
            what = f"  CPU each, {' / '.join(sorted(first.cpu))}"
            rows.append([what, "us", *used, *(f"{ratio:.2f}x" for ratio in ratios)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


async def compare(sides: Sequence[Side], *, scale: float = 1.0, mls: bool = False) -> str:
    """Measure each side, all of it or only what concerns `mls`, and return the table."""
    stages = measure_mls if mls else measure
    return table({side.label: await stages(side, scale=scale) for side in sides})


if __name__ == "__main__":
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not come between the steps
    run_loop(work(json.loads(sys.argv[1]), replies))
