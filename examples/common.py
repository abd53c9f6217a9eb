"""What the example programs have in common: their flags, and the application that these describe.

Every flag is also an environment variable: `--shared-secret` is SLIM_SHARED_SECRET.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from gateway import Name, SessionConfiguration, Slim, init_tracing
from gateway.cli.application import parse_json, parse_name
from gateway.cli.environment import add_environment
from gateway.cli.identity import add_identity, identity
from gateway.cli.remedies import sentence
from identity.errors import ConfigError, SlimError

DEFAULT_NODE = '{"endpoint": "http://127.0.0.1:46357", "tls": {"insecure": true}}'
DEFAULT_SECRET = "a-secret-for-trying-out-the-example-programs"
"""For trying things out on one machine. Real applications have one of their own, of 32 bytes or more."""

TIMEOUT = timedelta(seconds=5)
RETRIES = 5
"""How sessions of the examples resend what is not acknowledged."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the flags that all applications have; `parse` uses it."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--local", required=True, metavar="ORG/NS/APP", help="who we are")
    made.add_argument("--remote", metavar="ORG/NS/NAME", help="whom to talk to")
    made.add_argument(
        "--slim", default=DEFAULT_NODE, metavar="JSON", help="where the node is, as a client config"
    )
    made.add_argument("--invites", action="append", metavar="ORG/NS/APP", help="repeatable")
    made.add_argument("--enable-mls", action="store_true", help="end-to-end encryption")
    add_tracing(made)
    add_identity(made, default_secret=DEFAULT_SECRET)
    return made


def add_tracing(made: argparse.ArgumentParser) -> None:
    """`--enable-opentelemetry`."""
    made.add_argument(
        "--enable-opentelemetry", action="store_true", help="export to an OTLP collector on localhost:4317"
    )


def parse(made: argparse.ArgumentParser) -> argparse.Namespace:
    """What the command line and the environment say. Sets up tracing."""
    add_environment(made)
    return made.parse_args()


def start_tracing(arguments: argparse.Namespace) -> None:
    """Warnings to standard error; with `--enable-opentelemetry` spans and metrics to a collector."""
    init_tracing({"log_level": "warning", "opentelemetry": {"enabled": arguments.enable_opentelemetry}})


@asynccontextmanager
async def application(arguments: argparse.Namespace) -> AsyncIterator[Slim]:
    """The application that the flags describe, connected to its node; closed when the block is left."""
    start_tracing(arguments)
    name = parse_name(arguments.local, "--local")
    # A token of somebody else cannot vouch for our key: encrypted sessions take it all the same, and say so.
    provider, verifier = identity(arguments, name, mls_key="unbound")
    async with await Slim.new(name, provider, verifier) as app:
        await app.connect(parse_json(arguments.slim, "--slim"))
        print(f"{app.id_str} is connected", flush=True)
        yield app


def session_config(arguments: argparse.Namespace, *, group: bool = False) -> SessionConfiguration:
    """A reliable session, encrypted if the flags say so."""
    kind = SessionConfiguration.Group if group else SessionConfiguration.PointToPoint
    return kind(TIMEOUT, RETRIES, arguments.enable_mls)


def name_of(text: str, flag: str) -> Name:
    """A name that a flag gives. Raises ConfigError."""
    return parse_name(text, flag)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a program and exit: 0, 2 for wrong usage, 1 for what went wrong; errors are one sentence."""
    try:
        asyncio.run(main())
    except (SlimError, OSError) as error:
        print(f"error: {sentence(error)}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
