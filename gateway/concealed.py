"""What is secret of a command line goes into the environment, and the command begins anew without it.

Everybody on a machine may list the command lines of all processes. Nothing of ours is imported here: this
comes before all else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

SECRETS = {
    "--basic-auth": "use --auth-basic-file FILE, or the variable SLIM_BASIC_AUTH",
    "--auth-basic": "use the variable SLIM_AUTH_BASIC",
    "--shared-secret": "",
    "--connect": "",
}
"""Options that may be secret, and what to warn about where they are."""
MOVED = "CALLBOARD_MOVED"
"""The variable that says which options were moved to theirs."""


def concealed(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """A command line without what is secret of it, and that as variables of the environment."""
    left: list[str] = []
    moved: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if word == "--":
            left += [word, *rest]
            break
        flag, equals, value = word.partition("=")
        if flag not in SECRETS:
            left.append(word)
            continue
        if not equals:
            found = next(rest, None)
            if found is None:
                left.append(word)
                break
            value = found
        if flag == "--connect" and "@" not in value and not value.startswith("{"):
            left += [flag, value]
        else:
            moved[flag] = value
    return left, moved


def conceal() -> None:
    """Begin anew without what is secret; nothing is done where there is none."""
    left, moved = concealed(sys.argv[1:])
    if not moved or os.name != "posix":
        return
    for flag in moved:
        if SECRETS[flag]:
            said = f"{flag} shows a password to whoever lists the processes: {SECRETS[flag]}"
            sys.stderr.write(f"callboard: warning: {said}\n")
    variables = {f"SLIM_{flag[2:].replace('-', '_').upper()}": value for flag, value in moved.items()}
    environ = {**os.environ, **variables, MOVED: " ".join(moved)}
    before = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]
    os.execve(sys.executable, [*before, *left], environ)  # noqa: S606
