"""What this side of a connection says: its settings, its streams and their ends, window, DATA.

The lower half of `connection.Http2Connection`; nothing here reads what the peer sent. Whatever is to go
out is put into `_control` at once, or waits in a stream's send buffer for its turn and for window.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

from actors.routing.budget import ByteBudget
from gateway.http2 import frames, headers
from gateway.http2.charges import Charges
from gateway.http2.deadlines import Deadlines
from gateway.http2.errors import Cause, ErrorCode, GrpcStatus, StreamViolation, Violation
from gateway.http2.events import Event, MessagesReceived, StreamDrained, StreamEnded
from gateway.http2.limits import Counters, Limits
from gateway.http2.messages import UNCOUNTED, Buffer, Message, SendBuffer
from gateway.http2.stream import StreamState

OUTPUT_SIZE = 256 * 1024
"""About how many bytes of DATA one `output` holds, so that no connection keeps the loop to itself."""
DRAIN_PING = b"drain..."
KEEPALIVE_PING = b"alive..."


class Http2Role(Enum):
    """Which end of the connection this is."""

    CLIENT = auto()
    SERVER = auto()


class Http2Endpoint:
    """The state of a connection, and everything that goes out on it."""

    __slots__ = (
        "_charges",
        "_closed_to_new",
        "_control",
        "_counters",
        "_events",
        "_first_block",
        "_held",
        "_last_id",
        "_late_window",
        "_limits",
        "_now",
        "_partial",
        "_peer_max_frame",
        "_peer_max_streams",
        "_peer_window",
        "_ready",
        "_receive_window",
        "_send_window",
        "_server",
        "_spare",
        "_stream_receive_window",
        "_streams",
        "_touched",
        "_uncredited",
        "_unsent",
        "deadlines",
        "going_away",
        "over",
        "rearm",
        "unread",
    )

    def __init__(
        self,
        role: Http2Role,
        limits: Limits,
        counters: Counters,
        now: float,
        *,
        age_factor: float,
        budget: ByteBudget | None,
    ) -> None:
        self._server = role is Http2Role.SERVER
        self._limits = limits
        self._counters = counters
        self._now = now
        self.deadlines = Deadlines(limits, now, age_factor=age_factor)
        self.rearm = True
        """Set when a deadline may have come nearer; the owner clears it."""
        self.over = False
        """Whether nothing more will happen: write what is left, close the socket."""
        self.unread = b""
        """What `receive` left of a read: it is to be called again, without more, when others had a turn."""
        self.going_away = False
        """Whether one side announced the end of the connection (GOAWAY)."""
        self._closed_to_new = False
        """Whether our last GOAWAY is out, so that new streams are refused."""
        self._streams: dict[int, StreamState] = {}
        self._last_id = 0
        """The newest stream: of the client, whichever side this is."""
        self._events: list[Event] = []
        self._charges = Charges(limits, now)

        # Window that the peer has.
        self._receive_window = limits.connection_window
        # Before it acknowledges our settings, a peer may still use the default window (6.9.2).
        self._stream_receive_window = max(limits.stream_window, frames.DEFAULT_WINDOW)
        self._uncredited = 0
        """Bytes received that the peer did not get back as window of the connection."""
        self._held = 0
        """Bytes received for paused streams."""
        self._partial = 0
        """Bytes of unfinished messages."""
        self._late_window = 0
        """Bytes that the peer may have sent on streams before it knew that they had ended."""
        self._touched: list[StreamState] = []
        """The streams that got DATA in this read."""

        # Window that we have.
        self._unsent = ByteBudget(limits.max_connection_unsent, budget)
        self._spare: SendBuffer | None = None
        """An empty one, for the next stream that sends: most are full for one write only."""
        self._control: list[bytes] = []
        """Frames that are not subject to flow control."""
        self._ready: dict[int, StreamState] = {}
        """Streams with something to send and window for it, in the order of their turns."""
        self._first_block = True
        self._send_window = frames.DEFAULT_WINDOW
        self._peer_window = frames.DEFAULT_WINDOW
        self._peer_max_frame = frames.DEFAULT_MAX_FRAME
        self._peer_max_streams = frames.LARGEST_STREAM_ID
        self._send_opening()

    def __repr__(self) -> str:
        role = "server" if self._server else "client"
        state = "over" if self.over else "going away" if self.going_away else "open"
        return f"<http2 {role} connection: {state}, {len(self._streams)} streams>"

    def output(self, now: float) -> tuple[bytes, list[Event]]:
        """Bytes to write now, and the events of what was done since the last call."""
        self._now = now
        out: list[Buffer] = list(self._control)
        self._control.clear()
        if self._ready and self._send_window > 0:
            self._cut_data(out)
        data = b"".join(out)
        self._counters.bytes_sent += len(data)
        events, self._events = self._events, []
        return data, events

    def take_events(self) -> list[Event]:
        """The events of what was done since the last call, where nothing can be written."""
        events, self._events = self._events, []
        return events

    @property
    def wants_output(self) -> bool:
        """Whether `output` has something."""
        return bool(self._control or self._events or (self._ready and self._send_window > 0))

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    @property
    def can_open(self) -> bool:
        """Whether the server takes one more stream (client only)."""
        return not (
            self.over
            or self.going_away
            or len(self._streams) >= self._peer_max_streams
            or self._last_id + 2 > frames.LARGEST_STREAM_ID
        )

    # -- What the owner does with streams ------------------------------------------------------------

    def open(self, fields: headers.Fields, now: float) -> StreamState:
        """Send a request (client only); it must be of the form `headers.request` makes. Needs `can_open`."""
        self._last_id = self._last_id + 2 if self._last_id else 1
        stream = self._add_stream(self._last_id, now)
        self._control.append(self._header_frames(stream.id, fields))
        return stream

    def accept(self, stream: StreamState) -> None:
        """Send the response headers (server only)."""
        if stream.accepted or stream.output_ended:
            return
        stream.accepted = True
        self._control.append(self._header_frames(stream.id, headers.RESPONSE))
        self._set_ready(stream)

    def refuse(self, stream: StreamState, http_status: int) -> None:
        """Answer with an HTTP status and no gRPC response (server only, instead of `accept`)."""
        if stream.output_ended:
            return
        self._counters.refuse(f"http_{http_status}")
        self._answer(
            stream.id, [(":status", str(http_status))], self._control, input_ended=stream.input_ended
        )
        self._end(stream, Cause(GrpcStatus.of_http(http_status), http_status=http_status, local=True))

    def send(self, stream: StreamState, messages: Sequence[Message]) -> bool:
        """Put messages into the stream's send buffer. False: the stream is over or finishing."""
        if stream.output_ended or stream.finishing is not None:
            return False
        send_buffer = stream.send_buffer
        if send_buffer is None:
            send_buffer = stream.send_buffer = self._spare or SendBuffer(self._unsent)
            self._spare = None
        else:
            self._unsent.waits(stream)
        send_buffer.put(messages)
        self._counters.messages_sent += len(messages)
        if send_buffer.size > self._limits.high_water:
            stream.above_high_water = True
            if send_buffer.size > self._limits.max_unsent:
                detail = f"{send_buffer.size} bytes unsent; the limit is {self._limits.max_unsent}"
                self._reset(stream, ErrorCode.CANCEL, "max_unsent", detail, GrpcStatus.RESOURCE_EXHAUSTED)
                return False
        self._set_ready(stream)
        if send_buffer.size > UNCOUNTED:
            unsent = self._unsent
            if stream.send_window <= 0 or self._send_window <= 0 or self.deadlines.blocked_since is not None:
                unsent.waits(stream)
            if unsent.size > unsent.limit or (unsent.parent is not None and unsent.parent.over):
                unsent.relieve()
        return True

    def shed(self, stream: StreamState) -> int:
        """Drop the messages of a stream that may be dropped and are not begun; return how many."""
        send_buffer = stream.send_buffer
        if send_buffer is None:
            return 0
        dropped = send_buffer.shed(stream.droppable)
        self._counters.refuse("unsent_budget", dropped)
        if not send_buffer.size:
            self._ready.pop(stream.id, None)
        self._sent(stream, send_buffer, self._control)
        if self._events and stream.on_news is not None:
            # Another connection has asked for it, and this one may be doing nothing for long.
            stream.on_news()
        return dropped

    def buffered(self, size: int) -> None:
        """So many bytes more, or fewer, are between `output` and the socket."""
        self._unsent.add(size)

    def finish(self, stream: StreamState, status: GrpcStatus = GrpcStatus.OK, message: str = "") -> None:
        """End the output behind the send buffer: trailers of a server, END_STREAM of a client.

        A server's stream is over then, whether the client has ended its side or not.
        """
        if stream.output_ended or stream.finishing is not None:
            return
        stream.finishing = Cause(status, message, local=True)
        if stream.send_buffer is None:
            self._finish_now(stream, self._control)

    def reset(self, stream: StreamState, message: str = "cancelled") -> None:
        """Cancel the stream, both ways and at once (RST_STREAM)."""
        if stream.id in self._streams:
            self._control.append(frames.rst_stream(stream.id, ErrorCode.CANCEL))
            self._end(stream, Cause(GrpcStatus.CANCELLED, message, ErrorCode.CANCEL, local=True))

    def pause(self, stream: StreamState) -> None:
        """Give the peer no more window for this stream."""
        stream.paused = True

    def resume(self, stream: StreamState) -> None:
        """Give the peer window again, for what came in meanwhile too."""
        if stream.paused and stream.id in self._streams:
            stream.paused = False
            self._held -= stream.held
            stream.held = 0
            self._give_credit(stream)
            self._give_connection_credit()

    def drain(self, now: float, grace: float | None) -> None:
        """Let the connection end: no new streams, and `grace` seconds (None: for ever) for the others.

        A server tells first that it will go, and a round trip later which streams it still saw (6.8).
        """
        if self.over:
            return
        self.rearm = True
        if grace is not None:
            self.deadlines.grace_at = min(now + grace, self.deadlines.grace_at or now + grace)
        if self.going_away and self._server:
            return
        self.going_away = True
        if self._server:
            self._control.append(frames.goaway(frames.LARGEST_STREAM_ID, ErrorCode.NO_ERROR))
            self._control.append(frames.ping(DRAIN_PING))
            self.deadlines.last_call_at = now + self._limits.handshake_timeout
        else:
            self._last_call()

    def close(self, detail: str) -> None:
        """End the connection now; its streams end with UNAVAILABLE."""
        if not self.over:
            self._goodbye(ErrorCode.NO_ERROR, detail)
            self._end_all(Cause(GrpcStatus.UNAVAILABLE, detail, local=True))

    # -- Bytes ---------------------------------------------------------------------------------------

    def _send_opening(self) -> None:
        """The connection preface (3.4): our settings, and the window of the connection."""
        limits = self._limits
        values = [
            (frames.SETTINGS_HEADER_TABLE_SIZE, 0),
            (frames.SETTINGS_INITIAL_WINDOW_SIZE, limits.stream_window),
            (frames.SETTINGS_MAX_FRAME_SIZE, limits.max_frame),
            (frames.SETTINGS_MAX_HEADER_LIST_SIZE, limits.max_header_list),
        ]
        if self._server:
            values.append((frames.SETTINGS_MAX_CONCURRENT_STREAMS, limits.max_streams))
        else:
            values.append((frames.SETTINGS_ENABLE_PUSH, 0))
            self._control.append(frames.PREFACE)
        self._control.append(frames.settings(values))
        if limits.connection_window > frames.DEFAULT_WINDOW:
            self._control.append(frames.window_update(0, limits.connection_window - frames.DEFAULT_WINDOW))

    def _header_frames(self, stream_id: int, fields: headers.Fields, *, end_stream: bool = False) -> bytes:
        block = headers.encode(fields, first=self._first_block)
        self._first_block = False
        return frames.header_frames(stream_id, block, self._peer_max_frame, end_stream=end_stream)

    def _answer(
        self, stream_id: int, fields: headers.Fields, out: list[bytes] | list[Buffer], *, input_ended: bool
    ) -> None:
        """The headers that end a server's side; the client is told to stop when it has not (8.1)."""
        out.append(self._header_frames(stream_id, fields, end_stream=True))
        if not input_ended:
            out.append(frames.rst_stream(stream_id, ErrorCode.NO_ERROR))

    def _cut_data(self, out: list[Buffer]) -> None:
        """Give each ready stream a turn, as long as there is window and space in this output."""
        budget = OUTPUT_SIZE
        for stream in list(self._ready.values()):
            send_buffer = stream.send_buffer
            assert send_buffer is not None
            allowed = min(budget, self._send_window, stream.send_window)
            if allowed <= 0:
                break
            del self._ready[stream.id]
            size, completed = send_buffer.cut(stream.id, allowed, self._peer_max_frame, out)
            budget -= size
            self._send_window -= size
            stream.send_window -= size
            stream.output_stalled_since = None
            stream.used = True
            self._charges.data_sent(completed, size)
            if send_buffer.size:
                self._unsent.progressed(stream)
                self._set_ready(stream)
            elif not (stream.above_high_water or stream.finishing or self._unsent.holders):
                # Nearly always: all of it left, and nobody waits to hear of that.
                stream.send_buffer, self._spare = None, send_buffer
                continue
            self._sent(stream, send_buffer, out)

    def _sent(self, stream: StreamState, send_buffer: SendBuffer, out: list[bytes] | list[Buffer]) -> None:
        """Less waits in a stream than before, or nothing."""
        if stream.above_high_water and send_buffer.size <= self._limits.low_water:
            stream.above_high_water = False
            self._events.append(StreamDrained(stream))
        if not send_buffer.size:
            stream.send_buffer = None
            if self._unsent.holders:
                self._unsent.settled(stream)
            if stream.finishing is not None:
                self._finish_now(stream, out)

    def _finish_now(self, stream: StreamState, out: list[bytes] | list[Buffer]) -> None:
        cause = stream.finishing
        assert cause is not None
        if self._server:
            fields = headers.trailers(cause.status, cause.message)
            if not stream.accepted:
                fields = [*headers.RESPONSE, *fields]
            self._answer(stream.id, fields, out, input_ended=stream.input_ended)
            self._end(stream, cause)
        else:
            out.append(frames.head(frames.DATA, frames.END_STREAM, stream.id, 0))
            stream.output_ended = True

    def _set_ready(self, stream: StreamState) -> None:
        if (
            stream.send_buffer is not None
            and stream.send_window > 0
            and (stream.accepted or not self._server)
        ):
            self._ready[stream.id] = stream

    # -- Streams and their ends ----------------------------------------------------------------------

    def _add_stream(self, stream_id: int, now: float) -> StreamState:
        stream = self._streams[stream_id] = StreamState(
            stream_id,
            send_window=self._peer_window,
            receive_window=self._stream_receive_window,
            max_message=self._limits.max_message,
        )
        stream.on_shed = self.shed
        self._counters.streams_opened += 1
        self.deadlines.stream_opened(now)
        self.rearm = True
        return stream

    def _refuse_input(self, stream: StreamState, violation: StreamViolation) -> None:
        """End a stream for what the client sent on it; with a gRPC status if there is one to tell."""
        if violation.status is None or not self._server:
            self._reset(stream, violation.code, violation.rule, violation.detail, violation.status)
            return
        self._counters.refuse(violation.rule)
        fields = headers.trailers(violation.status, violation.detail)
        if not stream.accepted:
            fields = [*headers.RESPONSE, *fields]
        self._answer(stream.id, fields, self._control, input_ended=stream.input_ended)
        self._end(stream, Cause(violation.status, violation.detail, local=True))

    def _reset(
        self, stream: StreamState, code: ErrorCode, rule: str, detail: str, status: GrpcStatus | None = None
    ) -> None:
        """End a stream with RST_STREAM, counted under `rule`."""
        self._counters.refuse(rule)
        self._control.append(frames.rst_stream(stream.id, code))
        self._end(
            stream, Cause(GrpcStatus.of_reset(code) if status is None else status, detail, code, local=True)
        )

    def _end(self, stream: StreamState, cause: Cause) -> None:
        """Forget a stream that is over, both ways, and tell the owner."""
        if self._streams.pop(stream.id, None) is None:
            return
        self._flush(stream)
        self._ready.pop(stream.id, None)
        self._held -= stream.held
        self._late_window += max(0, stream.receive_window)
        self._partial -= stream.assembler.settled
        stream.input_ended = stream.output_ended = True
        if stream.send_buffer is not None:
            stream.send_buffer.clear()
            self._unsent.settled(stream)
        stream.send_buffer = stream.deadline = stream.on_shed = stream.on_news = None
        stream.assembler.clear()
        self._counters.streams_closed += 1
        self._charges.stream_ended()
        self._events.append(StreamEnded(stream, cause))
        if not self._streams:
            self.deadlines.idle_since = self._now
        self.rearm = True
        if not self.over:
            self._give_connection_credit()
            self._over_when_done()

    def _end_all(self, cause: Cause) -> None:
        self.over = True
        for stream in list(self._streams.values()):
            self._end(stream, cause)

    def _end_stalled(self, now: float) -> None:
        """End the streams that did not move since the last look but one."""
        timeout = self._limits.stall_timeout
        assert timeout is not None
        for stream in list(self._streams.values()):
            if stream.send_buffer is not None:
                if stream.output_stalled_since is None:
                    stream.output_stalled_since = now
                elif now - stream.output_stalled_since >= timeout:
                    detail = f"the peer took nothing of {stream.unsent} bytes for {timeout:g} s"
                    self._reset(stream, ErrorCode.CANCEL, "stall_timeout", detail, GrpcStatus.UNAVAILABLE)
                    continue
            if stream.assembler.partial and not stream.paused:
                if stream.input_stalled_since is None:
                    stream.input_stalled_since = now
                elif now - stream.input_stalled_since >= timeout:
                    detail = f"nothing of an unfinished message came for {timeout:g} s"
                    violation = StreamViolation(
                        ErrorCode.CANCEL, "stall_timeout", detail, status=GrpcStatus.UNAVAILABLE
                    )
                    self._refuse_input(stream, violation)

    # -- The end of the connection -------------------------------------------------------------------

    def _last_call(self) -> None:
        """Say which streams we still saw; refuse later ones."""
        if not self._closed_to_new:
            self._closed_to_new = True
            self.deadlines.last_call_at = None
            self._control.append(frames.goaway(self._last_id if self._server else 0, ErrorCode.NO_ERROR))
        self._over_when_done()

    def _over_when_done(self) -> None:
        # Our own announcement gives a client one round trip to open what it had in mind (`_last_call`).
        announced = self.deadlines.last_call_at is not None
        if self.going_away and not announced and not self._streams:
            self.over = True

    def _goodbye(self, code: ErrorCode, detail: str) -> None:
        self._control.append(frames.goaway(self._last_id if self._server else 0, code, detail))
        self._ready.clear()
        self.over = True

    def _fail(self, violation: Violation) -> None:
        """End the connection for a rule that the peer broke."""
        self._counters.refuse(violation.rule)
        self._goodbye(violation.code, violation.detail)
        self._end_all(Cause(GrpcStatus.UNAVAILABLE, violation.detail, violation.code, local=True))

    # -- The end of a read ---------------------------------------------------------------------------

    def _settle(self, read_size: int) -> None:
        """Hand on the messages of this read, give window back, look at what is unfinished."""
        if self._touched:
            touched, self._touched = self._touched, []
            for stream in touched:
                self._flush(stream)
                if stream.input_ended:
                    continue
                stream.input_stalled_since = None
                assembler = stream.assembler
                if assembler.size or assembler.settled:
                    self._partial += assembler.settle(read_size)
                if self._partial > self._limits.max_partial:
                    violation = StreamViolation(
                        ErrorCode.CANCEL,
                        "max_partial",
                        f"unfinished messages of more than {self._limits.max_partial} bytes",
                        status=GrpcStatus.RESOURCE_EXHAUSTED,
                    )
                    self._refuse_input(stream, violation)
                elif 2 * stream.uncredited >= self._limits.stream_window and not stream.paused:
                    self._give_credit(stream)
        if 2 * self._uncredited >= self._limits.connection_window:
            self._give_connection_credit()

    def _flush(self, stream: StreamState) -> None:
        if stream.batch:
            self._counters.messages_received += len(stream.batch)
            self._events.append(MessagesReceived(stream, stream.batch))
        stream.batch = None

    def _give_credit(self, stream: StreamState) -> None:
        """Give a stream's window back, once it is half used: few updates, and the peer need not wait."""
        if 2 * stream.uncredited >= self._limits.stream_window and not stream.input_ended:
            self._control.append(frames.window_update(stream.id, stream.uncredited))
            stream.receive_window += stream.uncredited
            stream.uncredited = 0

    def _give_connection_credit(self) -> None:
        """The same for the connection, unless paused streams hold a whole window of it."""
        window = self._limits.connection_window
        if 2 * self._uncredited >= window >= self._held:
            self._control.append(frames.window_update(0, self._uncredited))
            self._receive_window += self._uncredited
            self._uncredited = 0

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events
