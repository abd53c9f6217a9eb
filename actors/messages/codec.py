"""The way between a session's message and the bytes of a frame, as this floor sees it.

Implemented where the encoding is known (the gateway). Messages between applications of one process never
pass it: they travel as records.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from actors.messages.wire import Frame, MessageType, SessionMessage
from actors.names import Name
from actors.record import record

LARGE = 4096
"""Bytes of a command, or of metadata, that are not read before their sender's token was verified."""


@record
class Unread(NamedTuple):
    """A message of which only the header was read. It is asked for its token like any other."""

    source: Name
    identity: str
    kind: MessageType
    connection: int | None
    frame: Frame


class TokenFirst(Exception):
    """This message costs too much to be read for somebody who is not known yet."""

    def __init__(self, unread: Unread) -> None:
        super().__init__()
        self.unread = unread


class Codec(Protocol):
    """Turns session messages into frames and back. Pure: no state that a caller could notice."""

    def encode(self, message: SessionMessage, identity: str) -> Frame:
        """The frame to be routed and written, with `identity` as its sender's token.

        `connection` is local and leaves no trace in it.
        """

    def decode(self, frame: Frame, *, verified: bool = True) -> SessionMessage:
        """The whole message, opened; `connection` is the frame's incoming_conn.

        Raises ProtocolError, and TokenFirst for what takes long while its token is not `verified`."""
