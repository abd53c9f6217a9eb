"""Example programs as processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0


class Program:
    """A running program whose lines are awaited."""

    def __init__(self, process: asyncio.subprocess.Process, label: str) -> None:
        self.process, self.label = process, label
        self.lines: list[str] = []

    async def says(self, text: str) -> str:
        """Wait for a line that holds `text`, and return it."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while raw := await self.process.stdout.readline():
                line = raw.decode().rstrip("\n")
                self.lines.append(line)
                if text in line:
                    return line
        raise AssertionError(f"{self.label} ended without saying {text!r}: {self.lines}")

    async def type(self, line: str) -> None:
        """Type one line."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        await self.process.stdin.drain()

    async def ended(self) -> tuple[int, str]:
        """Wait for its end; the exit code and the rest of what it said, errors included."""
        async with asyncio.timeout(PATIENCE):
            rest, errors = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, rest.decode() + errors.decode()


@asynccontextmanager
async def program(name: str, *flags: str, **environ: str) -> AsyncIterator[Program]:
    """`examples/NAME` with these flags and environment variables; killed when the block is left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "examples" / name),
        *flags,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environ},
    )
    try:
        yield Program(process, name)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
