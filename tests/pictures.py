"""Pictures of a node's page for docs/: `python -m tests.pictures`, on a machine with Chromium.

A node in a process of its own, 1,000 connections of one application each, in 200 groups of five whose
moderators say something four times a second; what is seen then, wide and narrow, light and dark, and what
`callboard status` prints.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack, suppress

import gateway
from tests.gateway.admin.browser import Tab, browser_tab
from tests.gateway.app_stage import connected
from tests.gateway.cli.processes import CALLBOARD, ROOT, free_addresses, running

FOLDER = ROOT / "docs" / "pictures"
MEMBERS = 5
PAUSE = 0.25
"""Seconds between two messages of a moderator."""
PATIENCE = 300.0
PICTURES = (
    ("overview-light", "overview", 1200, 820, False),
    ("overview-dark", "overview", 1200, 820, True),
    ("connections-light", "connections", 1200, 700, False),
    ("groups-dark", "groups", 1200, 700, True),
    ("explain-light", "explain?from=org/load/app-0&to=org/load/nobody", 1200, 480, False),
    ("overview-narrow", "overview", 390, 800, False),
    ("connections-narrow", "connections", 390, 800, True),
)


async def talk(session: gateway.Session) -> None:
    """Say something, over and over."""
    with suppress(gateway.SlimError):
        while True:
            await session.publish(b"x" * 256)
            await asyncio.sleep(PAUSE)


async def hear(slim: gateway.Slim) -> None:
    """Take whatever comes of one session."""
    with suppress(gateway.SlimError):
        async for _ in await slim.listen_for_session():
            pass


async def load(held: AsyncExitStack, endpoint: str, connections: int) -> None:
    """All applications, in their groups, talking."""
    slims: list[gateway.Slim] = []
    for first in range(0, connections, 50):
        numbers = range(first, min(first + 50, connections))
        opening = (held.enter_async_context(connected(f"org/load/app-{one}", endpoint)) for one in numbers)
        slims += await asyncio.gather(*opening)
    tasks: list[asyncio.Task[None]] = []

    async def stop() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    held.push_async_callback(stop)
    for number in range(connections // MEMBERS):
        moderator, *members = slims[number * MEMBERS : (number + 1) * MEMBERS]
        tasks += [asyncio.create_task(hear(member)) for member in members]
        channel = gateway.Name("org", "load", f"group-{number}")
        session = await moderator.create_session(channel, gateway.SessionConfiguration.Group())
        for offset in range(1, MEMBERS):
            name = gateway.Name("org", "load", f"app-{number * MEMBERS + offset}")
            await moderator.set_route(name)
            await (await session.invite(name))
        tasks.append(asyncio.create_task(talk(session)))


async def look(tab: Tab, base: str) -> None:
    """Write the pictures."""
    FOLDER.mkdir(exist_ok=True)
    await tab.open(base)
    # Until a good part of the charts is there.
    await tab.until("document.querySelector('#state')?.textContent === 'serving'")
    await asyncio.sleep(60)
    for name, view, width, height, dark in PICTURES:
        await tab.look(width, height, dark=dark)
        await tab.run(f"void (location.hash = {view!r})")
        await asyncio.sleep(3)
        await tab.picture(FOLDER / f"{name}.png")


async def play(connections: int) -> None:
    """Start a node, load it, look at it."""
    endpoint, admin = free_addresses(2)
    with (
        tempfile.TemporaryDirectory() as folder,
        running("start", "--listen", endpoint, "--insecure", "--admin", admin, CALLBOARD_RUN=folder) as node,
    ):
        node.until("listening on", PATIENCE)
        async with AsyncExitStack() as held:
            await load(held, endpoint, connections)
            async with browser_tab() as tab:
                await look(tab, f"http://{admin}/")
            status = [CALLBOARD, "status", "--admin", admin]
            done = await asyncio.to_thread(subprocess.run, status, capture_output=True, text=True, timeout=60)
            sys.stdout.write(done.stdout + done.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--connections", type=int, default=1000)
    asyncio.run(play(parser.parse_args().connections))
