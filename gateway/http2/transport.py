"""The asyncio shell: a `Wire` per socket drives an `Http2Connection`; a `CallStream` is the handle of a call.

A read becomes one call of `Http2Connection.receive`; what it brings for a stream is handed on as one list.
The first bytes after a quiet moment are written at once; what is sent in a rush, by whomever, leaves in one
write at the end of the loop's turn (`Wire.arm`).
No task and no future belongs to a message; a connection has one timer, set again only when it fires.

All of this belongs to one event loop; nothing here may be called from another thread.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

from gateway.http2.connection import Http2Connection
from gateway.http2.errors import Cause, GrpcStatus
from gateway.http2.events import (
    Event,
    GoingAway,
    InputEnded,
    MessagesReceived,
    RequestReceived,
    ResponseReceived,
    StreamDrained,
    StreamEnded,
)
from gateway.http2.headers import Headers
from gateway.http2.messages import Message
from gateway.http2.stream import StreamState
from gateway.http2.turns import call_after_others

WRITE_BUFFER_HIGH = 256 * 1024
"""Bytes in the socket's own buffer above which DATA waits in its stream instead."""
WRITE_BUFFER_LOW = 64 * 1024
QUIET = 0.0002
"""Seconds without a write after which the next one does not wait for the end of the turn."""
READ_SIZE = 192 * 1024
"""A read of this size or more has left something in the socket."""
FULL_READS = 4
"""After so many of them in a row, or one with many messages, the rest is read when others had their turn:
some loops would read on at once, many times over. Large messages need not pay a turn for every read."""
TURN_MESSAGES = 1024
"""Messages of one connection that are delivered in one go. The others wait until other connections have had
their turn, and nothing is read until then."""
CALL_MESSAGES = 128
"""So many are what the begin or the end of a call costs: some 150 us, with what it makes others do."""
LINGER = 5.0
"""Seconds that a closed connection has to take its last bytes."""

OnMessages = Callable[[list[bytes]], None]
OnClosed = Callable[[Cause], None]
OnEvent = Callable[[], None]


class WireOwner(Protocol):
    """Server or client connection: what happens on a socket and not on a stream."""

    def wire_opened(self, wire: Wire) -> bool:
        """The socket is up. False: it is not wanted."""

    def request_received(self, wire: Wire, state: StreamState, headers: Headers) -> None:
        """A client has opened a stream."""

    def wire_going_away(self, wire: Wire) -> None:
        """The peer will take no new streams."""

    def wire_closed(self, wire: Wire) -> None:
        """The socket is closed; all its streams have ended."""


