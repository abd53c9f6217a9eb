"""`callboard up`: the processes of a Procfile side by side, until one of them ends or somebody says stop.

What they print comes line by line behind their name. The end of one ends all, with its exit code, as other
runners of Procfiles do.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.node.runner import run
from gateway.telemetry.log import may_colour
from identity.errors import ConfigError

GRACE = 10.0
"""Seconds that processes have to end by themselves after SIGTERM."""
_COLOURS = (36, 33, 35, 32, 34, 31)
_CHUNK = 64 * 1024
_LINE = re.compile(r"([A-Za-z0-9_-]+):\s*(\S.*)")


@dataclass(frozen=True, slots=True)
class ProcfileEntry:
    """A process of a Procfile: its name, and the shell command that is it."""

    name: str
    command: str


def read_procfile(text: str, where: str = "Procfile") -> list[ProcfileEntry]:
    """The processes in the order of the file; empty entries and those that begin with # are none.

    Raises ConfigError, with the number of the line.
    """
    entries: dict[str, ProcfileEntry] = {}
    for number, one in enumerate(text.splitlines(), 1):
        if not one.strip() or one.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(one.strip())
        if found is None:
            raise ConfigError(f"{where}, line {number}: not of the form NAME: COMMAND", field="file")
        name, command = found.groups()
        if name in entries:
            raise ConfigError(f"{where}, line {number}: a second process of the name {name}", field="file")
        entries[name] = ProcfileEntry(name, command)
    if not entries:
        raise ConfigError(f"{where} names no process", field="file")
    return list(entries.values())


def chosen(entries: Sequence[ProcfileEntry], names: Sequence[str]) -> list[ProcfileEntry]:
    """Those of the names, all without names. Raises ConfigError for a name that is not among them."""
    known = {entry.name for entry in entries}
    for name in names:
        if name not in known:
            raise ConfigError(f"no process {name}: there are {', '.join(sorted(known))}", field="name")
    return [entry for entry in entries if not names or entry.name in names]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = commands.add_parser(
        "up",
        description="Run the processes of a Procfile side by side, each in the folder of the file. Ctrl-C "
        f"ends all; whoever is not gone after {GRACE:.0f} seconds, or at a second Ctrl-C, is killed.",
    )
    command.add_argument("names", nargs="*", metavar="NAME", help="only these processes")
    command.add_argument("-f", "--file", default="Procfile", metavar="FILE", help="default: Procfile")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    path = Path(arguments.file)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8", field="file") from None
    entries = chosen(read_procfile(text, arguments.file), arguments.names)
    return run(Company(entries, path.absolute().parent).play())


class Company:
    """The processes of a Procfile, and their end."""

    def __init__(self, entries: Sequence[ProcfileEntry], folder: Path) -> None:
        self._entries = entries
        self._folder = folder
        self._width = max(len(entry.name) for entry in entries)
        self._colour = may_colour(sys.stdout)
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._stop = asyncio.Event()
        self._kill = asyncio.Event()
        self._code = 0

    async def play(self) -> int:
        """Run all until one ends or a signal comes, then end the rest. Returns the exit code: that of the
        first that ended, 0 after a signal."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        try:
            async with asyncio.TaskGroup() as group:
                for index, entry in enumerate(self._entries):
                    group.create_task(self._one(entry, _COLOURS[index % len(_COLOURS)]))
                group.create_task(self._end())
        except ExceptionGroup as failed:
            # Of one kind all: nobody reads what we print.
            raise failed.exceptions[0] from failed
        finally:
            # Whatever went wrong here, nobody stays behind.
            self._send(signal.SIGKILL)
            await asyncio.gather(*(process.wait() for process in self._processes.values()))
        return self._code

    def _signalled(self) -> None:
        if self._stop.is_set():
            self._kill.set()
        self._stop.set()

    async def _one(self, entry: ProcfileEntry, colour: int) -> None:
        # In a session of its own: Ctrl-C in the terminal reaches us alone, and we pass on SIGTERM, once.
        process = await asyncio.create_subprocess_shell(
            entry.command,
            cwd=self._folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self._processes[entry.name] = process
        if self._stop.is_set():
            self._signal(process, signal.SIGTERM)
        assert process.stdout is not None
        self._say(entry, colour, f"started, process {process.pid}")
        await self._copy(entry, colour, process.stdout)
        code = await process.wait()
        self._say(entry, colour, _ending(code))
        if not self._stop.is_set():
            self._code = code if code >= 0 else 128 - code
            self._stop.set()

    async def _copy(self, entry: ProcfileEntry, colour: int, source: asyncio.StreamReader) -> None:
        """Print entries as they come. One of more than 64 KiB comes in pieces."""
        rest = b""
        while chunk := await source.read(_CHUNK):
            *whole, rest = (rest + chunk).split(b"\n")
            if len(rest) > _CHUNK:
                whole.append(rest)
                rest = b""
            for one in whole:
                self._say(entry, colour, one.decode(errors="backslashreplace"))
        if rest:
            self._say(entry, colour, rest.decode(errors="backslashreplace"))

    def _say(self, entry: ProcfileEntry, colour: int, text: str) -> None:
        name = f"{entry.name:<{self._width}} |"
        whole = f"\x1b[{colour}m{name}\x1b[0m {text}\n" if self._colour else f"{name} {text}\n"
        # Unbuffered output of Python loses the rest of a write that the end of a child interrupts.
        rest = memoryview(whole.encode(errors="backslashreplace"))
        while rest:
            rest = rest[os.write(sys.stdout.fileno(), rest) :]

    async def _end(self) -> None:
        """Once it is time, end whoever still runs."""
        await self._stop.wait()
        self._send(signal.SIGTERM)
        gone = asyncio.gather(*(process.wait() for process in self._processes.values()))
        killed = asyncio.create_task(self._kill.wait())
        await asyncio.wait((gone, killed), timeout=GRACE, return_when=asyncio.FIRST_COMPLETED)
        killed.cancel()
        self._send(signal.SIGKILL)
        await gone

    def _send(self, number: signal.Signals) -> None:
        for process in self._processes.values():
            self._signal(process, number)

    @staticmethod
    def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
        """To its whole group: a shell that does not `exec` would keep a signal to itself."""
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return


def _ending(code: int) -> str:
    return f"ended, exit code {code}" if code >= 0 else f"ended by {signal.Signals(-code).name}"
