"""Arguments: what is taken, and that each mistake names its field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from identity.errors import ConfigError
from identity.options import optional_text, seconds, text, texts, utf8


def test_good_arguments_come_back() -> None:
    assert seconds(0, "f") == 0.0
    assert seconds(1.5, "f", positive=True) == 1.5
    assert optional_text(None, "f") is None
    assert optional_text("ä", "f") == "ä"
    assert texts(None, "f") == ()
    assert texts(["a", "b"], "f") == ("a", "b")
    assert utf8("ä", "f") == b"\xc3\xa4"


@pytest.mark.parametrize(
    ("check", "value"),
    [
        *[(seconds, value) for value in (-1, True, None, "1", float("nan"), float("inf"))],
        (lambda value, field: seconds(value, field, positive=True), 0),
        *[(text, value) for value in ("", None, 5, b"a", "\ud800")],
        *[(optional_text, value) for value in ("", 5)],
        *[(texts, value) for value in ("a", 5, [""], [None], ["a", 5])],
    ],
)
def test_bad_arguments_name_their_field(check: Callable[[Any, str], Any], value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        check(value, "some_field")
    assert caught.value.field == "some_field"
    assert "some_field" in str(caught.value)