class CallStream:
    """One gRPC stream of messages, either side. Made by `serve` and `connect`.

    Nothing is delivered before `start`; until then the peer's window bounds what waits.
    """

    __slots__ = (
        "_ended",
        "_held",
        "_on_closed",
        "_on_drained",
        "_on_ended",
        "_on_messages",
        "_reading",
        "_started",
        "_wire",
        "cause",
        "state",
    )

    def __init__(self, wire: Wire, state: StreamState) -> None:
        self._wire = wire
        self.state = state
        """The stream as its connection sees it: to be read only."""
        state.owner = self
        state.on_news = wire.arm_soon
        self._on_messages: OnMessages | None = None
        self._on_closed: OnClosed | None = None
        self._on_ended: OnEvent | None = None
        self._on_drained: OnEvent | None = None
        self._started = False
        self._reading = False
        self._held: list[bytes] | None = None
        """What came in while nobody was reading."""
        self._ended = False
        """Whether the peer ended its side before `start`."""
        self.cause: Cause | None = None
        """Why the stream ended; None while it is open."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state.id}: {self.cause or 'open'}, {self.unsent} unsent>"

    def start(
        self,
        *,
        on_messages: OnMessages,
        on_closed: OnClosed,
        on_ended: OnEvent | None = None,
        on_drained: OnEvent | None = None,
    ) -> None:
        """Begin delivery. All callbacks run in the event loop and must not block.

        on_messages(batch)  what one read of the socket brought, in order; the list is the callee's.
        on_closed(cause)    once, and last. If the stream has ended already, during this call.
        on_ended()          the client will send no more. Default: `close` with OK. (Http2Server only.)
        on_drained()        `unsent` was above `Limits.high_water` and is now below `Limits.low_water`.

        A callback that raises ends the stream; the exception goes to the loop's exception handler.
        """
        assert not self._started, "the stream was started before"
        self._started = True
        self._on_messages = on_messages
        self._on_closed = on_closed
        self._on_ended = on_ended
        self._on_drained = on_drained
        self.resume_reading()
        if self._ended:
            self._input_ended()
        if self.cause is not None:
            self._call(on_closed, self.cause)
            self._forget_callbacks()

    def send(self, messages: Sequence[Message]) -> bool:
        """Queue messages; they leave at the end of this turn of the loop. Never blocks.

        Watch `unsent`, and stop above `Limits.high_water` until `on_drained`. False: the stream is over
        or ending, the messages are dropped, and on_closed says (or has said) why.
        """
        wire = self._wire
        taken = wire.core.send(self.state, messages)
        wire.arm()
        return taken

    @property
    def unsent(self) -> int:
        """Bytes queued that the peer's window and the socket did not take yet."""
        return self.state.unsent

    def pause_reading(self) -> None:
        """Deliver nothing more, and give the peer no more window for this stream.

        What came in meanwhile is delivered by `resume_reading`, or at the stream's end.
        """
        self._reading = False
        self._wire.core.pause(self.state)

    def resume_reading(self) -> None:
        """Deliver again, first what came in since the pause."""
        if self._on_messages is None:
            return
        self._reading = True
        self._wire.core.resume(self.state)
        self._release()
        self._wire.after()

    def cancel(self, reason: str = "cancelled") -> None:
        """End the stream at once (RST_STREAM); unsent messages are dropped."""
        self._wire.core.reset(self.state, reason)
        self._wire.after()

    def get_extra_info(self, name: str) -> Any:
        """As of asyncio's transports: "peername", "sockname", "ssl_object", "peercert", ..."""
        return self._wire.get_extra_info(name)

    # -- Called by the wire --------------------------------------------------------------------------

    def _deliver(self, messages: list[bytes]) -> None:
        if not self._reading:
            if self._held is None:
                self._held = messages
            else:
                self._held += messages
            return
        assert self._on_messages is not None
        try:
            self._on_messages(messages)
        except Exception as exc:
            self._callback_failed(exc)

    def _input_ended(self) -> None:
        if self._on_messages is None:
            self._ended = True
            return
        self._release()
        if self._on_ended is not None:
            self._call(self._on_ended)
        else:
            self._wire.core.finish(self.state)
            self._wire.after()

    def _drained(self) -> None:
        if self._on_drained is not None:
            self._call(self._on_drained)

    def _closed(self, cause: Cause) -> None:
        self.cause = cause
        if self._on_closed is not None:
            self._release()
            self._call(self._on_closed, cause)
            self._forget_callbacks()

    def _forget_callbacks(self) -> None:
        """Nothing more will be told, and whoever was told usually holds this stream."""
        self._on_messages = self._on_closed = self._on_ended = self._on_drained = None

    def _release(self) -> None:
        """Deliver what was held, whether reading is paused or not."""
        if self._held is not None and self._on_messages is not None:
            held, self._held = self._held, None
            self._call(self._on_messages, held)

    def _call(self, callback: Callable[..., None], *args: object) -> None:
        try:
            callback(*args)
        except Exception as exc:
            self._callback_failed(exc)

    def _callback_failed(self, exc: Exception) -> None:
        self._wire.report(f"a callback of {self!r} failed", exc)
        self.cancel("the receiver failed")


class ServerStream(CallStream):
    """A call that a client made. Its handler calls `start`, `refuse` or `close`, now or later."""

    __slots__ = ()

    def start(
        self,
        *,
        on_messages: OnMessages,
        on_closed: OnClosed,
        on_ended: OnEvent | None = None,
        on_drained: OnEvent | None = None,
    ) -> None:
        """Accept the call: the response headers leave at once, delivery begins. See `CallStream.start`."""
        self._wire.core.accept(self.state)
        super().start(on_messages=on_messages, on_closed=on_closed, on_ended=on_ended, on_drained=on_drained)

    def refuse(self, http_status: int) -> None:
        """Answer with an HTTP status, such as 401, instead of `start` (`dataplane.md` 1)."""
        self._wire.core.refuse(self.state, http_status)
        self._wire.after()

    def close(self, status: GrpcStatus = GrpcStatus.OK, message: str = "") -> None:
        """End the call with a gRPC status, behind what is unsent. Before `start`, this refuses it."""
        self._wire.core.finish(self.state, status, message)
        self._wire.after()

    def _callback_failed(self, exc: Exception) -> None:
        self._wire.report(f"a callback of {self!r} failed", exc)
        self.close(GrpcStatus.INTERNAL, "the receiver failed")


