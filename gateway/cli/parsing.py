"""The command line's parser: options of the log before and behind the command, and what typos may mean."""

from __future__ import annotations

import argparse
import difflib
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR")
FORMATS = ("text", "json")

_CHOICE = re.compile(r"invalid choice: '(.*?)' \(choose from (.*)\)")
_UNKNOWN = re.compile(r"unrecognized arguments: (.*)", re.DOTALL)
_MISSING = "the following arguments are required: "


def whole_number(text: str, least: int | None = None) -> int:
    """A whole number, for argparse. Raises ArgumentTypeError."""
    wanted = "a whole number" if least is None else f"a whole number from {least} on"
    # What int() takes besides, such as 1_000 and digits of other scripts, is more often a slip.
    made = int(text) if re.fullmatch(r"[-+]?[0-9]{1,18}", text) else None
    if made is None or (least is not None and made < least):
        raise argparse.ArgumentTypeError(f"expected {wanted}, got {text!r}")
    return made


def from_zero(text: str) -> int:
    """A whole number from 0 on, for argparse. Raises ArgumentTypeError."""
    return whole_number(text, 0)


def positive(text: str) -> int:
    """A whole number from 1 on, for argparse. Raises ArgumentTypeError."""
    return whole_number(text, 1)


def number(text: str) -> float:
    """A number from 0 on, for argparse. Raises ArgumentTypeError."""
    try:
        made = float(text)
    except ValueError:
        made = -1.0
    if not 0 <= made < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number from 0 on, such as 1.5, got {text!r}")
    return made


class Repeated(argparse._AppendAction):
    """An option that may be given again; once the command line says it, the environment says nothing."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        if getattr(namespace, self.dest) is self.default:
            setattr(namespace, self.dest, None)
        super().__call__(parser, namespace, values, option_string)


class Listed(argparse.Action):
    """An option whose value is a list with commas between, and that may be given again: the list grows."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        before = getattr(namespace, self.dest)
        # The first time, what the environment says is there.
        setattr(namespace, self.dest, values if before is self.default else f"{before},{values}")


class CommandParser(argparse.ArgumentParser):
    """An ArgumentParser that suggests. Those of its commands are of the same kind."""

    _words: Sequence[str] = ()

    def __init__(self, *args: Any, **options: Any) -> None:
        # --auth-basic is no --auth-basic-file; and half an option may hold a password (`gateway.concealed`).
        super().__init__(*args, **{"allow_abbrev": False, **options})
        self.register("action", "append", Repeated)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        # What a command's own parser is asked, too.
        self._words = tuple(args or ())
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        super().error(message + self._suggestion(message))

    def _suggestion(self, message: str) -> str:
        if choice := _CHOICE.search(message):
            return _meant(choice[1], re.findall(r"[\w.-]+", choice[2]))
        if message == f"{_MISSING}{self._choice()}":
            return f" ({', '.join(commands_of(self))})"
        if unknown := _UNKNOWN.match(message):
            return self._meant_option(unknown[1].split())
        # An option that is missing may be there, mistyped.
        return self._meant_option(self._words, "{} is unknown, ") if message.startswith(_MISSING) else ""

    def _meant_option(self, words: Sequence[str], said: str = "") -> str:
        """What the first of these words that is no option may mean; `said` names it."""
        options = {flag for parser in self._reached() for flag in parser._option_string_actions}
        for word in words:
            flag = word.partition("=")[0]
            if flag.startswith("--") and flag not in options and (near := _near(flag, sorted(options))):
                return f"; {said.format(flag)}did you mean {near}?"
        return ""

    def _choice(self) -> str:
        """What stands for the commands of this parser in its usage."""
        return next(
            (str(one.metavar) for one in self._actions if isinstance(one, argparse._SubParsersAction)), ""
        )

    def _reached(self) -> Iterator[argparse.ArgumentParser]:
        """This parser and those of the commands that the command line names."""
        parser: argparse.ArgumentParser = self
        yield parser
        for word in self._words:
            inner = commands_of(parser).get(word)
            if inner is not None:
                parser = inner
                yield parser


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands of a parser, by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def add_log_options(parser: argparse.ArgumentParser, *, anew: bool = True) -> None:
    """`--log-level` and `--log-format`, for a parser and all its commands."""
    # Without a default of their own, those of a command leave alone what was said before it.
    level, form = (None, "text") if anew else (argparse.SUPPRESS, argparse.SUPPRESS)
    parser.add_argument(
        "--log-level",
        type=str.upper,
        choices=LEVELS,
        metavar="LEVEL",
        help=f"what is logged to standard error: {', '.join(LEVELS)} (default: WARNING)",
        default=level,
    )
    parser.add_argument(
        "--log-format", choices=FORMATS, default=form, help="of the log's lines (default: text)"
    )
    for command in {id(one): one for one in commands_of(parser).values()}.values():
        add_log_options(command, anew=False)


def _meant(word: str, known: Sequence[str]) -> str:
    near = _near(word, known)
    return f"; did you mean {near}?" if near else ""


def _near(word: str, known: Sequence[str]) -> str:
    return next(iter(difflib.get_close_matches(word, known, n=1)), "")
