"""`callboard send`, `callboard listen` and `callboard chat`: sessions by hand."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Coroutine
from typing import Any

from actors.errors import MessageLost, SessionClosed, SessionError, SlimTimeout
from actors.messages.session import MemberLeft
from actors.names import Name
from gateway.api.events import Event
from gateway.api.session import Message, Session
from gateway.api.session_config import SessionConfiguration, SessionType
from gateway.api.slim import Slim
from gateway.cli.application import (
    RELIABILITY,
    add_connection,
    add_demand,
    add_reliability,
    application,
    parse_name,
    session_config,
)
from gateway.cli.environment import add_environment, refuse_idle
from gateway.cli.identity import add_identity
from gateway.cli.lines import lines
from gateway.cli.parsing import positive
from gateway.node.runner import run
from identity.errors import ConfigError, SlimError
from identity.text import harmless

ANSWER_WAIT = 30.0
"""Seconds for which `send --wait-reply` waits for each answer."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the three commands to a parser."""
    send = commands.add_parser("send", description="Send and exit.")
    send.add_argument("--to", required=True, metavar="ORG/NS/APP", help="whom to")
    send.add_argument("--count", type=positive, default=1, metavar="N", help="how often, each (1)")
    send.add_argument("--wait-reply", action="store_true", help="print one answer per message")
    send.add_argument("message", help='what to say; "-" sends standard input line by line, as it comes')
    send.set_defaults(run=lambda arguments: run(_send(arguments)))

    listen = commands.add_parser("listen", description="Print messages until interrupted.")
    listen.add_argument("--echo", action="store_true", help="send every message back")
    listen.add_argument("--count", type=positive, metavar="N", help="exit after N messages")
    listen.set_defaults(run=lambda arguments: run(_listen(arguments)))

    chat = commands.add_parser(
        "chat",
        description="Lead a group (--channel and --invite) or wait to be invited; each line typed is said.",
    )
    chat.add_argument("--channel", metavar="ORG/NS/CHANNEL", help="the group's name; makes us its moderator")
    chat.add_argument("--invite", action="append", default=[], metavar="ORG/NS/APP", help="repeatable")
    chat.set_defaults(run=lambda arguments: run(_chat(arguments)))

    for command, add_more in ((send, add_reliability), (listen, add_demand), (chat, add_reliability)):
        command.add_argument("--name", required=True, metavar="ORG/NS/APP", help="who we are")
        add_connection(command)
        add_more(command)
        add_identity(command)
        add_environment(command)


async def _send(arguments: argparse.Namespace) -> int:
    to, config = parse_name(arguments.to, "--to"), session_config(arguments)
    async with application(arguments, takes=False) as app:
        await app.set_route(to)
        session = await app.create_session(to, config)
        await session.established
        async with session:
            async for line in _said(arguments.message):
                for _ in range(arguments.count):
                    handle = await session.publish(line)
                    await handle
                    if arguments.wait_reply:
                        print(_text(await _answer(session)), flush=True)
    return 0


async def _said(message: str) -> AsyncIterator[bytes]:
    """What to send: the message, or each line of standard input as it comes."""
    if message != "-":
        # The bytes that were typed, UTF-8 or not.
        yield os.fsencode(message)
        return
    async for line in lines(sys.stdin.fileno()):
        yield line


async def _answer(session: Session) -> Message:
    """The next message of a session. Raises SlimTimeout, and why the session ended."""
    try:
        async with asyncio.timeout(ANSWER_WAIT):
            return await anext(session)
    except StopAsyncIteration:
        raise session.closed_because or SessionClosed() from None
    except TimeoutError:
        raise SlimTimeout(f"no answer within {ANSWER_WAIT:g} s") from None


