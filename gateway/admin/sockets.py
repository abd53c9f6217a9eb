"""Where nodes of this machine are found by commands: a unix socket for each, in a directory of its user.

    $CALLBOARD_RUN, else $XDG_RUNTIME_DIR/callboard, else /tmp/callboard-UID      0700
        NAME.sock        0600, NAME being the node's id, or its port where it has no id of its own

Whoever may open the socket may order: file rights are its lock.
"""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

SUFFIX = ".sock"
LONGEST = 100
"""Bytes of a path that all systems take for a socket."""


def run_directory(environ: Mapping[str, str] | None = None) -> Path:
    """Where the sockets of this user's nodes are."""
    environ = os.environ if environ is None else environ
    if said := environ.get("CALLBOARD_RUN"):
        return Path(said)
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "callboard"
    return Path(f"/tmp/callboard-{os.getuid()}")  # noqa: S108 - looked at before it is used


def made_directory(path: Path) -> Path:
    """The directory, made where it is missing. Raises OSError when it is not this user's alone."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{path} is not a directory of this user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(f"{path} is open to others: chmod 700 {path}")
    return path


def socket_path(directory: Path, name: str) -> Path:
    """The socket of a node of that name. Raises OSError when the path is too long for one."""
    path = directory / (re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip(".") + SUFFIX)
    if len(os.fsencode(path)) > LONGEST:
        raise OSError(f"{path} is too long for a socket: choose another directory by CALLBOARD_RUN")
    return path


def answers(path: Path) -> bool:
    """Whether somebody listens there."""
    with socket.socket(socket.AF_UNIX) as one, suppress(OSError):
        one.settimeout(1.0)
        one.connect(str(path))
        return True
    return False


def local_sockets(directory: Path | None = None) -> list[Path]:
    """The sockets at which a node of this user answers, by name."""
    directory = directory or run_directory()
    with suppress(OSError):
        found = sorted(path for path in directory.iterdir() if path.suffix == SUFFIX)
        return [path for path in found if path.is_socket() and answers(path)]
    return []


def listening_socket(path: Path) -> socket.socket:
    """A listening socket that its user alone may open, in place of one that nobody answers at.

    Raises OSError, also when somebody does.
    """
    if path.is_socket():
        if answers(path):
            raise OSError(f"another node answers at {path}")
        path.unlink()
    one = socket.socket(socket.AF_UNIX)
    try:
        # Nobody may come in between `bind` and `chmod`: the directory is the user's alone.
        one.bind(str(path))
        path.chmod(0o600)
        one.setblocking(False)
        one.listen(64)
    except BaseException:
        one.close()
        raise
    return one
