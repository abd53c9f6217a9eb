"""What every command that is an application has in common: its name, where it connects, who it is."""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from actors.names import Name
from gateway.api.session_config import SessionConfiguration
from gateway.api.slim import Slim
from gateway.cli.environment import refuse_idle
from gateway.cli.identity import identity
from identity.errors import ConfigError

RELIABILITY = ("--timeout", "--retries", "--best-effort")
"""What only who opens a session decides."""

DEFAULT_ENDPOINT = "http://127.0.0.1:46357"


def add_connection(parser: argparse.ArgumentParser) -> None:
    """`--connect` and `--ca`."""
    parser.add_argument(
        "--connect",
        default=DEFAULT_ENDPOINT,
        metavar="URL",
        help=f"the node: http://HOST:PORT, or https:// for TLS (default: {DEFAULT_ENDPOINT})",
    )
    parser.add_argument("--ca", metavar="FILE", help="trust this authority for https")


def add_reliability(parser: argparse.ArgumentParser) -> None:
    """Timers of sessions, and MLS."""
    parser.add_argument("--timeout", type=float, default=1.0, metavar="SECONDS", help="between attempts (1)")
    parser.add_argument("--retries", type=int, default=10, metavar="N", help="re-sends before giving up (10)")
    parser.add_argument("--best-effort", action="store_true", help="no acknowledgements, no order")
    parser.add_argument("--enable-mls", action="store_true", help="end-to-end encryption")


def add_demand(parser: argparse.ArgumentParser) -> None:
    """MLS, for who accepts sessions."""
    parser.add_argument("--enable-mls", action="store_true", help="refuse sessions in clear")


def session_config(arguments: argparse.Namespace, *, group: bool = False) -> SessionConfiguration:
    """The session configuration that `add_reliability`'s flags say."""
    kind = SessionConfiguration.Group if group else SessionConfiguration.PointToPoint
    if arguments.best_effort:
        refuse_idle(arguments, RELIABILITY[:2], "with --best-effort")
        return kind(mls_enabled=arguments.enable_mls)
    return kind(timedelta(seconds=arguments.timeout), arguments.retries, arguments.enable_mls)


def client_config(arguments: argparse.Namespace) -> dict[str, Any]:
    """The connection's configuration dict."""
    url: str = arguments.connect
    if url.startswith("{"):
        return parse_json(url, "--connect")
    tls: dict[str, Any] = {"insecure": not url.startswith("https://")}
    if arguments.ca and tls["insecure"]:
        raise ConfigError("--ca goes with an https:// address: give --connect https://HOST:PORT", field="ca")
    if arguments.ca:
        tls["ca_source"] = {"type": "file", "path": arguments.ca}
    return {"endpoint": url, "tls": tls}


def positive(text: str) -> int:
    """A number from 1 on, for argparse. Raises ValueError."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def parse_json(text: str, flag: str) -> dict[str, Any]:
    """A JSON object given as a flag. Raises ConfigError."""
    try:
        value = json.loads(text)
    except ValueError as exc:
        raise ConfigError(f"{flag}: not JSON: {exc}", field=flag) from exc
    if not isinstance(value, dict):
        raise ConfigError(f"{flag}: expected a JSON object", field=flag)
    return value


def parse_name(text: str, flag: str) -> Name:
    """A name given as a flag. Raises ConfigError."""
    try:
        return Name.parse(text)
    except ValueError as exc:
        raise ConfigError(f"{flag}: {exc}", field=flag) from exc


@asynccontextmanager
async def application(arguments: argparse.Namespace) -> AsyncIterator[Slim]:
    """The application that the flags describe, connected; closed when the block is left."""
    name = parse_name(arguments.name, "--name")
    provider, verifier = identity(arguments, name)
    config = client_config(arguments)
    async with await Slim.new(name, provider, verifier, local_service=True) as app:
        await app.connect(config)
        yield app