async def _listen(arguments: argparse.Namespace) -> int:
    seen = 0
    done = asyncio.Event()

    async def follow(session: Session) -> None:
        nonlocal seen
        _say(f"session {session.id} with {_who(session.dst)}")
        async for message in session.messages(gaps="items"):
            if isinstance(message, MessageLost):
                _say(harmless(str(message)))
                continue
            print(f"{_who(message.source)}: {_text(message)}", flush=True)
            if arguments.echo:
                await _echo(message)
            seen += 1
            if seen == arguments.count:
                done.set()
        _say(f"session over: {harmless(str(session.closed_because))}")

    async def accept(app: Slim) -> None:
        _say(f"listening as {app.local_name}")
        try:
            async with asyncio.TaskGroup() as group:
                async for session in app.sessions():
                    group.create_task(follow(session))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async with application(arguments) as app:
        if arguments.enable_mls:
            app.require(mls=True)
        await _until_stopped(accept(app), done)
    return 0


async def _echo(message: Message) -> None:
    """Send a message back. Whether it arrives concerns that message, not the others."""
    try:
        handle = await message.reply(message.payload)
    except SlimError as error:
        _say(f"not sent back: {harmless(str(error))}")
    else:
        handle.when_failed(lambda error: _say(f"not sent back: {harmless(str(error))}"))


async def _chat(arguments: argparse.Namespace) -> int:
    if arguments.invite and not arguments.channel:
        raise ConfigError(
            "--invite needs --channel ORG/NS/CHANNEL: only who leads a group invites", field="channel"
        )
    if not arguments.channel:
        refuse_idle(arguments, RELIABILITY, "without --channel: who leads the group decides it")
    config = session_config(arguments, group=True)
    done = asyncio.Event()

    async def hear(session: Session) -> None:
        _say(f"in {_who(session.dst)} as {session.src}; an empty line leaves")
        async for message in session.messages(gaps="items"):
            if isinstance(message, MessageLost):
                _say(harmless(str(message)))
            else:
                print(f"{_who(message.source)}: {_text(message)}", flush=True)
        _say(f"the group was closed: {harmless(str(session.closed_because))}")
        done.set()

    async def watch(events: AsyncIterator[Event]) -> None:
        async for event in events:
            if isinstance(event, MemberLeft):
                _say(f"{_who(event.member)} left ({harmless(event.cause)})")

    async def say(session: Session) -> None:
        with contextlib.suppress(SessionClosed):
            async for line in lines(sys.stdin.fileno()):
                if not line:
                    break
                handle = await session.publish(line)
                handle.when_failed(lambda error: _say(f"not everybody has it: {harmless(str(error))}"))
        done.set()

    async with application(arguments, takes=not arguments.channel) as app:
        session = await _join(app, arguments, config)
        events = session.events()
        async with session:
            await _until_stopped(_all(hear(session), watch(events), say(session)), done)
    return 0


async def _join(app: Slim, arguments: argparse.Namespace, config: SessionConfiguration) -> Session:
    """The group we lead, or the next one that we are invited to."""
    if not arguments.channel:
        if arguments.enable_mls:
            app.require(mls=True)
        _say("waiting to be invited")
        async for invited in app.sessions():
            if invited.session_type is SessionType.Group:
                return invited
    channel = parse_name(arguments.channel, "--channel")
    guests = [parse_name(text, "--invite") for text in arguments.invite]
    session = await app.create_session(channel, config)
    joined = 0
    for name in guests:
        await app.set_route(name)
        try:
            await (await session.invite(name))
        except SessionError as error:
            if session.over or (name is guests[-1] and not joined):
                # There is nobody to talk to.
                raise
            _say(f"{_who(name)} does not come: {harmless(str(error))}")
        else:
            joined += 1
            _say(f"{_who(name)} joined")
    return session


async def _all(*work: Awaitable[None]) -> None:
    await asyncio.gather(*work)


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


def _say(text: str) -> None:
    """Something about a session, beside what is said in it."""
    print(f"-- {text}", file=sys.stderr, flush=True)


def _who(name: Name) -> str:
    return harmless("/".join(name.strings))


def _text(message: Message) -> str:
    """A payload for the terminal: text as it is, anything else as an escaped literal."""
    return harmless(message.payload.decode(errors="backslashreplace"), None)
