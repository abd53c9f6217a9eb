"""`callboard moderator`: a group that a script leads, as a program that survives its own death."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from actors.moderation.journal import Beginning, Journal
from actors.names import Name
from gateway.api.slim import Slim
from gateway.cli.application import add_connection, client_config, parse_name
from gateway.cli.environment import add_environment, refuse_idle
from gateway.cli.identity import add_identity, identity
from gateway.moderation.disk import FileDisk, boot_id
from gateway.moderation.loading import ScriptFailed, load_script
from gateway.moderation.moderating import KeptJournal
from gateway.moderation.program import Stop, lead
from gateway.node.runner import run
from gateway.surroundings import current
from identity.encoding import Malformed
from identity.errors import ConfigError
from identity.files import read_file
from identity.protocols import Provider
from identity.sealed_log import KEY_BYTES, LogKey
from identity.shared_secret import SharedSecretProvider
from identity.text import harmless

_SAYS = {
    Beginning.RESUMED: "the group goes on",
    Beginning.LOST: "the group was lost: its moderator was away for too long; it is offered anew",
    Beginning.OVER: "the group was closed",
}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = commands.add_parser(
        "moderator",
        description="Lead a group the way a script decides, until the script closes it. With --journal it "
        "can be killed and started again: within some 20 s the members notice a pause only. SIGTERM leaves "
        "the group to the process that is started next with the journal, SIGINT closes it.",
    )
    command.add_argument("script", metavar="MODULE:CLASS|FILE.py", help="a subclass of gateway.Script")
    command.add_argument("--name", required=True, metavar="ORG/NS/APP", help="who we are")
    command.add_argument("--channel", required=True, metavar="ORG/NS/CHANNEL", help="the group's name")
    command.add_argument("--journal", metavar="FILE", help="what is needed to go on after a kill")
    command.add_argument("--journal-key", metavar="FILE", help="its key: 32 bytes, or 64 hexadecimal digits")
    add_connection(command)
    add_identity(command)
    add_environment(command)
    command.set_defaults(run=lambda arguments: run(_moderate(arguments)))


async def _moderate(arguments: argparse.Namespace) -> int:
    try:
        script = load_script(arguments.script)
    except ScriptFailed as error:
        sys.stderr.write(error.trace)
        raise
    name, channel = parse_name(arguments.name, "--name"), parse_name(arguments.channel, "--channel")
    provider, verifier = identity(arguments, name)
    config = client_config(arguments)
    async with _journal(arguments, channel, provider) as kept:
        app = await Slim.new(name, provider, verifier, local_service=True, outage=arguments.outage)

        def led() -> asyncio.Future[Stop]:
            asked = _stop_asked()
            print(f"leading {_shown(channel)} as {_shown(name)}", flush=True)
            return asked

        if await lead(app, config, channel, script, kept=kept, stop=led, wait=arguments.wait):
            _say("the group stands: start again with its journal")
    return 0


@asynccontextmanager
async def _journal(
    arguments: argparse.Namespace, channel: Name, provider: Provider
) -> AsyncIterator[KeptJournal | None]:
    """The journal, opened; None without one. Raises ConfigError, LogDamaged, OSError."""
    if not arguments.journal:
        refuse_idle(arguments, ("--journal-key",), "without --journal FILE")
        yield None
        return
    if not arguments.journal_key:
        raise ConfigError(
            "--journal needs --journal-key FILE; `openssl rand 32` makes a key", field="journal"
        )
    key, around = _key(arguments.journal_key), current()
    disk = await FileDisk.take(Path(arguments.journal))
    try:
        journal = Journal(disk, key, boot=boot_id(), random=around.random)
        found = journal.open(around.wall())
        _take_up(journal, channel, provider)
        if found.beginning in _SAYS:
            _say(_SAYS[found.beginning])
        if found.skipped:
            _say(f"the machine stopped without warning: up to {found.skipped} messages may be lost")
        yield KeptJournal(journal, found.beginning, provider.get_id())
        journal.end()
    finally:
        disk.close()


def _key(path: str) -> LogKey:
    try:
        data = read_file(path, max_bytes=4 * KEY_BYTES).data
    except Malformed as error:
        raise ConfigError(f"--journal-key: {error}", field="journal_key") from error
    if len(data) != KEY_BYTES:
        with contextlib.suppress(ValueError):
            data = bytes.fromhex(data.decode("ascii", "replace"))
    return LogKey(data)


def _take_up(journal: Journal, channel: Name, provider: Provider) -> None:
    """Be who the journal says. Raises ConfigError when we cannot."""
    opened = journal.book.opened
    if opened is None:
        return
    if opened.channel != channel.without_id():
        raise ConfigError(
            f"the journal is of the group {_shown(opened.channel)}; --channel says another", field="channel"
        )
    if isinstance(provider, SharedSecretProvider):
        provider.take_id(opened.identity)
    elif provider.get_id() != opened.identity:
        raise ConfigError("the journal is of another identity: its members know that one", field="identity")


def _stop_asked() -> asyncio.Future[Stop]:
    """What the first SIGTERM or SIGINT that comes from now on asks for."""
    asked: asyncio.Future[Stop] = asyncio.get_running_loop().create_future()

    def stopped(what: Stop) -> None:
        if not asked.done():
            asked.set_result(what)

    for number, what in ((signal.SIGTERM, Stop.LEAVE), (signal.SIGINT, Stop.CLOSE)):
        asyncio.get_running_loop().add_signal_handler(number, stopped, what)
    return asked


def _say(text: str) -> None:
    print(f"-- {text}", file=sys.stderr, flush=True)


def _shown(name: Name) -> str:
    return harmless("/".join(name.strings))
