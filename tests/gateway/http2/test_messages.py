from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.routing.budget import ByteBudget
from gateway.http2 import frames
from gateway.http2.errors import GrpcStatus, StreamViolation
from gateway.http2.messages import Assembler, Buffer, SendBuffer
from tests.gateway.http2.peers import message, read_frames

payloads = st.lists(st.binary(max_size=40), max_size=12)


@given(payloads, st.lists(st.integers(1, 60), max_size=30))
@settings(deadline=None)
def test_messages_come_whole_however_the_bytes_are_cut(messages: list[bytes], cuts: list[int]) -> None:
    wire = b"".join(map(message, messages))
    assembler = Assembler(1000)
    got: list[bytes] = []
    at = 0
    for size in [*cuts, len(wire)]:
        piece = wire[at : at + size]
        if piece:
            # the payload stands somewhere inside a read buffer
            assembler.take(b"??" + piece + b"!", 2, 2 + len(piece), got)
            assembler.settle(len(piece) + 3)
        at += size
    assert got == messages
    assert not assembler.partial
    assert assembler.size == 0


def test_a_small_view_of_a_large_read_is_copied_so_that_the_read_can_go() -> None:
    assembler = Assembler(1000)
    read = message(b"x" * 100)[:20] + bytes(1000)
    assembler.take(read, 0, 20, [])
    assert assembler.settle(len(read)) == 15
    assert all(type(part) is bytes for part in assembler._parts or [])


@pytest.mark.parametrize("piece", [2, 10, 40, 1000])
def test_a_message_in_many_small_pieces_takes_little_more_than_its_bytes(piece: int) -> None:
    size = 100_000
    wire = message(bytes(size))
    assembler = Assembler(size)
    got: list[bytes] = []
    tracemalloc.start()
    for at in range(0, len(wire) - piece, piece):
        read = wire[at : at + piece]
        assembler.take(read, 0, len(read), got)
        assembler.settle(len(read))
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < size + 50_000
    assert peak < 2.5 * size
    assembler.take(wire, at + piece, len(wire), got)
    assert got == [bytes(size)]


def test_a_message_over_the_limit_is_refused_by_its_prefix() -> None:
    with pytest.raises(StreamViolation, match="a message of 11 bytes; the limit is 10") as caught:
        Assembler(10).take(message(bytes(11))[:5], 0, 5, [])
    assert caught.value.status is GrpcStatus.RESOURCE_EXHAUSTED


def test_a_message_of_exactly_the_limit_is_taken() -> None:
    got: list[bytes] = []
    wire = message(bytes(10))
    Assembler(10).take(wire, 0, len(wire), got)
    assert got == [bytes(10)]


def test_a_compressed_message_is_refused() -> None:
    wire = message(b"x", compressed=True)
    with pytest.raises(StreamViolation) as caught:
        Assembler(10).take(wire, 0, len(wire), [])
    assert caught.value.status is GrpcStatus.INTERNAL


@given(payloads, st.integers(1, 50), st.lists(st.integers(0, 100), max_size=20))
@settings(deadline=None)
def test_send_buffer_and_assembler_are_inverse(
    messages: list[bytes], max_frame: int, windows: list[int]
) -> None:
    send_buffer = SendBuffer(ByteBudget())
    send_buffer.put(messages[:3])
    send_buffer.put(messages[3:])
    assembler = Assembler(1000)
    got: list[bytes] = []
    completed = 0
    for window in [*windows, 10_000]:
        before = send_buffer.size
        out: list[Buffer] = []
        if window and before:
            sent, ended = send_buffer.cut(7, window, max_frame, out)
            completed += ended
            assert sent == min(window, before)
            assert send_buffer.size == before - sent
        for one in read_frames(b"".join(out)):
            assert (one.kind, one.flags, one.stream_id) == (frames.DATA, 0, 7)
            assert 0 < len(one.payload) <= max_frame
            assembler.take(one.payload, 0, len(one.payload), got)
        assert completed <= len(got)
    assert got == messages
    # An empty message has no last byte: where a frame ends with its prefix it is not counted.
    assert completed >= len([one for one in messages if one])
    assert send_buffer.size == 0


def test_messages_share_a_frame() -> None:
    send_buffer = SendBuffer(ByteBudget())
    send_buffer.put([b"a", b"b"])
    out: list[Buffer] = []
    send_buffer.cut(1, 100, 100, out)
    assert len(read_frames(b"".join(out))) == 1
