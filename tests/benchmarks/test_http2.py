from __future__ import annotations

from tests.benchmarks.http2 import Figure, Meter, table


def test_a_table_shows_medians_and_spread() -> None:
    figures = [
        Figure("fast", "one way", 64, 1000.0, 1.0, 2.0),
        Figure("fast", "one way", 64, 3000.0, 3.0, 2.5),
        Figure("fast", "one way", 64, 2000.0, 2.0, 9.0),
        Figure("grpc", "echo", 65_536, 500.0, 40.0, 50.0),
    ]
    assert table(figures).splitlines()[1:] == [
        "one way      64 fast        2,000         2.00 (1.00-3.00)         2.50 (2.00-9.00)",
        "echo      65536 grpc          500      40.00 (40.00-40.00)      50.00 (50.00-50.00)",
    ]


def test_a_meter_says_its_cpu_time_last() -> None:
    meter = Meter({"mode": "echo", "count": "3"})
    assert meter.take([b"a", b"b"]) == [b"a", b"b"]
    replies = meter.take([b"c"])
    assert replies[0] == b"c"
    assert len(replies) == 2
