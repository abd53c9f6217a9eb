"""A Stream: one gRPC bidirectional call as batches of whole messages. What a transport implements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Protocol, runtime_checkable

from gateway.http2.messages import Message

METHOD_PATH = "/dataplane.proto.v1.DataPlaneService/OpenChannel"
"""The one method of the data plane (`dataplane.md` 1)."""


class TellRefused(Protocol):
    """Told of somebody who was not let in."""

    def __call__(self, rule: str, peer: str, cause: str, who: str = "") -> None:
        """By which rule, from which address, why in words, and who it is or says to be."""


class StreamStatus(IntEnum):
    """The gRPC statuses with which a stream may be ended from our side."""

    OK = 0
    RESOURCE_EXHAUSTED = 8
    INTERNAL = 13
    UNAVAILABLE = 14


class StreamHandler(Protocol):
    """Whoever uses a stream: a link."""

    def stream_messages(self, messages: Sequence[bytes]) -> None:
        """What one read brought."""

    def stream_drained(self) -> None:
        """`unsent` fell to or below the stream's low-water mark."""

    def stream_closed(self, cause: str) -> None:
        """It is over; nothing more comes. Called once."""


class Stream(Protocol):
    """One call. Its methods return at once and never raise; reading begins with `start`."""

    @property
    def unsent(self) -> int:
        """Bytes accepted by `send` and not yet given to the network."""

    @property
    def peer(self) -> str:
        """The other end's address, for people."""

    @property
    def certificate(self) -> bytes:
        """The certificate that the other end showed, PEM or DER; empty without one."""

    @property
    def subject(self) -> str:
        """Who called, as its authentication proved; empty where none was asked for."""

    def start(
        self, handler: StreamHandler, low_water: int, on_ended: Callable[[], None] | None = None
    ) -> None:
        """Hand what arrives to `handler` from now on.

        `on_ended`, for a call that a peer opened, is called when the peer will send no more; without it the
        call ends then.
        """

    def send(self, messages: Sequence[Message]) -> object:
        """Write messages in order. A shared one is not copied while it waits.

        What it returns says nothing: what became of them the handler is told.
        """

    def pause_reading(self) -> None:
        """Let the peer wait."""

    def resume_reading(self) -> None:
        """Read again."""

    def close(self, status: StreamStatus = StreamStatus.OK, message: str = "") -> None:
        """End the call after what was accepted is written. How long that takes is the peer's affair."""

    def abort(self, message: str) -> None:
        """End the call now, written out or not."""


@runtime_checkable
class Forewarned(Protocol):
    """A Stream that hears of its end before it comes."""

    def when_going_away(self, callback: Callable[[], None]) -> None:
        """Call `callback` once when the other end says that it will take its leave (GOAWAY)."""
