"""What the system tells about its actors and itself: plain numbers, for pages, tests and `/status`."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from actors.record import record


class State(Enum):
    """Where an actor is in its life."""

    RUNNING = "running"
    WAITING = "waiting"
    """It failed and will be restarted when its back-off is over; its mailbox keeps what comes."""
    EXITING = "exiting"
    """It was asked to exit and waits for its children to be gone."""
    DEAD = "dead"


@record
class ActorStatus(NamedTuple):
    """One actor or inbox at this moment. All counters are since it was spawned, restarts included."""

    address: str
    kind: str
    """The class of the actor, or "inbox"."""
    name: str | None
    state: State
    depth: int
    """Messages in the mailbox."""
    bound: int
    """Messages the mailbox holds at most."""
    handled: int
    refused: int
    """Messages that the full mailbox did not take."""
    failures: int
    """Exceptions out of `receiveMessage`, retries included."""
    restarts: int
    children: int
    timers: int
    slowest_turn: float = 0.0
    """Seconds, as far as turns were timed; what it handled within another one's turn is the other one's."""


@record
class SystemStatus(NamedTuple):
    """The whole system at this moment. Counters are since its start."""

    actors: int
    inboxes: int
    asks: int
    """Calls of `ask` that wait for their answer."""
    depth: int
    """Messages in all mailboxes."""
    dead_letters: int
    refused: int
    failures: int
    restarts: int
    strict: bool
    stopping: bool
