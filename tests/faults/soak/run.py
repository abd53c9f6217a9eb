"""The run of a soak: starts the processes, kills some of them, and measures."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from tests.faults.soak.ledger import Books, percentile
from tests.interop.harness import CallboardNode, Process, free_port

MIB = 1024 * 1024
PAGE = os.sysconf("SC_PAGE_SIZE")
START = 60.0
"""Seconds a process has to be ready."""
END = 60.0
"""Seconds that conversations have to end and what was sent has to arrive, when nobody is killed any more."""
LOW = ("nice", "-n", "19")
"""Runs a command at the lowest priority."""
USUAL = ("sink-a", "sink-b", "bystanders", "elsewhere")
"""Who runs at the usual one, where bystanders are timed."""
CAST = {
    "sink-a": "sink",
    "sink-b": "sink",
    "guest": "sink",
    "server": "server",
    "client": "client",
    "sender-a": "sender",
    "sender-b": "sender",
    "bystanders": "bystanders",
    "elsewhere": "bystanders",
}
"""The honest, and what they play."""
SMALL = ("sink-a", "sink-b", "sender-a")
"""Enough for a short run: conversations at a node and between two, kills and attacks, no figures of time."""
AT_OTHER = ("sink-b", "sender-b")
"""Who is connected to node b."""
CALM = 4
"""Of so many rows the last is a calm one: there are kills as ever, and no hostile peers."""
ROUND = ("sender-a", "server", "sender-b", "guest", "node")
"""Who is killed, one after the other."""

COLUMNS = (
    "minute",
    "acknowledged",
    "received",
    "lost",
    "twice",
    "failed",
    "killed",
    "attacks",
    "node a, MiB",
    "node a, descriptors",
    "node b, MiB",
    "node b, descriptors",
    "sinks, MiB",
    "p50, ms",
    "p99, ms",
    "p99 elsewhere, ms",
)


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured in one interval. Figures of processes are of its end."""

    minute: float
    acknowledged: int
    received: int
    lost: int
    twice: int
    failed: int
    killed: int
    attacks: int
    node: tuple[int, int]
    """Bytes and descriptors of the node that lives on."""
    other: tuple[int, int]
    """Of the one that is killed now and then."""
    sinks: int
    """Bytes."""
    p50: float
    p99: float
    """Of the bystanders at the node that lives on, in milliseconds."""
    elsewhere: float
    """p99 of those at a node where nobody else is."""

    def __str__(self) -> str:
        cells = (
            f"{self.minute:.1f}",
            self.acknowledged,
            self.received,
            self.lost,
            self.twice,
            self.failed,
            self.killed,
            self.attacks,
            self.node[0] // MIB,
            self.node[1],
            self.other[0] // MIB,
            self.other[1],
            self.sinks // MIB,
            f"{self.p50:.2f}",
            f"{self.p99:.2f}",
            f"{self.elsewhere:.2f}",
        )
        return "| " + " | ".join(map(str, cells)) + " |"


