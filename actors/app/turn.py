"""One turn of an application: when it is, and what its cores want done; `actors/app/actor.py` does it.

Two clocks, because tokens are judged by the world's time and everything else by a clock that only grows.
"""

from __future__ import annotations

from actors.app.effects import (
    Alive,
    AppEffect,
    Arrival,
    Awaited,
    Dropped,
    Hinted,
    Invitation,
    Released,
    Subscribed,
    VerificationNeeded,
)
from actors.messages.wire import Hint, HintReason, MessageType, SessionMessage
from actors.names import Name
from actors.session.effects import Refused
from identity.errors import SlimError

_REQUESTS = (MessageType.DISCOVERY_REQUEST, MessageType.JOIN_REQUEST)


class AppTurn:
    """An App may use one for all its turns: `at` begins the next."""

    __slots__ = ("effects", "now", "wall")

    def __init__(self, now: float = 0.0, wall: float = 0.0) -> None:
        self.now = now
        """Seconds of a monotonic clock."""
        self.wall = wall
        """Unix seconds."""
        self.effects: list[AppEffect] = []

    def at(self, now: float, wall: float) -> AppTurn:
        """The next turn."""
        self.now, self.wall = now, wall
        self.effects.clear()
        return self

    def send(self, message: SessionMessage) -> None:
        """Put an answer out that belongs to no session."""
        self.effects.append(message)

    def invite(self, invitation: Invitation) -> None:
        """Make a session of it."""
        self.effects.append(invitation)

    def refuse(self, reason: str) -> None:
        """An invitation cannot be taken."""
        self.effects.append(Refused(reason))

    def drop(self, source: Name, reason: str, *, alarming: bool) -> None:
        """Who says to be `source` is not believed."""
        self.effects.append(Dropped(source, reason, alarming))

    def hint(self, reason: HintReason, message: Arrival, about: Name) -> None:
        """Tell who sent a request why `about` refuses it."""
        if message.connection is not None and message.kind in _REQUESTS:
            self.effects.append(Hinted(Hint(reason, about, message.source), message.connection))

    def verify(self, message: Arrival) -> None:
        """Have the sender of this verified by waiting."""
        self.effects.append(VerificationNeeded(message))

    def release(self, message: Arrival) -> None:
        """Handle what was parked."""
        self.effects.append(Released(message))

    def tell_alive(self, peer: Name, session_ids: tuple[int, ...]) -> None:
        """Tell sessions that `peer` is there."""
        self.effects.append(Alive(peer, session_ids))

    def subscribed(self, awaited: Awaited, error: SlimError | None) -> None:
        """Tell who waited for a subscription."""
        self.effects.append(Subscribed(awaited, error))
