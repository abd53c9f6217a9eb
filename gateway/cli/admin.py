"""`callboard admin link`: log a browser in at a node's admin port, without a token in its address."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from gateway.config.address import split
from gateway.config.admin import tokens_in
from identity.errors import ConfigError

if TYPE_CHECKING:
    from gateway.admin.client import AdminClient


def add_node_choice(command: argparse.ArgumentParser) -> None:
    """Which node is asked: by default the only one of this user."""
    command.add_argument("--node", metavar="NAME", default="", help="a node of this machine, by id or port")
    command.add_argument(
        "--admin", metavar="HOST:PORT", default="", help="the admin port of a node elsewhere"
    )
    command.add_argument(
        "--admin-token-file",
        metavar="FILE",
        default="",
        help="with a line `operator: TOKEN` or `reader: TOKEN`",
    )


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = commands.add_parser("admin")
    actions = command.add_subparsers(metavar="ACTION", required=True)
    link = actions.add_parser(
        "link",
        help="print a link that logs one browser in, once",
        description="Print a link that logs one browser in, once, within two minutes.",
    )
    link.add_argument("--role", choices=("reader", "operator"), default="reader", help="default: reader")
    add_node_choice(link)
    link.set_defaults(run=print_link)


def print_link(arguments: argparse.Namespace) -> int:
    """Ask the node for a link."""
    with chosen_node(arguments) as admin:
        print(admin.post("/links", {"role": arguments.role})["url"])
    return 0


def chosen_node(arguments: argparse.Namespace) -> AdminClient:
    """A client of the node that `add_node_choice` describes. Raises ConfigError."""
    # Imported by who asks a node: it costs every other command the time of an HTTP client.
    from gateway.admin.client import AdminClient

    _check_address(arguments.admin)
    token = _token_in(arguments.admin_token_file) if arguments.admin_token_file else ""
    return AdminClient.find(admin=arguments.admin, token=token, node=arguments.node)


def _check_address(address: str) -> None:
    """Raises ConfigError where no node can be asked at an address."""
    if address and not address.startswith("unix://"):
        parts, port = split(address, "--admin")
        if not parts.hostname or (port is None and not parts.scheme):
            raise ConfigError(f"--admin: expected HOST:PORT, got {address!r}", field="admin")


def _token_in(path: str) -> str:
    """The token to show: of an operator where the file has it. Raises ConfigError."""
    where = "--admin-token-file"
    found = tokens_in(path, where)
    token = found.get("token") or found["reader_token"]
    if token.startswith("sha256:"):
        raise ConfigError(f"{where}: {path} holds a digest, which shows nobody's right", field="admin")
    return token
