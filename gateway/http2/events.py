"""What a connection tells its owner. All events of one read come as one list, in order per stream."""

from __future__ import annotations

from typing import NamedTuple

from actors.record import record
from gateway.http2.errors import Cause
from gateway.http2.headers import Headers
from gateway.http2.stream import StreamState


@record
class RequestReceived(NamedTuple):
    """A client opened a stream (server only). It is a gRPC call; the owner accepts or refuses it."""

    stream: StreamState
    headers: Headers


@record
class ResponseReceived(NamedTuple):
    """The server accepted the call (client only)."""

    stream: StreamState
    headers: Headers


@record
class MessagesReceived(NamedTuple):
    """All messages that one read completed on a stream. The list belongs to the receiver of the event."""

    stream: StreamState
    messages: list[bytes]

    def __repr__(self) -> str:
        return f"MessagesReceived(stream={self.stream!r}, {len(self.messages)} messages)"


@record
class InputEnded(NamedTuple):
    """The client will send no more on this stream (server only). The owner finishes it when it is done."""

    stream: StreamState


@record
class StreamDrained(NamedTuple):
    """The unsent bytes of a stream fell from above `Limits.high_water` to `Limits.low_water`."""

    stream: StreamState


@record
class StreamEnded(NamedTuple):
    """The stream is over, both ways. Comes exactly once for every stream, and last."""

    stream: StreamState
    cause: Cause


@record
class GoingAway(NamedTuple):
    """The peer takes no new streams on this connection; the open ones go on."""


Event = (
    RequestReceived
    | ResponseReceived
    | MessagesReceived
    | InputEnded
    | StreamDrained
    | StreamEnded
    | GoingAway
)
