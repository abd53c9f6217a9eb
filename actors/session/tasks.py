"""The moderator's tasks: one change of the membership each, worked off one at a time (`session.md` 10)."""

from __future__ import annotations

from enum import Enum

from actors.messages.wire import SessionMessage
from actors.names import Name
from actors.system import Address
from identity.errors import SlimError


class Kind(Enum):
    """What a task does."""

    ADD = "add"
    REMOVE = "remove"
    DROP = "drop"
    CLOSE = "close"


class Task:
    """One change of the membership, from the queue to its outcome."""

    __slots__ = (
        "cause",
        "connection",
        "deadline",
        "error",
        "handle",
        "inbox",
        "kind",
        "member",
        "name",
        "order",
        "rolls_back",
        "welcomed",
    )

    def __init__(
        self, kind: Kind, name: Name, handle: int | None = None, inbox: Address | None = None
    ) -> None:
        self.kind = kind
        self.name = name
        self.handle = handle
        self.inbox = inbox
        self.member: Name | None = None
        """Add: who answered the discovery, full name."""
        self.connection: int | None = None
        self.welcomed = False
        self.error: SlimError | None = None
        """What failed already, while another request of the same step is still under way."""
        self.deadline = 0.0
        """Close: until when to wait for the window to empty."""
        self.cause = ""
        self.rolls_back = False
        """Drop: of a member that was added and never took part."""
        self.order: SessionMessage | None = None
        """The controller's message that asked for it (6.6)."""
