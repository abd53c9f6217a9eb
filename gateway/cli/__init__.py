"""The command line: `callboard start | demo | send | listen | chat | token | bench`.

Errors are one sentence with a remedy, exit code 2 for usage and 1 for what went wrong; never a traceback.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from loguru import logger

from gateway.cli import bench, demo, start, talk, token
from gateway.version import get_version
from identity.errors import ConfigError, SlimError

COMMANDS: tuple[Callable[[argparse._SubParsersAction[argparse.ArgumentParser]], None], ...] = (
    start.add,
    demo.add,
    talk.add,
    token.add,
    bench.add,
)


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="callboard", description="An actor-model message broker that speaks SLIM."
    )
    top.add_argument(
        "--log-level",
        default="WARNING",
        type=str.upper,
        choices=("TRACE", "DEBUG", "INFO", "WARNING", "ERROR"),
        help="what is logged to standard error (default: WARNING)",
    )
    top.add_argument("--version", action="version", version=f"callboard {get_version()}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for add in COMMANDS:
        add(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code."""
    arguments = parser().parse_args(argv)
    logger.remove()
    logger.add(sys.stderr, level=arguments.log_level)
    try:
        return int(arguments.run(arguments) or 0)
    except ConfigError as exc:
        print(f"callboard: {exc}", file=sys.stderr)
        return 2
    except (SlimError, OSError) as exc:
        print(f"callboard: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
