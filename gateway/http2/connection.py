"""HTTP/2 for one purpose: gRPC streams of messages, as client or server (RFC 9113, "gRPC over HTTP/2").

No I/O and no clock. The owner (`transport.py`) drives a connection with four verbs:

    receive(data, now)   bytes that came in                        -> events
    output(now)          bytes to write, and events this brought   -> bytes, events
    handle_timer(now)    call it at `next_deadline()`              -> events
    lost(detail)         the socket is gone                        -> events

and acts on its streams in between (`accept`, `send`, `finish`, ...), which never return bytes or events:
both wait for the next `output`. When `over` is set, the owner writes what is left and closes the socket.

`receive` never raises. A peer that breaks the rules costs itself the stream or the connection: the streams
end with a `Cause`, the peer gets RST_STREAM or GOAWAY with the code that the RFC names, and the
refusal is counted under a rule's name.

This module is what comes in: the rules for each frame are methods named after it, in the order of
RFC 9113, 6. Frames come from `reader`; what goes out is `endpoint`.
"""

from __future__ import annotations

from actors.routing.budget import ByteBudget
from gateway.http2 import frames, headers
from gateway.http2.charges import SETTINGS_PER_UNIT, STREAMS_PER_UNIT
from gateway.http2.deadlines import Due
from gateway.http2.endpoint import DRAIN_PING, KEEPALIVE_PING, Http2Endpoint, Http2Role
from gateway.http2.errors import Cause, ErrorCode, GrpcStatus, StreamViolation, Violation
from gateway.http2.events import Event, GoingAway, InputEnded, RequestReceived, ResponseReceived
from gateway.http2.headers import HeaderDecoder
from gateway.http2.limits import Counters, Limits
from gateway.http2.reader import FrameReader
from gateway.http2.stream import StreamState

MAX_SETTINGS = 32
"""Settings in one frame. There are a dozen registered ones."""
MAX_UNREAD_REPLIES = 4096
"""Frames in reply to a peer that does not read them."""


