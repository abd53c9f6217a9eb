"""No frame of HTTP/2 costs much more than it is charged: work is counted in bytecode instructions."""

from __future__ import annotations

from collections.abc import Callable

import hpack
import pytest

from gateway.http2 import frames
from gateway.http2.errors import ErrorCode
from tests.faults.opcodes import opcodes
from tests.gateway.http2.peers import Served, frame, header_frame, receive, request

PER_UNIT = 450
"""Instructions for one unit of an allowance, at most. A ping, which is one unit, takes 270."""
BURST = 400
ONE = {
    "control_burst": BURST,
    "control_rate": 1e-9,
    "header_burst": BURST,
    "header_rate": 1e-9,
    "reset_burst": BURST,
    "reset_rate": 1e-9,
}


def served(streams: int = 1) -> Served:
    """A server with open streams that all have something to send, and one that has ended (the first)."""
    one = Served(**{**ONE, "header_burst": 1_000_000}, max_streams=200, stream_window=65_535)
    one.core.reset(one.stream(1))
    for number in range(streams):
        one.core.send(one.stream(3 + 2 * number), [bytes(70_000)])
    one.flush()
    one.core._charges = type(one.core._charges)(Served(**ONE).limits, 0.0)
    one.core._late_window = 0
    return one


def block(payload: bytes) -> bytes:
    return frames.header_frames(1, payload, 16_384, end_stream=True)


def windows() -> bytes:
    values = [(frames.SETTINGS_INITIAL_WINDOW_SIZE, 65_535 + 7 * number) for number in range(32)]
    return frames.settings(values) + frames.settings(values[:-1])


FRAMES: dict[str, Callable[[], bytes]] = {
    "ping": lambda: frame(frames.PING, payload=bytes(8)),
    "priority": lambda: frame(frames.PRIORITY, stream_id=3, payload=bytes(5)),
    "settings": lambda: frames.settings([]),
    "settings acknowledged": lambda: frames.SETTINGS_ACK,
    "32 unknown settings": lambda: frames.settings([(0x99, 1)] * 32),
    "32 windows for 100 streams": windows,
    "window of the connection": lambda: frames.window_update(0, 1),
    "window of a stream": lambda: frames.window_update(3, 1),
    "window of a stream that has ended": lambda: frames.window_update(1, 1),
    "unknown": lambda: frame(0x77, payload=bytes(8)),
    "goaway": lambda: frames.goaway(1, 0),
    "late reset": lambda: frames.rst_stream(1, 8),
    "empty data": lambda: frame(frames.DATA, 0, 3),
    "padded data without data": lambda: frame(frames.DATA, frames.PADDED, 3, b"\x09" + bytes(9)),
    "late data": lambda: frame(frames.DATA, 0, 1, b"x"),
    "continuation": lambda: (
        frame(frames.HEADERS, 0, 1)
        + frame(frames.CONTINUATION, 0, 1, b"\x82") * 20
        + frame(frames.CONTINUATION, frames.END_HEADERS, 1)
    ),
    "indexed fields": lambda: block(b"\x82" * 100),
    "empty fields": lambda: block(b"\x00\x00\x00" * 100),
    "huffman": lambda: block(hpack.Encoder().encode([("x", "e" * 400)], huffman=True)),
    "trailers": lambda: header_frame(1, [("x", "")] * 50, end=True),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_costs_what_it_is_charged(name: str) -> None:
    peer = served(100 if "streams" in name else 1)
    data = FRAMES[name]() * (BURST + 1)
    work = opcodes(lambda: receive(peer.core, data))
    assert peer.core.over, "it is charged nothing"
    assert peer.core._control[-1][13:17] == ErrorCode.ENHANCE_YOUR_CALM.to_bytes(4, "big")
    assert work < PER_UNIT * BURST


def test_only_the_last_window_of_a_settings_frame_moves_the_streams() -> None:
    peer = served(100)
    once = opcodes(lambda: peer.core.receive(frames.settings([(4, 100_000)]), 0.0))
    often = opcodes(
        lambda: peer.core.receive(frames.settings([(4, n) for n in range(200_000, 200_032)]), 0.0)
    )
    assert often < 1.5 * once
    (stream, *_) = peer.core._streams.values()
    assert stream.send_window == 200_031 - 65_535


def test_calls_that_get_an_answer_and_are_reset_are_paid_for() -> None:
    """A call has a price however it ends: the peer cannot open and end them for nothing."""
    peer = Served(**{**ONE, "header_burst": 2000})
    for stream_id in range(1, 1000, 2):
        if peer.core.over:
            break
        peer.feed(request(stream_id))
        if peer.core.streams:
            stream = next(iter(peer.core._streams.values()))
            peer.core.accept(stream)
            peer.core.send(stream, [b"answer"])
            peer.flush()
            peer.feed(frames.rst_stream(stream_id, ErrorCode.CANCEL))
    assert peer.counters.refusals == {"header_flood": 1}
    assert peer.counters.streams_opened < 2000 / 50
