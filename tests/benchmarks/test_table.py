"""What the table says about sides, ratios and targets."""

from __future__ import annotations

from tests.benchmarks.table import Figure, Wanted, table


def column(rate: float, delay: float) -> list[Figure]:
    return [
        Figure("one way", rate, "messages/s", True, {"node": 4.0, "sender": rate / 100}),
        Figure("ping-pong", delay, "us", False),
    ]


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if not line.startswith("-")]


def test_the_ratio_says_how_many_times_better() -> None:
    assert rows(table({"theirs": column(1000, 90), "ours": column(2000, 30)})) == [
        ["stage", "unit", "theirs", "ours", "ratio"],
        ["one", "way", "messages/s", "1,000", "2,000", "2.00x"],
        ["CPU", "each,", "node", "/", "sender", "us", "4.0", "/", "10.0", "4.0", "/", "20.0", "0.58x"],
        ["ping-pong", "us", "90.0", "30.0", "3.00x"],
    ]


def test_a_target_is_shown_and_marked_when_it_is_missed() -> None:
    columns = {"theirs": column(1000, 90), "ours": column(2000, 30)}
    _, one_way, _, ping = rows(table(columns, [Wanted(ratio=2.5), Wanted(ratio=2.0, value=40.0)]))
    assert one_way[-2:] == ["missed:", "2.5x"]
    assert ping[-3:] == ["3.00x", "2x,", "40.0"]


def test_a_bound_of_the_value_counts_without_a_ratio() -> None:
    _, one_way, _, ping = rows(table({"ours": column(2000, 30)}, [Wanted(ratio=5.0), Wanted(value=20.0)]))
    assert one_way[-1] == "2,000"  # a ratio to nobody is no target
    assert ping[-2:] == ["missed:", "20.0"]