class ClientStream(CallStream):
    """A call that this side made and the server accepted."""

    __slots__ = ("_alone", "_answered", "_on_going_away", "headers")

    def __init__(self, wire: Wire, state: StreamState, *, alone: bool) -> None:
        super().__init__(wire, state)
        self._alone = alone
        """Whether the connection ends with this stream."""
        self.headers = Headers()
        """The response headers."""
        self._answered: asyncio.Future[None] | None = wire.loop.create_future()
        self._on_going_away: OnEvent | None = None

    def close(self) -> None:
        """Send what is unsent and then no more; the stream ends when the server ends it."""
        self._wire.core.finish(self.state)
        self._wire.after()

    def when_going_away(self, callback: OnEvent) -> None:
        """Call `callback` once when the server says that it will take no new streams (GOAWAY).

        This one goes on for as long as the server lets it. Also when it has said so already.
        """
        self._on_going_away = callback
        if self._wire.core.going_away and self.cause is None:
            self._wire.loop.call_soon(self.going_away)

    def going_away(self) -> None:
        """The server said so."""
        callback, self._on_going_away = self._on_going_away, None
        if callback is not None and self.cause is None:
            self._call(callback)

    async def answered(self) -> None:
        """Wait until the server has accepted the call, or the stream has ended."""
        if self._answered is not None:
            await self._answered

    def _accepted(self, headers: Headers) -> None:
        self.headers = headers
        self._answer()

    def _closed(self, cause: Cause) -> None:
        super()._closed(cause)
        self._on_going_away = None
        self._answer()
        if self._alone:
            self._wire.core.drain(self._wire.loop.time(), None)

    def _answer(self) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)
        self._answered = None


