"""The benchmark of tokens runs, and its table has a line for each algorithm."""

from __future__ import annotations

from identity.jose.keys import Algorithm
from tests.benchmarks.identity import measure, table


def test_measures_every_algorithm() -> None:
    rows = measure(0.001)
    assert [row.name for row in rows] == ["shared secret", *(a.value for a in Algorithm)]
    assert all(min(row.signed, row.cold, row.cached, row.cached_microseconds) > 0 for row in rows)
    assert len(table(rows).splitlines()) == len(rows) + 1
