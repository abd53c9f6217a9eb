"""The named point at which spans of messages on their way through a node are made.

    tracing.current = tracer              connections that are made from now on report to it

    FramesIn ──► received ──► routed ──► Forward ──► sending ──► link ──► sent

While `current` is None each batch costs one comparison. What makes the spans lives upstairs
(`gateway/telemetry/node_spans.py`): this floor knows no exporter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from actors.messages.wire import Frame


class FrameTracer(Protocol):
    """Called with each batch. It may put a frame of the same length in the place of one that is sampled, so
    that the next hop continues here; all others it hands back as they are. It raises nothing."""

    def received(self, frames: Sequence[Any], connection: int) -> tuple[Sequence[Any], Sequence[Any]]:
        """What a peer sent. Returns what is to be routed, and what `routed` wants back."""

    def routed(self, opened: Sequence[Any], out: Mapping[int, Sequence[Frame]]) -> None:
        """Where it goes, by connection."""

    def sending(self, frames: Sequence[Frame], connection: int) -> tuple[Sequence[Frame], Sequence[Any]]:
        """What a connection is about to write. Returns what it writes, and what `sent` wants back."""

    def sent(self, opened: Sequence[Any], written: Sequence[Frame], refused: Sequence[Frame]) -> None:
        """What of it the link took, and what of that was too large."""


current: FrameTracer | None = None
