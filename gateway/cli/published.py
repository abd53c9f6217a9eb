"""The example programs of `slim-bindings`, with their flags and what they print (`api.md` 7).

    slim-bindings-examples point2point | group | slim ...
    unicast ...                                             (point2point, as it was called before)

For whoever follows a published guide; `callboard send | listen | chat | start` do more.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from actors.errors import SlimTimeout
from gateway.api.session import Session
from gateway.api.session_config import SessionConfiguration, SessionType
from gateway.api.slim import Slim
from gateway.cli.application import parse_json, parse_name
from gateway.cli.environment import add_environment
from gateway.cli.identity import add_identity, identity
from gateway.cli.lines import lines
from gateway.cli.parsing import positive
from gateway.cli.remedies import sentence
from gateway.cli.start import serve
from gateway.config import ServerConfig
from gateway.config.document import Document
from gateway.config.node import NodeConfig
from gateway.node.runner import run, until_stopped
from gateway.telemetry.log import log_to_stderr
from gateway.telemetry.tracing import init_tracing
from identity.errors import ConfigError, SlimError
from identity.mls_key import UNBOUND
from identity.text import harmless

NODE = '{"endpoint": "http://127.0.0.1:46357", "tls": {"insecure": true}}'
TRYING_OUT = "a-secret-for-trying-out-the-example-programs"
"""A secret for one machine. Real applications have one of their own."""
TIMERS = (timedelta(seconds=5), 5)
ANSWER_WAIT = 5.0
WIDTH = 45
"""Columns of what stands before a line's text."""


def unicast(argv: Sequence[str] | None = None) -> int:
    """The command `unicast`. Returns the exit code."""
    made = argparse.ArgumentParser(prog="unicast", description="Ask another application, or answer.")
    _add_point2point(made)
    return _run(made, argv)


def main(argv: Sequence[str] | None = None) -> int:
    """The command `slim-bindings-examples`. Returns the exit code."""
    made = argparse.ArgumentParser(prog="slim-bindings-examples", description="The published examples.")
    commands = made.add_subparsers(metavar="EXAMPLE", required=True)
    _add_point2point(commands.add_parser("point2point", help="ask another application, or answer"))
    group = commands.add_parser("group", help="lead a group, or wait to be invited")
    _add_application(group)
    group.add_argument("--invites", action="append", default=[], metavar="ORG/NS/APP", help="repeatable")
    group.set_defaults(play=_group)
    node = commands.add_parser("slim", help="run a node")
    node.add_argument("-s", "--slim", default="127.0.0.1:12345", metavar="HOST:PORT", help="where to listen")
    _add_tracing(node)
    node.set_defaults(play=_node)
    for each in (group, node):
        add_environment(each)
    return _run(made, argv)


