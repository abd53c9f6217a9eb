"""A reliable group and a session, both with MLS, talking without pause while servers are killed (-9) in turn.

    async with talking(places) as talk:
        lines = await talk.through(kills, rounds=10, wait=3.0)

What was acknowledged has arrived, nothing arrives twice, and all members agree in the end.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import pairwise
from typing import NamedTuple, Self

from gateway import IdentityProvider, IdentityVerifier, Session, Slim, SlimError

SECRET = "a shared secret of enough bytes, for tests"
CHANNEL = "org/kills/stage"
PACE = 0.01
"""Seconds between two messages."""
LIMIT = 60.0
"""Seconds in which anything has to be done."""


class Server:
    """`callboard` with a subcommand, on addresses of its own: killed, and started again where it was."""

    def __init__(self, ready: str, *command: str) -> None:
        """`ready` stands in the line that it prints when it is there."""
        self._ready, self._command = ready.encode(), command
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> Self:
        """Returns when it is there."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.cli", *self._command,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert self._process.stdout is not None
        async with asyncio.timeout(LIMIT):
            line = await self._process.stdout.readline()
        assert self._ready in line, line
        return self

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
    """What is done to the network, and how it is undone; `hears` is the member of the group to look at."""

    what: str
    kill: Callable[[], object]
    restore: Callable[[], object]
    hears: str = "bob"


class Talk(NamedTuple):
    """Alice talks to the group of bob and carol, and to dave."""

    group: Session
    members: Mapping[str, Session]
    heard: Mapping[str, Heard]
    loads: tuple[Load, Load]

    async def through(
        self, kills: list[Kill], *, rounds: int, wait: float, unacknowledged: bool = False
    ) -> list[str]:
        """Kill each in turn, `rounds` times, under load; lines of figures.

        Where messages may go `unacknowledged`, their senders are told so.
        """
        running = [asyncio.create_task(load.run()) for load in self.loads]
        gaps: dict[str, list[float]] = {}
        for _ in range(rounds):
            for what, kill, restore, hears in kills:
                await asyncio.sleep(wait / 3)
                began = time.monotonic()
                for step in (kill, restore):
                    done = step()
                    if inspect.isawaitable(done):
                        await done
                await asyncio.sleep(wait)
                gaps.setdefault(what, []).append(self.heard[hears].gap(began))
                gaps.setdefault(f"{what}, point to point", []).append(self.heard["dave"].gap(began))
        for load in self.loads:
            load.stop.set()
        async with asyncio.timeout(LIMIT):
            await asyncio.gather(*running)
        self._check(unacknowledged=unacknowledged)
        total = " and ".join(f"{len(load.acknowledged)} (not {len(load.failed)})" for load in self.loads)
        return [
            f"{total} messages of the group and the pair acknowledged",
            *(_line(*each) for each in gaps.items()),
        ]

    def _check(self, *, unacknowledged: bool) -> None:
        """Everybody knows the same members, and all that was acknowledged is here, once."""
        ends = (self.group, self.members["bob"], self.members["carol"])
        names = [sorted(map(str, end.members)) for end in ends]
        assert names[0] == names[1] == names[2], [names, {who: one.gap(0) for who, one in self.heard.items()}]
        assert len(names[0]) == 3
        for name, load in (("bob", self.loads[0]), ("carol", self.loads[0]), ("dave", self.loads[1])):
            got = self.heard[name].payloads
            assert len(got) == len(set(got)), f"{name} got something twice"
            assert load.acknowledged <= set(got), f"{name} lost what was acknowledged"
            assert not load.failed or unacknowledged
            assert all("stop retrying" in why for why in load.failed.values())
            assert len(load.acknowledged) > 50


@asynccontextmanager
async def application(name: str, endpoint: str, outage: float | None = None) -> AsyncIterator[Slim]:
    text = f"org/kills/{name}"
    who = IdentityProvider.SharedSecret(text, SECRET), IdentityVerifier.SharedSecret(text, SECRET)
    async with Slim(text, *who, local_service=True, outage=outage) as app:
        await app.connect({"endpoint": f"http://{endpoint}", "tls": {"insecure": True}})
        yield app


async def _by_herself(alice: Slim) -> Session:
    return await alice.group(CHANNEL, ["org/kills/bob", "org/kills/carol"], mls=True)


@asynccontextmanager
async def talking(
    places: Mapping[str, str],
    gathering: Callable[[Slim], Awaitable[Session]] = _by_herself,
    *,
    outage: float | None = None,
) -> AsyncIterator[Talk]:
    """The applications alice, bob, carol and dave, at the nodes of these addresses, and their sessions.

    `gathering` brings alice to lead the group of bob and carol.
    """
    async with AsyncExitStack() as stack:
        apps = {
            name: await stack.enter_async_context(application(name, place, outage))
            for name, place in places.items()
        }
        alice, heard = apps["alice"], {name: Heard() for name in ("bob", "carol", "dave")}
        for name in heard:
            await alice.set_route(f"org/kills/{name}")
        coming = {name: asyncio.create_task(apps[name].listen_for_session(LIMIT)) for name in heard}
        async with asyncio.timeout(LIMIT):
            group = await gathering(alice)
            pair = await alice.session("org/kills/dave", mls=True)
            members = {name: await task for name, task in coming.items()}
        listening = [asyncio.create_task(heard[name].listen(members[name])) for name in heard]
        try:
            yield Talk(group, members, heard, (Load(group), Load(pair)))
        finally:
            for task in listening:
                task.cancel()
            await asyncio.gather(*listening, return_exceptions=True)
        with suppress(SlimError):
            await group.close()


def _line(what: str, gaps: list[float]) -> str:
    ordered = sorted(gaps)
    return f"{what}: silent for {ordered[len(ordered) // 2]:.2f} s (median), {ordered[-1]:.2f} s at most"
