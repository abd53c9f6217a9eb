"""Applications talk in a group; every line that is typed is said to all.

    python examples/group.py --local agntcy/demo/ann
    python examples/group.py --local agntcy/demo/bob --remote agntcy/demo/stage --invites agntcy/demo/ann

With --remote (the group's channel) and --invites the program is the moderator, otherwise it waits to be
invited. "exit" leaves. For the moderator this closes the group for all, and so does the end of its input; it
may also type "/invite NAME" and "/remove NAME".
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from common import application, name_of, parse, parser, run, session_config

from gateway import Session, SessionError, SessionType, Slim, SlimError
from gateway.node.runner import until_stopped


async def lead(app: Slim, arguments: argparse.Namespace) -> None:
    """Open the group, invite, talk; the group ends with us."""
    session = await app.create_session(
        name_of(arguments.remote, "--remote"), session_config(arguments, group=True)
    )
    async with session:
        for text in arguments.invites:
            try:
                await invite(app, session, text)
            except SessionError as error:
                if session.over:
                    raise
                print(f"{text} does not come: {error}", flush=True)
        listening = asyncio.create_task(hear(session))
        await say(app, session, leading=True)
        listening.cancel()


async def invite(app: Slim, session: Session, text: str) -> None:
    """Invite one application and wait until all members know."""
    name = name_of(text, "--invites")
    await app.set_route(name)
    await (await session.invite(name))
    print(f"{text} joined", flush=True)


async def join(app: Slim) -> None:
    """Wait for an invitation, then talk until the group is closed or we leave."""
    print("waiting to be invited", flush=True)
    async for session in app.sessions():
        if session.session_type is SessionType.Group:
            break
    async with session:
        print(f"in {session.dst}", flush=True)
        tasks = [asyncio.create_task(hear(session)), asyncio.create_task(say(app, session, leading=False))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


async def hear(session: Session) -> None:
    """Print what others say, until the group is closed."""
    async for message in session:
        who = "/".join(message.source.components_strings())
        print(f"{who}: {message.payload.decode(errors='replace')}", flush=True)
    print(f"the group was closed: {session.closed_because}", flush=True)


async def say(app: Slim, session: Session, *, leading: bool) -> None:
    """Say each line of standard input."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode(errors="replace"):
        text = line.strip()
        command, _, argument = text.partition(" ")
        if text == "exit":
            return
        if leading and command in ("/invite", "/remove"):
            try:
                if command == "/invite":
                    await invite(app, session, argument)
                else:
                    await (await session.remove(name_of(argument, "/remove")))
            except SlimError as error:
                print(f"error: {error}", flush=True)
        elif text:
            await (await session.publish(text.encode()))
    if not leading:
        # A member without a terminal stays and listens.
        await asyncio.Event().wait()


async def main() -> None:
    arguments = parse(parser("Lead a group, or wait to be invited."))
    async with application(arguments) as app:
        leading = arguments.remote and arguments.invites
        await until_stopped(lead(app, arguments) if leading else join(app))


if __name__ == "__main__":
    run(main)
