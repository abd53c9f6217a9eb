"""An order service whose clients are killed at random, over nodes that are killed and drained.

Nothing that was confirmed to a client is lost, and the service goes on serving.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.harness import CallboardNode
from tests.test_floors import ROOT

SEED = 13
WAIT = 60.0
FORMS = [pytest.param(1.0, id="short"), pytest.param(60.0, id="long", marks=pytest.mark.long)]


async def program(role: str, name: str, file: Path, nodes: list[str]) -> asyncio.subprocess.Process:
    made = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.faults.order_programs", role, name, str(file), *nodes),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert made.stdout is not None
    try:
        async with asyncio.timeout(WAIT):
            assert await made.stdout.readline() == b"ready\n"
    except BaseException:
        # Whoever gave up waiting has nothing yet to end it by.
        await end(made)
        raise
    return made


async def end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


class Peers:
    """Two nodes that are peers, and end with the block."""

    def __init__(self) -> None:
        self._held = contextlib.AsyncExitStack()
        self._nodes: list[CallboardNode] = []

    async def __aenter__(self) -> Peers:
        async with contextlib.AsyncExitStack() as held:
            first = await held.enter_async_context(CallboardNode())
            second = await held.enter_async_context(CallboardNode(0, "--peer", first.endpoint))
            self._nodes = [first, second]
            self._held = held.pop_all()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._held.__aexit__(*error)

    @property
    def endpoints(self) -> list[str]:
        return [node.endpoint for node in self._nodes]

    async def kill(self, which: int) -> None:
        process = self._nodes[which].process
        process.kill()
        await process.wait()

    async def drain(self, which: int) -> None:
        """Tell it to end, as a rolling restart does."""
        process = self._nodes[which].process
        process.terminate()
        async with asyncio.timeout(WAIT):
            assert await process.wait() == 0

    async def start_again(self, which: int) -> None:
        """Where it was."""
        port = int(self._nodes[which].endpoint.rpartition(":")[2])
        other = self._nodes[1 - which].endpoint
        self._nodes[which] = await self._held.enter_async_context(CallboardNode(port, "--peer", other))


class Shop:
    """The service, two clients, and what each has written down.

    Where `killing`, the clients are killed and come again; else they stay, whatever the nodes do.
    """

    def __init__(self, folder: Path, nodes: list[str], *, killing: bool = True) -> None:
        self._killing = killing
        self.book = folder / "book"
        self._clients = [folder / "ann", folder / "ben"]
        self._nodes = nodes
        self._random = random.Random(SEED)
        self.kills = 0
        self.killed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        service = await program("serve", "orders", self.book, self._nodes)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._come_and_go(file)) for file in self._clients]
                try:
                    yield
                finally:
                    for task in tasks:
                        task.cancel()
            assert service.returncode is None
            await self._one_more()
        finally:
            await end(service)

    async def _come_and_go(self, file: Path) -> None:
        while True:
            client = await program("buy", file.name, file, self._nodes)
            try:
                if not self._killing:
                    raise AssertionError(f"a client ended by itself, with {await client.wait()}")
                await asyncio.sleep(self._random.uniform(0.2, 1.5))
            finally:
                await end(client)
            self.kills += 1
            self.killed.set()

    async def _one_more(self) -> None:
        """Who comes when all is over is served."""
        last = self.book.with_name("zoe")
        client = await program("buy", "zoe", last, self._nodes)
        try:
            await self.until(last, 1)
        finally:
            await end(client)

    async def until(self, file: Path, lines: int) -> None:
        async with asyncio.timeout(WAIT):
            while not file.exists() or file.read_text().count("\n") < lines:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    def confirmed(self) -> set[str]:
        """What clients were told is ordered; a line that was cut off by a kill is none."""
        files = [file for file in (*self._clients, self.book.with_name("zoe")) if file.exists()]
        return {line[:-1] for file in files for line in file.open() if line.endswith("\n")}

    def ordered(self) -> list[str]:
        return self.book.read_text().splitlines()

    def report(self, what: str) -> None:
        confirmed, ordered = self.confirmed(), self.ordered()
        print(f"{what}: {self.kills} kills, {len(ordered)} orders, {len(confirmed)} confirmed")
        assert self.kills >= 1 or not self._killing
        assert confirmed
        assert not confirmed - set(ordered)
        assert len(ordered) == len(set(ordered))


@pytest.mark.parametrize("seconds", FORMS)
async def test_nothing_confirmed_is_lost_when_clients_are_killed_at_random(
    seconds: float, tmp_path: Path
) -> None:
    async with CallboardNode() as node:
        shop = Shop(tmp_path, [node.endpoint])
        async with shop.open():
            await asyncio.sleep(seconds)
            async with asyncio.timeout(WAIT):
                await shop.killed.wait()
    shop.report("clients killed")


@pytest.mark.long
@pytest.mark.parametrize("seconds", [3.0, 60.0])
async def test_nothing_confirmed_is_lost_when_one_node_is_killed_and_one_drained(
    seconds: float, tmp_path: Path
) -> None:
    async with Peers() as nodes:
        shop = Shop(tmp_path, nodes.endpoints)
        async with shop.open():
            await asyncio.sleep(seconds / 3)
            await nodes.kill(0)
            await shop.until(shop.book, len(shop.ordered()) + 10)
            await nodes.start_again(0)
            await asyncio.sleep(seconds / 3)
            await nodes.drain(1)
            await shop.until(shop.book, len(shop.ordered()) + 10)
            await asyncio.sleep(seconds / 3)
    shop.report("a node killed, a node drained")


@pytest.mark.long
@pytest.mark.parametrize("rounds", [1, 10])
async def test_nothing_confirmed_is_lost_when_two_nodes_are_restarted_in_turn(
    rounds: int, tmp_path: Path
) -> None:
    async with Peers() as nodes:
        shop = Shop(tmp_path, nodes.endpoints, killing=False)
        async with shop.open():
            await shop.until(shop.book, 10)
            for _ in range(rounds):
                for which in (0, 1):
                    await nodes.drain(which)
                    await nodes.start_again(which)
                    await shop.until(shop.book, len(shop.ordered()) + 10)
    shop.report("nodes restarted in turn")