def _run(made: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    arguments = made.parse_args(argv)
    log_to_stderr("WARNING")
    try:
        run(until_stopped(arguments.play(arguments)))
    except (SlimError, OSError) as error:
        print(f"error: {harmless(sentence(error))}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    return 0


def _add_point2point(made: argparse.ArgumentParser) -> None:
    _add_application(made)
    made.add_argument("--message", metavar="TEXT", help="what to send; without it we answer")
    made.add_argument("--iterations", type=positive, default=10, metavar="N", help="how often (10)")
    made.set_defaults(play=_point2point)
    add_environment(made)


def _add_application(made: argparse.ArgumentParser) -> None:
    made.add_argument("--local", required=True, metavar="ORG/NS/APP", help="who we are")
    made.add_argument("--remote", metavar="ORG/NS/NAME", help="whom to talk to: an application, or a channel")
    made.add_argument("--slim", default=NODE, metavar="JSON", help="the connection to the node")
    made.add_argument("--enable-mls", action="store_true", help="end-to-end encryption")
    _add_tracing(made)
    add_identity(made, default_secret=TRYING_OUT)


def _add_tracing(made: argparse.ArgumentParser) -> None:
    made.add_argument("--enable-opentelemetry", action="store_true", help="export to localhost:4317")


def _say(who: str, text: str) -> None:
    print(f"{who.capitalize():<{WIDTH}} {harmless(text)}", flush=True)


@asynccontextmanager
async def _application(arguments: argparse.Namespace) -> AsyncIterator[Slim]:
    if arguments.enable_opentelemetry:
        init_tracing({"log_level": "warning", "opentelemetry": {"enabled": True}})
    name, config = parse_name(arguments.local, "--local"), parse_json(arguments.slim, "--slim")
    pair = identity(arguments, name, mls_key=UNBOUND)
    async with await Slim.new(name, *pair) as app:
        _say(app.id_str, "Created app")
        await app.connect(config)
        _say(app.id_str, f"Connected to {config.get('endpoint')}")
        yield app


async def _point2point(arguments: argparse.Namespace) -> None:
    async with _application(arguments) as app:
        if arguments.message is None or arguments.remote is None:
            _say(app.id_str, "waiting for new session to be established")
            async with asyncio.TaskGroup() as answering:
                async for session in app.sessions():
                    answering.create_task(_answer(app, session))
        else:
            await _ask(app, arguments)


async def _answer(app: Slim, session: Session) -> None:
    _say(app.id_str, f"new session {session.number}")
    async for message in session:
        text = message.payload.decode(errors="backslashreplace")
        _say(app.id_str, f"received (from session {session.number}): {text}")
        await message.reply(f"{text} from {app.id_str}".encode())


async def _ask(app: Slim, arguments: argparse.Namespace) -> None:
    remote = parse_name(arguments.remote, "--remote")
    await app.set_route(remote)
    config = SessionConfiguration.PointToPoint(*TIMERS, arguments.enable_mls)
    session, established = await app.create_session(remote, config)
    await established
    async with session:
        for number in range(arguments.iterations):
            if number:
                await asyncio.sleep(1.0)
            await session.publish(arguments.message.encode())
            _say(app.id_str, f"Sent message {arguments.message} - {number + 1}/{arguments.iterations}:")
            try:
                _, answer = await session.get_message(ANSWER_WAIT)
            except SlimTimeout:
                _say(app.id_str, "no answer")
            else:
                text = answer.decode(errors="backslashreplace")
                _say(app.id_str, f"received (from session {session.number}): {text}")


async def _group(arguments: argparse.Namespace) -> None:
    async with _application(arguments) as app:
        if arguments.remote and arguments.invites:
            channel = parse_name(arguments.remote, "--remote")
            guests = [parse_name(text, "--invites") for text in arguments.invites]
            for guest in guests:
                await app.set_route(guest)
            async with app.group(
                channel, guests, timeout=TIMERS[0], max_retries=TIMERS[1], mls=arguments.enable_mls
            ) as session:
                for guest, reason in session.invited.items():
                    _say(app.id_str, f"{guest} joined" if reason is None else f"{guest}: {reason}")
                await _talk(app, session)
        else:
            _say(app.id_str, "waiting for new session to be established")
            async for session in app.sessions():
                if session.session_type is SessionType.Group:
                    async with session:
                        await _talk(app, session)
                    return


async def _talk(app: Slim, session: Session) -> None:
    """Say each typed line to the group, until "exit", or until the group is over."""
    _say(app.id_str, f"in group {session.dst}: type to talk, exit to leave")

    async def hear() -> None:
        async for message in session:
            text = message.payload.decode(errors="backslashreplace")
            _say("/".join(message.source.strings), text)

    async def say() -> None:
        async for line in lines(sys.stdin.fileno()):
            if line.strip() == b"exit":
                return
            if line.strip():
                await session.publish(line)
        # Without a terminal one listens.
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(hear()), asyncio.create_task(say())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _node(arguments: argparse.Namespace) -> None:
    text = arguments.slim
    plain = {"endpoint": text, "tls": {"insecure": True}}
    server = parse_json(text, "--slim") if text.startswith("{") else plain
    await serve(NodeConfig(servers=(ServerConfig.read(server),), drain=5.0), Document({}, {}))