class Wire(asyncio.Protocol):
    """One socket and its connection."""

    __slots__ = (
        "_armed",
        "_blocked",
        "_buffered",
        "_flushed_at",
        "_full_reads",
        "_lost",
        "_owner",
        "_postponed",
        "_timer",
        "_transport",
        "_yielding",
        "core",
        "loop",
    )

    def __init__(self, core: Http2Connection, owner: WireOwner, loop: asyncio.AbstractEventLoop) -> None:
        self.core = core
        self.loop = loop
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed = False
        """Whether `_flush` is on its way."""
        self._flushed_at = 0.0
        self._full_reads = 0
        """Reads of READ_SIZE or more since the last smaller one, or the last pause."""
        self._blocked = False
        """Whether the socket takes no more bytes for now."""
        self._buffered = 0
        """Bytes that the transport had when the socket took no more."""
        self._yielding = False
        """Whether nothing is read until others have had their turn."""
        self._postponed: list[Event] = []
        """What is to be told then; bounded by what one read can bring."""
        self._lost = False
        """Whether the socket is closed, and the owner still to be told."""

    # -- Called by asyncio ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Other event loops' transports are asyncio's by their methods, not by their class.
        self._transport = transport = cast(asyncio.Transport, transport)
        if not self._owner.wire_opened(self):
            transport.abort()
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.set_write_buffer_limits(high=WRITE_BUFFER_HIGH, low=WRITE_BUFFER_LOW)
        self.after()

    def data_received(self, data: bytes) -> None:
        events = self.core.receive(data, self.loop.time())
        if len(data) < READ_SIZE:
            self._full_reads = 0
            self._handle(events)
        else:
            self._full_reads += 1
            last = self._full_reads == FULL_READS or _messages(events) > TURN_MESSAGES // FULL_READS
            self._handle(events)
            if last:
                self._full_reads = 0
                self._yield()
        if self.core.unread:
            self._yield()
        self.after()

    def pause_writing(self) -> None:
        self._blocked = True
        if self._transport is not None:
            self._buffered = self._transport.get_write_buffer_size()
            self.core.buffered(self._buffered)
        self.core.writable(self.loop.time(), yes=False)

    def resume_writing(self) -> None:
        self._blocked = False
        self._unbuffered()
        self.core.writable(self.loop.time(), yes=True)
        self.arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._unbuffered()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        reason = "the peer closed the connection" if exc is None else f"the connection broke ({exc})"
        self._lost = True
        self._handle(self.core.lost(reason))
        self._tell_end()

    # -- Called by streams and owners ----------------------------------------------------------------

    def arm(self) -> None:
        """Make sure that there is a flush: now when the wire was quiet, else at the end of this turn.

        A lone message saves a round of the event loop; messages in a rush leave together.
        """
        if not self._armed:
            now = self.loop.time()
            if now - self._flushed_at > QUIET and self._transport is not None:
                self._flush(now)
            else:
                self.arm_soon()

    def arm_soon(self) -> None:
        """Make sure that there is a flush, at the end of this turn."""
        if not self._armed:
            self._armed = True
            self.loop.call_soon(self._flush)

    def after(self) -> None:
        """Look after the connection when something was done to it."""
        core = self.core
        if core.over or core.wants_output:
            self.arm()
        if core.rearm:
            self._set_timer()

    def get_extra_info(self, name: str) -> Any:
        """What the transport knows; None once it is closed."""
        return None if self._transport is None else self._transport.get_extra_info(name)

    def abort(self) -> None:
        """Close the socket now, unsent bytes or not."""
        if self._transport is not None:
            self._transport.abort()

    def report(self, message: str, exc: Exception) -> None:
        """Hand an exception of a callback to the loop's exception handler."""
        self.loop.call_exception_handler({"message": message, "exception": exc, "protocol": self})

    # -- Private -------------------------------------------------------------------------------------

    def _unbuffered(self) -> None:
        self.core.buffered(-self._buffered)
        self._buffered = 0

    def _handle(self, events: list[Event]) -> None:
        if self._postponed:
            self._postponed += events
            return
        left = TURN_MESSAGES
        for number, event in enumerate(events):
            if type(event) is MessagesReceived:
                messages = event.messages
                left -= len(messages)
                if left < 0:
                    self._postponed = [event._replace(messages=messages[left:]), *events[number + 1 :]]
                    self._yield()
                    messages = messages[:left]
                if (owner := event.stream.owner) is not None:
                    owner._deliver(messages)
                if left < 0:
                    return
                continue
            match event:
                case RequestReceived(state, headers):
                    left -= CALL_MESSAGES
                    self._owner.request_received(self, state, headers)
                case ResponseReceived(state, headers):
                    state.owner._accepted(headers)
                # A stream without an owner was refused when its request was told, events ago in this read.
                case InputEnded(state):
                    if state.owner is not None:
                        state.owner._input_ended()
                case StreamDrained(state):
                    if state.owner is not None:
                        state.owner._drained()
                case StreamEnded(state, cause):
                    left -= CALL_MESSAGES
                    owner, state.owner = state.owner, None
                    owner._closed(cause)
                case GoingAway():
                    self._owner.wire_going_away(self)
            if left < 0 and number + 1 < len(events):
                self._postponed = events[number + 1 :]
                self._yield()
                return

    def _tell_end(self) -> None:
        """Tell the owner that the socket is closed, once all streams have heard of it."""
        if self._lost and not self._postponed:
            self._lost = False
            self._owner.wire_closed(self)

    def _yield(self) -> None:
        """Let the others have their turn before this connection goes on."""
        if not self._yielding:
            self._yielding = True
            if self._transport is not None and not self._transport.is_closing():
                self._transport.pause_reading()
            call_after_others(self.loop, self._go_on)

    def _go_on(self) -> None:
        self._yielding = False
        if self._postponed:
            events, self._postponed = self._postponed, []
            self._handle(events)
            self.after()
            self._tell_end()
        if self.core.unread and not self._yielding:
            self.data_received(b"")
        if not self._yielding and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _flush(self, now: float | None = None) -> None:
        self._armed = False
        self._flushed_at = now = self.loop.time() if now is None else now
        transport = self._transport
        core = self.core
        if transport is None:
            self._handle(core.output(now)[1])
            return
        if self._blocked and not core.over:
            # The socket takes nothing, for as long as the peer likes; who was cancelled hears of it now.
            self._handle(core.take_events())
            if core.rearm:
                self._set_timer()
            if not core.over:
                return
        data, events = core.output(now)
        if data:
            transport.write(data)
        if events:
            self._handle(events)
        if core.over and not core.wants_output:
            self._close(transport)
        else:
            self.after()

    def _close(self, transport: asyncio.Transport) -> None:
        if not transport.is_closing():
            transport.close()
            if transport.get_write_buffer_size():
                self.loop.call_later(LINGER, transport.abort)

    def _set_timer(self) -> None:
        """Keep the timer no later than the next deadline. An earlier one will look again."""
        self.core.rearm = False
        at = self.core.next_deadline()
        if at is None or self._transport is None:
            return
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = self.loop.call_at(at, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self.core.rearm = True
        self._handle(self.core.handle_timer(self.loop.time()))
        self.after()


def _messages(events: list[Event]) -> int:
    """How many messages a read has brought."""
    return sum(len(event.messages) for event in events if type(event) is MessagesReceived)
