"""Every line of the log says the same thing by the same field, and nothing of that in its text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from identity.log import FIELDS
from tests.test_floors import FORBIDDEN, ROOT, modules

CALLS = {"debug", "info", "warning", "error", "exception", "log", "bind"}
LOGS = ("logger", "access", "self._log", "self._log()", "project_log", "self")

TEXTS = {
    "actors/controller/actor.py": "what a controller did, in a sentence of its core",
    "gateway/controller/audit.py": "a line of the audit log, JSON",
    "gateway/cli/start.py": "a note about a line of the configuration file",
}
"""Modules with a line that is somebody else's text."""


class Line(NamedTuple):
    where: str
    call: ast.Call
    level: str


def lines() -> Iterator[Line]:
    for path in [path for floor in FORBIDDEN for path in modules(floor)]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                log, level = ast.unparse(node.func.value), node.func.attr
                # `self.log` is a line of an actor about itself.
                if level in CALLS and log in LOGS and (log != "self" or level == "log"):
                    yield Line(str(path.relative_to(ROOT)), node, level)


def test_there_are_lines() -> None:
    assert len(list(lines())) > 70


def test_fields_are_those_of_the_table() -> None:
    used = [(line.where, key.arg) for line in lines() for key in line.call.keywords if key.arg is not None]
    assert not [one for one in used if one[1] not in FIELDS]


def test_the_table_has_no_field_that_nobody_uses() -> None:
    # Some are put together in dictionaries: as texts they stand in the modules all the same.
    sources = [path.read_text() for floor in FORBIDDEN for path in modules(floor) if path.name != "log.py"]
    assert not [key for key in FIELDS if not any(f"{key}=" in one or f'"{key}"' in one for one in sources)]


def test_texts_hold_no_values() -> None:
    wrong = []
    for where, call, level in lines():
        arguments = call.args[1:] if level == "log" else call.args
        if level != "bind" and where not in TEXTS and (len(arguments) != 1 or not is_text(arguments[0])):
            wrong.append(f"{where}:{call.lineno}: {ast.unparse(call)}")
    assert not wrong


def is_text(node: ast.expr) -> bool:
    """A text, or a name for one; what is put into it may be how many lines were left out, or a state."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and "{" not in node.value
    if isinstance(node, ast.JoinedStr):
        parts = [ast.unparse(part.value) for part in node.values if isinstance(part, ast.FormattedValue)]
        return all(part in {"more", "self._alarms.told()"} for part in parts)
    return isinstance(node, ast.Name) and node.id in {"text", "what", "line"}


def test_the_pages_name_every_field() -> None:
    page = Path(ROOT / "docs/operating.md").read_text()
    assert not [key for key in FIELDS if f"`{key}`" not in page]
