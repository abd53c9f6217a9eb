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

from gateway.cli.commands import COMMANDS, HELP, Commands, Version
from gateway.cli.parsing import CommandParser, add_log_options
from gateway.concealed import MOVED
from gateway.interrupted import interrupt_again
from identity.errors import ConfigError, SlimError
from identity.text import harmless


def parser(command: str = "", *, listed: bool = False) -> argparse.ArgumentParser:
    """The parser of a command, or that of the whole command line if there is no such command.

    With `listed` all other commands are in it too, to be read of and no more.
    """
    top = CommandParser(prog="callboard", description="An actor-model message broker that speaks SLIM.")
    top.add_argument("--version", action=Version, nargs=0, help="show program's version number and exit")
    commands = top.add_subparsers(
        action=Commands, metavar="COMMAND", required=True, parser_class=CommandParser
    )
    whole = not listed and command not in HELP
    for module, added in COMMANDS.items():
        if whole or command in added:
            import_module(f"gateway.cli.{module}").add(commands)
        elif listed:
            for name in added:
                commands.add_parser(name)
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
    # Options of the log may stand before the command, and help may be asked for without one.
    command = next((word for word in words if word in HELP), "")
    commands = parser(command, listed=not words or words[0] != command)
    arguments = commands.parse_args(words)
    # Imported by who runs a command: to read the help costs no more than Python.
    from gateway.cli.environment import said
    from gateway.cli.remedies import sentence
    from gateway.telemetry.log import log_to_stderr

    gc.enable()
    if unknown := [flag for flag in moved if not hasattr(arguments, flag[2:].replace("-", "_"))]:
        # As if it stood there still: a node that was to have users does not start without.
        commands.error(f"unrecognized arguments: {' '.join(unknown)}")
    arguments.said = said(words) | frozenset(moved)
    log_to_stderr(arguments.log_level or "WARNING", arguments.log_format)
    warnings.showwarning = _show_warning
    try:
        interrupt_again()
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
