"""The other side of a connection under test: frames written and read by hand, two cores back to back."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import hpack

from gateway.http2 import frames, headers
from gateway.http2.connection import Http2Connection
from gateway.http2.endpoint import Http2Role
from gateway.http2.errors import Cause, ErrorCode
from gateway.http2.events import Event, MessagesReceived, RequestReceived, StreamEnded
from gateway.http2.limits import CLIENT, SERVER, Counters, Limits
from gateway.http2.stream import StreamState

METHOD = "/dataplane.proto.v1.DataPlaneService/OpenChannel"
REQUEST = headers.request("http", "node:1", METHOD, [])


class Frame(NamedTuple):
    kind: int
    flags: int
    stream_id: int
    payload: bytes


def read_frames(data: bytes) -> list[Frame]:
    found = []
    at = 0
    while at < len(data):
        high, low, kind, flags, stream_id = frames.HEAD.unpack_from(data, at)
        end = at + frames.HEAD_SIZE + (high << 8 | low)
        found.append(Frame(kind, flags, stream_id, data[at + frames.HEAD_SIZE : end]))
        assert end <= len(data), "a frame cut short"
        at = end
    return found


def frame(kind: int, flags: int = 0, stream_id: int = 0, payload: bytes = b"") -> bytes:
    return frames.head(kind, flags, stream_id, len(payload)) + payload


def message(payload: bytes, *, compressed: bool = False) -> bytes:
    return bytes([compressed]) + len(payload).to_bytes(4, "big") + payload


def data_frame(stream_id: int, *payloads: bytes, end: bool = False) -> bytes:
    return frame(frames.DATA, frames.END_STREAM if end else 0, stream_id, b"".join(map(message, payloads)))


def header_frame(stream_id: int, fields: headers.Fields, *, end: bool = False) -> bytes:
    return frames.header_frames(stream_id, headers.encode(fields, first=False), 16384, end_stream=end)


def request(stream_id: int = 1, *, end: bool = False, **changes: str) -> bytes:
    """A good request with some fields changed; an empty value takes the field out. "_" stands for "-"."""
    fields = dict(REQUEST)
    for name, value in changes.items():
        fields[":" + name if ":" + name in fields else name.replace("_", "-")] = value
    return header_frame(stream_id, [(k, v) for k, v in fields.items() if v], end=end)


def receive(core: Http2Connection, data: bytes, now: float = 0.0) -> list[Event]:
    """Give bytes to a connection, for as many turns as it takes."""
    events = core.receive(data, now)
    while core.unread:
        events += core.receive(b"", now)
    return events


class Served:
    """A server's connection, past the handshake unless told otherwise, and what came out of it."""

    def __init__(
        self, limits: Limits = SERVER, *, handshake: bool = True, now: float = 0.0, **changes: object
    ):
        self.counters = Counters()
        self.limits = replace(limits, **changes)  # type: ignore[arg-type]
        self.core = Http2Connection(Http2Role.SERVER, self.limits, self.counters, now)
        self.now = now
        self.events: list[Event] = []
        self.sent: list[Frame] = []
        self.decoder = hpack.Decoder()
        if handshake:
            self.feed(frames.PREFACE + frames.settings([]) + frames.SETTINGS_ACK)
            self.sent.clear()

    def feed(self, data: bytes) -> list[Event]:
        """Give bytes to the server; returns the new events."""
        mark = len(self.events)
        self.events += receive(self.core, data, self.now)
        self.flush()
        return self.events[mark:]

    def flush(self) -> list[Frame]:
        """Take everything the server has to say; returns the new frames."""
        mark = len(self.sent)
        while self.core.wants_output:
            data, events = self.core.output(self.now)
            self.sent += read_frames(data)
            self.events += events
            if not data and not events:
                break
        return self.sent[mark:]

    def wait(self, seconds: float) -> list[Event]:
        """Let time pass."""
        mark = len(self.events)
        self.now += seconds
        self.events += self.core.handle_timer(self.now)
        self.flush()
        return self.events[mark:]

    def stream(self, stream_id: int = 1, *, accept: bool = True, resume: bool = True) -> StreamState:
        """Open a stream as a client would."""
        self.feed(request(stream_id))
        state = next(
            e.stream
            for e in reversed(self.events)
            if isinstance(e, RequestReceived) and e.stream.id == stream_id
        )
        if accept:
            self.core.accept(state)
            if resume:
                self.core.resume(state)
            self.flush()
        return state

    def of_kind(self, kind: int) -> list[Frame]:
        return [one for one in self.sent if one.kind == kind]

    def headers_of(self, one: Frame) -> dict[str, str]:
        return {k.decode(): v.decode() for k, v in self.decoder.decode(one.payload, raw=True)}

    @property
    def goaway(self) -> ErrorCode | None:
        """The code of the last GOAWAY."""
        sent = self.of_kind(frames.GOAWAY)
        return ErrorCode(frames.LONG.unpack_from(sent[-1].payload, 4)[0]) if sent else None

    @property
    def resets(self) -> list[tuple[int, ErrorCode]]:
        return [
            (one.stream_id, ErrorCode(frames.LONG.unpack(one.payload)[0]))
            for one in self.of_kind(frames.RST_STREAM)
        ]

    @property
    def messages(self) -> list[bytes]:
        return [m for e in self.events if isinstance(e, MessagesReceived) for m in e.messages]

    @property
    def causes(self) -> list[Cause]:
        return [e.cause for e in self.events if isinstance(e, StreamEnded)]


class Calling(Served):
    """A client's connection with one stream open, and a server's settings received."""

    def __init__(self, limits: Limits = CLIENT, *, respond: bool = True, **changes: object):
        super().__init__(limits, handshake=False, **changes)
        self.core = Http2Connection(Http2Role.CLIENT, self.limits, self.counters, self.now)
        self.state = self.core.open(REQUEST, self.now)
        self.opening = self.core.output(self.now)[0]
        self.feed(frames.settings([]) + frames.SETTINGS_ACK)
        if respond:
            self.feed(header_frame(1, headers.RESPONSE))
            self.core.resume(self.state)
        self.sent.clear()


class Pair:
    """A client's and a server's connection, back to back."""

    def __init__(self, client: Limits = CLIENT, server: Limits = SERVER) -> None:
        self.client = Http2Connection(Http2Role.CLIENT, client, Counters(), 0.0)
        self.server = Http2Connection(Http2Role.SERVER, server, Counters(), 0.0)
        self.client_events: list[Event] = []
        self.server_events: list[Event] = []

    def transfer(self, *, accept: bool = True) -> None:
        """Carry bytes both ways until nothing is left to say; accept what is asked."""
        while self.client.wants_output or self.server.wants_output:
            data, events = self.client.output(0.0)
            self.client_events += events
            found = receive(self.server, data)
            data, events = self.server.output(0.0)
            self.server_events += found + events
            self.client_events += receive(self.client, data)
            for event in found:
                if accept and isinstance(event, RequestReceived):
                    self.server.accept(event.stream)
                    self.server.resume(event.stream)
