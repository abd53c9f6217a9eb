"""What of an App outlives a failure of its actor: the next instance is spawned with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from actors.app.collaborators import Collaborators
from actors.app.subscriptions import Subscriptions
from actors.messages.session import AppSettings
from actors.names import Name

_COUNTED = ("undecodable", "unroutable", "overflowed", "refused", "rotations")


@dataclass(slots=True)
class Lasting:
    """What the application asked for that no session is part of."""

    subscriptions: Subscriptions
    """Names and routes, and whose answers are awaited."""
    listener: Any = None
    """Where announced sessions go."""
    unadopted: set[int] = field(default_factory=set)
    """Sessions that ended by a failure before anybody listened to them."""
    figures: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTED, 0))

    @classmethod
    def of(cls, local: Name, collaborators: Collaborators, settings: AppSettings) -> Self:
        """That of a new application."""
        first_id = collaborators.draw(2**64)
        return cls(Subscriptions(local, first_id, settings.subscription_timeout))
