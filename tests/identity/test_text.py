"""Text that others chose is harmless where it is shown."""

from __future__ import annotations

import pytest

from identity.text import SHOWN, harmless


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("org/demo/zoë", "org/demo/zoë"),
        ("a\tb", "a\tb"),
        ("bob\nERROR all is lost", r"bob\nERROR all is lost"),
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("\x9b31m\u202etxt.exe\u2028", r"\x9b31m\u202etxt.exe\u2028"),
        ("\ud800", r"\ud800"),
    ],
)
def test_nothing_moves_the_cursor(text: str, shown: str) -> None:
    assert harmless(text) == shown


def test_a_megabyte_is_cut() -> None:
    shown = harmless("x" * 1_000_000)
    assert shown == "x" * SHOWN + "... (998000 more characters)"
    assert harmless("x" * 1_000_000, None) == "x" * 1_000_000
