"""`callboard kick CONNECTION`, `callboard drain`: what an operator orders a running node to do."""

from __future__ import annotations

import argparse
from http import HTTPStatus

from gateway.cli.admin import add_node_choice, chosen_node
from gateway.cli.parsing import whole_number


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to a parser."""
    kick = commands.add_parser(
        "kick",
        description="Close a connection that others opened. An application of ours dials again.",
    )
    kick.add_argument("connection", type=whole_number, help="its number (callboard connections)")
    kick.add_argument("--cause", metavar="TEXT", default="", help="why, told to the other end")
    add_node_choice(kick)
    kick.set_defaults(run=close_connection)
    drain = commands.add_parser(
        "drain",
        description="Let a node take no calls any more, let its applications go to other nodes "
        "for 2 seconds, write out what is queued, and end with exit code 0: as at SIGTERM.",
    )
    add_node_choice(drain)
    drain.set_defaults(run=drain_node)


def close_connection(arguments: argparse.Namespace) -> int:
    """Order it. Raises AdminRefused."""
    from gateway.admin.client import AdminRefused

    with chosen_node(arguments) as admin:
        try:
            admin.post(f"/connections/{arguments.connection}/kick", {"cause": arguments.cause})
        except AdminRefused as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            raise AdminRefused(
                error.status, f"{error}: callboard connections shows those there are"
            ) from None
    print(f"connection {arguments.connection} is being closed")
    return 0


def drain_node(arguments: argparse.Namespace) -> int:
    """Order it."""
    with chosen_node(arguments) as admin:
        node = admin.get("/node")["node"]
        admin.post("/drain")
    print(f"{node} takes no calls any more, and ends when its applications have left, within seconds")
    return 0
