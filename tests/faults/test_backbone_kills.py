"""Nodes and NATS servers that are killed (-9) under load: nothing acknowledged is lost, nothing comes twice.

Three nodes, processes of `callboard start --backbone`, on a cluster of two NATS servers; applications in this
process, each connected to one node: alice leads a group with bob and carol, and has a session with dave, all
reliable and encrypted. Bob and dave are at the second node, carol at the third.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway import IdentityProvider, IdentityVerifier, Session, Slim, SlimError
from tests.gateway.links.nats_server import NatsServer, cluster, free_port, needs_nats_server

pytestmark = [needs_nats_server, pytest.mark.xdist_group("kills")]
SECRET = "a shared secret of at least thirty-two bytes"
CHANNEL = "org/kills/channel"
PACE = 0.01
"""Seconds between two messages."""


class NodeProcess:
    """A node that may be killed, and started again where it was."""

    def __init__(self, servers: list[NatsServer]) -> None:
        self.endpoint = f"127.0.0.1:{free_port()}"
        self._urls = ",".join(server.url for server in servers)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns when it listens and is on the backbone."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.cli", "start", "--insecure", "--listen", self.endpoint,
            "--backbone", self._urls,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            assert b"listening" in await self._process.stdout.readline()

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None


class Heard:
    """What a member got, and when."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.times: list[float] = []

    async def listen(self, session: Session) -> None:
        async for message in session:
            self.payloads.append(message.payload)
            self.times.append(time.monotonic())

    def gap(self, after: float) -> float:
        """The longest silence that began behind a moment, or just before it."""
        times = [at for at in self.times if at > after - 0.5]
        return max((later - earlier for earlier, later in pairwise(times)), default=0.0)


class Load:
    """Publishes until told to stop, and knows what was acknowledged."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.acknowledged: set[bytes] = set()
        self.failed: dict[bytes, str] = {}
        self.stop = asyncio.Event()

    async def run(self) -> None:
        number, waiting = 0, set[asyncio.Task[None]]()
        while not self.stop.is_set():
            payload = b"%d" % number
            number += 1
            waiting.add(asyncio.create_task(self._said(payload)))
            await asyncio.sleep(PACE)
        await asyncio.gather(*waiting)

    async def _said(self, payload: bytes) -> None:
        try:
            await (await self._session.publish(payload))
        except SlimError as error:
            self.failed[payload] = str(error)
        else:
            self.acknowledged.add(payload)


class Kill(NamedTuple):
    """What is done to the network, and how it is undone."""

    what: str
    kill: Callable[[], object]
    restore: Callable[[], object]


@asynccontextmanager
async def application(name: str, node: NodeProcess) -> AsyncIterator[Slim]:
    text = f"org/kills/{name}"
    provider = IdentityProvider.SharedSecret(text, SECRET)
    async with Slim(text, provider, IdentityVerifier.SharedSecret(text, SECRET), local_service=True) as app:
        await app.connect({"endpoint": f"http://{node.endpoint}", "tls": {"insecure": True}})
        yield app


async def invited(app: Slim) -> Session:
    return await app.listen_for_session()


async def killed_in_turn(folder: Path, rounds: int, wait: float) -> list[str]:
    """Run the load, kill each in turn, `rounds` times; lines of figures."""
    async with AsyncExitStack() as stack:
        servers = await cluster(folder, 2)
        for server in servers:
            stack.callback(server.kill)
        nodes = [NodeProcess(servers) for _ in range(3)]
        for node in nodes:
            stack.push_async_callback(node.kill)
        await asyncio.gather(*(node.start() for node in nodes))
        places = {"alice": 0, "bob": 1, "dave": 1, "carol": 2}
        apps = {
            name: await stack.enter_async_context(application(name, nodes[place]))
            for name, place in places.items()
        }
        alice, heard = apps["alice"], {name: Heard() for name in ("bob", "carol", "dave")}
        for name in heard:
            await alice.set_route(f"org/kills/{name}")
        coming = {name: asyncio.create_task(invited(apps[name])) for name in heard}
        async with asyncio.timeout(60):
            group = await alice.group(CHANNEL, ["org/kills/bob", "org/kills/carol"], mls=True)
            pair = await alice.session("org/kills/dave", mls=True)
            sessions = {name: await task for name, task in coming.items()}
        listening = [asyncio.create_task(heard[name].listen(sessions[name])) for name in heard]
        loads = [Load(group), Load(pair)]
        running = [asyncio.create_task(load.run()) for load in loads]
        kills = [
            Kill("a NATS server", servers[0].kill, servers[0].start),
            Kill("the other NATS server", servers[1].kill, servers[1].start),
            Kill("carol's node", nodes[2].kill, nodes[2].start),
        ]
        gaps: dict[str, list[float]] = {}
        for _ in range(rounds):
            for what, kill, restore in kills:
                await asyncio.sleep(wait / 3)
                began = time.monotonic()
                for step in (kill, restore):
                    done = step()
                    if asyncio.iscoroutine(done):
                        await done
                await asyncio.sleep(wait)
                who = heard["carol"] if "carol" in what else heard["bob"]
                gaps.setdefault(what, []).append(who.gap(began))
                gaps.setdefault(f"{what}, point to point", []).append(heard["dave"].gap(began))
        for load in loads:
            load.stop.set()
        async with asyncio.timeout(60):
            await asyncio.gather(*running)
            # Everybody knows the same members, and all that was acknowledged is here.
            names = [sorted(map(str, each.members)) for each in (group, sessions["bob"], sessions["carol"])]
            assert names[0] == names[1] == names[2]
            assert len(names[0]) == 3
        for name, load in (("bob", loads[0]), ("carol", loads[0]), ("dave", loads[1])):
            got = heard[name].payloads
            assert len(got) == len(set(got)), f"{name} got something twice"
            assert load.acknowledged <= set(got), f"{name} lost what was acknowledged"
            assert not load.failed
            assert len(load.acknowledged) > 50
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
        with suppress(SlimError):
            await group.close()
        total = (
            f"{len(loads[0].acknowledged)} messages of the group, {len(loads[1].acknowledged)} of the pair"
        )
        return [total, *(_line(what, found) for what, found in gaps.items())]


def _line(what: str, gaps: list[float]) -> str:
    ordered = sorted(gaps)
    return f"{what}: silent for {ordered[len(ordered) // 2]:.2f} s (median), {ordered[-1]:.2f} s at most"


async def test_nothing_acknowledged_is_lost_and_nothing_comes_twice(tmp_path: Path) -> None:
    await killed_in_turn(tmp_path, rounds=1, wait=0.6)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_ten_rounds_of_kills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = await killed_in_turn(tmp_path, rounds=10, wait=3.0)
    with capsys.disabled():
        print("", *lines, sep="\n")
