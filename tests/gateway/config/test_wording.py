"""What a value was to be and what it is: no word of Python, and nothing that may be secret."""

from __future__ import annotations

import math
from datetime import date

import pytest

from gateway.config.document import Document
from gateway.config.section import Section, duration
from gateway.config.wording import expected, found, unfit
from identity.errors import ConfigError


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "nothing"),
        (True, "true"),
        (5, "the number 5"),
        (math.inf, "the number inf"),
        ("", "an empty text"),
        ("abc", "the text 'abc'"),
        ("a\x1b[1m", "the text 'a\\x1b[1m'"),
        ("x" * 50, f"the text '{'x' * 40}... (10 more characters)'"),
        ([1], "a list"),
        ((), "a list"),
        ({"a": 1}, "a section"),
        (date(2026, 1, 1), "a date"),
    ],
)
def test_a_value_in_words(value: object, words: str) -> None:
    assert found(value) == words


def test_kinds_in_words() -> None:
    assert expected((int,)) == "a whole number"
    assert expected((int, float)) == "a number"
    assert expected((list, tuple, str)) == "a list or a text"
    assert expected((bool,)) == "true or false"


def test_a_number_that_may_be_a_password_is_not_shown() -> None:
    assert str(unfit("auth.password", "a text", 1234)) == (
        "auth.password: expected a text, got a number, which is a text in quotes only"
    )


def test_what_stands_in_a_variable_is_not_shown() -> None:
    document = Document.parse("{count: '${env:SECRET}', wait: '${env:SECRET}'}", "f", {"SECRET": "hunter2"})
    with pytest.raises(ConfigError, match="count: expected a whole number, got a text that stands elsewhere"):
        Section(document.value, "").count("count", 1)
    with pytest.raises(ConfigError) as refused:
        duration(document.value["wait"], "wait")
    assert "hunter2" not in str(refused.value)
