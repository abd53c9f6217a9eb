"""A stream between two hosts: two ends, and a lane from each to the other.

send ──► [due, message] ... [due, end] ──► the other end's handler, in its site, when it is due
         └── held while the line stalls, while the reader pauses, while its host is frozen
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.http2.messages import Message
from gateway.links.stream import StreamHandler, StreamStatus
from gateway.testing.line import Line
from gateway.testing.loop import Site, VirtualLoop


class Ether(Protocol):
    """What a stream asks of the network."""

    loop: VirtualLoop

    def note(self, who: str, what: str, data: bytes | None = None) -> None:
        """Write it into the trace."""

    def forget(self, stream: SimStream) -> None:
        """This end is over."""


_End = str
"""Why the stream ended, in a lane behind the last message."""


class SimStream:
    """One end. Implements `gateway.links.stream.Stream`."""

    other: SimStream

    def __init__(self, network: Ether, line: Line, site: Site, peer: str, patience: float) -> None:
        self.site = site
        self.host = site.name
        self.line = line
        self.patience = patience
        """Seconds of silence after which this end breaks it; 0: it never does."""
        self.closed = False
        """Whether this end is over."""
        self._cause = ""
        """Why."""
        self._network = network
        self._peer = peer
        self._route = f"{peer} → {site.name}"
        self._handler: StreamHandler | None = None
        self._low = 0
        self._paused = False
        self._ending = False
        """Whether this end has sent its end, and sends no more."""
        self._lane: deque[tuple[float, bytes | None, _End]] = deque()
        """From the other end to this one."""
        self._lane_bytes = 0
        self._last_due = 0.0
        self._armed = False
        self._above_low = False
        """Whether so much of what this end sent was waiting that its user may wait for room."""
        self.silent_since: float | None = None
        """Since when no ping of this end would be answered."""

    # What a line asks (`gateway.links.stream.Stream`).

    @property
    def unsent(self) -> int:
        """What waits because the other end does not read or the line stalls; the rest is on its way."""
        other = self.other
        return other._lane_bytes if other._paused or other.held() else 0

    @property
    def peer(self) -> str:
        return self._peer

    @property
    def certificate(self) -> bytes:
        return b""

    @property
    def subject(self) -> str:
        return ""

    def start(
        self, handler: StreamHandler, low_water: int, on_ended: Callable[[], None] | None = None
    ) -> None:
        self._handler, self._low = handler, low_water
        if self.closed:
            handler.stream_closed(self._cause)
        self.arm()

    def send(self, messages: Sequence[Message]) -> None:
        if self._ending or self.closed:
            return
        other = self.other
        for message in messages:
            other._take(bytes(message))
        other.arm()
        if other._lane_bytes > self._low and self.unsent > self._low:
            self._above_low = True

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self.arm()

    def close(self, status: StreamStatus = StreamStatus.OK, message: str = "") -> None:
        if not self._ending:
            self._ending = True
            self.other._append(None, message or status.name)
            self.other.arm()

    def abort(self, message: str) -> None:
        if not self.closed:
            self._ending = True
            self._tell(lambda: self.end(message))
            self.other.reset(message)

    # What the network does

    def held(self) -> bool:
        """Whether nothing can reach this end now."""
        return not self.line.passes(self.other.host) or self.site.frozen or self.site.gone

    def silent(self) -> bool:
        """Whether this end runs, and no ping of it is answered now."""
        return not self.site.frozen and not self.site.gone and (self.held() or self.other.held())

    def arm(self) -> None:
        """See to it that what is in the lane arrives."""
        if self._armed or not self._lane or self.closed or not self.line.passes(self.other.host):
            return
        self._armed = True
        loop, due = self._network.loop, self._lane[0][0]
        now = loop.time()
        loop.call_at(due if due > now else now, self._arrive, context=self.site.context)

    def reset(self, cause: str) -> None:
        """The connection breaks: what is in the lane is lost, and this end hears of it."""
        self._lane.clear()
        self._lane_bytes = 0
        self._append(None, cause)
        self.arm()

    def end(self, cause: str) -> None:
        """It is over for this end."""
        if self.closed:
            return
        self.closed, self._cause = True, cause
        self._lane.clear()
        self._lane_bytes = 0
        self._network.forget(self)
        if self._handler is not None:
            self._handler.stream_closed(cause)

    def break_now(self, cause: str) -> None:
        """The line is gone: this end sees it, as soon as its host runs."""
        self._ending = True
        self._tell(lambda: self.end(cause))

    # Private

    def _take(self, data: bytes) -> None:
        """A message from the other end enters the lane, or is lost."""
        network = self._network
        if self.line.loses(data):
            network.note(self._route, "lost", data)
            return
        network.note(self._route, "sent", data)
        self._append(data, "")

    def _append(self, data: bytes | None, end: _End) -> None:
        due = self._network.loop.time() + self.line.delay()
        if due < self._last_due:
            due = self._last_due
        else:
            self._last_due = due
        self._lane.append((due, data, end))
        if data is not None:
            self._lane_bytes += len(data)

    def _arrive(self) -> None:
        """In this end's site: hand over what is due."""
        self._armed = False
        handler = self._handler
        if self.closed or handler is None or not self.line.passes(self.other.host):
            return
        now, batch, over, lane = self._network.loop.time(), [], None, self._lane
        while lane and lane[0][0] <= now:
            _, data, end = lane[0]
            if data is None:
                over = end
                break
            if self._paused:
                return
            lane.popleft()
            self._lane_bytes -= len(data)
            batch.append(data)
        if batch:
            handler.stream_messages(batch)
            other = self.other
            if other._above_low and other.unsent <= other._low:
                other._above_low = False
                other._tell(other._drained)
        if over is not None and not self.closed:
            # A call is over for both: the other end hears of it a moment later.
            if not self._ending:
                self._ending = True
            self.other._hear_end(over)
            self.end(over)
        else:
            self.arm()

    def _hear_end(self, cause: str) -> None:
        if not self.closed:
            self._append(None, cause)
            self.arm()

    def _drained(self) -> None:
        if self._handler is not None and not self.closed:
            self._handler.stream_drained()

    def _tell(self, callback: Callable[[], object]) -> None:
        self._network.loop.call_soon(callback, context=self.site.context)
