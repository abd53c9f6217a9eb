from __future__ import annotations

import pytest

from tests.benchmarks.mls import MEMORY_TARGET, Row, run, table

OPERATIONS = [
    "encrypt 1 KiB",
    "decrypt 1 KiB",
    "commit Add",
    "process Add",
    "join",
    "commit Remove",
    "process Remove",
    "memory",
]


@pytest.mark.parametrize("suite_number", [1, pytest.param(2, marks=pytest.mark.long)])
def test_every_operation_is_measured_beside_its_bound(suite_number: int) -> None:
    rows = run((2, 5), suite_number=suite_number)
    assert [(row.operation, row.members) for row in rows] == [
        (operation, members) for members in (2, 5) for operation in OPERATIONS
    ]
    assert all(row.measured > 0 and row.bound > 0 for row in rows)
    assert len(table(rows).splitlines()) == 1 + len(rows)


def test_table_shows_units_and_what_was_missed() -> None:
    text = table(
        [
            Row("join", 1000, 0.09, 0.06, 2.0),
            Row("encrypt 1 KiB", 2, 60e-6, 30e-6, 1.5),
            Row("memory", 1000, 2 * 2**20, MEMORY_TARGET, 1.0),
            Row("process Remove", 2, 1e-3, 1e-4, None),
        ]
    )
    _, join, encrypt, memory, remove = text.splitlines()
    assert join.split() == ["join", "1000", "90.00", "ms", "60.00", "ms", "1.50", "2.0"]
    assert encrypt.endswith("missed")
    assert "2.00 MiB" in memory
    assert not remove.endswith("missed")
