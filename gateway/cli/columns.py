"""Tables for a terminal: as many columns as fit, and colours where they may be; for programs JSON."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TextIO

from actors.record import record
from gateway.telemetry.log import may_colour
from identity.text import harmless

GAP = 2
ROOM = 36
"""Characters of a text in a table at most; JSON has the whole."""
RED, GREEN, YELLOW, GREY = 31, 32, 33, 90


@record
class Column(NamedTuple):
    """One column: what it shows of a row, and what it yields its place to when there is not enough."""

    title: str
    show: Callable[[Mapping[str, Any]], str]
    need: int = 0
    """0: always shown; those with the highest number go first."""
    right: bool = False


def key(name: str, title: str = "", *, need: int = 0) -> Column:
    """A column with a member of the row as it is. Numbers stand on the right."""
    return Column(title or name, lambda row: _cell(row.get(name)), need)


def number(name: str, title: str = "", *, need: int = 0) -> Column:
    return Column(title or name, lambda row: _cell(row.get(name)), need, right=True)


def bytes_of(name: str, title: str = "", *, need: int = 0) -> Column:
    return Column(title or name, lambda row: size(int(row.get(name) or 0)), need, right=True)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], width: int | None) -> str:
    """Rows in columns, of which those go that do not fit into `width` characters; None: all stay."""
    cells = {column: [column.title.upper(), *map(column.show, rows)] for column in columns}
    widths = {column: max(map(len, texts)) for column, texts in cells.items()}
    shown = list(columns)
    while width is not None and sum(widths[one] + GAP for one in shown) - GAP > width:
        spare = max(shown, key=lambda one: one.need)
        if not spare.need:
            break
        shown.remove(spare)
    return "\n".join(
        (" " * GAP)
        .join((cells[one][at].rjust if one.right else cells[one][at].ljust)(widths[one]) for one in shown)
        .rstrip()
        for at in range(len(rows) + 1)
    )


def terminal_width(stream: TextIO | None = None) -> int | None:
    """Of the terminal; None where the output is read by a program."""
    stream = sys.stdout if stream is None else stream
    return shutil.get_terminal_size().columns if stream.isatty() else None


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2)


def paint(text: str, colour: int, stream: TextIO | None = None) -> str:
    """In colour, where that may be."""
    return f"\x1b[{colour}m{text}\x1b[0m" if may_colour(sys.stdout if stream is None else stream) else text


def pairs(lines: Iterable[tuple[str, str]]) -> str:
    """What is one thing each, line by line."""
    said = [(name, text) for name, text in lines if text]
    wide = max((len(name) for name, _ in said), default=0)
    return "\n".join(f"{name.ljust(wide)}  {text}" for name, text in said)


def size(count: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def lasted(seconds: float) -> str:
    """A time as people read it."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value}"
    text = harmless(str(value))
    return text if len(text) <= ROOM else f"{text[: ROOM - 3]}..."
