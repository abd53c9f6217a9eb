"""Peers that try to cost more than they pay: each ends with the right code, counted, and bounded before."""

from __future__ import annotations

import tracemalloc

import pytest

from gateway.http2 import frames, headers
from gateway.http2.connection import MAX_UNREAD_REPLIES
from gateway.http2.errors import ErrorCode, GrpcStatus
from tests.gateway.http2.peers import (
    REQUEST,
    Served,
    data_frame,
    frame,
    header_frame,
    message,
    receive,
    request,
)

FEW = {"control_burst": 100, "control_rate": 10.0, "reset_burst": 20, "reset_rate": 1.0}

FLOODS = {
    "ping_flood": frame(frames.PING, payload=bytes(8)),
    "settings_flood": frames.settings([]),
    "priority_flood": frame(frames.PRIORITY, stream_id=1, payload=bytes(5)),
    "window_update_flood": frames.window_update(0, 1),
    "unknown_frame": frame(0x77),
    "empty_data": frame(frames.DATA, 0, 1),
    "empty_data padded": frame(frames.DATA, frames.PADDED, 1, bytes(10).replace(b"\0", b"\x09", 1)),
    "reset_flood": frames.rst_stream(3, 8),
    "goaway_flood": frames.goaway(1, 0),
}


@pytest.mark.parametrize("rule", FLOODS)
def test_a_flood_ends_the_connection(rule: str) -> None:
    served = Served(**FEW)
    served.stream(1)
    served.core.reset(served.stream(3))
    served.feed(FLOODS[rule] * 90)
    assert not served.core.over
    served.feed(FLOODS[rule] * 20)
    assert served.core.over
    assert served.goaway is ErrorCode.ENHANCE_YOUR_CALM
    assert served.counters.refusals == {rule.split()[0]: 1}
    assert [cause.status for cause in served.causes[-1:]] == [GrpcStatus.UNAVAILABLE]


@pytest.mark.parametrize("rule", FLOODS)
def test_a_steady_trickle_of_the_same_is_no_flood(rule: str) -> None:
    served = Served(**FEW)
    served.stream(1)
    served.core.reset(served.stream(3))
    for _ in range(50):
        served.now += 1.0
        served.feed(FLOODS[rule] * 9)
    assert not served.core.over


def test_streams_reset_after_an_answer_are_no_rush() -> None:
    served = Served(**FEW)
    for stream_id in range(1, 1000, 2):
        served.core.send(served.stream(stream_id), [b"answer"])
        served.flush()
        served.feed(frames.rst_stream(stream_id, ErrorCode.CANCEL))
    assert not served.core.over


