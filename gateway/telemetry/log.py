"""Where a program's log goes: handlers of the standard library, as text with all fields or as JSON."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from identity.errors import ConfigError
from identity.log import LEVELS, ROOT

COLOURS = {"TRACE": 2, "DEBUG": 2, "INFO": 0, "WARNING": 33, "ERROR": 31}


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to what `sys.stderr` is at the time: a program may have put something else there meanwhile."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


class TextFormat(logging.Formatter):
    """`2026-11-27 10:00:00.000 WARNING gateway.links.link: link is down connection=3`."""

    def __init__(
        self, *, thread_names: bool = False, thread_ids: bool = False, colours: bool = False
    ) -> None:
        thread = ("%(threadName)s " if thread_names else "") + ("%(thread)d " if thread_ids else "")
        super().__init__(
            f"%(asctime)s.%(msecs)03d %(paint)s%(levelname)-7s%(plain)s {thread}%(module_of)s: %(message)s"
        )
        self.default_time_format = "%Y-%m-%d %H:%M:%S"
        self._colours = colours

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return time.strftime(self.default_time_format, self.converter(record.created))

    def formatMessage(self, record: logging.LogRecord) -> str:
        painted = self._colours and COLOURS.get(record.levelname, 0)
        values = record.__dict__ | {
            "module_of": record.name.removeprefix(f"{ROOT}."),
            "paint": f"\x1b[{painted}m" if painted else "",
            "plain": "\x1b[0m" if painted else "",
        }
        return str(self._fmt) % values


class JsonFormat(logging.Formatter):
    """One object a line: time (seconds), level, name, message, fields, and a traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": round(record.created, 6),
            "level": record.levelname,
            "name": record.name.removeprefix(f"{ROOT}."),
            "thread": record.threadName,
            "message": getattr(record, "what", None) or record.getMessage(),
            "fields": getattr(record, "fields", {}),
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said, default=str)


def may_colour(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether escape sequences may be written: to a terminal that knows them, and nobody said NO_COLOR."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def log_to_stderr(
    level: str | Mapping[str, str],
    form: str = "text",
    *,
    thread_names: bool = False,
    thread_ids: bool = False,
) -> None:
    """Show the log of the three floors on standard error, from `level` up; called again, in place of before.

    A mapping has levels by module, that of all others under "". What the application set up stays as it is.
    Raises ConfigError for a level that is none.
    """
    levels = {"": level} if isinstance(level, str) else level
    numbers = {module: _number(name) for module, name in levels.items()}
    no_log_on_stderr()
    root = logging.getLogger(ROOT)
    handler = StderrHandler()
    handler.setFormatter(
        JsonFormat()
        if form == "json"
        else TextFormat(thread_names=thread_names, thread_ids=thread_ids, colours=may_colour(sys.stderr))
    )
    root.addHandler(handler)
    for module in levels:
        logging.getLogger(f"{ROOT}.{module}" if module else ROOT).setLevel(numbers[module])


def no_log_on_stderr() -> None:
    """Take back what `log_to_stderr` did, but for the levels."""
    root = logging.getLogger(ROOT)
    for handler in [one for one in root.handlers if isinstance(one, StderrHandler)]:
        root.removeHandler(handler)


def _number(name: str) -> int:
    wanted = name.upper()
    number = LEVELS.get("WARNING" if wanted == "WARN" else wanted)
    if number is None:
        known = ", ".join(LEVELS).lower()
        raise ConfigError(f"log level: one of {known}, got {name!r}", field="log_level")
    return number
