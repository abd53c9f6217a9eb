"""Two applications talk: one sends a message a number of times, the other answers each.

    python examples/point_to_point.py --local agntcy/demo/receiver
    python examples/point_to_point.py --local agntcy/demo/sender --remote agntcy/demo/receiver --message hello

With --remote and --message the program is the one that asks, otherwise the one that answers.
"""

from __future__ import annotations

import argparse
import asyncio

from common import application, name_of, parse, parser, run, session_config

from gateway import Request, Slim, SlimTimeout
from gateway.node.runner import until_stopped

ANSWER_WAIT = 5.0
"""Seconds for which an answer is waited for."""


async def ask(app: Slim, arguments: argparse.Namespace) -> None:
    """Send the message, once a second, and print the answers."""
    remote = name_of(arguments.remote, "--remote")
    await app.set_route(remote)
    session, established = await app.create_session(remote, session_config(arguments))
    await established
    async with session:
        for number in range(arguments.iterations):
            if number:
                await asyncio.sleep(arguments.interval)
            await session.publish(arguments.message.encode())
            print(f"sent {arguments.message!r} {number + 1}/{arguments.iterations}", flush=True)
            try:
                _, answer = await session.get_message(ANSWER_WAIT)
            except SlimTimeout:
                print("no answer", flush=True)
            else:
                print(f"received {answer.decode(errors='replace')!r}", flush=True)


async def answer(app: Slim) -> None:
    """Answer every message of every session that others open with us."""

    async def one(request: Request[bytes]) -> bytes:
        text = request.payload.decode(errors="replace")
        print(f"received {text!r} in session {request.session.id}", flush=True)
        return f"{text} from {app.id}".encode()

    print("waiting for a session", flush=True)
    await app.serve(one)


async def main() -> None:
    made = parser("Ask another application, or answer.")
    made.add_argument(
        "--message", metavar="TEXT", help="what to send; with --remote, makes us the asking side"
    )
    made.add_argument("--iterations", type=int, default=10, metavar="N", help="how often to send it (10)")
    made.add_argument(
        "--interval", type=float, default=1.0, metavar="SECONDS", help="between two of them (1)"
    )
    arguments = parse(made)
    async with application(arguments) as app:
        asking = arguments.remote and arguments.message
        await until_stopped(ask(app, arguments) if asking else answer(app))


if __name__ == "__main__":
    run(main)
