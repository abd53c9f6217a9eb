"""A group led by a script: an actor that decides, by messages alone, who is in.

    python examples/scripted_moderator.py
    python examples/scripted_moderator.py --guests ann,bob,cleo --forbidden macbeth

The moderator (`group_actors.py`) is an ordinary Thespian actor. It admits its guests one by one, removes
whoever says the forbidden word, reports what happens, and closes the group when one guest at most is left. A
second actor watches who is in. The guests are stand-ins in this process; through a node they may be anywhere,
and nothing in the actors changes.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
from collections import deque

from common import name_of, run
from group_actors import Begin, Follow, Moderator, Report, Watcher

from gateway import IdentityProvider, IdentityVerifier, Name, Slim

LIMIT = 20.0
"""Seconds that the whole evening may take."""


def application(text: str, secret: str) -> Slim:
    """An application of this process."""
    name = name_of(f"callboard/house/{text}", "--guests")
    pair = IdentityProvider.SharedSecret(text, secret), IdentityVerifier.SharedSecret(text, secret)
    return Slim(name, *pair)


async def guest(app: Slim, lines: asyncio.Queue[str]) -> None:
    """A stand-in: joins, and says what it is told to say."""
    session = await app.listen_for_session()
    while True:
        await (await session.publish((await lines.get()).encode()))


async def evening(guests: list[str], forbidden: str) -> None:
    """Open the house, let each guest say something, and the first of them the forbidden word."""
    secret = secrets.token_urlsafe(32)
    reports: asyncio.Queue[Report] = asyncio.Queue()
    async with asyncio.timeout(LIMIT), application("moderator", secret) as house:
        system = house.data_plane.system
        apps = {name: application(name, secret) for name in guests}
        lines: dict[str, asyncio.Queue[str]] = {name: asyncio.Queue() for name in guests}
        talking = [asyncio.create_task(guest(app, lines[name])) for name, app in apps.items()]
        begin = Begin(
            house.actor,
            Name.parse("callboard/house/stage"),
            tuple(app.local_name.without_id() for app in apps.values()),
            forbidden,
        )
        # The reports go to whoever sent the first message.
        reader = system.inbox(lambda report, _: reports.put_nowait(report))
        system.tell(system.spawn(Moderator), begin, reader)
        script = deque(
            [*((name, "good evening") for name in guests), *((n, f"{forbidden}!") for n in guests)]
        )
        joined = 0
        watcher = system.spawn(Watcher)
        seen = system.inbox(lambda report, _: print(report.text, flush=True))
        while not (report := await reports.get()).over:
            print(report.text, flush=True)
            if report.session is not None and watcher is not None:
                system.tell(watcher, Follow(report.session), seen)
                watcher = None
            joined += report.text.endswith("has joined")
            # A line at a time, each answered by a report, once everybody is there.
            if script and joined == len(guests) and not report.text.endswith(f"{forbidden}!"):
                name, line = script.popleft()
                lines[name].put_nowait(line)
        print(report.text)
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
        for app in apps.values():
            await app.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description="A group led by a script.")
    parser.add_argument("--guests", default="ann,bob,cleo", metavar="A,B,...", help="who is admitted")
    parser.add_argument("--forbidden", default="macbeth", metavar="WORD", help="who says it is removed")
    arguments = parser.parse_args()
    # Each guest once.
    await evening(list(dict.fromkeys(arguments.guests.split(","))), arguments.forbidden)


if __name__ == "__main__":
    run(main)
