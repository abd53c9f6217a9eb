"""Two nodes, peers, and a bad network between them (`wire`), under load (`killing`): what comes of it.

    100 ms each way       everything arrives once, nobody is lost
    resets                the same
    nothing for 20 s      what was said then arrives once or is told as not acknowledged; nobody is lost:
                          nodes find back within 7 s, and members bear 29 s
    nothing for 45 s      everybody beyond the cut is lost, and all ends agree on it; who is invited again
                          is in

Alice is at the first node; bob, carol and dave are at the second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from gateway import Session
from tests.faults.killing import CHANNEL, LIMIT, Kill, Server, application, talking
from tests.faults.wire import Wire
from tests.gateway.links.nats_server import free_port

pytestmark = [pytest.mark.long, pytest.mark.timeout(300), pytest.mark.xdist_group("kills")]


FOUND_BACK = 27.0
"""Seconds for which nothing may arrive where nothing passed for 20 s."""


@asynccontextmanager
async def two_nodes(delay: float = 0.0) -> AsyncIterator[tuple[Wire, dict[str, str]]]:
    """The wire between two nodes, and at which of them everybody is."""
    async with AsyncExitStack() as stack:
        second = f"127.0.0.1:{free_port()}"
        first = f"127.0.0.1:{free_port()}"
        wire = await stack.enter_async_context(Wire(second, delay=delay))
        start = ("start", "--insecure", "--listen")
        nodes = [
            Server("listening", *start, second, "--node-id", "node-1"),
            Server("listening", *start, first, "--node-id", "node-0", "--peer", wire.address),
        ]
        for node in nodes:
            stack.push_async_callback(node.kill)
            await node.start()
        yield wire, {"alice": first, "bob": second, "carol": second, "dave": second}


async def through(
    kind: str, *, delay: float = 0.0, silence: float = 0.0, rounds: int = 3, wait: float = 2.0
) -> list[str]:
    """Lines of figures; what must not be fails."""
    async with two_nodes(delay) as (wire, where), talking(where) as talk:

        async def begin() -> None:
            if silence:
                wire.cut()
                await asyncio.sleep(silence)
            elif not delay:
                wire.reset()

        fault = Kill(kind, begin, wire.heal)
        lines = await talk.through([fault], rounds=rounds, wait=wait, unacknowledged=bool(silence))
        assert not silence or max(one.gap(0.0) for one in talk.heard.values()) < FOUND_BACK, lines
        return lines


async def test_a_slow_network(capsys: pytest.CaptureFixture[str]) -> None:
    lines = await through("100 ms each way", delay=0.1)
    with capsys.disabled():
        print("", *lines, sep="\n")


async def test_resets(capsys: pytest.CaptureFixture[str]) -> None:
    lines = await through("resets", rounds=10, wait=1.0)
    with capsys.disabled():
        print("", *lines, sep="\n")


async def test_a_partition(capsys: pytest.CaptureFixture[str]) -> None:
    lines = await through("nothing for 20 s", silence=20.0, rounds=1, wait=20.0)
    with capsys.disabled():
        print("", *lines, sep="\n")


async def test_a_long_partition(capsys: pytest.CaptureFixture[str]) -> None:
    """Longer than anybody bears: all ends agree on who is gone, and who is invited again is in.

    Erin is with alice, so that a group is left on her side of the cut.
    """
    async with two_nodes() as (wire, where), AsyncExitStack() as stack:
        places = {**where, "erin": where["alice"]}
        apps = {
            name: await stack.enter_async_context(application(name, place)) for name, place in places.items()
        }
        alice, far = apps["alice"], ("bob", "carol")
        for name in (*far, "dave", "erin"):
            await alice.set_route(f"org/kills/{name}")

        def called(*names: str) -> list[asyncio.Task[Session]]:
            return [asyncio.create_task(apps[name].listen_for_session(LIMIT)) for name in names]

        coming = called(*far, "dave", "erin")
        async with asyncio.timeout(LIMIT):
            group = await alice.group(CHANNEL, [f"org/kills/{name}" for name in (*far, "erin")], mls=True)
            pair = await alice.session("org/kills/dave", mls=True)
            *former, erin = [await each for each in coming]
        wire.cut()
        await asyncio.sleep(45.0)
        wire.heal()
        healed = time.monotonic()
        async with asyncio.timeout(LIMIT):
            while not (_agree(2, group, erin) and all(each.over for each in (*former, pair))):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        agreed = time.monotonic() - healed
        coming = called(*far, "dave")
        async with asyncio.timeout(LIMIT):
            for name in far:
                await (await group.invite(f"org/kills/{name}"))
            pair = await alice.session("org/kills/dave", mls=True)
            *members, dave = [await each for each in coming]
            await (await group.publish(b"again"))
            await (await pair.publish(b"again"))
            for member in (*members, dave, erin):
                assert (await anext(member)).payload == b"again"
        assert _agree(4, group, erin, *members), [end.members for end in (group, erin, *members)]
        with capsys.disabled():
            print(f"\nnothing for 45 s: all agree {agreed:.1f} s afterwards")


def _agree(size: int, *ends: Session) -> bool:
    """Whether all ends know the same members, so many."""
    names = [sorted(map(str, end.members)) for end in ends]
    return len(names[0]) == size and all(one == names[0] for one in names)
