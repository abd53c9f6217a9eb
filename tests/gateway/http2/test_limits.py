from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest

from gateway.http2.charges import Allowance
from gateway.http2.connection import Http2Connection
from gateway.http2.limits import CLIENT, SERVER, Counters, Limits
from identity.errors import ConfigError
from tests.gateway.http2.peers import Served, request


@pytest.mark.parametrize(
    "changes",
    [
        {"max_message": 0},
        {"idle_timeout": -1.0},
        {"stream_window": 2**31},
        {"connection_window": 65_534},
        {"max_frame": 16_383},
        {"max_frame": 2**24},
        {"max_message": 17 * 1024 * 1024},
        {"low_water": 2 * 1024 * 1024},
    ],
)
def test_limits_that_cannot_work(changes: dict[str, int]) -> None:
    with pytest.raises(ConfigError) as caught:
        Limits(**changes)  # type: ignore[arg-type]
    assert caught.value.field in {*changes, "max_partial"}


def test_no_limit() -> None:
    assert replace(SERVER, idle_timeout=None, stall_timeout=None, max_age=None).idle_timeout is None


def test_the_presets_are_the_originals() -> None:
    assert (SERVER.keepalive_interval, SERVER.keepalive_timeout, SERVER.max_age) == (120.0, 20.0, 7200.0)
    assert SERVER.max_message == 4 * 1024 * 1024
    assert CLIENT.keepalive_interval is None


def test_an_allowance() -> None:
    allowance = Allowance(3, 2.0, 0.0)
    assert [allowance.spend(0.0) for _ in range(4)] == [True, True, True, False]
    assert [allowance.spend(1.0) for _ in range(3)] == [True, True, False]
    allowance.earn(1)
    assert [allowance.spend(1.0) for _ in range(2)] == [True, False]
    allowance.earn(100)
    assert [allowance.spend(1.0) for _ in range(4)] == [True, True, True, False]


def test_counters_and_their_snapshot() -> None:
    counters = Counters()
    counters.messages_sent = 5
    counters.refuse("x")
    before = counters.snapshot()
    counters.refuse("x")
    assert (before.messages_sent, before.refusals) == (5, {"x": 1})
    assert counters.snapshot().refusals == {"x": 2}


def test_an_idle_connection_with_one_stream_is_small() -> None:
    """The core's share of an open connection; asyncio's transport and socket come to about as much."""

    def open_one() -> Http2Connection:
        served = Served()
        served.stream()
        return served.core

    kept = [open_one()]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept += [open_one() for _ in range(50)]
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert used / 50 < 3000
    assert all(core.streams == 1 for core in kept)


def test_an_idle_stream_is_smaller() -> None:
    served = Served(max_streams=5000, header_burst=1_000_000)
    served.stream(1)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for stream_id in range(3, 2003, 2):
        served.feed(request(stream_id))
    served.events.clear()
    served.sent.clear()
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert served.core.streams == 1001
    assert used / 1000 < 1000
