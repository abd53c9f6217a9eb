"""Nodes and NATS servers that are killed (-9) under load (`killing`).

Three nodes on a cluster of two NATS servers: alice at the first, bob and dave at the second, carol at the
third.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.faults.killing import Kill, Server, talking
from tests.gateway.links.nats_server import cluster, free_port, needs_nats_server

pytestmark = [needs_nats_server, pytest.mark.xdist_group("kills")]


async def killed_in_turn(folder: Path, rounds: int, wait: float) -> list[str]:
    """Run the load, kill each in turn, `rounds` times; lines of figures."""
    async with AsyncExitStack() as stack:
        servers = await cluster(folder, 2)
        for server in servers:
            stack.callback(server.kill)
        urls = ",".join(server.url for server in servers)
        places = [f"127.0.0.1:{free_port()}" for _ in range(3)]
        start = ("start", "--insecure", "--backbone", urls, "--listen")
        nodes = [Server("listening", *start, place) for place in places]
        for node in nodes:
            stack.push_async_callback(node.kill)
        await asyncio.gather(*(node.start() for node in nodes))
        where = dict(zip(("alice", "bob", "dave", "carol"), (places[n] for n in (0, 1, 1, 2)), strict=True))
        talk = await stack.enter_async_context(talking(where))
        kills = [
            Kill("a NATS server", servers[0].kill, servers[0].start),
            Kill("the other NATS server", servers[1].kill, servers[1].start),
            Kill("carol's node", nodes[2].kill, nodes[2].start, "carol"),
        ]
        return await talk.through(kills, rounds=rounds, wait=wait)


async def test_nothing_acknowledged_is_lost_and_nothing_comes_twice(tmp_path: Path) -> None:
    await killed_in_turn(tmp_path, rounds=1, wait=0.6)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_ten_rounds_of_kills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = await killed_in_turn(tmp_path, rounds=10, wait=3.0)
    with capsys.disabled():
        print("", *lines, sep="\n")
