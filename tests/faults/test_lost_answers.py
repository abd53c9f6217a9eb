"""Acknowledged means delivered, on real processes: a node, two applications, and a line that loses answers.

The second of five messages is lost, so that the others are acknowledged behind a hole, and so are answers to
those who ask for it again. `tests/simulation/test_acknowledged.py` plays the rest on virtual time.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.proto import dataplane_pb2 as pb
from tests.interop.proxy import DROP, PASS, TO_APP, Fate, Passed, Proxy

MSG, RTX_REPLY = pb.SESSION_MESSAGE_TYPE_MSG, pb.SESSION_MESSAGE_TYPE_RTX_REPLY
PARTNER = str(Path(__file__).with_name("partner.py"))
ROOT = Path(__file__).resolve().parents[2]
WAIT = 30.0


class Process:
    """A process, and the lines that it prints."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def until(self, pattern: str) -> re.Match[str]:
        """Read on until a line matches."""
        assert self.process.stdout is not None
        async with asyncio.timeout(WAIT):
            while line := (await self.process.stdout.readline()).decode().rstrip("\n"):
                self.lines.append(line)
                if found := re.search(pattern, line):
                    return found
        raise AssertionError(f"no {pattern!r} in {self.lines}")

    @property
    def heard(self) -> list[str]:
        return [line.removeprefix("heard ") for line in self.lines if line.startswith("heard ")]


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[Process]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT, cwd=ROOT
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Losing:
    """Message 2, `copies` of it, and the first `replies` answers to who asks for it."""

    def __init__(self, copies: int, replies: int) -> None:
        self._left = {MSG: copies, RTX_REPLY: replies}

    def __call__(self, passed: Passed) -> Fate:
        if passed.direction is TO_APP and passed.id == 2 and self._left.get(passed.kind, 0):
            self._left[passed.kind] -= 1
            return DROP
        return PASS


@asynccontextmanager
async def stage(losing: Losing) -> AsyncIterator[tuple[Process, Process]]:
    """Who says and who hears; the latter is behind the line that loses."""
    async with running("-m", "gateway.cli", "start", "--listen", "127.0.0.1:0", "--insecure") as node:
        address = await node.until(r"127\.0\.0\.1:[1-9]\d*")
        endpoint = f"http://{address.group()}"
        async with (
            Proxy(endpoint, losing) as proxy,
            running(PARTNER, "hear", "org/demo/bob", proxy.endpoint) as bob,
        ):
            await bob.until("listening")
            async with running(PARTNER, "say", "org/demo/alice", endpoint, "org/demo/bob") as alice:
                yield alice, bob


async def test_one_lost_answer_before_a_session_closes_loses_nothing() -> None:
    async with stage(Losing(copies=1, replies=1)) as (alice, bob):
        await alice.until("said")
        assert alice.process.stdin is not None
        alice.process.stdin.write(b"\n")
        await alice.until("closed")
        await bob.until("over")
        said = {line for line in alice.lines if line[0] in "af"}
        assert said == {f"acknowledged {number}" for number in range(1, 6)}
        assert bob.heard == ["1", "2", "3", "4", "5"]


async def test_what_was_acknowledged_is_delivered_when_its_sender_dies() -> None:
    async with stage(Losing(copies=1000, replies=1000)) as (alice, bob):
        for _ in range(4):
            await alice.until("acknowledged")
        alice.process.kill()
        await bob.until("over")
        assert "acknowledged 2" not in alice.lines
        assert bob.heard == ["1", "lost", "3", "4", "5"]
