"""What the original node's configuration says, value by value: read, read without effect, or refused.

`published.yaml` has the rows. Nothing that it lists may be an unknown key, and no refusal may be a bare one.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config import ClientConfig, Section, ServerConfig
from gateway.config.document import Document
from gateway.config.node import NodeConfig
from gateway.config.section import Note
from identity.errors import ConfigError

ROWS = Document.load(str(Path(__file__).with_name("published.yaml"))).value
LISTENER = {"endpoint": "127.0.0.1:46357", "tls": {"insecure": True}}


def rows() -> Iterator[Any]:
    for part, keys in ROWS.items():
        for key, values in keys.items():
            for index, row in enumerate(values):
                yield pytest.param(part, key, row, id=f"{part}-{key}-{index}")


def base(part: str, key: str) -> dict[str, Any]:
    """What a row's key stands in."""
    if part == "client":
        return {"endpoint": "https://localhost:46357"}
    if part == "server":
        return {
            "endpoint": "127.0.0.1:46357",
            **({} if key.startswith("tls") else {"tls": {"insecure": True}}),
        }
    return {"services": {"slim/0": {"dataplane": {"servers": [LISTENER]}}}}


def put(tree: dict[str, Any], path: list[str], value: Any) -> None:
    *before, last = path
    for name in before:
        tree = tree.setdefault(name, {})
    tree[last] = value


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    both = dict(one)
    for key, value in other.items():
        known = both.get(key)
        both[key] = merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return both


def tree(part: str, key: str, row: dict[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy(merged(base(part, key), row.get("also", {})))
    path = key.split(".")
    if path[0] == "service":
        path = ["services", "slim/0", *path[1:]]
    about_certificate = re.search(r"\.source|insecure|cert_|key_", key)
    if part == "server" and key.startswith("tls.") and not about_certificate:
        # A listener needs one.
        made = merged(made, {"tls": {"cert_file": "c", "key_file": "k"}})
    put(made, path, row["value"])
    return made


def read(part: str, value: dict[str, Any]) -> tuple[Any, list[Note]]:
    if part == "node":
        node = NodeConfig.read(value)
        return node, list(node.notes)
    section = Section(value, "")
    return (ClientConfig if part == "client" else ServerConfig).read(section), section.notes


def attribute(record: Any, path: str) -> Any:
    for name in re.split(r"(?<!\\)\.", path):
        name = name.replace("\\.", ".")
        if isinstance(record, dict):
            record = record[name]
        else:
            record = record[int(name)] if name.isdigit() else getattr(record, name)
    return list(record) if isinstance(record, tuple) else record


@pytest.mark.parametrize(("part", "key", "row"), list(rows()))
def test_a_published_value(part: str, key: str, row: dict[str, Any]) -> None:
    value = tree(part, key, row)
    if "refused" in row:
        with pytest.raises(ConfigError) as refused:
            read(part, value)
        assert row["refused"] in str(refused.value)
        assert "unknown key" not in str(refused.value)
        assert refused.value.field
        return
    record, notes = read(part, value)
    if "note" in row:
        assert any(row["note"] in note.text for note in notes)
    for path, expected in row.get("is", {}).items():
        found = attribute(record, path)
        assert found == pytest.approx(expected) if isinstance(expected, float) else found == expected


def test_every_row_says_what_comes_of_it() -> None:
    for part, keys in ROWS.items():
        for key, values in keys.items():
            for row in values:
                assert len(row.keys() & {"is", "note", "refused"}) == 1, (part, key)
