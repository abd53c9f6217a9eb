"""The tables of keys in other forms: schema, example, page; and that they say what the reader reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.document import Document
from gateway.config.example import example
from gateway.config.keys import Key, Table
from gateway.config.node import NODE, NodeConfig
from gateway.config.options import NODE_OPTIONS
from gateway.config.page import page
from gateway.config.schema import schema
from tests.gateway.config.test_published import ROWS, tree

ROOT = Path(__file__).parents[3]


def tables() -> dict[Table, str]:
    found: dict[Table, str] = {}
    waiting = [(NODE, "")]
    while waiting:
        table, place = waiting.pop()
        if table in found:
            continue
        found[table] = place
        for one in (table, *table.variants.values()):
            waiting += [(key.inner, f"{place}.{key.name}") for key in one.keys if key.inner is not None]
    return found


def keys() -> list[Key]:
    return [key for table in tables() for one in (table, *table.variants.values()) for key in one.keys]


def test_the_page_of_the_documentation_is_current() -> None:
    """`make config-page` writes it."""
    assert (ROOT / "docs/configuration.md").read_text() == page()


def test_the_page_has_every_key_and_option() -> None:
    text = page()
    for key in keys():
        assert f"`{key.name}`" in text
    for option in NODE_OPTIONS:
        assert f"`{option.variable}`" in text


def test_every_key_says_what_it_is() -> None:
    for key in keys():
        assert key.help or key.without_effect or key.not_ours, key.name
        assert not (key.without_effect and key.not_ours), key.name


def test_the_example_is_a_configuration() -> None:
    made = NodeConfig.read(Document.parse(example(), "example").value)
    assert [server.endpoint for server in made.servers] == ["127.0.0.1:46357"]
    assert made.notes == ()


def test_the_example_has_every_key_of_the_node() -> None:
    text = example()
    for table in (NODE, NODE.key("services").inner, NODE.key("runtime").inner):
        assert table is not None
        for key in table.keys:
            assert key.without_effect or f"{key.name}:" in text


def _is_older(value: object) -> bool:
    """Whether it is in the older spelling of types, which the schema leaves out."""
    return isinstance(value, dict) and bool(value.keys() & {"basic", "jwt", "encoding", "shared_secret"})


def test_the_schema_takes_what_the_reader_takes() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    made = schema()
    jsonschema.Draft202012Validator.check_schema(made)
    validator = jsonschema.Draft202012Validator(made)
    assert not list(validator.iter_errors(Document.parse(example(), "example").value))
    for part, rows in ROWS.items():
        for key, values in rows.items():
            for row in values:
                value = tree(part, key, row)
                if "refused" in row or _is_older(row["value"]):
                    continue
                if part != "node":
                    side = "clients" if part == "client" else "servers"
                    value = {"services": {"slim/0": {"dataplane": {side: [value]}}}}
                errors = [error.message for error in validator.iter_errors(value)]
                assert not errors, (part, key, row, errors)


def test_the_schema_knows_no_other_keys() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(schema())
    assert list(validator.iter_errors({"services": {"slim/0": {"dataplan": {}}}}))
    assert list(validator.iter_errors({"services": {"slim/0": {}}, "servces": {}}))
