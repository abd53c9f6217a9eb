"""Configuration files: YAML as values with lines, whatever the file is."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.document import FILE_BOUND, VALUES_BOUND, Document
from gateway.config.node import NodeConfig
from gateway.config.scalars import plain
from identity.errors import ConfigError

ENVIRON = {"PASSWORD": "hunter2", "PORT": "5000", "YES": "true", "EMPTY": ""}


def parse(text: str) -> Document:
    return Document.parse(text, "node.yaml", ENVIRON)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("no", "no"), ("on", "on"), ("~", None), ("", None), ("22:22", "22:22"),
        ("0123", "0123"), ("12", 12), ("-3", -3), ("0x1F", 31), ("0o17", 15), ("1.5", 1.5), ("1e3", 1000.0),
        (".5", 0.5), (".inf", float("inf")), ("2001-01-01", "2001-01-01"), ("1_000", "1_000"), ("1.2", 1.2),
        ("18446744073709551615", 2**64 - 1), ("9" * 40, "9" * 40), ("+", "+"), ("0", 0),
    ],
)  # fmt: skip
def test_scalars_mean_what_they_do_in_yaml_1_2(text: str, value: object) -> None:
    assert plain(text) == value
    assert type(plain(text)) is type(value)


def test_values_know_their_lines() -> None:
    document = parse("a: 1\nb:\n  - c: '5'\n  - d: [x, 2]\n")
    assert document.value == {"a": 1, "b": [{"c": "5"}, {"d": ["x", 2]}]}
    assert document.origin("b[1].d") == "line 4"
    assert document.origin("b[1].nothing[3]") == "line 4"
    assert document.origin("z") == ""
    error = ConfigError("b[0].c: wrong", field="b[0].c")
    assert document.sentence(error) == "node.yaml, line 3: b[0].c: wrong"


def test_references_stand_for_whole_values(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from a file\n")
    document = parse(
        f"a: ${{env:PASSWORD}}\nb: '${{file:{secret}}}'\nc: x${{env:PASSWORD}}\nd: ${{env:EMPTY}}\n"
    )
    assert document.value == {"a": "hunter2", "b": "from a file", "c": "x${env:PASSWORD}", "d": ""}


def test_a_reference_serves_where_no_text_is_wanted() -> None:
    document = parse(
        "services: {slim/0: {dataplane: {servers: [{endpoint: 'h:1', max_message_size: '${env:PORT}',"
        " tls: {insecure: '${env:YES}'}}]}}}"
    )
    (server,) = NodeConfig.read(document.value).servers
    assert (server.max_message_size, server.tls.insecure) == (5000, True)


def test_an_alias_is_what_it_stands_for() -> None:
    assert parse("a: &x {b: [1]}\nc: *x\n").value == {"a": {"b": [1]}, "c": {"b": [1]}}


BAD = {
    "a key given twice": ("a: 1\nb: 2\na: 3", 'line 3: the key "a" is given twice: first in line 1'),
    "twice within": ("a:\n  - {b: 1, b: 2}", 'line 2: the key "a[0].b" is given twice: first in line 2'),
    "not YAML": ("a: [1\nb: 2", "line 2: not YAML: did not find expected"),
    "a tab": ("a:\n\tb: 1", "line 2: not YAML"),
    "control characters": ("a: \x07", "not YAML: control characters are not allowed"),
    "two documents": ("a: 1\n---\nb: 1", "line 2: one document is read"),
    "a tag": ("a: !!python/object/apply:os.system [id]", "line 1: the tag tag:yaml.org,2002:python/object"),
    "a tag of its own": ("a: !b c", "line 1: the tag !b is not read"),
    "merging": ("a: &x {b: 1}\nc:\n  <<: *x", "line 3: merging (<<) is not read"),
    "a key that is a list": ("? [a]\n: b", "line 1: a key has to be a text"),
    "no such anchor": ("a: *x", "line 1: nothing before is called &x"),
    "itself": ("a: &x [*x]", "line 1: nothing before is called &x"),
    "deep": ("[" * 10_000, "line 1: nested deeper than 32"),
    "no such variable": ("a: ${env:NOPE}", "line 1: the environment variable NOPE is not set"),
    "no such file": ("a: ${file:/no/where}", "line 1: /no/where: No such file"),
    "a device": ("a: ${file:/dev/zero}", "line 1: /dev/zero: it is a device, not a regular file"),
    "another reference": ("a: ${vault:x}", "line 1: a reference is ${env:NAME} or ${file:PATH}"),
    "two references": ("a: ${env:A}${env:B}", "line 1: a reference is ${env:NAME}"),
    "many values": ("a: [" + "1," * VALUES_BOUND + "]", f"line 1: more than {VALUES_BOUND} values"),
}


@pytest.mark.parametrize(("text", "sentence"), BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(text)
    assert sentence in str(refused.value)
    assert str(refused.value).startswith("node.yaml")


@pytest.mark.parametrize("kind", ["lists", "maps"])
def test_aliases_do_not_multiply(kind: str) -> None:
    """Thirty levels of nine aliases each would be 9**30 values."""
    one = "[%s]" if kind == "lists" else "{%s}"
    lines = ["a0: &a0 [x]"]
    for level in range(1, 30):
        members = [f"*a{level - 1}" if kind == "lists" else f"k{i}: *a{level - 1}" for i in range(9)]
        lines.append(f"a{level}: &a{level} " + one % ", ".join(members))
    began = time.monotonic()
    with pytest.raises(ConfigError, match=f"more than {VALUES_BOUND} values"):
        parse("\n".join(lines))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("kind", ["large", "fifo", "zero", "directory", "socket", "text", "absent"])
def test_what_is_no_configuration_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    expected = {
        "large": f"larger than {FILE_BOUND} bytes",
        "fifo": "it is a pipe, not a regular file",
        "zero": "it is a device, not a regular file",
        "directory": "it is a directory, not a regular file",
        "socket": "No such device",
        "text": "line 2: not UTF-8",
        "absent": "No such file or directory",
    }[kind]
    match kind:
        case "large":
            path.write_bytes(b"a: 1\n" + b"#" * (10 * FILE_BOUND))
        case "fifo":
            os.mkfifo(path)
        case "zero":
            path = Path("/dev/zero")
        case "directory":
            path.mkdir()
        case "socket":
            import socket

            listening = socket.socket(socket.AF_UNIX)
            listening.bind(str(path))
            listening.close()
        case "text":
            path.write_bytes(b"a: 1\nb: \xff\xfe\n")
    began = time.monotonic()
    with pytest.raises(ConfigError) as refused:
        Document.load(str(path))
    assert expected in str(refused.value)
    assert time.monotonic() - began < 5


def test_a_path_that_is_none() -> None:
    with pytest.raises(ConfigError, match="no path"):
        Document.load("a\0b")


def test_a_mistake_quotes_no_text_of_the_file() -> None:
    for text in ("a: 'hunter2", "password: hunter2: x", "a: [hunter2\nb: 1", "a: hunter2\n b: x"):
        with pytest.raises(ConfigError) as refused:
            parse(text)
        assert "hunter2" not in str(refused.value)


scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(["slim/0", "x"])
names = st.sampled_from(
    ["services", "slim/0", "dataplane", "servers", "clients", "tls", "auth", "endpoint", "x"]
)
trees: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(trees)
def test_whatever_a_file_says_it_is_read_or_refused(value: Any) -> None:
    try:
        NodeConfig.read(value)
    except ConfigError as error:
        Document({}, {}).sentence(error)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!|>'\"#\n ,?%@`$", max_size=40))
def test_whatever_a_text_is_it_is_parsed_or_refused(text: str) -> None:
    try:
        parse(text)
    except ConfigError as error:
        said = str(error)
    else:
        return
    assert said.startswith("node.yaml")
