"""Options: numbers, and those that are given again."""

from __future__ import annotations

from argparse import Namespace

import pytest

from gateway.cli.environment import add_environment
from gateway.cli.node_options import add_node_options, read_node
from gateway.cli.parsing import CommandParser, from_zero, number, positive, whole_number


def told(*words: str, environ: dict[str, str] | None = None) -> Namespace:
    parser = CommandParser()
    parser.add_argument("--guest", action="append", default=[])
    add_environment(parser, environ or {})
    return parser.parse_args(words)


def test_what_the_command_line_repeats_replaces_what_the_environment_says() -> None:
    environ = {"SLIM_GUEST": "a,b"}
    assert told(environ=environ).guest == ["a", "b"]
    assert told("--guest", "c", "--guest", "d", environ=environ).guest == ["c", "d"]
    assert told("--guest", "c").guest == ["c"]


def endpoints(*words: str) -> tuple[list[str], list[str]]:
    parser = CommandParser()
    add_node_options(parser)
    config, _ = read_node(parser.parse_args(["--insecure", *words]), None)
    return [one.endpoint for one in config.servers], [one.endpoint for one in config.clients]


def test_endpoints_that_are_given_again_are_further_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLIM_PEER", raising=False)
    monkeypatch.setenv("SLIM_LISTEN", "h:1, h:2")
    assert endpoints("--peer", "p:1,p:2", "--peer", "p:3") == (
        ["h:1", "h:2"],
        ["http://p:1", "http://p:2", "http://p:3"],
    )
    assert endpoints("--listen", "h:3", "--listen", "h:4") == (["h:3", "h:4"], [])


@pytest.mark.parametrize("word", ["abc", "1.5", "", "1_000", "-1"])
def test_a_number_that_is_none_is_refused_in_plain_words(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = CommandParser()
    parser.add_argument("--count", type=positive)
    with pytest.raises(SystemExit):
        parser.parse_args([f"--count={word}"])
    said = capsys.readouterr().err
    assert f"argument --count: expected a whole number from 1 on, got {word!r}" in said


def test_numbers() -> None:
    assert (whole_number("-3"), from_zero("0"), positive("7"), number("1.5")) == (-3, 0, 7, 1.5)
