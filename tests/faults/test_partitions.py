"""Two nodes, peers, and a bad network between them (`wire`), under load (`killing`): what comes of it.

    100 ms each way       everything arrives once, nobody is lost
    resets                the same
    nothing for 20 s      what was said then arrives once or is told as not acknowledged; nobody is lost,
                          since the applications bear 40 s (nodes need up to 10 s more to find back)

Alice is at the first node; bob, carol and dave are at the second.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.faults.killing import Kill, Server, talking
from tests.faults.wire import Wire
from tests.gateway.links.nats_server import free_port

pytestmark = [pytest.mark.long, pytest.mark.timeout(300), pytest.mark.xdist_group("kills")]


async def through(
    kind: str, *, delay: float = 0.0, silence: float = 0.0, rounds: int = 3, wait: float = 2.0
) -> list[str]:
    """Lines of figures; what must not be fails."""
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
        where = {"alice": first, "bob": second, "carol": second, "dave": second}
        talk = await stack.enter_async_context(talking(where, outage=2 * silence or None))

        async def begin() -> None:
            if silence:
                wire.cut()
                await asyncio.sleep(silence)
            elif not delay:
                wire.reset()

        fault = Kill(kind, begin, wire.heal)
        return await talk.through([fault], rounds=rounds, wait=wait, unacknowledged=bool(silence))


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