@dataclass(slots=True)
class Outcome:
    """What a soak came to. `rows` are of the time with kills and attacks; `quiet` is of that before it."""

    quiet: Row
    rows: list[Row] = field(default_factory=list)
    """Calm ones among them."""
    lost: list[tuple[str, str, int]] = field(default_factory=list)
    twice: list[tuple[str, str, int]] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)
    attacks: dict[str, int] = field(default_factory=dict)
    descriptors: tuple[int, int] = (0, 0)
    """Of node a: before the attacks, and when they were over."""
    p99: float = 0.0
    """Of the bystanders, over all rows with hostile peers, in milliseconds."""
    elsewhere: float = 0.0
    """The same where nobody else is."""
    calm: float = 0.0
    """Of the bystanders, over all calm rows; that of the quiet time where there are none."""
    calm_elsewhere: float = 0.0
    """The same where nobody else is."""

    def growth(self) -> float:
        """By what factor node a's memory grew, from the first third of the rows to the last."""
        third = max(1, len(self.rows) // 3)
        first, last = self.rows[:third], self.rows[-third:]
        return median(row.node[0] for row in last) / median(row.node[0] for row in first)

    def __str__(self) -> str:
        lines = [
            "",
            f"Lost: {len(self.lost)}, twice: {len(self.twice)}. "
            f"Bystanders' p99: {self.p99:.2f} ms beside kills and hostile peers (where nobody else is, "
            f"{self.elsewhere:.2f}), {self.calm:.2f} ms beside kills alone ({self.calm_elsewhere:.2f}; "
            f"{self.p99 / max(self.calm, 1e-9):.2f} times), {self.quiet.p99:.2f} ms in quiet "
            f"({self.quiet.elsewhere:.2f}; {self.p99 / max(self.quiet.p99, 1e-9):.2f} times). "
            f"Memory of node a: {self.growth():.2f} of the first third's. "
            f"Its descriptors: {self.descriptors[0]} before, {self.descriptors[1]} after.",
            "",
            *(f"- failed {count} times: {what}" for what, count in sorted(self.failures.items())),
            *(f"- attack, {count} times: {what}" for what, count in sorted(self.attacks.items())),
            *(f"- lost: {who} has not {key} {number}" for who, key, number in self.lost[:20]),
            *(f"- twice: {who} has {key} {number}" for who, key, number in self.twice[:20]),
        ]
        return "\n".join(lines)


def figures(pid: int) -> tuple[int, int]:
    """Bytes of memory and open descriptors of a process; zeros of one that is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * PAGE, len(os.listdir(f"/proc/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0


@contextmanager
def on_cores(some: slice) -> Iterator[None]:
    """What is started meanwhile runs on these cores of the machine; on all where there are not two."""
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(everywhere)[some] if len(everywhere) > 1 else everywhere)
    try:
        yield
    finally:
        os.sched_setaffinity(0, everywhere)


class Player(Process):
    """A process of the soak, ready when it says so."""

    def __init__(self, role: str, who: str, folder: Path, endpoint: str, *, low: bool) -> None:
        module = ["hostile"] if role == "hostile" else ["application", role]
        ledger = str(folder / f"{who}.ledger")
        python = (*(LOW if low else ()), sys.executable, "-m")
        super().__init__(who, *python, f"tests.faults.soak.{module[0]}", *module[1:], who, ledger, endpoint)

    async def start(self) -> None:
        await self.launch()
        assert self.process.stdout is not None
        async with asyncio.timeout(START):
            if not await self.process.stdout.readline():
                raise ConnectionError(f"{self.label} ended:\n{self.stderr}")

    async def finish(self) -> None:
        """Tell it to end, and wait until it has."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        async with asyncio.timeout(END):
            await self.process.wait()


class Soak:
    """One run. `seconds` is how long there are kills, and attacks but for calm rows; before it comes a quiet
    time.

    `interval` is the seconds of a row, `beat` those between two kills, `quiet` those before the first (as a
    row, unless it is told); `cast` is who plays.
    """

    def __init__(
        self,
        folder: Path,
        seconds: float,
        *,
        interval: float = 60.0,
        beat: float = 6.0,
        quiet: float | None = None,
        cast: Collection[str] = tuple(CAST),
        say=print,
    ) -> None:
        self._folder = folder
        self._quiet = interval if quiet is None else quiet
        self._cast = cast
        self._seconds, self._interval, self._beat = seconds, interval, beat
        self._say = say
        self._books = Books(folder)
        self._chance = Random(1)
        self._killed = 0
        self._port = free_port()
        self._players: dict[str, Player] = {}
        self._stack = AsyncExitStack()

    async def run(self) -> Outcome:
        async with self._stack:
            with on_cores(slice(1)):
                self._node = await self._stack.enter_async_context(CallboardNode())
            self._stack.enter_context(on_cores(slice(1, None)))
            if "elsewhere" in self._cast:
                self._third = await self._stack.enter_async_context(CallboardNode())
            self._other = CallboardNode(self._port, "--peer", self._node.endpoint)
            self._stack.push_async_callback(self._end)
            await asyncio.gather(self._other.start(), *map(self._play, self._cast))
            self._say("| " + " | ".join(COLUMNS) + " |")
            self._say("|" + "---|" * len(COLUMNS))
            await asyncio.sleep(min(2.0, self._quiet))
            self._books.read()
            self._books.round_trips.clear()
            quiet = await self._measure(0.0, seconds=self._quiet)
            outcome = Outcome(quiet)
            before = figures(self._node.pid)[1]
            await self._attack(yes=True)
            async with self._disturbed():
                await self._rows(outcome)
            outcome.descriptors = before, figures(self._node.pid)[1]
            await self._settle(outcome)
            return outcome

    # -- Processes -----------------------------------------------------------------------------------

    async def _start_other(self) -> CallboardNode:
        node = CallboardNode(self._port, "--peer", self._node.endpoint)
        try:
            await node.start()
        except BaseException:
            await node.end()
            raise
        return node

    async def _end(self) -> None:
        for player in self._players.values():
            with contextlib.suppress(ProcessLookupError):
                player.kill()
        await asyncio.gather(*(player.end() for player in self._players.values()), self._other.end())

    async def _play(self, who: str) -> None:
        """Start who is not there, or has been killed."""
        there = self._other if who in AT_OTHER else self._third if who == "elsewhere" else self._node
        low = "bystanders" in self._cast and who not in USUAL
        player = Player(CAST.get(who, who), who, self._folder, there.endpoint, low=low)
        self._players[who] = player
        await player.start()

    @asynccontextmanager
    async def _disturbed(self) -> AsyncIterator[None]:
        """Kills, meanwhile."""
        over = asyncio.Event()
        killing = asyncio.create_task(self._kill_on(over))
        try:
            yield
        finally:
            # Whoever was killed last is started again first.
            over.set()
            await killing
            await self._attack(yes=False)

    async def _attack(self, *, yes: bool) -> None:
        """Have hostile peers, or none."""
        if yes is ("hostile" in self._players):
            return
        if yes:
            await self._play("hostile")
        else:
            hostile = self._players.pop("hostile")
            hostile.kill()
            await hostile.end()

    async def _kill_on(self, over: asyncio.Event) -> None:
        """One after the other is killed and started again, until it is over."""
        for who in itertools.cycle(one for one in ROUND if one == "node" or one in self._cast):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), self._beat)
            if over.is_set():
                return
            self._killed += 1
            if who == "node":
                self._other.kill()
                await self._other.end()
                self._other = await self._start_other()
                continue
            player = self._players[who]
            player.kill()
            await player.end()
            await self._play(who)

    # -- Figures -------------------------------------------------------------------------------------

    async def _rows(self, outcome: Outcome) -> None:
        fray: dict[str, list[int]] = {"bystanders": [], "elsewhere": []}
        calm: dict[str, list[int]] = {"bystanders": [], "elsewhere": []}
        number = 0
        while number * self._interval < self._seconds:
            number += 1
            hostile = number % CALM != 0
            changing = asyncio.create_task(self._attack(yes=hostile))
            trips = fray if hostile else calm
            outcome.rows.append(await self._measure(number * self._interval / 60, trips))
            await changing
        outcome.p99, outcome.elsewhere = (percentile(each, 0.99) for each in fray.values())
        outcome.calm, outcome.calm_elsewhere = (
            (percentile(each, 0.99) for each in calm.values())
            if number >= CALM
            else (outcome.quiet.p99, outcome.quiet.elsewhere)
        )

    async def _measure(
        self, minute: float, trips: dict[str, list[int]] | None = None, *, seconds: float | None = None
    ) -> Row:
        """The row of the interval that begins now."""
        books = self._books
        acknowledged, received, twice = books.acknowledged, books.received, len(books.twice)
        failed, killed, attacks = books.failures.total(), self._killed, books.hostile.total()
        await asyncio.sleep(self._interval if seconds is None else seconds)
        # What was acknowledged before the receivers are read, they have written down, or nearly.
        lost = len(books.lost()) if acknowledged else 0
        books.read()
        if lost:
            lost = len(books.lost())
        row = Row(
            minute,
            books.acknowledged - acknowledged,
            books.received - received,
            lost,
            len(books.twice) - twice,
            books.failures.total() - failed,
            self._killed - killed,
            books.hostile.total() - attacks,
            figures(self._node.pid),
            figures(self._other.pid),
            max(figures(self._players[one].pid)[0] for one in ("sink-a", "sink-b")),
            percentile(books.round_trips["bystanders"], 0.5),
            percentile(books.round_trips["bystanders"], 0.99),
            percentile(books.round_trips["elsewhere"], 0.99),
        )
        for who, each in (trips or {}).items():
            each += books.round_trips[who]
        books.round_trips.clear()
        self._say(str(row))
        return row

    async def _settle(self, outcome: Outcome) -> None:
        """Let the senders end, and what they sent arrive."""
        senders = {"sender-a", "sender-b", "client", "bystanders", "elsewhere"}.intersection(self._cast)
        await asyncio.gather(*(self._players[who].finish() for who in senders))
        books = self._books
        books.read()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END):
                while True:
                    books.read()
                    outcome.lost = books.lost()
                    if not outcome.lost:
                        break
                    await asyncio.sleep(0.5)
        outcome.twice = books.twice
        outcome.failures, outcome.attacks = dict(books.failures), dict(books.hostile)


async def soak(seconds: float, *, say=print, **options: Any) -> Outcome:
    """Run one, and print its table by `say`. The options are those of Soak."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        outcome = await Soak(Path(folder), seconds, say=say, **options).run()
    say(str(outcome))
    return outcome
