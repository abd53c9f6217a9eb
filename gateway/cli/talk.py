"""`callboard send`, `callboard listen` and `callboard chat`: sessions by hand."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Coroutine
from typing import Any

from actors.names import Name
from gateway.api.session import Message, Session
from gateway.api.session_config import SessionType
from gateway.api.slim import Slim
from gateway.cli.application import (
    add_connection,
    add_reliability,
    application,
    parse_name,
    positive,
    session_config,
)
from gateway.cli.environment import add_environment
from gateway.cli.identity import add_identity
from gateway.node.runner import run
from identity.errors import ConfigError, SlimError


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the three commands to a parser."""
    send = commands.add_parser("send", help="send messages to one application", description="Send and exit.")
    send.add_argument("--to", required=True, metavar="ORG/NS/APP", help="whom to")
    send.add_argument("--count", type=positive, default=1, metavar="N", help="how often (1)")
    send.add_argument("--wait-reply", action="store_true", help="print one answer per message")
    send.add_argument("message", help='what to say; "-" sends standard input line by line')
    send.set_defaults(run=lambda arguments: run(_send(arguments)))

    listen = commands.add_parser(
        "listen", help="print what others send", description="Print messages until interrupted."
    )
    listen.add_argument("--echo", action="store_true", help="send every message back")
    listen.add_argument("--count", type=positive, metavar="N", help="exit after N messages")
    listen.set_defaults(run=lambda arguments: run(_listen(arguments)))

    chat = commands.add_parser(
        "chat",
        help="talk in a group",
        description="Lead a group (--channel and --invite) or wait to be invited; each line typed is said.",
    )
    chat.add_argument("--channel", metavar="ORG/NS/CHANNEL", help="the group's name; makes us its moderator")
    chat.add_argument("--invite", action="append", default=[], metavar="ORG/NS/APP", help="repeatable")
    chat.set_defaults(run=lambda arguments: run(_chat(arguments)))

    for command in (send, listen, chat):
        command.add_argument("--name", required=True, metavar="ORG/NS/APP", help="who we are")
        add_connection(command)
        add_reliability(command)
        add_identity(command)
        add_environment(command)


async def _send(arguments: argparse.Namespace) -> int:
    to = parse_name(arguments.to, "--to")
    # Before there is a session: nobody answers its pings while a terminal is read.
    lines = sys.stdin.read().splitlines() if arguments.message == "-" else [arguments.message]
    async with application(arguments) as app:
        await app.set_route(to)
        session = await app.create_session(to, session_config(arguments))
        await session.established
        async with session:
            for line in lines * arguments.count:
                handle = await session.publish(line.encode())
                await handle
                if arguments.wait_reply:
                    print(_text(await session.get_message(30.0)), flush=True)
    return 0


async def _listen(arguments: argparse.Namespace) -> int:
    seen = 0
    done = asyncio.Event()

    async def follow(session: Session) -> None:
        nonlocal seen
        print(f"-- session {session.id} with {session.dst}", file=sys.stderr, flush=True)
        with contextlib.suppress(SlimError):
            async for message in session:
                print(f"{_who(message.source)}: {_text(message)}", flush=True)
                if arguments.echo:
                    await message.reply(message.payload)
                seen += 1
                if seen == arguments.count:
                    done.set()
        print("-- session over", file=sys.stderr, flush=True)

    async def accept(app: Slim) -> None:
        print(f"-- listening as {app.local_name}", file=sys.stderr, flush=True)
        try:
            async with asyncio.TaskGroup() as group:
                async for session in app.sessions():
                    group.create_task(follow(session))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async with application(arguments) as app:
        await _until_stopped(accept(app), done)
    return 0


async def _chat(arguments: argparse.Namespace) -> int:
    if arguments.invite and not arguments.channel:
        raise ConfigError(
            "--invite needs --channel ORG/NS/CHANNEL: only who leads a group invites", field="channel"
        )
    done = asyncio.Event()

    async def hear(session: Session) -> None:
        print(f"-- in {session.dst} as {session.src}; an empty line leaves", file=sys.stderr, flush=True)
        async for message in session:
            print(f"{_who(message.source)}: {_text(message)}", flush=True)
        print("-- the group was closed", file=sys.stderr, flush=True)
        done.set()

    async def say(session: Session) -> None:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := (await reader.readline()).decode(errors="replace").rstrip("\n"):
            await session.publish(line.encode())
        done.set()

    async with application(arguments) as app:
        session = await _join(app, arguments)
        async with session:
            await _until_stopped(_both(hear(session), say(session)), done)
    return 0


async def _join(app: Slim, arguments: argparse.Namespace) -> Session:
    """The group we lead, or the next one that we are invited to."""
    if not arguments.channel:
        print("-- waiting to be invited", file=sys.stderr, flush=True)
        async for invited in app.sessions():
            if invited.session_type is SessionType.Group:
                return invited
    channel = parse_name(arguments.channel, "--channel")
    session = await app.create_session(channel, session_config(arguments, group=True))
    for text in arguments.invite:
        name = parse_name(text, "--invite")
        await app.set_route(name)
        await (await session.invite(name))
        print(f"-- {_who(name)} joined", file=sys.stderr, flush=True)
    return session


async def _both(one: Awaitable[None], two: Awaitable[None]) -> None:
    await asyncio.gather(one, two)


async def _until_stopped(work: Coroutine[Any, Any, None], done: asyncio.Event) -> None:
    """Run `work` until `done`, SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    task = loop.create_task(work)
    waiter = loop.create_task(done.wait())
    await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    if not task.done():
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _who(name: Name) -> str:
    return "/".join(name.strings)


def _text(message: Message) -> str:
    """A payload for the terminal: text as it is, anything else as an escaped literal, nothing that moves
    the cursor."""
    text = message.payload.decode(errors="backslashreplace")
    return "".join(c if c.isprintable() or c == "\t" else repr(c)[1:-1] for c in text)
