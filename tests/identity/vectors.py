"""Where the identity vectors are, and how many cases of a file came out as they should."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Case = dict[str, Any]

_SHIPPED = Path(__file__).resolve().parent.parent / "vectors"


def document(name: str) -> dict[str, Any]:
    """The vector file `identity/<name>`: from $CALLBOARD_VECTORS when set, else the shipped one.

    A file that is missing in $CALLBOARD_VECTORS has no cases.
    """
    root = Path(os.environ.get("CALLBOARD_VECTORS") or _SHIPPED)
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


def summary(name: str, outcome: Callable[[Case], bool], where: Callable[[Case], bool] = anything) -> str:
    """Run all cases of a file and count them by class; `outcome` says whether a case came out right."""
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for case in filter(where, document(name)["tests"]):
        group = case.get("class") or case.get("group") or ""
        total[group] += 1
        right[group] += outcome(case)
    groups = ", ".join(f"{group} {right[group]}/{total[group]}" for group in sorted(total))
    return f"{name}: {right.total()}/{total.total()} ({groups})"
