"""The log of the three floors: `from identity.log import logger`, then `logger.warning("what", key=value)`.

Records go to the standard library's loggers, "callboard.gateway.links.link" for that module, where an
application sets levels and handlers as for any library; without any, WARNING and above are shown on standard
error. A program that logs by loguru may `logger.enable("gateway")` ("actors", "identity") there and has the
same records in its own sinks. Neither touches what the application set up.

What peers chose stands in many lines: no record moves a cursor, is two lines or a megabyte.
"""

from __future__ import annotations

import logging
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import loguru

from identity.text import harmless

if TYPE_CHECKING:
    from loguru import Record

ROOT = "callboard"
"""The logger above those of all modules."""

LEVELS = {"TRACE": 5, "DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}
"""By name, for both libraries alike."""


def _make_harmless(record: Record) -> None:
    """loguru's records, as those of the standard library."""
    record["message"] = harmless(record["message"])
    record["extra"].update({key: _harmless(value) for key, value in record["extra"].items()})


_sinks = loguru.logger.opt(depth=2).patch(_make_harmless)


@cache
def logger_of(module: str) -> logging.Logger:
    """The standard library's logger of a module of ours."""
    return logging.getLogger(f"{ROOT}.{module}")


FIELDS = {
    "conn": "number of a connection, in one process",
    "peer": "who is at the other end: an address, or the name of an application",
    "identity": "who that is, as its authentication proved",
    "name": "name of an application of ours, with its instance id",
    "session": "number of a session",
    "channel": "name of a group's channel",
    "cause": "why, in words",
    "node": "id of another node",
    "endpoint": "where one listens or dials",
    "listener": "the endpoint of ours at which a peer called",
    "version": "what a peer says it is",
    "issuer": "of tokens",
    "subject": "of tokens",
    "claim": "of a token",
    "path": "of a file or socket",
    "place": "in a program: function, file and line",
    "actor": "address of an actor",
    "kind": "class of an actor or of another part; of a session, point to point or group",
    "message": "class of a message between actors",
    "status": "gRPC's word for how a call ended",
    "part": "which part of the program speaks, where its module does not tell",
    "action": "what an operator had done, at the admin port",
    "refused": "how many were refused so far",
    "count": "how many so far",
    "skipped": "how many lines were not written before this one",
    "size": "bytes",
    "limit": "what is allowed, in the unit of what it is about",
    "own_limit": "the same, of ours",
    "seconds": "how long",
    "messages_in": "how many came",
    "messages_out": "how many were given to the stream",
    "bytes_in": "bytes of these",
    "bytes_out": "bytes of these",
}
"""The fields that a line may have. One name for one thing: a search by a field finds every line about it."""


class FloorLog:
    """Says what a module has to say: a text, `values` for the {} in it, and fields beside it.

    Fields are those of FIELDS; one that is None is left out. With `named`, lines are that logger's and not
    the module's.
    """

    __slots__ = ("_fields", "_named")

    def __init__(self, fields: dict[str, Any] | None = None, *, named: str = "") -> None:
        self._fields = fields or {}
        self._named = named

    def bind(self, **fields: Any) -> FloorLog:
        """The same with further fields."""
        return FloorLog({**self._fields, **fields}, named=self._named)

    def shows(self, level: str) -> bool:
        """Whether anybody would see a line of a log that has a name."""
        return logger_of(self._named).isEnabledFor(LEVELS[level])

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
        standard = logger_of(self._named or caller.f_globals["__name__"])
        number = LEVELS[level]
        if values:
            what = what.format(*values)
        if self._fields:
            fields = {**self._fields, **fields}
        fields = {key: value for key, value in fields.items() if value is not None}
        if standard.isEnabledFor(number):
            shown, values_shown = harmless(what), {key: _harmless(value) for key, value in fields.items()}
            record = standard.makeRecord(
                standard.name,
                number,
                caller.f_code.co_filename,
                caller.f_lineno,
                with_fields(shown, values_shown),
                (),
                sys.exc_info() if caught else None,
                caller.f_code.co_name,
                {"what": shown, "fields": values_shown},
            )
            record.levelname = level
            standard.handle(record)
        sinks = _sinks.opt(depth=2, exception=True) if caught else _sinks
        # Bound, not handed along with the text: loguru would look for fields between braces in it.
        sinks.bind(**fields).log(level, what)


def _harmless(value: Any) -> Any:
    """A number as it is, anything else as harmless text: a name has text of peers too."""
    return value if isinstance(value, int | float) else harmless(str(value))


def with_fields(what: str, fields: dict[str, Any]) -> str:
    """A line with all fields: `link is down connection=3 cause='no answer'`."""
    return " ".join((what, *(f"{key}={_text(value)}" for key, value in fields.items())))


def _text(value: Any) -> str:
    text = str(value)
    if text.isprintable() and text and not any(c in text for c in " \"'="):
        return text
    # Quoted, not escaped: text that is shown in a log is harmless already, and would be escaped twice.
    text = harmless(text, None)
    return f"'{text}'" if "'" not in text else f'"{text}"'


logger = FloorLog()

access = FloorLog(named="access")
"""Who came, from where, and how it ended: connections of nodes, sessions of applications. At INFO."""
