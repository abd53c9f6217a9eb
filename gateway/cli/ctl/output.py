"""How answers are shown: a table for people, JSON or YAML for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import yaml

from identity.text import harmless

FORMATS = ("table", "json", "yaml")


def show(rows: Sequence[dict[str, Any]], columns: Sequence[str], form: str) -> str:
    """Rows in a form. A table has the named columns; the others have everything."""
    if form == "json":
        return json.dumps(list(rows), indent=2)
    if form == "yaml":
        return str(yaml.safe_dump(list(rows), sort_keys=False)).rstrip()
    cells = [[column.upper() for column in columns]]
    cells += [[_cell(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(row[at]) for row in cells) for at in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    if isinstance(value, dict):
        return " ".join(f"{key}={_cell(one)}" for key, one in value.items() if one)
    return harmless(str(value))
