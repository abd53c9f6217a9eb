"""A Link: one stream of wire messages to a peer, whatever carries it (`design.md` 5.5).

The gRPC library, an in-memory network and faster framings stand behind this interface; no actor notices.
A link tells its Connection actor, by messages of `actors/messages/routing.py`:

    FramesIn          what one read brought, parsed, in order
    LinkDrained       the backlog fell below a quarter of the high-water mark, after it had been above it
    LinkLost          (dialled links) the stream broke; the link keeps dialling
    LinkRestored      (dialled links) a new stream is up
    LinkMoved         (dialled links) the other end takes its leave, and another stream is up before that
    LinkClosed        it is over
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from actors.messages.wire import ControlRecord, Frame
from actors.names import Name


class Link(Protocol):
    """What a Connection may ask of its link. All calls return at once; none raises."""

    @property
    def backlog(self) -> int:
        """Bytes accepted and not yet written; frames under 1 KiB may count as 1 KiB."""

    @property
    def peer(self) -> str:
        """Who is on the other end, for people."""

    @property
    def limit(self) -> int:
        """The largest message that may be written, in bytes."""

    def start(self) -> None:
        """Begin to read."""

    def send(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        """Write frames, in order. Returns those over `limit`, which are not written.

        While the stream of a dialled link is down they are dropped and counted.
        """

    def transmit(self, records: Sequence[ControlRecord]) -> None:
        """Write records of the protocol itself, in order with frames."""

    def pause(self) -> None:
        """Stop reading: somebody downstream has no room."""

    def resume(self) -> None:
        """Read again."""

    def reset(self, cause: str) -> None:
        """End the stream now, written out or not. LinkLost follows where the link dials again, else
        LinkClosed."""

    def close(self, cause: str) -> None:
        """End the stream once what was accepted is written, or its time is over. LinkClosed follows."""

    def asked(self, frame: Frame) -> tuple[Name, Name] | None:
        """Who asks whether somebody is there, and who that is; None for a frame that does not ask."""

    def ends(self, frame: Frame) -> tuple[Name, Name] | None:
        """Who sent a frame, and whom it is for; None when that cannot be told."""

    def figures(self) -> dict[str, int]:
        """Counters: bytes and messages in and out, malformed and oversized messages, drops while down."""


def shared(peer: str) -> str:
    """What the streams of one TCP connection have in common: host and port. Others have nothing."""
    return peer if peer.rpartition(":")[2].isdigit() else ""
