"""Cuts the bytes of a connection into frames (RFC 9113, 4.1), however they are split into reads.

DATA payloads are handed on piece by piece as they come in, so a frame is never collected; frames of unknown
types are skipped the same way. Only the frames that carry the protocol's own affairs are collected whole,
and they are small.
"""

from __future__ import annotations

from typing import Protocol, cast

from gateway.http2 import frames
from gateway.http2.errors import ErrorCode, Violation
from gateway.http2.stream import StreamState

_read_head = frames.HEAD.unpack_from
_HEAD_SIZE = frames.HEAD_SIZE
_DATA = frames.DATA
_END_STREAM = frames.END_STREAM
_PADDED = frames.PADDED

TURN_FRAMES = 32
"""Frames without payload for anybody that are read in one go, each some 1 to 25 us: the others wait until
other connections have had their turn."""
DATA_OF_A_FRAME = 32
"""Frames with payload that have the place of one without: each takes some 1.5 us, however little is in it."""


class FrameSink(Protocol):
    """What takes the frames: the connection. Its methods may raise Violation."""

    def data_head(self, stream_id: int, length: int, payload: int) -> StreamState | None:
        """A DATA frame begins; `length` is `payload` and padding. None: nobody wants its payload."""

    def data(self, stream: StreamState, data: bytes, at: int, end: int) -> None:
        """data[at:end] is payload of the DATA frame under way."""

    def data_end(self, stream: StreamState) -> None:
        """A DATA frame with END_STREAM is complete."""

    def frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """A whole frame of a known type other than DATA."""

    def unknown_frame(self) -> None:
        """A frame of an unknown type begins."""


class FrameReader:
    """One direction of one connection. Between reads it keeps less than `max_control` bytes."""

    __slots__ = ("_cut", "_ends", "_left", "_max_control", "_max_frame", "_sink", "_skip", "_stream")

    def __init__(self, sink: FrameSink, *, max_frame: int, max_control: int) -> None:
        self._sink = sink
        self._max_frame = max_frame
        self._max_control = max_control
        self._cut: bytearray | None = None
        """A frame's head, or a whole control frame, of which the end is still to come."""
        self._stream: StreamState | None = None
        """Whom the DATA frame under way is for."""
        self._left = 0
        """Payload bytes that it still lacks."""
        self._skip = 0
        """Bytes to skip behind them: padding, or an unknown frame."""
        self._ends = False
        """Whether it ends its stream."""

    def close(self) -> None:
        """Let go of the sink and of what is unfinished. Nothing may be fed any more."""
        self._sink = cast(FrameSink, None)
        self._cut = self._stream = None

    def feed(self, data: bytes) -> bytes:
        """Hand the frames in `data` to the sink. Returns what is left of it, to begin another call with.

        Raises Violation; the reader is of no use after that.
        """
        sink = self._sink
        room = TURN_FRAMES * DATA_OF_A_FRAME
        size = len(data)
        at = self._mend(data) if self._cut is not None else 0
        if self._left or self._skip or self._ends:
            at = self._go_on(data, at)
        while size - at >= _HEAD_SIZE:
            high, low, kind, flags, stream_id = _read_head(data, at)
            length = high << 8 | low
            if length > self._max_frame:
                raise self._too_large(length)
            if kind == _DATA and not flags & _PADDED:
                stream = sink.data_head(stream_id & 0x7FFFFFFF, length, length)
                at += _HEAD_SIZE
                end = at + length
                if end > size:
                    self._stream, self._left, self._ends = stream, length, bool(flags & _END_STREAM)
                    at = self._go_on(data, at)
                    continue
                if stream is not None:
                    if length:
                        sink.data(stream, data, at, end)
                    if flags & _END_STREAM:
                        sink.data_end(stream)
                at = end
                room -= 1 if length else DATA_OF_A_FRAME
            else:
                needed = self._needed(kind, flags, length)
                if size - at < needed:
                    break
                self._open(kind, flags, stream_id & 0x7FFFFFFF, length, data[at + _HEAD_SIZE : at + needed])
                at += needed
                if self._left or self._skip or self._ends:
                    at = self._go_on(data, at)
                room -= DATA_OF_A_FRAME
            if room <= 0 and at < size:
                return data[at:]
        if at < size:
            self._cut = bytearray(data[at:])
        return b""

    def _needed(self, kind: int, flags: int, length: int) -> int:
        """How many bytes of a frame must be at hand for `_open`."""
        if kind == _DATA:
            padded = bool(flags & _PADDED)
            if padded and length == 0:
                raise Violation(ErrorCode.FRAME_SIZE_ERROR, "frame_size", "a padded frame without padding")
            return _HEAD_SIZE + padded
        if kind > frames.CONTINUATION:
            return _HEAD_SIZE
        if length > self._max_control:
            raise Violation(
                ErrorCode.ENHANCE_YOUR_CALM, "control_frame_size", f"a control frame of {length} bytes"
            )
        return _HEAD_SIZE + length

    def _open(self, kind: int, flags: int, stream_id: int, length: int, payload: bytes) -> None:
        """Begin a DATA or unknown frame, or hand on another one whole."""
        if kind == _DATA:
            padding = 0
            if flags & _PADDED:
                padding = payload[0]
                if padding >= length:
                    raise Violation(ErrorCode.PROTOCOL_ERROR, "padding", "more padding than frame")
            self._left = length - padding - bool(flags & _PADDED)
            self._stream = self._sink.data_head(stream_id, length, self._left)
            self._skip = padding
            self._ends = bool(flags & _END_STREAM)
        elif kind > frames.CONTINUATION:
            self._sink.unknown_frame()
            self._stream = None
            self._skip = length
        else:
            self._sink.frame(kind, flags, stream_id, payload)

    def _go_on(self, data: bytes, at: int) -> int:
        """Use up what `data` has of the DATA or unknown frame under way; return where that ends."""
        stream = self._stream
        if self._left:
            end = min(at + self._left, len(data))
            if stream is not None and end > at:
                self._sink.data(stream, data, at, end)
            self._left -= end - at
            at = end
            if self._left:
                return at
        if self._skip:
            end = min(at + self._skip, len(data))
            self._skip -= end - at
            at = end
            if self._skip:
                return at
        self._stream = None
        if self._ends:
            self._ends = False
            if stream is not None:
                self._sink.data_end(stream)
        return at

    def _mend(self, data: bytes) -> int:
        """Complete the cut frame with the first bytes of `data`; return how many that took."""
        cut = self._cut
        assert cut is not None
        at = self._fill(cut, data, 0, _HEAD_SIZE)
        if len(cut) < _HEAD_SIZE:
            return at
        high, low, kind, flags, stream_id = _read_head(cut)
        length = high << 8 | low
        if length > self._max_frame:
            raise self._too_large(length)
        needed = self._needed(kind, flags, length)
        at = self._fill(cut, data, at, needed)
        if len(cut) == needed:
            self._cut = None
            self._open(kind, flags, stream_id & 0x7FFFFFFF, length, bytes(cut[_HEAD_SIZE:]))
        return at

    @staticmethod
    def _fill(cut: bytearray, data: bytes, at: int, size: int) -> int:
        """Let `cut` grow to `size` bytes from data[at:]; return where it stopped."""
        end = min(at + max(size - len(cut), 0), len(data))
        cut += data[at:end]
        return end

    def _too_large(self, length: int) -> Violation:
        return Violation(
            ErrorCode.FRAME_SIZE_ERROR,
            "frame_size",
            f"a frame of {length} bytes; the limit is {self._max_frame}",
        )
