"""One line for each change: who, from where, what, before, after, and what came of it. Never a secret.

Lines are JSON, appended to a file when one is configured, and said at INFO in any case.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from actors.messages.controller import (
    AddParticipant,
    AddRoute,
    CreateChannel,
    CreateConnection,
    CreateSubscription,
    DeleteParticipant,
    Refusal,
    Result,
)
from identity.errors import ConfigError
from identity.log import logger

TEXT_SIZE = 512
"""Characters of one text in a line at most."""


def _appended(path: Path) -> TextIO:
    """The file, to append to. A pipe that nobody reads raises OSError: nobody is waited for."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags, 0o666)
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "a", encoding="utf-8", buffering=1)


class Audit:
    """Where the lines go."""

    def __init__(self, path: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        """Raises ConfigError when the file cannot be opened."""
        self._clock = clock
        try:
            self._file = _appended(path) if path is not None else None
        except OSError as error:
            raise ConfigError(f"audit.file: cannot open {path}: {error.strerror}", field="audit") from error

    def change(self, who: str, where: str, question: Any, reply: Result | Refusal | None) -> None:
        """A change was asked for; `reply` None: nobody waited for what came of it."""
        entry: dict[str, Any] = {"who": who, "from": where, **described(question)}
        match reply:
            case Result():
                entry |= {"before": reply.before, "after": reply.after, "result": "OK"}
            case Refusal():
                entry |= {"result": reply.status, "reason": reply.text}
            case None:
                entry["result"] = "UNKNOWN"
        self.line(entry)

    def line(self, entry: dict[str, Any]) -> None:
        """Write one line."""
        cut = {key: value[:TEXT_SIZE] if isinstance(value, str) else value for key, value in entry.items()}
        text = json.dumps({"at": round(self._clock(), 3), **cut})
        if self._file is not None:
            self._file.write(text + "\n")
        logger.info("audit {}", text)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def described(question: Any) -> dict[str, Any]:
    """What a question is about. Configurations of connections may hold credentials: their endpoint alone."""
    fields: dict[str, Any] = {"what": type(question).__name__}
    match question:
        case CreateConnection():
            fields |= {"node": question.node, "connection": question.connection.connection_id}
        case CreateSubscription():
            name, id, connection = question.route
            fields |= {"node": question.node, "name": _name(name, id), "connection": connection}
        case AddRoute():
            over = question.destination or (question.connection.connection_id if question.connection else "")
            fields |= {"node": question.node, "name": _name(question.name, question.id), "to": over}
        case CreateChannel():
            fields |= {"channel": question.channel, "moderators": list(question.moderators)[:8]}
        case AddParticipant() | DeleteParticipant():
            fields |= {"channel": question.channel, "participant": question.participant}
        case _:
            fields |= {
                key: "/".join(value) if isinstance(value, tuple) else value
                for key, value in question._asdict().items()
            }
    return fields


def _name(name: tuple[str, ...], id: int | None) -> str:
    return "/".join(name) + ("" if id is None else f"/{id}")
