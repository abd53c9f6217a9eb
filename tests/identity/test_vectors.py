"""Every vector file that is shipped has cases, and is run by a test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.identity.vectors import SHIPPED

TESTS = Path(__file__).resolve().parent


@pytest.mark.vectors
@pytest.mark.parametrize("path", sorted((SHIPPED / "identity").glob("*.json")), ids=lambda path: path.name)
def test_a_shipped_file_is_run(path: Path) -> None:
    cases = json.loads(path.read_text(encoding="utf-8"))["tests"]
    assert cases
    assert len({case["id"] for case in cases}) == len(cases)
    assert any(f'each_case("{path.name}"' in test.read_text() for test in TESTS.rglob("test_*.py"))
