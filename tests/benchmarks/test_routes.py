"""What `bench routes` measures is there when it says so."""

from __future__ import annotations

from tests.benchmarks import routes


async def test_every_connection_and_name_is_counted() -> None:
    said: list[str] = []
    figures = await routes.measure(said.append, connections=(150, 200), names=2000)
    assert [figure.stage for figure in figures] == [
        "connect, 150 open",
        "subscribe, 150 open",
        "close, 150 open",
        "connect, 200 open",
        "subscribe, 200 open",
        "close, 200 open",
        "subscribe, 2000 names, in batches (with making them)",
        "a name, 2000 held",
    ]
    assert all(figure.value > 0 for figure in figures[:-1])
    assert len(said) == len(figures)
    assert "wanted" in routes.report(figures)
