"""Options from the environment: `--some-option` is also SLIM_SOME_OPTION. What the command line says wins."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence

from gateway.config.options import variable
from identity.errors import ConfigError

_NO = frozenset({"", "0", "false", "no", "off"})


def said(argv: Sequence[str]) -> frozenset[str]:
    """The long options of a command line, as they stand there: not what the environment says."""
    options = argv[: argv.index("--")] if "--" in argv else argv
    return frozenset(word.split("=", 1)[0] for word in options if word.startswith("--"))


def refuse_idle(arguments: argparse.Namespace, flags: Iterable[str], where: str) -> None:
    """Refuse options that were given though they do nothing `where`. Raises ConfigError.

    Variables are for all commands of an environment: they may do nothing here.
    """
    for flag in flags:
        if flag in getattr(arguments, "said", ()):
            raise ConfigError(f"{flag} does nothing {where}", field=flag.removeprefix("--").replace("-", "_"))


def add_environment(parser: argparse.ArgumentParser, environ: Mapping[str, str] = os.environ) -> None:
    """Let every long option of `parser`, as it is now, take its default from its variable.

    A switch is on unless its variable is empty, 0, false, no or off; an option that may be repeated takes
    a list with commas or white space between.
    """
    for action in parser._actions:
        flags = [flag for flag in action.option_strings if flag.startswith("--")]
        if not flags or isinstance(action, argparse._HelpAction):
            continue
        name = variable(flags[0])
        action.help = f"{action.help or ''} [{name}]".strip()
        value = environ.get(name)
        if value is None:
            continue
        if action.nargs == 0:
            action.default = value.strip().lower() not in _NO
        elif isinstance(action, argparse._AppendAction):
            action.default = value.replace(",", " ").split()
        else:
            # argparse converts a default that is a text as it would convert the option's argument.
            action.default = value
        action.required = False
