"""The way between a session's message and the bytes of a frame, as this floor sees it.

Implemented where the encoding is known (the gateway). Messages between applications of one process never
pass it: they travel as records.
"""

from __future__ import annotations

from typing import Protocol

from actors.messages.wire import Frame, SessionMessage


class Codec(Protocol):
    """Turns session messages into frames and back. Pure: no state that a caller could notice."""

    def encode(self, message: SessionMessage, identity: str) -> Frame:
        """The frame to be routed and written, with `identity` as its sender's token.

        `connection` is local and leaves no trace in it.
        """

    def decode(self, frame: Frame) -> SessionMessage:
        """The whole message, opened; `connection` is the frame's incoming_conn. Raises ProtocolError."""
