"""`callboard demo`: a node and four applications, each in its own process, talk over real connections.

A group is opened, talks, loses a member by removal and one by leaving, and is closed; then two applications
talk point to point. What happens is printed as a transcript, with a summary.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import statistics
import time
from pathlib import Path

from gateway.cli import network
from gateway.cli.director import DemoFailed, Director, Process, Transcript
from gateway.config import TRANSPORTS
from gateway.node.runner import run as run_loop

PLAYERS = ("ada", "ben", "cleo", "dan")
ROUND_TRIPS = 20


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = commands.add_parser(
        "demo",
        description="Start a node and four applications, each in its own process, and print what happens; "
        "or, with `network`, the processes of a Procfile and an application that is a node among them.",
    )
    command.add_argument("what", nargs="?", choices=("node", "network"), default="node", help="default: node")
    command.add_argument("--file", default="Procfile", metavar="FILE", help="network: its Procfile")
    command.add_argument("--transport", choices=TRANSPORTS, help="what carries the node's streams")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.what == "network":
        return run_loop(network.play(Path(arguments.file)))
    return run_loop(play(arguments.transport))


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
