"""One stream as its connection sees it (RFC 9113, 5.1). Plain state: `connection` holds the rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.http2.errors import Cause
from gateway.http2.messages import Assembler, Droppable, SendBuffer


class StreamState:
    """A stream that is not over yet. Changed by its connection only; others may read it."""

    __slots__ = (
        "above_high_water",
        "accepted",
        "assembler",
        "batch",
        "deadline",
        "droppable",
        "finishing",
        "held",
        "id",
        "input_ended",
        "input_stalled_since",
        "on_news",
        "on_shed",
        "output_ended",
        "output_stalled_since",
        "owner",
        "paused",
        "receive_window",
        "send_buffer",
        "send_window",
        "uncredited",
        "used",
    )

    def __init__(self, stream_id: int, *, send_window: int, receive_window: int, max_message: int) -> None:
        self.id = stream_id
        self.owner: Any = None
        """What the connection's owner keeps for this stream."""
        self.send_window = send_window
        """Bytes that we may send. Negative after the peer shrank its initial window (6.9.2)."""
        self.receive_window = receive_window
        """Bytes that the peer may send."""
        self.uncredited = 0
        """Bytes received that the peer did not get back as window."""
        self.paused = True
        """Whether the owner takes no messages now, so that no window goes back."""
        self.held = 0
        """Bytes received while paused."""
        self.accepted = False
        """Whether the response headers were sent (server) or received (client)."""
        self.input_ended = False
        self.output_ended = False
        self.finishing: Cause | None = None
        """Set when the output is to end behind the send buffer; what a server's trailers then say."""
        self.assembler = Assembler(max_message)
        self.batch: list[bytes] | None = None
        """The messages of the current read, once there are any."""
        self.send_buffer: SendBuffer | None = None
        """Made when something waits, dropped when nothing does."""
        self.droppable: Droppable | None = None
        """Which messages may be dropped when too much waits; None: shared ones only."""
        self.on_shed: Callable[[StreamState], int] | None = None
        """Its connection's way to drop them; None once the stream is over."""
        self.on_news: Callable[[], None] | None = None
        """Called when something is to be told that no read and no write of its own connection brought."""
        self.above_high_water = False
        self.used = False
        """Whether any of our messages went out: the peer waited for one, so a reset is not in a rush."""
        self.deadline: float | None = None
        """When the client stops waiting (grpc-timeout)."""
        self.input_stalled_since: float | None = None
        """When a look at the stream first found a message unfinished that has not grown since."""
        self.output_stalled_since: float | None = None
        """When a look at the stream first found a send buffer that has not shrunk since."""

    @property
    def unsent(self) -> int:
        """Bytes that wait for the peer's window or for the socket."""
        return self.send_buffer.size if self.send_buffer is not None else 0

    def shed(self) -> int:
        """Drop what may be dropped of the messages that wait (`actors.routing.budget.Holder`)."""
        return self.on_shed(self) if self.on_shed is not None else 0

    def __repr__(self) -> str:
        ended = " input ended" * self.input_ended + " output ended" * self.output_ended
        return f"<stream {self.id}:{ended or ' open'}, {self.unsent} unsent>"
