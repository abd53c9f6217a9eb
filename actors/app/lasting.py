"""What of an App outlives a failure of its actor: the next instance is spawned with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from actors.app.admission import AdmissionCounts
from actors.app.collaborators import Collaborators
from actors.app.invitations import Promises
from actors.app.outbound import OutboundCounts
from actors.app.subscriptions import Subscriptions
from actors.messages.session import AppSettings
from actors.messages.wire import Subscription
from actors.names import Name
from actors.telemetry import Counts, Registry, counter
from identity.errors import AuthError, ConfigError


class AppCounts(Counts, part="app"):
    undecodable: int = counter("Frames for applications that could not be read.")
    refused: int = counter("Invitations and other requests that an application refused.")


@dataclass(slots=True)
class Lasting:
    """What the application asked for that no session is part of, and what it counted."""

    subscriptions: Subscriptions
    """Names and routes, and whose answers are awaited."""
    counts: AppCounts
    outbound: OutboundCounts
    admission: AdmissionCounts
    promises: Promises = field(default_factory=Promises)
    listener: Any = None
    """Where announced sessions go."""
    congested: set[int] = field(default_factory=set)
    """Connections above their high-water mark: they say it once, to an address that is still ours."""
    unadopted: set[int] = field(default_factory=set)
    """Sessions that were announced and ended by a failure before anybody listened to them."""

    @classmethod
    def of(cls, local: Name, collaborators: Collaborators, settings: AppSettings) -> Self:
        """That of a new application."""
        register = collaborators.telemetry.register
        first_id = collaborators.draw(2**64)
        return cls(
            Subscriptions(local, first_id, settings.subscription_timeout),
            register(AppCounts()),
            register(OutboundCounts()),
            register(AdmissionCounts()),
            Promises(controllers=settings.controllers),
        )

    def standing(self, collaborators: Collaborators) -> list[Subscription]:
        """All that the node is to know of a new instance: our own name first, then names and routes."""
        try:
            names = self.subscriptions.names()
            token = collaborators.provider.get_token(collaborators.wall()) if names else ""
        except (AuthError, ConfigError):
            token = ""
        return [self.subscriptions.own(), *self.subscriptions.standing(token)]

    def figures(self) -> dict[str, int]:
        """What was counted, by name."""
        return self.counts.figures() | self.outbound.figures() | self.admission.figures()

    def close(self, telemetry: Registry) -> None:
        """The application is over; what it counted stays in the sums. Idempotent."""
        for counts in (self.counts, self.outbound, self.admission):
            telemetry.close(counts)
