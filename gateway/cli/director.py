"""What the demos are directed with: processes and their lines, orders and reports, a transcript."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

from gateway.telemetry.log import may_colour
from identity.errors import SlimError

COLOURS = {"ada": 35, "ben": 36, "cleo": 33, "dan": 32, "node": 34}
LIMIT = 20.0
"""Seconds that any single step may take."""


class DemoFailed(SlimError):
    """A step of the demo did not happen."""


class Transcript:
    """Prints what happens; in colour on a terminal that may have it."""

    def __init__(self) -> None:
        self._colour = may_colour(sys.stdout)
        self._started = time.monotonic()

    def scene(self, title: str) -> None:
        print(f"\n{self._paint(title, '1')}", flush=True)

    def line(self, who: str, text: str) -> None:
        at = f"{time.monotonic() - self._started:6.2f}s"
        name = self._paint(f"{who:<5}", str(COLOURS.get(who, 0)))
        print(f"{self._paint(at, '2')}  {name} {text}", flush=True)

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


class Process:
    """A process of the demo, its lines of output as they come."""

    def __init__(self, who: str, process: asyncio.subprocess.Process) -> None:
        self.who = who
        self.process = process

    @classmethod
    async def start(cls, who: str, *arguments: str, **environ: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "GRPC_VERBOSITY": "NONE", **environ},
        )
        return cls(who, process)

    async def read_line(self) -> str:
        assert self.process.stdout is not None
        try:
            line = await asyncio.wait_for(self.process.stdout.readline(), LIMIT)
        except TimeoutError as exc:
            raise DemoFailed(f"{self.who} reported nothing for {LIMIT:.0f} seconds") from exc
        if not line:
            raise DemoFailed(f"{self.who} ended too early, exit code {await self.process.wait()}")
        return line.decode().strip()

    def write_line(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode() + b"\n")

    async def end(self) -> int:
        """Close its input (a player then leaves by itself), terminate it if that does not do."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        if self.who in ("node", "up"):
            self.process.terminate()
        try:
            return await asyncio.wait_for(self.process.wait(), LIMIT)
        except TimeoutError:
            self.process.kill()
            return await self.process.wait()


class Director:
    """Gives orders, waits until what they should cause has been reported by everybody concerned."""

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        self.cast: dict[str, Process] = {}
        self.sent = self.delivered = self.acknowledged = 0

    async def order(self, who: str, do: str, **more: Any) -> dict[str, Any]:
        """Have a player do something; returns its report when it is done."""
        self.cast[who].write_line(json.dumps({"do": do, **more}))
        return await self.expect(who, "done")

    async def expect(self, who: str, event: str) -> dict[str, Any]:
        """The player's next report of that kind; others are printed on the way."""
        while True:
            report: dict[str, Any] = json.loads(await self.cast[who].read_line())
            self._show(report)
            if report["event"] == event:
                return report
            if report["event"] == "failed":
                raise DemoFailed(f"{who}: {report['why']}")

    async def say(self, who: str, text: str, audience: tuple[str, ...]) -> None:
        """A line that everybody in `audience` must hear."""
        self._transcript.line(who, f"says: {text}")
        self.sent += 1
        await self.order(who, "say", text=text)
        self.acknowledged += 1
        for listener in audience:
            report = await self.expect(listener, "heard")
            if (report["source"], report["text"]) != (who, text):
                raise DemoFailed(f"{listener} heard something else: {report['text']}")

    def _show(self, report: dict[str, Any]) -> None:
        who = report["who"]
        match report["event"]:
            case "heard":
                self.delivered += 1
                self._transcript.line(who, f"hears {report['source']}: {report['text']}")
            case "joined":
                self._transcript.line(who, "has joined")
            case "ended":
                self._transcript.line(who, f"is out: {report['why']}")
            case "trouble":
                self._transcript.line(who, f"is told: {report['why']}")
