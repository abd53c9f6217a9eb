"""The log of the three floors: `from identity.log import logger`, then `logger.warning("what", key=value)`.

Records go to the standard library's loggers, "callboard.gateway.links.link" for that module, where an
application sets levels and handlers as for any library; without any, WARNING and above are shown on standard
error. A program that logs by loguru may `logger.enable("gateway")` ("actors", "identity") there and has the
same records in its own sinks. Neither touches what the application set up.
"""

from __future__ import annotations

import logging
import sys
from functools import cache
from typing import Any

import loguru

ROOT = "callboard"
"""The logger above those of all modules."""

LEVELS = {"TRACE": 5, "DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}
"""By name, for both libraries alike."""

_sinks = loguru.logger.opt(depth=2)


@cache
def logger_of(module: str) -> logging.Logger:
    """The standard library's logger of a module of ours."""
    return logging.getLogger(f"{ROOT}.{module}")


class FloorLog:
    """Says what a module has to say: a text, `values` for the {} in it, and fields beside it."""

    __slots__ = ("_fields",)

    def __init__(self, fields: dict[str, Any] | None = None) -> None:
        self._fields = fields or {}

    def bind(self, **fields: Any) -> FloorLog:
        """The same with further fields."""
        return FloorLog({**self._fields, **fields})

    def log(self, level: str, what: str, *values: Any, **fields: Any) -> None:
        self._log(level, what, values, fields)

    def debug(self, what: str, *values: Any, **fields: Any) -> None:
        self._log("DEBUG", what, values, fields)

    def info(self, what: str, *values: Any, **fields: Any) -> None:
        self._log("INFO", what, values, fields)

    def warning(self, what: str, *values: Any, **fields: Any) -> None:
        self._log("WARNING", what, values, fields)

    def error(self, what: str, *values: Any, **fields: Any) -> None:
        self._log("ERROR", what, values, fields)

    def exception(self, what: str, *values: Any, **fields: Any) -> None:
        """An error, with the exception that is being handled."""
        self._log("ERROR", what, values, fields, caught=True)

    def _log(
        self, level: str, what: str, values: tuple[Any, ...], fields: dict[str, Any], caught: bool = False
    ) -> None:
        # Of the module that called debug() or another of the methods above.
        caller = sys._getframe(2)
        standard = logger_of(caller.f_globals["__name__"])
        number = LEVELS[level]
        if values:
            what = what.format(*values)
        if self._fields:
            fields = {**self._fields, **fields}
        if standard.isEnabledFor(number):
            record = standard.makeRecord(
                standard.name,
                number,
                caller.f_code.co_filename,
                caller.f_lineno,
                with_fields(what, fields),
                (),
                sys.exc_info() if caught else None,
                caller.f_code.co_name,
                {"what": what, "fields": fields},
            )
            record.levelname = level
            standard.handle(record)
        sinks = _sinks.opt(depth=2, exception=True) if caught else _sinks
        # Bound, not handed along with the text: loguru would look for fields between braces in it.
        sinks.bind(**fields).log(level, what)


def with_fields(what: str, fields: dict[str, Any]) -> str:
    """A line with all fields: `link is down connection=3 cause='no answer'`."""
    return " ".join((what, *(f"{key}={_text(value)}" for key, value in fields.items())))


def _text(value: Any) -> str:
    text = str(value)
    plain = text.isprintable() and text and not any(c in text for c in " \"'=")
    return text if plain else repr(text)


logger = FloorLog()
