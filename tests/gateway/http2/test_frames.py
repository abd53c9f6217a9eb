from __future__ import annotations

import pytest

from gateway.http2 import frames
from tests.gateway.http2.peers import Frame, read_frames


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (frames.SETTINGS_ACK, Frame(4, 1, 0, b"")),
        (frames.settings([(1, 0), (5, 2**20)]), Frame(4, 0, 0, bytes.fromhex("000100000000 000500100000"))),
        (frames.ping(b"abcdefgh"), Frame(6, 0, 0, b"abcdefgh")),
        (frames.ping(b"abcdefgh", ack=True), Frame(6, 1, 0, b"abcdefgh")),
        (frames.window_update(3, 77), Frame(8, 0, 3, bytes.fromhex("0000004d"))),
        (frames.rst_stream(5, 8), Frame(3, 0, 5, bytes.fromhex("00000008"))),
        (frames.goaway(7, 11, "calm"), Frame(7, 0, 0, bytes.fromhex("00000007 0000000b") + b"calm")),
    ],
)
def test_frames_as_sent(wire: bytes, expected: Frame) -> None:
    assert read_frames(wire) == [expected]


def test_the_length_has_24_bits() -> None:
    assert frames.head(0, 0, 1, 0x123456) == bytes.fromhex("123456 00 00 00000001")


@pytest.mark.parametrize(("size", "kinds"), [(0, [1]), (10, [1]), (11, [1, 9]), (30, [1, 9, 9])])
def test_a_header_block_is_continued_where_a_frame_is_full(size: int, kinds: list[int]) -> None:
    block = bytes(range(size))
    found = read_frames(frames.header_frames(9, block, 10, end_stream=True))
    assert [one.kind for one in found] == kinds
    assert b"".join(one.payload for one in found) == block
    assert found[0].flags & frames.END_STREAM
    assert [bool(one.flags & frames.END_HEADERS) for one in found] == [False] * (len(kinds) - 1) + [True]


def test_the_debug_data_of_goaway_is_short() -> None:
    assert len(read_frames(frames.goaway(0, 1, "x" * 1000))[0].payload) == 264
