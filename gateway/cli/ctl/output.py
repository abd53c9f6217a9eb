"""How answers are shown: a table for people, JSON or YAML for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from gateway.cli.columns import Column, as_json, table
from identity.text import harmless

FORMATS = ("table", "json", "yaml")


def show(rows: Sequence[dict[str, Any]], columns: Sequence[str], form: str) -> str:
    """Rows in a form. A table has the named columns; the others have everything."""
    if form == "json":
        return as_json(list(rows))
    if form == "yaml":
        return str(yaml.safe_dump(list(rows), sort_keys=False)).rstrip()
    return table(rows, [_column(name) for name in columns], None)


def _column(name: str) -> Column:
    return Column(name, lambda row: _cell(row.get(name, "")))


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    if isinstance(value, dict):
        return " ".join(f"{key}={_cell(one)}" for key, one in value.items() if one)
    return harmless(str(value))
