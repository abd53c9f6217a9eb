"""The command line: `callboard start | config | demo | send | listen | chat | moderator | token | user |
acl | pki | bench`, and of controllers `controller | ctl | stubs`; `up` runs a Procfile, `admin`
lets a browser in. Of a running node: `status | connections | sessions | routes | actors | explain | trace |
kick | drain`.

Errors are one sentence with a remedy, exit code 2 for usage and 1 for what went wrong; never a traceback.
"""

from __future__ import annotations

import argparse
import gc
import io
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import TextIO

from gateway.api.version import get_version
from gateway.cli.environment import said
from gateway.cli.parsing import CommandParser, add_log_options
from gateway.cli.remedies import sentence
from gateway.concealed import MOVED
from gateway.telemetry.log import log_to_stderr
from identity.errors import ConfigError, SlimError
from identity.text import harmless

COMMANDS = {
    "start": ("start",),
    "config": ("config",),
    "demo": ("demo",),
    "talk": ("send", "listen", "chat"),
    "token": ("token",),
    "user": ("user",),
    "acl": ("acl",),
    "pki": ("pki",),
    "moderator": ("moderator",),
    "bench": ("bench",),
    "controller": ("controller", "stubs"),
    "ctl": ("ctl",),
    "up": ("up",),
    "admin": ("admin",),
    "status": ("status", "connections", "sessions", "routes", "actors"),
    "explain": ("explain",),
    "trace": ("trace",),
    "orders": ("kick", "drain"),
}
"""The commands that each module here adds, as the help lists them.

A module is imported when one of its commands is run: a node is most of what there is to import, and takes
half a second of those that need none.
"""


def parser(command: str = "") -> argparse.ArgumentParser:
    """The parser of a command, or that of the whole command line if there is no such command."""
    top = CommandParser(prog="callboard", description="An actor-model message broker that speaks SLIM.")
    top.add_argument("--version", action="version", version=f"callboard {get_version()}")
    commands: argparse._SubParsersAction[argparse.ArgumentParser]
    commands = top.add_subparsers(metavar="COMMAND", required=True, parser_class=CommandParser)
    for module in [name for name, added in COMMANDS.items() if command in added] or COMMANDS:
        import_module(f"gateway.cli.{module}").add(commands)
    add_log_options(top)
    return top


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """What Python shows with a line of our source, in one sentence."""
    print(f"callboard: warning: {harmless(str(message))}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code."""
    words = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that lacks a character is no reason to end.
            stream.reconfigure(errors="backslashreplace")
    moved = os.environ.pop(MOVED, "").split()
    commands = parser(words[0] if words else "")
    arguments = commands.parse_args(words)
    gc.enable()
    if unknown := [flag for flag in moved if not hasattr(arguments, flag[2:].replace("-", "_"))]:
        # As if it stood there still: a node that was to have users does not start without.
        commands.error(f"unrecognized arguments: {' '.join(unknown)}")
    arguments.said = said(words) | frozenset(moved)
    log_to_stderr(arguments.log_level or "WARNING", arguments.log_format)
    warnings.showwarning = _show_warning
    try:
        return int(arguments.run(arguments) or 0)
    except ConfigError as exc:
        print(f"callboard: {harmless(str(exc), None)}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read our output has left: nothing more can be said, not even by Python at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (SlimError, OSError) as exc:
        print(f"callboard: {harmless(sentence(exc))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
