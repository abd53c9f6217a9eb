"""`callboard demo`: a node and four applications, each in its own process, talk over real connections.

A group is opened, talks, loses a member by removal and one by leaving, and is closed; then two applications
talk point to point. What happens is printed as a transcript, with a summary.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import statistics
import sys
import time
from typing import Any

from gateway.config import TRANSPORTS
from gateway.node.runner import run as run_loop
from gateway.telemetry.log import may_colour
from identity.errors import SlimError

PLAYERS = ("ada", "ben", "cleo", "dan")
COLOURS = {"ada": 35, "ben": 36, "cleo": 33, "dan": 32, "node": 34}
ROUND_TRIPS = 20
LIMIT = 20.0
"""Seconds that any single step may take."""


class DemoFailed(SlimError):
    """A step of the demo did not happen."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = commands.add_parser(
        "demo",
        help="watch a node and four applications talk",
        description="Start a node and four applications, each in its own process, and print what happens.",
    )
    command.add_argument("--transport", choices=TRANSPORTS, help="what carries the node's streams")
    command.set_defaults(run=lambda arguments: run_loop(play(arguments.transport)))


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
    async def start(cls, who: str, *arguments: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "GRPC_VERBOSITY": "NONE"},
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
        if self.who == "node":
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


async def play(transport: str | None = None) -> int:
    """The whole demo. Raises DemoFailed at the first step that does not happen."""
    transcript = Transcript()
    director = Director(transcript)
    started = time.monotonic()
    listen = ["gateway.cli", "start", "--insecure", "--listen", "127.0.0.1:0"]
    node = await Process.start("node", *listen, *(["--transport", transport] if transport else []))
    everybody = [node]
    try:
        transcript.scene("A node, and four applications, each in its own process")
        address = (await node.read_line()).removeprefix("listening on ")
        transcript.line("node", f"listens on {address}")
        secret = secrets.token_urlsafe(32)
        for who in PLAYERS:
            director.cast[who] = await Process.start(who, "gateway.cli.cast", who, f"http://{address}")
            director.cast[who].write_line(secret)
            everybody.append(director.cast[who])
        for who in PLAYERS:
            await director.expect(who, "ready")
            transcript.line(who, f"is connected as callboard/demo/{who}")
        times = await _scenes(director, transcript)
    finally:
        codes = await asyncio.gather(*(process.end() for process in everybody[1:]))
        codes.append(await node.end())
    if any(codes):
        raise DemoFailed(f"exit codes {codes}")
    median = statistics.median(times) * 1000
    transcript.scene(
        f"{director.sent} messages sent, {director.delivered} delivered, "
        f"{director.acknowledged} acknowledged; "
        f"median round trip {median:.2f} ms; {time.monotonic() - started:.1f} s in all"
    )
    return 0


async def _scenes(director: Director, transcript: Transcript) -> list[float]:
    """What is played. Returns round-trip times in seconds."""
    transcript.scene("A group: ada opens it and invites the others")
    await director.order("ada", "open")
    for who in ("ben", "cleo", "dan"):
        await director.order("ada", "invite", whom=who)
        await director.expect(who, "joined")

    transcript.scene("Everybody hears everybody")
    await director.say("ada", "places, please", ("ben", "cleo", "dan"))
    await director.say("ben", "the house is full", ("ada", "cleo", "dan"))
    await director.say("dan", "I have lost my cue", ("ada", "ben", "cleo"))

    transcript.scene("ada removes dan; who is out hears nothing more")
    await director.order("ada", "remove", whom="dan")
    await director.expect("dan", "ended")
    await director.say("cleo", "shall we begin?", ("ada", "ben"))

    transcript.scene("cleo leaves by herself")
    await director.order("cleo", "leave")
    transcript.line("cleo", "has left")
    await director.expect("ada", "trouble")
    await director.say("ben", "then it is the two of us", ("ada",))

    transcript.scene("ada closes the group for all")
    await director.order("ada", "close")
    await director.expect("ada", "ended")
    await director.expect("ben", "ended")

    transcript.scene("Point to point: ada asks, ben answers")
    report = await director.order("ada", "ask", whom="ben", count=ROUND_TRIPS)
    times: list[float] = report["times"]
    director.sent += 2 * len(times)
    director.delivered += 2 * len(times) - 1
    director.acknowledged += 2 * len(times)
    transcript.line("ada", f"got {len(times)} answers")
    return times