@pytest.mark.parametrize(
    ("fields", "cost"), [([("x", "y" * 2000)], 254), ([("x", "")] * 30, 76), ([("x", "y")], 3)]
)
def test_header_blocks_cost_by_their_size_and_their_fields(fields: headers.Fields, cost: int) -> None:
    served = Served(header_burst=1000, header_rate=1e-9)
    opening = len(request(3)) // 8 + 2 * len(REQUEST) + 50
    served.core.reset(served.stream(3))
    block = header_frame(3, fields, end=True)
    served.feed(block * ((1000 - opening) // cost))
    assert not served.core.over
    served.feed(block)
    assert served.goaway is ErrorCode.ENHANCE_YOUR_CALM
    assert served.counters.refusals == {"header_flood": 1}


def test_a_steady_trickle_of_calls_is_no_flood() -> None:
    served = Served(header_burst=1000, header_rate=200.0)
    for stream_id in range(1, 200, 2):
        served.core.finish(served.stream(stream_id))
        served.flush()
        served.now += 1.0
    assert not served.core.over


def test_data_on_its_way_when_a_stream_ended_is_no_flood() -> None:
    served = Served(**FEW, stream_window=65_535)
    served.core.reset(served.stream(1))
    served.feed(data_frame(1, b"x") * (65_535 // 6))
    assert not served.core.over


def test_data_for_a_stream_that_ended_is_a_flood_beyond_the_window_it_had() -> None:
    served = Served(**FEW, stream_window=65_535)
    served.core.reset(served.stream(1))
    served.feed(data_frame(1, b"x") * (65_535 // 6 + 102))
    assert served.goaway is ErrorCode.ENHANCE_YOUR_CALM
    assert served.counters.refusals == {"late_data": 1}


def test_window_by_single_bytes_has_to_be_paid_for() -> None:
    served = Served(**FEW)
    served.feed(frames.settings([(frames.SETTINGS_INITIAL_WINDOW_SIZE, 0)]))
    served.core.send(served.stream(), [b"x" * 1000])
    for _ in range(200):
        served.feed(frames.window_update(1, 1))
    assert served.counters.refusals == {"window_update_flood": 1}
    assert len(served.of_kind(frames.DATA)) <= 105


def test_padded_data_is_no_flood() -> None:
    served = Served(**FEW)
    served.stream()
    served.feed(frame(frames.DATA, frames.PADDED, 1, b"\x02" + message(b"x") + bytes(2)) * 1000)
    assert len(served.messages) == 1000


def test_late_resets_of_streams_that_ended_well_are_no_flood() -> None:
    served = Served(**FEW)
    for stream_id in range(1, 1000, 2):
        served.core.finish(served.stream(stream_id))
        served.flush()
        served.feed(frames.rst_stream(stream_id, ErrorCode.NO_ERROR))
    assert not served.core.over


def test_window_updates_that_our_data_needs_are_no_flood() -> None:
    served = Served(**FEW)
    stream = served.stream()
    for _ in range(1000):
        served.core.send(stream, [b"x"])
        served.flush()
        served.feed(frames.window_update(1, 6) + frames.window_update(0, 6))
    assert not served.core.over


@pytest.mark.parametrize("accepted", [True, False])
def test_rapid_reset(accepted: bool) -> None:
    served = Served(**FEW)
    for stream_id in range(1, 100, 2):
        served.feed(request(stream_id))
        if accepted and served.events and not served.core.over:
            served.core.accept(served.events[-1].stream)  # type: ignore[union-attr]
        served.feed(frames.rst_stream(stream_id, ErrorCode.CANCEL))
        if served.core.over:
            break
    assert served.goaway is ErrorCode.ENHANCE_YOUR_CALM
    assert served.counters.refusals["rapid_reset"] == 1
    assert served.counters.streams_opened == 21


@pytest.mark.parametrize("changes", [{"te": "gzip"}, {"method": "GET"}])
def test_requests_for_nothing_count_as_resets(changes: dict[str, str]) -> None:
    served = Served(**FEW)
    served.feed(b"".join(request(stream_id, **changes) for stream_id in range(1, 100, 2)))
    assert served.counters.refusals["rapid_reset"] == 1


@pytest.mark.parametrize("payload", [b"\0\xff\xff\xff\xff", b"\1\0\0\0\0", b"\0\0\0\0\1"])
def test_bad_messages_count_as_resets(payload: bytes) -> None:
    served = Served(**FEW)
    for stream_id in range(1, 100, 2):
        served.feed(request(stream_id) + frame(frames.DATA, frames.END_STREAM, stream_id, payload))
    assert served.counters.refusals["rapid_reset"] == 1


def test_streams_that_end_well_are_never_too_many() -> None:
    served = Served(**FEW)
    for stream_id in range(1, 1000, 2):
        stream = served.stream(stream_id)
        served.feed(data_frame(stream_id, b"x", end=True))
        served.core.finish(stream)
        served.flush()
    assert not served.core.over
    assert served.counters.streams_closed == 500


def test_replies_that_nobody_reads_are_bounded() -> None:
    served = Served(control_burst=10**6)
    served.core.writable(0.0, yes=False)
    receive(served.core, FLOODS["ping_flood"] * (MAX_UNREAD_REPLIES + 1))
    assert not served.core.over
    served.core.receive(FLOODS["ping_flood"], 0.0)
    assert served.core.over
    assert served.counters.refusals == {"unread_replies": 1}


def test_a_header_block_without_end() -> None:
    served = Served()
    served.feed(frame(frames.HEADERS, 0, 1, bytes(1000)))
    for _ in range(100):
        served.feed(frame(frames.CONTINUATION, 0, 1, bytes(1000)))
        if served.core.over:
            break
    assert served.goaway is ErrorCode.ENHANCE_YOUR_CALM
    assert served.counters.refusals == {"header_bomb": 1}


def test_continuations_without_bytes() -> None:
    served = Served(**FEW)
    served.feed(frame(frames.HEADERS, 0, 1) + frame(frames.CONTINUATION, 0, 1) * 200)
    assert served.counters.refusals == {"continuation_flood": 1}


def test_a_header_bomb() -> None:
    """One large field in the table, and many one-byte references to it."""
    served = Served(handshake=False)
    field = b"\x40\x01x" + b"\x7f" + bytes([0x80 | (3800 - 127) & 0x7F, (3800 - 127) >> 7]) + b"y" * 3800
    block = headers.encode(REQUEST, first=False) + field + b"\xbe" * 10_000
    served.feed(frames.PREFACE + frames.settings([]))
    served.feed(frame(frames.HEADERS, frames.END_HEADERS, 1, block))
    assert served.goaway is ErrorCode.ENHANCE_YOUR_CALM
    assert served.counters.refusals == {"header_bomb": 1}


def test_unfinished_messages_are_bounded() -> None:
    served = Served(max_message=100_000, max_partial=250_000)
    for stream_id in (1, 3, 5):
        served.stream(stream_id)
        served.feed(frame(frames.DATA, 0, stream_id, message(bytes(100_000))[:-1]))
    (cause,) = served.causes
    assert cause.status is GrpcStatus.RESOURCE_EXHAUSTED
    assert served.counters.refusals == {"max_partial": 1}
    assert served.core.streams == 2
    served.feed(frame(frames.DATA, 0, 1, b"\x00"))
    served.stream(7)
    served.feed(frame(frames.DATA, 0, 7, message(bytes(100_000))[:-1]))
    assert served.core.streams == 3


def test_an_unfinished_message_does_not_keep_large_reads_alive() -> None:
    served = Served(max_message=200_000)
    served.stream()
    served.feed(frame(frames.DATA, 0, 1, message(bytes(100_000))[:5]))
    tracemalloc.start()
    for _ in range(100):
        served.feed(frame(frames.DATA, 0, 1, b"x") + frame(0x77, payload=bytes(100_000)))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 200_000


def test_zero_windows_held_open() -> None:
    served = Served(stall_timeout=100.0, keepalive_interval=None)
    served.feed(frames.settings([(frames.SETTINGS_INITIAL_WINDOW_SIZE, 0)]))
    stalled, lively = served.stream(1), served.stream(3)
    served.core.send(stalled, [b"x"])
    served.core.send(lively, [bytes(1000)])
    for _ in range(10):
        served.feed(frames.window_update(3, 1))
        served.wait(20.0)
    assert served.resets == [(1, ErrorCode.CANCEL)]
    assert served.causes[0].status is GrpcStatus.UNAVAILABLE
    assert served.counters.refusals == {"stall_timeout": 1}


def test_a_message_that_is_never_finished() -> None:
    served = Served(stall_timeout=100.0, keepalive_interval=None)
    for stream_id in (1, 3, 5):
        stream = served.stream(stream_id)
        served.feed(frame(frames.DATA, 0, stream_id, message(bytes(1000))[:20]))
    served.core.pause(stream)
    for _ in range(10):
        served.feed(frame(frames.DATA, 0, 1, b"x"))
        served.wait(20.0)
    assert served.resets == [(3, ErrorCode.NO_ERROR)]
    assert served.counters.refusals == {"stall_timeout": 1}


def test_a_socket_that_takes_nothing() -> None:
    served = Served(stall_timeout=100.0, keepalive_interval=None)
    served.stream()
    served.core.writable(0.0, yes=False)
    served.wait(99.0)
    assert not served.core.over
    served.wait(2.0)
    assert served.core.over
    assert served.counters.refusals == {"stall_timeout": 1}


@pytest.mark.parametrize(
    "opening", [b"", frames.PREFACE[:10], frames.PREFACE, frames.PREFACE + frames.settings([])]
)
def test_a_handshake_that_does_not_end(opening: bytes) -> None:
    served = Served(handshake=False, handshake_timeout=5.0)
    served.feed(opening)
    served.wait(4.9)
    assert not served.core.over
    served.wait(0.2)
    assert served.core.over
    assert served.counters.refusals == {"handshake_timeout": 1}
    expected = ErrorCode.SETTINGS_TIMEOUT if len(opening) > len(frames.PREFACE) else ErrorCode.NO_ERROR
    assert served.goaway is expected


def test_an_idle_connection_ends_however_much_it_pings() -> None:
    served = Served(idle_timeout=60.0)
    stream = served.stream()
    served.wait(100.0)
    assert not served.core.over
    served.core.reset(stream)
    served.flush()
    for _ in range(7):
        served.feed(frame(frames.PING, payload=bytes(8)))
        served.wait(10.0)
    assert served.core.over
    assert served.goaway is ErrorCode.NO_ERROR


def test_a_silent_peer_is_pinged_and_given_up() -> None:
    served = Served(keepalive_interval=30.0, keepalive_timeout=5.0, stall_timeout=None)
    served.stream()
    served.sent.clear()
    served.wait(30.0)
    (ping,) = served.of_kind(frames.PING)
    served.feed(frame(frames.PING, frames.ACK, 0, ping.payload))
    served.wait(29.0)
    assert len(served.of_kind(frames.PING)) == 1
    served.wait(1.0)
    assert len(served.of_kind(frames.PING)) == 2
    served.wait(4.9)
    assert not served.core.over
    served.wait(0.2)
    assert served.core.over
    assert served.causes[0].status is GrpcStatus.UNAVAILABLE
    assert served.counters.refusals == {"keepalive_timeout": 1}


def test_no_pings_without_a_stream() -> None:
    served = Served(keepalive_interval=30.0)
    served.wait(40.0)
    assert served.of_kind(frames.PING) == []


def test_endless_small_frames_leave_nothing_behind() -> None:
    served = Served()
    stream = served.stream()
    wire = frame(frames.DATA, 0, 1, message(b"x") * 50) + frame(frames.PING, frames.ACK, 0, bytes(8))
    for _ in range(10):
        served.feed(wire)
    served.events.clear()
    tracemalloc.start()
    for _ in range(200):
        for event in served.core.receive(wire, 0.0):
            del event
        served.core.output(0.0)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 20_000
    assert stream.batch is None
