"""Where the identity vectors are, and a test for each of their cases."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Case = dict[str, Any]

SHIPPED = Path(__file__).resolve().parent.parent / "vectors"


def document(name: str) -> dict[str, Any]:
    """The vector file `identity/<name>`: from $CALLBOARD_VECTORS when set, else the shipped one.

    A file that is missing in $CALLBOARD_VECTORS has no cases.
    """
    root = Path(os.environ.get("CALLBOARD_VECTORS") or SHIPPED)
    path = root / "identity" / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"tests": []}


def anything(case: Case) -> bool:
    return True


def each_case(
    name: str, where: Callable[[Case], bool] = anything
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Run a test once for each case of a vector file, as its argument `case`."""
    cases = [pytest.param(case, id=str(case["id"])) for case in document(name)["tests"] if where(case)]
    mark = pytest.mark.parametrize("case", cases)

    def decorate(test: Callable[..., Any]) -> Callable[..., Any]:
        return pytest.mark.vectors(mark(test))

    return decorate
