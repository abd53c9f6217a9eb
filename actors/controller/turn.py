"""What a core of the controller is given with each event, and what it wants done.

Effects are records; the shell performs them in their order, those that are to be stored first.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

from actors.messages.controller import Refusal, Result
from actors.record import record
from actors.system import Address


class Declined(Exception):
    """A question cannot be followed: the name of a gRPC status, and a sentence."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@record
class ToNode(NamedTuple):
    """Send a record to a node that is connected."""

    node: str
    record: Any
    inbox: Address | None = None
    """Of a stream that is the node's no more; None: the one it has."""


@record
class Respond(NamedTuple):
    """Respond the question that came with this ticket."""

    ticket: Hashable
    reply: Result | Refusal


@record
class Save(NamedTuple):
    """Keep, or with None forget, one entry of the controller's state: a kind, a key and its value."""

    kind: str
    key: tuple[Any, ...]
    value: tuple[Any, ...] | None


@record
class Told(NamedTuple):
    """Something that an operator should read."""

    text: str


Effect = ToNode | Respond | Save | Told


class ControllerTurn:
    """One event's time, a random number in [0, 1) for jitter, and the effects so far."""

    __slots__ = ("effects", "now", "random")

    def __init__(self, now: float, random: float = 0.5) -> None:
        self.now = now
        self.random = random
        self.effects: list[Effect] = []

    def to(self, node: str, record: Any, inbox: Any = None) -> None:
        """Send `record` to a node, or to a stream that it had."""
        self.effects.append(ToNode(node, record, inbox))

    def answer(self, ticket: Hashable, value: Any = None, *, before: str = "", after: str = "") -> None:
        """Respond a question with success."""
        self.effects.append(Respond(ticket, Result(value, before, after)))

    def refuse(self, ticket: Hashable, status: str, text: str) -> None:
        """Respond a question with a failure."""
        self.effects.append(Respond(ticket, Refusal(status, text)))

    def save(self, kind: str, key: tuple[Any, ...], value: tuple[Any, ...] | None) -> None:
        """Keep an entry, or forget it."""
        self.effects.append(Save(kind, key, value))

    def tell(self, text: str) -> None:
        """Let an operator read this."""
        self.effects.append(Told(text))
