"""The limits of a connection, with defaults that suit a node, and the counters that show what they did.

Every limit bounds memory or CPU that a peer could otherwise claim:

    what a peer can do                 bounded by                               what happens then
    ---------------------------------  ---------------------------------------  -------------------
    send a large message               max_message                              RESOURCE_EXHAUSTED
    leave messages unfinished          max_partial, stall_timeout               RESOURCE_EXHAUSTED
    send while we do not read          stream_window, connection_window         it must wait
    not read what we send              high_water (told to the sender),         it should stop; then
                                       max_unsent, stall_timeout                the stream is reset
    the same with many streams         max_connection_unsent, and the node's    messages are dropped, of the
                                       budget (`actors.routing.budget`)         slowest stream first
    open streams and connections       max_streams, max_connections             REFUSED_STREAM; closed unread
    open and cancel streams in a rush  reset_burst, reset_rate                  ENHANCE_YOUR_CALM
    ping, settings, empty frames, ...  control_burst, control_rate              ENHANCE_YOUR_CALM
    have us read headers, open calls   header_burst, header_rate                ENHANCE_YOUR_CALM
    large header lists                 max_header_list (soft), twice it (hard)  RESOURCE_EXHAUSTED; then
                                                                                ENHANCE_YOUR_CALM
    say nothing                        handshake_timeout, idle_timeout,         the connection ends
                                       keepalive_interval + keepalive_timeout
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

from actors.telemetry import Counts, counter
from gateway.http2 import frames
from identity.errors import ConfigError

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Settings of every connection of a server or client. Sizes in bytes, times in seconds, None: no limit.

    `SERVER` and `CLIENT` are the presets; change single values with `dataclasses.replace`.
    Raises ConfigError for values that cannot work.
    """

    max_message: int = 4 * MIB
    """Largest message accepted. Original peers accept 4 MiB."""
    stream_window: int = MIB
    """What a peer may send on one stream before its consumer took it. Higher: more throughput over long
    round trips, and more memory for each paused stream."""
    connection_window: int = 4 * MIB
    """The same for all streams of one connection; also how much paused streams may hold of it before
    the others have to wait for them."""
    max_frame: int = MIB
    """Largest DATA frame accepted. A frame is read as it comes in, so a large one costs no memory."""
    max_streams: int = 100
    """Streams a peer may have open on one connection."""
    max_connections: int = 10_000
    """Connections a server has open; one more is closed before a byte of it is read."""
    max_header_list: int = 16 * KIB
    """Size of a request's or response's headers, counted as HTTP/2 counts (32 for each field besides)."""
    max_partial: int = 16 * MIB
    """Bytes of unfinished messages that one connection may keep in memory. At least `max_message`."""
    high_water: int = MIB
    """A stream with more unsent bytes than this is told "drained" when it falls to `low_water` again."""
    low_water: int = 256 * KIB
    max_unsent: int = 64 * MIB
    """Unsent bytes at which a stream is reset: its owner went on sending above `high_water`."""
    max_connection_unsent: int = 64 * MIB
    """Unsent bytes of all streams of a connection, a payload that several wait with counted once, above which
    the slowest lose messages."""
    control_burst: int = 10_000
    """Work for frames without a payload for anybody (ping, settings, reset, window update, priority, unknown,
    empty data) that a peer may cause at once. A unit is about 1 us, and a frame costs at least one."""
    control_rate: float = 1_000.0
    """How much of it per second is good for ever. Messages we send earn the window updates they need."""
    header_burst: int = 50_000
    """Work for header blocks and the calls they open that a peer may cause at once, in the same units: two
    for each field, one for each eight bytes (Huffman), and more for a call that is opened."""
    header_rate: float = 10_000.0
    reset_burst: int = 1_000
    """Streams that a peer may reset before it got a message, or have refused, at once. One costs 50 us."""
    reset_rate: float = 100.0
    handshake_timeout: float = 10.0
    """From the open connection to the peer's settings and its acknowledgement of ours."""
    idle_timeout: float | None = 300.0
    """How long a connection without a stream is kept."""
    stall_timeout: float | None = 120.0
    """How long a stream may stand still with bytes to send, or in the middle of a message from the peer."""
    keepalive_interval: float | None = None
    """After this silence of a connection with streams, a ping is sent ..."""
    keepalive_timeout: float = 20.0
    """... and the connection ends when nothing at all came in for this long after the ping."""
    max_age: float | None = None
    """When a connection is told to go away (GOAWAY); a tenth more or less, so that not all go at once."""
    max_age_grace: float | None = None
    """How long its streams may run on then. None: until they end, as original nodes do."""

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if value is not None and value <= 0:
                raise ConfigError(f"{one.name} must be positive, not {value}", field=one.name)
        ranges = {
            "stream_window": (1, frames.LARGEST_WINDOW),
            "connection_window": (frames.DEFAULT_WINDOW, frames.LARGEST_WINDOW),
            "max_frame": (frames.DEFAULT_MAX_FRAME, frames.LARGEST_MAX_FRAME),
            "max_partial": (self.max_message, None),
            "low_water": (1, self.high_water),
        }
        for name, (lowest, highest) in ranges.items():
            value = getattr(self, name)
            if value < lowest or (highest is not None and value > highest):
                upper = f" and at most {highest}" if highest is not None else ""
                raise ConfigError(f"{name} must be at least {lowest}{upper}, not {value}", field=name)


SERVER = Limits(keepalive_interval=120.0, max_age=7200.0)
"""The original node's intervals (`dataplane.md` 1)."""

CLIENT = Limits()
"""No pings of its own: servers of the gRPC library answer unwanted ones with GOAWAY."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """A snapshot of what the connections of one server or client did so far."""

    connections_opened: int
    connections_closed: int
    streams_opened: int
    streams_closed: int
    messages_received: int
    messages_sent: int
    bytes_received: int
    bytes_sent: int
    refusals: Mapping[str, int]
    """How often each limit or rule was the reason to refuse something, by its name."""


class Counters(Counts, part="http2"):
    """The running numbers behind `Statistics`. Shared by the connections of one server or client."""

    connections_opened: int = counter("Connections that came up.")
    connections_closed: int = counter("Connections that ended.")
    streams_opened: int = counter("Streams that came up.")
    streams_closed: int = counter("Streams that ended.")
    messages_received: int = counter("gRPC messages that came in.")
    messages_sent: int = counter("gRPC messages that went out.")
    bytes_received: int = counter("Bytes that came in, framing included.")
    bytes_sent: int = counter("Bytes that went out, framing included.")

    __slots__ = ("refusals",)

    def __init__(self) -> None:
        super().__init__()
        self.refusals: dict[str, int] = {}
        """By the name of the limit or rule."""

    def refuse(self, rule: str, count: int = 1) -> None:
        """Count refusals under the name of their rule."""
        if count:
            self.refusals[rule] = self.refusals.get(rule, 0) + count

    def snapshot(self) -> Statistics:
        """The numbers as they stand."""
        return Statistics(**self.figures(), refusals=MappingProxyType(dict(self.refusals)))
