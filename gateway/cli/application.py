"""What every command that is an application has in common: its name, where it connects, who it is."""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from actors.messages.session import AppSettings
from actors.names import Name
from gateway.api.session_config import SessionConfiguration
from gateway.cli.environment import refuse_idle
from gateway.cli.identity import identity
from gateway.cli.parsing import from_zero, number
from gateway.config import ClientConfig
from identity.errors import ConfigError

if TYPE_CHECKING:
    from gateway.api.slim import Slim

RELIABILITY = ("--timeout", "--retries", "--best-effort")
"""What only who opens a session decides."""

CONNECTION = (
    "--ca",
    "--tls-cert",
    "--tls-key",
    "--tls-server-name",
    "--tls-skip-verify",
    "--auth-basic",
    "--auth-token",
)
"""What goes with an address, beside --connect."""

DEFAULT_ENDPOINT = "http://127.0.0.1:46357"


def add_connection(parser: argparse.ArgumentParser) -> None:
    """`--connect` and `--ca`."""
    parser.add_argument(
        "--connect",
        default=DEFAULT_ENDPOINT,
        metavar="URL[,URL...]",
        help="the node: http://[USER:PASSWORD@]HOST:PORT, https:// for TLS, or unix:///PATH; of several the "
        "next is taken when one is gone "
        f"(default: {DEFAULT_ENDPOINT})",
    )
    parser.add_argument(
        "--wait",
        type=number,
        default=0.0,
        metavar="SECONDS",
        help="how long to try when no node answers (default: 0, once)",
    )
    parser.add_argument(
        "--outage",
        type=number,
        metavar="SECONDS",
        help="how long a session survives without a sign of life of the other end (default: 30)",
    )
    parser.add_argument("--ca", metavar="FILE", help="trust this authority for https")
    parser.add_argument("--tls-cert", metavar="FILE", help="certificate to show, PEM")
    parser.add_argument("--tls-key", metavar="FILE", help="its private key, PEM")
    parser.add_argument("--tls-server-name", metavar="NAME", help="what its certificate is checked for")
    parser.add_argument("--tls-skip-verify", action="store_true", help="take any certificate")
    parser.add_argument("--auth-basic", metavar="USER:PASSWORD", help="show these when connecting")
    parser.add_argument("--auth-token", metavar="FILE", help="show the token in this file when connecting")


def add_reliability(parser: argparse.ArgumentParser) -> None:
    """Timers of sessions, and MLS."""
    parser.add_argument("--timeout", type=number, default=1.0, metavar="SECONDS", help="between attempts (1)")
    parser.add_argument(
        "--retries", type=from_zero, default=10, metavar="N", help="re-sends before giving up (10)"
    )
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


_FLAGS = {
    "tls.source": "--tls-cert",
    "server_name": "--tls-server-name",
    "tls": "--ca",
    "auth": "--auth-basic",
}
"""By which flag a key of the connection's configuration is said; of all others it is --connect."""


def client_config(arguments: argparse.Namespace) -> dict[str, Any]:
    """The connection's configuration dict. Raises ConfigError naming the flag."""
    url: str = arguments.connect
    if url.startswith("{"):
        refuse_idle(arguments, CONNECTION, "where --connect is JSON")
        made = parse_json(url, "--connect")
    else:
        several = [_without_credentials(one.strip()) for one in url.split(",") if one.strip()]
        urls, credentials = [one for one, _ in several], {said for _, said in several if said}
        if len(credentials) > 1:
            raise ConfigError("--connect: the same user and password for all of them", field="auth")
        url = urls[0] if urls else ""
        made = {"endpoint": url, "tls": _tls(arguments, url), **_auth(arguments, "".join(credentials))}
        if urls[1:]:
            made["alternatives"] = urls[1:]
        if arguments.tls_server_name:
            made["server_name"] = arguments.tls_server_name
    try:
        ClientConfig.read(made)
    except ConfigError as error:
        field = error.field or ""
        flag = next((flag for key, flag in _FLAGS.items() if field.startswith(key)), "--connect")
        if arguments.connect.startswith("{"):
            flag = "--connect"
        raise ConfigError(f"{flag}: {error}", field=error.field) from error
    return made


def _tls(arguments: argparse.Namespace, url: str) -> dict[str, Any]:
    tls: dict[str, Any] = {"insecure": not url.startswith("https://")}
    given = {
        "--ca": arguments.ca,
        "--tls-cert": arguments.tls_cert,
        "--tls-key": arguments.tls_key,
        "--tls-server-name": arguments.tls_server_name,
        "--tls-skip-verify": arguments.tls_skip_verify,
    }
    if tls["insecure"]:
        for flag in (flag for flag, value in given.items() if value):
            raise ConfigError(
                f"{flag} goes with an https:// address: give --connect https://HOST:PORT",
                field=flag.removeprefix("--").replace("-", "_"),
            )
    if bool(arguments.tls_cert) != bool(arguments.tls_key):
        raise ConfigError("--tls-cert FILE and --tls-key FILE go together", field="tls")
    if arguments.ca:
        tls["ca_source"] = {"type": "file", "path": arguments.ca}
    if arguments.tls_cert:
        tls["source"] = {"type": "file", "cert": arguments.tls_cert, "key": arguments.tls_key}
    if arguments.tls_skip_verify:
        tls["insecure_skip_verify"] = True
    return tls


def _without_credentials(url: str) -> tuple[str, str]:
    """An address, and the user:password that stood in it: no list or log shall show them."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    credentials, at, host = authority.rpartition("@")
    if not at or scheme == "unix":
        return url, ""
    return f"{scheme}{separator}{host}{slash}{path}", unquote(credentials)


def _auth(arguments: argparse.Namespace, in_url: str) -> dict[str, Any]:
    given = [
        flag
        for flag, value in (
            ("--auth-basic", arguments.auth_basic),
            ("--auth-token", arguments.auth_token),
            ("user and password in --connect", in_url),
        )
        if value
    ]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)}: give one of them", field="auth")
    if arguments.auth_token:
        return {"auth": {"type": "static_jwt", "file": arguments.auth_token}}
    if not given:
        return {}
    user, colon, password = (arguments.auth_basic or in_url).partition(":")
    if not (user and colon and password):
        raise ConfigError(f"{given[0]}: expected USER:PASSWORD", field="auth")
    return {"auth": {"type": "basic", "username": user, "password": password}}


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
async def application(arguments: argparse.Namespace, *, takes: bool = True) -> AsyncIterator[Slim]:
    """The application that the flags describe, connected; closed when the block is left.

    One that `takes` no sessions leaves them to others of its name: `send` beside `listen` or a service.
    """
    # Commands that only read names and addresses do without.
    from gateway.api.slim import Slim

    name = parse_name(arguments.name, "--name")
    provider, verifier = identity(arguments, name)
    config = client_config(arguments)
    wait, outage = arguments.wait, arguments.outage
    options: dict[str, Any] = {"connect": config, "wait": wait, "outage": outage}
    if not takes:
        options["settings"] = AppSettings(backlog=0)
    async with await Slim.new(name, provider, verifier, local_service=True, **options) as app:
        yield app
