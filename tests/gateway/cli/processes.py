"""`callboard` as processes of their own: what tests of the command line share."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gateway.cli.ports import free_ports

ROOT = Path(__file__).resolve().parents[3]
CALLBOARD = str(Path(sys.executable).with_name("callboard"))
WAIT = 40.0


class Command:
    """`callboard` in a process of its own, its output kept as it comes."""

    def __init__(self, *arguments: str, program: Sequence[str] = (CALLBOARD,), **environ: str) -> None:
        """`environ` are further variables of its environment, `program` another one to run."""
        self.process = subprocess.Popen(
            [*program, *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={k: v for k, v in os.environ.items() if not k.startswith("SLIM_")}
            | {"PYTHONUNBUFFERED": "1"}
            | environ,
        )
        self._text = {"out": "", "err": ""}
        self._news = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(stream, which), daemon=True)
            for stream, which in ((self.process.stdout, "out"), (self.process.stderr, "err"))
        ]
        for reader in self._readers:
            reader.start()

    @property
    def out(self) -> str:
        return self._text["out"]

    @property
    def err(self) -> str:
        return self._text["err"]

    def say(self, line: str) -> None:
        """Type a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def until(self, pattern: str, limit: float = WAIT) -> re.Match[str]:
        """Wait until what it printed, on either stream, matches."""
        with self._news:
            found = self._news.wait_for(lambda: self._search(pattern) or self._over(), limit)
        assert isinstance(found, re.Match), f"no {pattern!r} in:\n{self.out}{self.err}"
        return found

    def end(self) -> int:
        """Wait for its end: the exit code."""
        code = self.process.wait(WAIT)
        for reader in self._readers:
            reader.join(WAIT)
        assert "Traceback" not in self.err
        return code

    def _search(self, pattern: str) -> re.Match[str] | None:
        return re.search(pattern, self.out) or re.search(pattern, self.err)

    def _over(self) -> bool:
        return not any(reader.is_alive() for reader in self._readers)

    def _read(self, stream, which: str) -> None:
        for line in stream:
            with self._news:
                self._text[which] += line
                self._news.notify_all()
        with self._news:
            self._news.notify_all()


@contextmanager
def running(*arguments: str, **environ: str) -> Iterator[Command]:
    command = Command(*arguments, **environ)
    try:
        yield command
    finally:
        command.process.kill()
        command.process.wait(WAIT)


@contextmanager
def playing(*arguments: str, program: Sequence[str] = (CALLBOARD,), **environ: str) -> Iterator[Command]:
    """As `running`, for what starts others: told to stop, it ends those too."""
    command = Command(*arguments, program=program, **environ)
    try:
        yield command
    finally:
        command.process.send_signal(signal.SIGTERM)
        try:
            command.process.wait(WAIT)
        finally:
            command.process.kill()
            command.process.wait(WAIT)


def free_addresses(count: int) -> list[str]:
    """Addresses of this machine where nobody listened a moment ago."""
    return [f"127.0.0.1:{port}" for port in free_ports(count)]
