"""`callboard user add | remove | list FILE`: users of a node with hashed passwords (`--auth-basic-file`)."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Mapping
from pathlib import Path

from gateway.security.users import (
    PASSWORD_BYTES,
    PasswordHash,
    checked_user,
    load_users,
    write_users,
)
from gateway.surroundings import current
from identity.encoding import Malformed
from identity.errors import ConfigError

_LEAST = 8
"""Characters of a new password."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    user = commands.add_parser("user")
    verbs = user.add_subparsers(metavar="VERB", required=True)
    for verb, words, run in (
        (
            "add",
            "add a user, or give it another password, asked for or read from standard input",
            _add,
        ),
        ("remove", "remove a user", _remove),
    ):
        one = verbs.add_parser(verb, help=words)
        one.add_argument("file", metavar="FILE", help="the users; a running node follows it")
        one.add_argument("user", metavar="USER")
        one.set_defaults(run=run)
    every = verbs.add_parser("list", help="list the users")
    every.add_argument("file", metavar="FILE", help="the users")
    every.set_defaults(run=_list)


def _add(arguments: argparse.Namespace) -> int:
    users = dict(_users(arguments.file, new=True))
    try:
        user = checked_user(arguments.user)
    except Malformed as error:
        raise ConfigError(str(error), field="user") from None
    text = "has another password" if user in users else "added"
    users[user] = PasswordHash.make(_password(user), current().random(16))
    write_users(arguments.file, users)
    print(f"{arguments.file}: {user} {text}")
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    users = dict(_users(arguments.file))
    if users.pop(arguments.user, None) is None:
        raise ConfigError(f"{arguments.file}: there is no user {arguments.user}", field="user")
    write_users(arguments.file, users)
    print(f"{arguments.file}: {arguments.user} removed")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    for user in _users(arguments.file):
        print(user)
    return 0


def _users(path: str, *, new: bool = False) -> Mapping[str, PasswordHash]:
    """Those of a file. Raises ConfigError."""
    if new and not Path(path).exists():
        return {}
    try:
        return load_users(path)
    except Malformed as error:
        raise ConfigError(f"{path}: {error}", field="file") from None


def _password(user: str) -> bytes:
    """A new password: typed twice at a terminal, else the first line of standard input."""
    if sys.stdin.isatty():
        typed = getpass.getpass(f"password of {user}: ")
        if getpass.getpass("again: ") != typed:
            raise ConfigError("these are two different passwords", field="password")
    else:
        typed = sys.stdin.readline().rstrip("\r\n")
    if len(typed) < _LEAST or len(typed.encode()) > PASSWORD_BYTES:
        raise ConfigError(f"a password has {_LEAST} characters or more", field="password")
    return typed.encode()