class Http2Connection(Http2Endpoint):
    """One HTTP/2 connection."""

    __slots__ = (
        "_block",
        "_block_ends_stream",
        "_block_stream_id",
        "_decoder",
        "_goaway",
        "_preface",
        "_reader",
        "_settings_acked",
        "_settings_seen",
    )

    def __init__(
        self,
        role: Http2Role,
        limits: Limits,
        counters: Counters,
        now: float,
        *,
        age_factor: float = 1.0,
        budget: ByteBudget | None = None,
    ) -> None:
        """Open a connection at `now`. `age_factor` varies `Limits.max_age` from connection to connection.

        `budget` is what all connections of a node together may have waiting.
        """
        super().__init__(role, limits, counters, now, age_factor=age_factor, budget=budget)
        self._decoder = HeaderDecoder(limits.max_header_list)
        self._reader = FrameReader(
            self,
            max_frame=limits.max_frame,
            max_control=max(frames.DEFAULT_MAX_FRAME, self._decoder.hard_limit),
        )
        self._preface = frames.PREFACE if self._server else b""
        """What is still to come of the client's first bytes."""
        self._settings_seen = False
        self._settings_acked = False
        self._block: bytearray | None = None
        """A header block of which CONTINUATION frames are still to come."""
        self._block_stream_id = 0
        self._block_ends_stream = False
        self._goaway = ""
        """What the peer's GOAWAY said."""

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the socket, none when some are `unread`. A connection that is over ignores them."""
        if self.over:
            self.unread = b""
            return []
        self._now = self.deadlines.last_read = now
        self._counters.bytes_received += len(data)
        if self.unread:
            data = self.unread + data
        try:
            if self.deadlines.blocked_since is not None and len(self._control) > MAX_UNREAD_REPLIES:
                raise Violation(ErrorCode.ENHANCE_YOUR_CALM, "unread_replies", "replies pile up unread")
            if self._preface:
                data = self._read_preface(data)
            self.unread = self._reader.feed(data)
            self._settle(len(data))
        except Violation as violation:
            self.unread = b""
            if not self.over:
                self._fail(violation)
        return self._take_events()

    def handle_timer(self, now: float) -> list[Event]:
        """Do what is due. Nothing may be."""
        self._now = now
        for due in self.deadlines.due(now):
            if self.over:
                break
            match due:
                case Due.HANDSHAKE:
                    code = ErrorCode.SETTINGS_TIMEOUT if self._settings_seen else ErrorCode.NO_ERROR
                    self._fail(Violation(code, "handshake_timeout", "the handshake took too long"))
                case Due.PING:
                    self._control.append(frames.ping(KEEPALIVE_PING))
                case Due.DEAD:
                    self._fail(Violation(ErrorCode.NO_ERROR, "keepalive_timeout", "no answer to a ping"))
                case Due.IDLE:
                    self._counters.refuse("idle_timeout")
                    self.close("no stream for too long")
                case Due.AGE:
                    self.drain(now, self._limits.max_age_grace)
                case Due.LAST_CALL:
                    self._last_call()
                case Due.GRACE:
                    self.close("the grace of a connection that goes away has ended")
                case Due.BLOCKED:
                    self._fail(Violation(ErrorCode.NO_ERROR, "stall_timeout", "the peer reads nothing"))
                case Due.CHECK:
                    self._end_stalled(now)
        for stream in [one for one in self._streams.values() if one.deadline is not None]:
            assert stream.deadline is not None
            if now >= stream.deadline:
                detail = "the call's deadline has passed"
                violation = StreamViolation(
                    ErrorCode.CANCEL, "deadline", detail, status=GrpcStatus.DEADLINE_EXCEEDED
                )
                self._refuse_input(stream, violation)
        return self._take_events()

    def lost(self, detail: str) -> list[Event]:
        """The socket is gone; every stream ends with UNAVAILABLE."""
        if self._goaway:
            detail = f"{detail}, after the peer's {self._goaway}"
        self._end_all(Cause(GrpcStatus.UNAVAILABLE, detail))
        # What is unfinished goes, and what leads back here: memory is free when nobody holds us.
        self._reader.close()
        self.unread = b""
        self._block = None
        self._touched, self._control = [], []
        return self._take_events()

    def next_deadline(self) -> float | None:
        """When `handle_timer` is to be called."""
        times = [one.deadline for one in self._streams.values() if one.deadline is not None]
        general = self.deadlines.next()
        return min(times if general is None else [general, *times], default=None)

    def writable(self, now: float, *, yes: bool) -> None:
        """The socket takes bytes again, or takes no more for now."""
        self.deadlines.blocked_since = None if yes else now
        self.rearm = True

    # -- Frames that come in -------------------------------------------------------------------------

    def data_head(self, stream_id: int, length: int, payload: int) -> StreamState | None:
        """DATA (6.1): account for the frame, find its stream."""
        if self.over:
            return None
        if self._block is not None:
            raise _protocol_error("continuation", "DATA inside a header block")
        self._receive_window -= length
        if self._receive_window < 0:
            raise Violation(
                ErrorCode.FLOW_CONTROL_ERROR, "flow_control", "more DATA than the connection's window"
            )
        self._uncredited += length
        stream = self._streams.get(stream_id)
        if payload == 0:
            self._charges.control(self._now, "empty_data")
        if stream is None:
            self._not_idle(stream_id)
            # On its way when the stream ended, as far as the window went that the stream had then.
            self._late_window -= length
            if self._late_window < 0:
                self._charges.control(self._now, "late_data")
            return None
        if stream.batch is None:
            stream.batch = []
            self._touched.append(stream)
        stream.receive_window -= length
        stream.uncredited += length
        if stream.paused:
            stream.held += length
            self._held += length
        if stream.receive_window < 0:
            self._reset(stream, ErrorCode.FLOW_CONTROL_ERROR, "flow_control", "more DATA than the window")
        elif stream.input_ended:
            self._reset(stream, ErrorCode.STREAM_CLOSED, "stream_closed", "DATA after END_STREAM")
        elif not (stream.accepted or self._server):
            self._reset(stream, ErrorCode.PROTOCOL_ERROR, "no_response", "DATA before the response headers")
        else:
            return stream
        return None

    def data(self, stream: StreamState, data: bytes, at: int, end: int) -> None:
        """A piece of a DATA frame's payload."""
        batch = stream.batch
        if batch is None:
            batch = stream.batch = []
            self._touched.append(stream)
        if stream.input_ended:
            return
        try:
            stream.assembler.take(data, at, end, batch)
        except StreamViolation as violation:
            self._refuse_bad_input(stream, violation)

    def data_end(self, stream: StreamState) -> None:
        """The end of the peer's side of a stream, by DATA or by a request's trailers."""
        if stream.input_ended:
            return
        if not self._server:
            self._end_with_response(stream, Cause(GrpcStatus.UNKNOWN, "the stream ended without grpc-status"))
        elif stream.assembler.partial:
            self._refuse_bad_input(
                stream,
                StreamViolation(
                    ErrorCode.PROTOCOL_ERROR,
                    "truncated_message",
                    "the stream ended inside a message",
                    status=GrpcStatus.INTERNAL,
                ),
            )
        else:
            self._flush(stream)
            stream.input_ended = True
            self._events.append(InputEnded(stream))

    def unknown_frame(self) -> None:
        """Frames of unknown types are ignored (5.5)."""
        if self.over:
            return
        if self._block is not None:
            raise _protocol_error("continuation", "an unknown frame inside a header block")
        self._first_is_settings(None)
        self._charges.control(self._now, "unknown_frame")

    def frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """Any other frame, whole."""
        if self.over:
            return
        self._first_is_settings(kind)
        if self._block is not None and kind != frames.CONTINUATION:
            raise _protocol_error("continuation", "a header block that is not continued")
        match kind:
            case frames.HEADERS:
                self._read_headers(flags, stream_id, payload)
            case frames.PRIORITY:
                self._read_priority(stream_id, payload)
            case frames.RST_STREAM:
                self._read_rst_stream(stream_id, payload)
            case frames.SETTINGS:
                self._read_settings(flags, stream_id, payload)
            case frames.PUSH_PROMISE:
                raise _protocol_error("push_promise", "push is disabled")
            case frames.PING:
                self._read_ping(flags, stream_id, payload)
            case frames.GOAWAY:
                self._read_goaway(stream_id, payload)
            case frames.WINDOW_UPDATE:
                self._read_window_update(stream_id, payload)
            case _:
                self._read_continuation(flags, stream_id, payload)

    def _read_preface(self, data: bytes) -> bytes:
        """The client's first bytes (3.4); return what follows them."""
        size = min(len(self._preface), len(data))
        if data[:size] != self._preface[:size]:
            raise _protocol_error("preface", "this is not HTTP/2 with prior knowledge")
        self._preface = self._preface[size:]
        return data[size:]

    def _first_is_settings(self, kind: int | None) -> None:
        if not self._settings_seen and kind != frames.SETTINGS:
            raise _protocol_error("preface", "the first frame must be SETTINGS")

    def _read_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        """HEADERS (6.2)."""
        at, end = 0, len(payload)
        if flags & frames.PADDED:
            if not payload:
                raise Violation(ErrorCode.FRAME_SIZE_ERROR, "frame_size", "padded HEADERS without padding")
            at, end = 1, end - payload[0]
        if flags & frames.HAS_PRIORITY:
            at += 5
        if at > end:
            raise _protocol_error("padding", "HEADERS with more padding than frame")
        if stream_id == 0 or stream_id % 2 == 0:
            raise _protocol_error("stream_id", f"HEADERS on stream {stream_id}")
        ends = bool(flags & frames.END_STREAM)
        if flags & frames.END_HEADERS:
            self._read_block(stream_id, payload[at:end], ends_stream=ends)
        else:
            self._block = bytearray(payload[at:end])
            self._block_stream_id, self._block_ends_stream = stream_id, ends

    def _read_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        """CONTINUATION (6.10)."""
        if self._block is None or stream_id != self._block_stream_id:
            raise _protocol_error("continuation", "CONTINUATION without HEADERS")
        self._charges.control(self._now, "continuation_flood")
        self._block += payload
        if len(self._block) > self._decoder.hard_limit:
            raise Violation(ErrorCode.ENHANCE_YOUR_CALM, "header_bomb", "a header block without end")
        if flags & frames.END_HEADERS:
            block, self._block = bytes(self._block), None
            self._read_block(stream_id, block, ends_stream=self._block_ends_stream)

    def _read_block(self, stream_id: int, block: bytes, *, ends_stream: bool) -> None:
        self._charges.header_block(self._now, len(block))
        fields = self._decoder.decode(block)  # whatever the stream's state: decoding has state of its own
        self._charges.fields(self._now, len(fields))
        stream = self._streams.get(stream_id)
        try:
            if stream is not None:
                if not self._server:
                    self._read_response(stream, fields, ends_stream=ends_stream)
                else:
                    self._read_request_trailers(stream, fields, ends_stream=ends_stream)
            elif self._server and stream_id > self._last_id:
                self._read_request(stream_id, fields, ends_stream=ends_stream)
            else:
                self._not_idle(stream_id)
        except StreamViolation as violation:
            if stream is not None:
                self._refuse_bad_input(stream, violation)
            else:
                self._counters.refuse(violation.rule)
                self._control.append(frames.rst_stream(stream_id, violation.code))
                self._charges.reset(self._now)

    def _read_request(self, stream_id: int, fields: list[tuple[bytes, bytes]], *, ends_stream: bool) -> None:
        self._last_id = stream_id
        if self._closed_to_new or len(self._streams) >= self._limits.max_streams:
            rule = "going_away" if self._closed_to_new else "max_streams"
            self._late_window += self._stream_receive_window
            raise StreamViolation(ErrorCode.REFUSED_STREAM, rule, "no more streams")
        self._charges.call(self._now)
        request = headers.read_request(fields)
        if headers.list_size(fields) > self._limits.max_header_list:
            size = self._limits.max_header_list
            self._refuse_request(
                stream_id,
                (200, GrpcStatus.RESOURCE_EXHAUSTED, f"the request's headers are larger than {size} bytes"),
                rule="header_list_size",
                input_ended=ends_stream,
            )
            return
        if (reason := headers.check_grpc_request(request)) is not None:
            self._refuse_request(stream_id, reason, rule="no_grpc_request", input_ended=ends_stream)
            return
        timeout = headers.read_timeout(request)
        stream = self._add_stream(stream_id, self._now)
        stream.deadline = None if timeout is None else self._now + timeout
        self._events.append(RequestReceived(stream, request))
        if ends_stream:
            self.data_end(stream)

    def _refuse_request(
        self, stream_id: int, reason: tuple[int, GrpcStatus, str], *, rule: str, input_ended: bool
    ) -> None:
        http_status, status, message = reason
        fields = [
            (":status", str(http_status)),
            ("content-type", headers.CONTENT_TYPE),
            ("grpc-accept-encoding", "identity"),
            *headers.trailers(status, message),
        ]
        self._counters.refuse(rule)
        self._late_window += 0 if input_ended else self._stream_receive_window
        self._answer(stream_id, fields, self._control, input_ended=input_ended)
        self._charges.reset(self._now)

    def _read_request_trailers(
        self, stream: StreamState, fields: list[tuple[bytes, bytes]], *, ends_stream: bool
    ) -> None:
        headers.read_trailers(fields)
        if stream.input_ended:
            raise StreamViolation(ErrorCode.STREAM_CLOSED, "stream_closed", "HEADERS after END_STREAM")
        if not ends_stream:
            raise headers.MalformedHeaders("trailers that do not end the stream")
        self.data_end(stream)

    def _read_response(
        self, stream: StreamState, fields: list[tuple[bytes, bytes]], *, ends_stream: bool
    ) -> None:
        if stream.accepted:
            trailers = headers.read_trailers(fields)
            if not ends_stream:
                raise headers.MalformedHeaders("trailers that do not end the stream")
            self._end_with_response(stream, headers.read_cause(trailers, 200))
            return
        http_status, response = headers.read_response(fields)
        if 100 <= http_status < 200:
            if ends_stream:
                raise headers.MalformedHeaders("an informational response that ends the stream")
            self._charges.control(self._now, "informational_response")
        elif http_status != 200 or not headers.is_grpc(response) or ends_stream:
            cause = headers.read_cause(response, http_status)
            if not ends_stream:
                self._control.append(frames.rst_stream(stream.id, ErrorCode.CANCEL))
                stream.output_ended = True
            self._end_with_response(stream, cause)
        elif response.get("grpc-encoding", "identity") != "identity":
            detail = "the response is compressed, though nobody asked for it"
            self._reset(stream, ErrorCode.CANCEL, "compressed_message", detail, GrpcStatus.INTERNAL)
        else:
            stream.accepted = True
            self._events.append(ResponseReceived(stream, response))

    def _read_priority(self, stream_id: int, payload: bytes) -> None:
        """PRIORITY (6.3): checked and ignored."""
        if stream_id == 0:
            raise _protocol_error("stream_id", "PRIORITY on stream 0")
        if len(payload) != 5:
            raise _frame_size("PRIORITY", payload)
        self._charges.control(self._now, "priority_flood")

    def _read_rst_stream(self, stream_id: int, payload: bytes) -> None:
        """RST_STREAM (6.4)."""
        if len(payload) != 4:
            raise _frame_size("RST_STREAM", payload)
        stream = self._streams.get(stream_id)
        if stream is None:
            self._not_idle(stream_id)
            self._charges.control(self._now, "reset_flood")
            return
        if not stream.used:
            self._charges.reset(self._now)
        code = ErrorCode.read(frames.LONG.unpack(payload)[0])
        self._end(stream, Cause(GrpcStatus.of_reset(code), "the peer reset the stream", code))

    def _read_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        """SETTINGS (6.5)."""
        if stream_id != 0:
            raise _protocol_error("stream_id", f"SETTINGS on stream {stream_id}")
        if flags & frames.ACK:
            if payload:
                raise _frame_size("SETTINGS with ACK", payload)
            if not self._settings_seen:
                raise _protocol_error("preface", "the first frame must be SETTINGS")
            self._charges.control(self._now, "settings_flood")
            if not self._settings_acked:
                self._acknowledged()
            return
        if len(payload) % 6:
            raise _frame_size("SETTINGS", payload)
        if len(payload) > 6 * MAX_SETTINGS:
            raise Violation(ErrorCode.ENHANCE_YOUR_CALM, "settings_flood", "too many settings in one frame")
        self._charges.control(self._now, "settings_flood", 1 + len(payload) // (6 * SETTINGS_PER_UNIT))
        self._settings_seen = True
        window = self._peer_window
        for identifier, value in frames.SETTING.iter_unpack(payload):
            if identifier == frames.SETTINGS_INITIAL_WINDOW_SIZE:
                if value > frames.LARGEST_WINDOW:
                    raise Violation(
                        ErrorCode.FLOW_CONTROL_ERROR, "settings", "an initial window of more than 2^31-1"
                    )
                window = value
            else:
                self._apply_setting(identifier, value)
        if window != self._peer_window:
            self._widen_all(window)
        self._control.append(frames.SETTINGS_ACK)
        self.deadlines.established = self._settings_acked

    def _apply_setting(self, identifier: int, value: int) -> None:
        match identifier:
            case frames.SETTINGS_ENABLE_PUSH:
                if value > 1 or (value and not self._server):
                    raise _protocol_error("settings", f"ENABLE_PUSH of {value}")
            case frames.SETTINGS_MAX_CONCURRENT_STREAMS:
                self._peer_max_streams = value
            case frames.SETTINGS_MAX_FRAME_SIZE:
                if not frames.DEFAULT_MAX_FRAME <= value <= frames.LARGEST_MAX_FRAME:
                    raise _protocol_error("settings", f"MAX_FRAME_SIZE of {value}")
                self._peer_max_frame = value
            case _:
                # HEADER_TABLE_SIZE: we use no table. MAX_HEADER_LIST_SIZE: advisory; the peer refuses what
                # it does not want. Unknown ones are ignored (6.5.2).
                pass

    def _widen_all(self, window: int) -> None:
        """The peer changed its initial window, which moves the window of every stream (6.9.2).

        Of several changes in one frame only the last one counts: nobody sees the windows between them.
        """
        self._charges.control(self._now, "settings_flood", len(self._streams) // STREAMS_PER_UNIT)
        difference, self._peer_window = window - self._peer_window, window
        for stream in self._streams.values():
            stream.send_window += difference
            if stream.send_window > frames.LARGEST_WINDOW:
                raise Violation(ErrorCode.FLOW_CONTROL_ERROR, "settings", "a window of more than 2^31-1")
            self._set_ready(stream)

    def _acknowledged(self) -> None:
        """Our settings are in force at the peer."""
        self._settings_acked = True
        self.deadlines.established = True
        self._decoder.table_size_acknowledged()
        surplus = self._stream_receive_window - self._limits.stream_window
        self._stream_receive_window -= surplus
        for stream in self._streams.values():
            stream.receive_window -= surplus

    def _read_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        """PING (6.7)."""
        if stream_id != 0:
            raise _protocol_error("stream_id", f"PING on stream {stream_id}")
        if len(payload) != 8:
            raise _frame_size("PING", payload)
        self._charges.control(self._now, "ping_flood")
        if not flags & frames.ACK:
            self._control.append(frames.ping(payload, ack=True))
        elif payload == DRAIN_PING and self.going_away and self._server:
            self._last_call()

    def _read_goaway(self, stream_id: int, payload: bytes) -> None:
        """GOAWAY (6.8)."""
        if stream_id != 0:
            raise _protocol_error("stream_id", f"GOAWAY on stream {stream_id}")
        if len(payload) < 8:
            raise _frame_size("GOAWAY", payload)
        self._charges.control(self._now, "goaway_flood")
        last_id = frames.LONG.unpack_from(payload)[0] & 0x7FFFFFFF
        code = ErrorCode.read(frames.LONG.unpack_from(payload, 4)[0])
        self._goaway = f"GOAWAY {code.name}"
        if not self._server:
            cause = Cause(GrpcStatus.UNAVAILABLE, f"the server did not take the stream: {self._goaway}", code)
            for stream in [one for one in self._streams.values() if one.id > last_id]:
                self._end(stream, cause)
        if not self.going_away:
            self.going_away = True
            self._events.append(GoingAway())
        self._over_when_done()

    def _read_window_update(self, stream_id: int, payload: bytes) -> None:
        """WINDOW_UPDATE (6.9)."""
        if len(payload) != 4:
            raise _frame_size("WINDOW_UPDATE", payload)
        self._charges.control(self._now, "window_update_flood")
        increment = frames.LONG.unpack(payload)[0] & 0x7FFFFFFF
        if stream_id == 0:
            if increment == 0:
                raise _protocol_error("flow_control", "WINDOW_UPDATE by 0")
            self._send_window += increment
            if self._send_window > frames.LARGEST_WINDOW:
                raise Violation(ErrorCode.FLOW_CONTROL_ERROR, "flow_control", "a window of more than 2^31-1")
            return
        stream = self._streams.get(stream_id)
        if stream is None:
            self._not_idle(stream_id)
        elif increment == 0:
            self._reset(stream, ErrorCode.PROTOCOL_ERROR, "flow_control", "WINDOW_UPDATE by 0")
        elif stream.send_window + increment > frames.LARGEST_WINDOW:
            self._reset(stream, ErrorCode.FLOW_CONTROL_ERROR, "flow_control", "a window of more than 2^31-1")
        else:
            stream.send_window += increment
            self._set_ready(stream)

    # -- Rules for many frames -----------------------------------------------------------------------

    def _end_with_response(self, stream: StreamState, cause: Cause) -> None:
        """The server's side of a stream has ended, and with it the call (client only)."""
        if cause.ok and stream.assembler.partial:
            cause = Cause(GrpcStatus.INTERNAL, "the stream ended inside a message")
        if not stream.output_ended:
            self._control.append(frames.rst_stream(stream.id, ErrorCode.NO_ERROR))
        self._end(stream, cause)

    def _not_idle(self, stream_id: int) -> None:
        """Frames may come late for a stream that has ended, but not for one that never was (5.1)."""
        if stream_id % 2 == 0 or stream_id > self._last_id:
            raise _protocol_error("stream_id", f"a frame on stream {stream_id}, which nobody opened")

    def _refuse_bad_input(self, stream: StreamState, violation: StreamViolation) -> None:
        self._refuse_input(stream, violation)
        self._charges.reset(self._now)


def _protocol_error(rule: str, detail: str) -> Violation:
    return Violation(ErrorCode.PROTOCOL_ERROR, rule, detail)


def _frame_size(name: str, payload: bytes) -> Violation:
    return Violation(ErrorCode.FRAME_SIZE_ERROR, "frame_size", f"{name} of {len(payload)} bytes")
