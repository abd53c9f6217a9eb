"""The commands, what the help says of each, and which module makes its parser.

A module is imported when one of its commands is run: a node is most of what there is to import, and takes
half a second of those that need none. To list the commands nothing is imported.
"""

from __future__ import annotations

import argparse
from typing import Any

COMMANDS = {
    "start": {"start": "run a node"},
    "config": {"config": "about configuration files of nodes"},
    "demo": {"demo": "watch a node and four applications talk"},
    "talk": {
        "send": "send messages to one application",
        "listen": "print what others send",
        "chat": "talk in a group",
    },
    "token": {"token": "look at, make and check identity tokens"},
    "user": {"user": "users of a node (callboard start --auth-basic-file FILE)"},
    "acl": {"acl": "about rules by name (callboard start --rules FILE)"},
    "pki": {"pki": "certificates for nodes and applications"},
    "moderator": {"moderator": "lead a group by a script"},
    "bench": {"bench": "measure"},
    "controller": {"controller": "run a controller", "stubs": "client stubs of the controller"},
    "ctl": {"ctl": "ask and order a controller"},
    "up": {"up": "run the processes of a Procfile"},
    "admin": {"admin": "ways into a node's admin port"},
    "status": {
        "status": "how a running node is",
        "connections": "streams to applications and other nodes",
        "sessions": "sessions of applications in the node's own process",
        "routes": "which name leads to which connection",
        "actors": "the node's actors and their mailboxes",
    },
    "explain": {"explain": "why one name reaches another, or does not"},
    "trace": {"trace": "watch the messages of a name, and why they are dropped"},
    "orders": {"kick": "close a connection of a node", "drain": "let a node end"},
}
"""Modules, and the commands that each adds, in the order of the help."""

HELP = {command: text for added in COMMANDS.values() for command, text in added.items()}


class Commands(argparse._SubParsersAction):  # type: ignore[type-arg]
    """Knows what to say of each command."""

    def add_parser(self, name: str, **options: Any) -> Any:
        """The parser of one of them."""
        return super().add_parser(name, help=HELP[name], **options)


class Version(argparse.Action):
    """Looks the version up when somebody asks."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from gateway.api.version import get_version

        print(f"{parser.prog} {get_version()}")
        parser.exit()
