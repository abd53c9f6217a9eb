"""The moderator's tasks: one change of the membership each, worked off one at a time (`session.md` 10)."""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum

from actors.messages.wire import SessionMessage
from actors.names import Name
from identity.errors import SlimError

ORDERS_KNOWN = 256
"""A controller's orders that are remembered, to answer copies."""


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
        "kind",
        "member",
        "name",
        "order",
        "port",
        "rolls_back",
        "welcomed",
    )

    def __init__(self, kind: Kind, name: Name, handle: int | None = None, port: object = None) -> None:
        self.kind = kind
        self.name = name
        self.handle = handle
        self.port = port
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


class Orders:
    """What the controller that made us moderator has ordered (6.6). `first` is its JOIN_REQUEST."""

    def __init__(self, first: SessionMessage | None) -> None:
        self.first = first
        self._done: OrderedDict[int, bool] = OrderedDict()
        if first is not None:
            self._done[first.message_id] = True

    def comes_from(self, source: Name) -> bool:
        return self.first is not None and self.first.source == source

    def take(self, message_id: int) -> bool:
        """Whether this order is new."""
        if message_id in self._done:
            return False
        self._done[message_id] = False
        if len(self._done) > ORDERS_KNOWN:
            self._done.popitem(last=False)
        return True

    def carried_out(self, message_id: int) -> bool:
        return self._done.get(message_id, False)

    def report(self, message_id: int, *, done: bool) -> None:
        """An order was carried out, or could not be: then it may be given again."""
        if done:
            self._done[message_id] = True
        else:
            self._done.pop(message_id, None)
