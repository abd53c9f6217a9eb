"""The threat model of `docs/security.md`: each cell has tests that try it, or says that nothing protects."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/security.md").read_text()
WHO = ("stranger", "token holder", "node in the middle", "former member", "member")
WHAT = ("read", "forge", "drop", "replay", "deny")
NOTHING = re.compile(r"^(half of|as a stranger|everything|its own|all of|names, controls)|every name")
"""How a cell begins that promises nothing, or what it says where it promises nothing."""


def table(text: str) -> dict[tuple[str, str], str]:
    """The cells of the first table in `text`, by who and what."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| a **")]
    found = {}
    for who, *cells in rows[: len(WHO)]:
        assert len(cells) == len(WHAT), who
        name = re.findall(r"\*\*(.*?)\*\*", who)[0]
        found |= {(name, what): cell for what, cell in zip(WHAT, cells, strict=True)}
    return found


PROMISED = table(PAGE.split("## 1.")[0])
TESTED = table(PAGE.split("## 3.")[1])


def test_both_tables_are_whole() -> None:
    assert set(PROMISED) == set(TESTED) == set(product(WHO, WHAT))


@pytest.mark.parametrize("cell", [*product(WHO, WHAT)], ids="-".join)
def test_a_cell_has_tests_or_promises_nothing(cell: tuple[str, str]) -> None:
    tests = re.findall(r"`(tests/[^`]+)`", TESTED[cell])
    for path in tests:
        assert re.search(r"^(async )?def test_", (ROOT / path).read_text(), re.MULTILINE), path
    if not tests:
        assert TESTED[cell].startswith("nothing")
    if "nothing" in TESTED[cell]:
        assert NOTHING.search(PROMISED[cell]) or "(section" in PROMISED[cell], PROMISED[cell]
    if re.match("no\\b|not in", PROMISED[cell]):
        assert tests, "it is promised that this cannot be"
