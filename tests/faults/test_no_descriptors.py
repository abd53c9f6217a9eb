"""A node without a descriptor left: who comes is turned away, the log stays short, and it recovers."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from contextlib import suppress

import pytest

from tests.gateway.http2.links import settled
from tests.interop.harness import CallboardNode
from tests.interop.raw import RawPeer
from tests.interop.test_hostile import needs_proc

PROGRAM = """
import sys
if sys.argv.pop(1) == "asyncio":
    sys.modules["uvloop"] = None
from gateway.cli.__main__ import main
main()
"""
ROOM = 10
COMERS = 300


class LeanNode(CallboardNode):
    """A node on a loop of choice."""

    def __init__(self, loop: str) -> None:
        super().__init__()
        self._command = (sys.executable, "-c", PROGRAM, loop, *self._command[1:])

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))


async def turned_away(port: int, held: list[asyncio.StreamWriter]) -> bool:
    """Whether a connection is closed without a word; one that is taken is held."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(10.0):
            greeted = bool(await reader.read(1))
    except ConnectionResetError:
        greeted = False
    if greeted:
        held.append(writer)
    else:
        writer.close()
    return not greeted


@needs_proc
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_connections_without_a_descriptor_are_refused_until_there_is_one(loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    held: list[asyncio.StreamWriter] = []
    async with LeanNode(loop) as node, RawPeer(node.address) as before:
        port = int(node.address.rpartition(":")[2])
        room = node.descriptors + ROOM
        _, hard = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (room, hard))
        async with asyncio.timeout(30.0):
            refused = await asyncio.gather(*(turned_away(port, held) for _ in range(COMERS)))
        assert len(held) <= ROOM
        assert sum(refused) >= COMERS - ROOM
        # Who was there is served as before.
        await before.settled()
        for writer in held:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        await settled(lambda: node.descriptors < room - ROOM // 2)
        async with RawPeer(node.address) as after:
            await after.settled()
        assert node.stderr.count("no descriptor is left") == 1
        assert len(node.stderr) < 1000, node.stderr
