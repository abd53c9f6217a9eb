from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http2 import frames
from gateway.http2.errors import ErrorCode, Violation
from gateway.http2.reader import FrameReader
from gateway.http2.stream import StreamState
from tests.gateway.http2.peers import Frame, frame

MAX_FRAME, MAX_CONTROL = 500, 100


class Recorder:
    """Writes down what a reader says, DATA pieces joined."""

    def __init__(self) -> None:
        self.log: list[tuple[object, ...]] = []
        self.streams = {
            n: StreamState(n, send_window=0, receive_window=0, max_message=0) for n in range(1, 4)
        }

    def data_head(self, stream_id: int, length: int, payload: int) -> StreamState | None:
        self.log.append(("head", stream_id, length, payload))
        return self.streams.get(stream_id)

    def data(self, stream: StreamState, data: bytes, at: int, end: int) -> None:
        assert 0 <= at < end <= len(data)
        if self.log[-1][:2] == ("data", stream.id):
            self.log[-1] = ("data", stream.id, self.log[-1][2] + data[at:end])  # type: ignore[operator]
        else:
            self.log.append(("data", stream.id, data[at:end]))

    def data_end(self, stream: StreamState) -> None:
        self.log.append(("end", stream.id))

    def frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        self.log.append(("frame", kind, flags, stream_id, payload))

    def unknown_frame(self) -> None:
        self.log.append(("unknown",))


def reader() -> tuple[FrameReader, Recorder]:
    recorder = Recorder()
    return FrameReader(recorder, max_frame=MAX_FRAME, max_control=MAX_CONTROL), recorder


some_frames = st.lists(
    st.builds(
        Frame,
        st.integers(0, 12),
        st.sampled_from([0, frames.END_STREAM, frames.PADDED, frames.PADDED | frames.END_STREAM]),
        st.integers(0, 5),
        st.binary(max_size=60).map(lambda b: bytes([len(b) // 2]) + b),
    ),
    max_size=8,
)


def expected(one: Frame) -> list[tuple[object, ...]]:
    """What a reader is to say about a frame, after the RFC's words."""
    if one.kind > frames.CONTINUATION:
        return [("unknown",)]
    if one.kind != frames.DATA:
        return [("frame", *one)]
    payload = one.payload
    if one.flags & frames.PADDED:
        payload = payload[1 : len(payload) - payload[0]]
    said: list[tuple[object, ...]] = [("head", one.stream_id, len(one.payload), len(payload))]
    if 1 <= one.stream_id <= 3:
        said += [("data", one.stream_id, payload)] * bool(payload)
        said += [("end", one.stream_id)] * bool(one.flags & frames.END_STREAM)
    return said


@given(some_frames, st.lists(st.integers(1, 100), max_size=50))
@settings(deadline=None)
def test_frames_come_out_however_they_are_cut(sent: list[Frame], cuts: list[int]) -> None:
    one, recorder = reader()
    wire = b"".join(frame(*f) for f in sent)
    at = 0
    for size in [*cuts, len(wire)]:
        one.feed(wire[at : at + size])
        at += size
    assert recorder.log == [entry for f in sent for entry in expected(f)]


def test_data_is_handed_on_before_its_frame_is_complete() -> None:
    one, recorder = reader()
    one.feed(frame(frames.DATA, frames.END_STREAM, 1, bytes(400))[:100])
    assert recorder.log == [("head", 1, 400, 400), ("data", 1, bytes(91))]


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (frames.head(frames.DATA, 0, 1, MAX_FRAME + 1), ErrorCode.FRAME_SIZE_ERROR),
        (frames.head(0x50, 0, 1, MAX_FRAME + 1), ErrorCode.FRAME_SIZE_ERROR),
        (frames.head(frames.SETTINGS, 0, 0, MAX_CONTROL + 1), ErrorCode.ENHANCE_YOUR_CALM),
        (frame(frames.DATA, frames.PADDED, 1), ErrorCode.FRAME_SIZE_ERROR),
        (frame(frames.DATA, frames.PADDED, 1, b"\x01"), ErrorCode.PROTOCOL_ERROR),
    ],
)
def test_bad_frames_are_refused_as_soon_as_their_head_is_here(wire: bytes, code: ErrorCode) -> None:
    for step in (1, len(wire)):
        one, _ = reader()
        with pytest.raises(Violation) as caught:
            for at in range(0, len(wire), step):
                one.feed(wire[at : at + step])
        assert caught.value.code is code
