"""What of an App outlives a failure of its actor: the next instance is spawned with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from actors.app.collaborators import Collaborators
from actors.app.subscriptions import Subscriptions
from actors.messages.session import AppSettings
from actors.messages.wire import Subscription
from actors.names import Name
from actors.telemetry import Counts, counter
from identity.errors import AuthError, ConfigError


class AppCounts(Counts, part="app"):
    undecodable: int = counter("Frames for applications that could not be read.")
    refused: int = counter("Invitations and other requests that an application refused.")


@dataclass(slots=True)
class Lasting:
    """What the application asked for that no session is part of."""

    subscriptions: Subscriptions
    """Names and routes, and whose answers are awaited."""
    listener: Any = None
    """Where announced sessions go."""
    mls_required: bool = False
    unadopted: set[int] = field(default_factory=set)
    """Sessions that ended by a failure before anybody listened to them."""

    @classmethod
    def of(cls, local: Name, collaborators: Collaborators, settings: AppSettings) -> Self:
        """That of a new application."""
        first_id = collaborators.draw(2**64)
        return cls(Subscriptions(local, first_id, settings.subscription_timeout))

    def standing(self, collaborators: Collaborators) -> list[Subscription]:
        """What the node is to be told again by a new instance, with a token if one can be had."""
        try:
            token = (
                collaborators.provider.get_token(collaborators.wall()) if self.subscriptions.names() else ""
            )
        except (AuthError, ConfigError):
            token = ""
        return list(self.subscriptions.standing(token))
