"""The Backbone actor: the Connection of a node to all others over NATS (`backbone.md`, backbone).

    Connection, App ── Forward ──► Backbone ──► link ──► NATS
                                     ▲ │
    RouteTable ── RoutesChanged ─────┘ └─ Forward ──► own edges only, of what NATS brings

It may lead to any name, so that it is asked behind own edges; where it turns out that nobody there has the
name, what follows are routes by hand, and then the sender is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from thespian.actors import ActorAddress, WakeupMessage

from actors.messages.routing import (
    Attach,
    Forward,
    Inquired,
    LinkLost,
    LinkRestored,
    RoutesChanged,
    Start,
    Status,
    StatusReport,
    Unanswered,
    Undelivered,
    WatchRoutes,
)
from actors.messages.wire import Frame
from actors.routing.connection import Connection
from actors.routing.gate import Forbidden, Gate
from actors.routing.interest import Interest
from actors.routing.link import Link
from actors.routing.outbox import HIGH, PATIENCE
from actors.routing.pace import SendingLimits
from actors.routing.view import Instance, RouteView
from actors.system import handles
from actors.telemetry import Counts, Registry, counter
from identity.log import logger

AGAIN = 0.05
"""Seconds after which a control message that nobody wanted is sent once more: interest spreads among the
servers behind the acknowledgement of a subscription, and sessions themselves wait a second."""
_AGAIN = "again"


class BackboneCounts(Counts, part="backbone"):
    losses: int = counter("How often the link to the backbone was lost.")
    returns: int = counter("How often it came back.")
    unanswered: int = counter("Messages for one that nobody on the backbone wanted.")
    sent_again: int = counter("Control messages of these that were sent once more.")


class BackboneLink(Link, Protocol):
    """The link to the backbone. It tells LinkRestored when it first stands, too."""

    asker: ActorAddress
    """Who sent the frames of the next `send`."""
    again: bool
    """Whether they were sent before, to nobody."""

    def want(self, changes: Mapping[Instance, bool]) -> None:
        """Let messages for these come, or no more, from now on and on every later stream."""

    def ends_at(self) -> str:
        """The server at the other end; empty while there is none."""


class Backbone(Connection):
    """A Connection that may lead to any name."""

    def __init__(
        self,
        index: int,
        link: BackboneLink,
        route_table: ActorAddress,
        routes: RouteView,
        clock: Callable[[], float],
        *,
        gate: Gate | None = None,
        forbidden: Forbidden = lambda index, action, name, rule: None,
        sending: SendingLimits | None = None,
        observers: tuple[ActorAddress, ...] = (),
        high: int = HIGH,
        patience: float = PATIENCE,
        telemetry: Registry | None = None,
    ) -> None:
        telemetry = telemetry or Registry()
        super().__init__(
            index,
            link,
            route_table,
            routes,
            clock,
            gate=gate,
            forbidden=forbidden,
            sending=sending,
            observers=observers,
            high=high,
            patience=patience,
            telemetry=telemetry,
        )
        self._stands = link
        self._up = self._was_up = False
        self._interest = Interest()
        self._again: list[tuple[list[Frame], ActorAddress]] = []
        """What is sent once more when its time has come, and who asked for it."""
        self._backbone_counts = telemetry.register(BackboneCounts())
        self._route_inward(by_hand=False)

    @handles(Start)
    def _on_start(self, _: Start, __: ActorAddress) -> None:
        self.send(self._route_table, Attach(self._index, self.myAddress, local=False, backbone=True))
        self.send(self._route_table, WatchRoutes(self.myAddress))

    def _open(self) -> None:
        """There is nothing to agree on."""

    @handles(Inquired)
    def _on_inquired(self, message: Inquired, _: ActorAddress) -> None:
        """Another node asks what this one knows."""
        if self._routes.inquiries is not None:
            self.send(self._routes.inquiries, message)

    @handles(LinkRestored)
    def _on_restored(self, _: LinkRestored, __: ActorAddress) -> None:
        self._up, self._down = True, ""
        if self._was_up:
            self._backbone_counts.returns += 1
            logger.info("the backbone is back", conn=self._index, peer=self._stands.ends_at())
        else:
            logger.info("on the backbone", conn=self._index, peer=self._stands.ends_at())
        self._was_up = True
        self._observe("restored", self._stands.ends_at())

    @handles(LinkLost)
    def _on_lost(self, message: LinkLost, _: ActorAddress) -> None:
        self._up, self._down = False, message.cause or "lost"
        self._backbone_counts.losses += 1
        self._release()
        logger.warning(
            "the backbone is lost, own applications are served on", conn=self._index, cause=message.cause
        )
        self._observe("lost", message.cause)

    @handles(RoutesChanged)
    def _on_routes(self, message: RoutesChanged, _: ActorAddress) -> None:
        self._interest.take(message.entries, complete=message.complete)
        changes = self._interest.changes()
        if changes:
            self._stands.want(changes)

    @handles(Forward)
    def _on_forward(self, message: Forward, sender: ActorAddress) -> None:
        self._stands.asker, self._stands.again = message.reply_to, False
        super()._on_forward(message, sender)

    @handles(Unanswered)
    def _on_unanswered(self, message: Unanswered, _: ActorAddress) -> None:
        """Nobody there: routes by hand come next, then another try, and then there is no way."""
        self._backbone_counts.unanswered += len(message.frames)
        nobody: list[Frame] = []
        again: list[Frame] = []
        for frame in message.frames:
            targets = self._routes.find(frame.key, frame.instance)
            by_hand = targets.by_hand if targets is not None else ()
            if by_hand:
                address = self._routes.addresses[by_hand[0]]
                self.send(address, Forward((frame,), self._index, self.myAddress))
            elif self._up and frame.control and not message.again:
                again.append(frame)
            else:
                nobody.append(frame)
        if again:
            if not self._again:
                self.after(AGAIN, _AGAIN)
            self._again.append((again, message.asker))
        if nobody:
            self.send(message.asker, Undelivered(tuple(nobody)))

    @handles(WakeupMessage)
    def _on_wakeup(self, message: WakeupMessage, sender: ActorAddress) -> None:
        if message.payload != _AGAIN:
            super()._on_wakeup(message, sender)
            return
        waited, self._again = self._again, []
        for frames, asker in waited:
            self._backbone_counts.sent_again += len(frames)
            self._stands.asker, self._stands.again = asker, True
            self._link.send(frames)

    @handles(Status)
    def _on_status(self, message: Status, sender: ActorAddress) -> None:
        self.send(sender, StatusReport({str(self._index): self._figures()}, message.tag))

    def _figures(self) -> dict[str, Any]:
        return {
            **super()._figures(),
            "role": "backbone",
            "peer": self._stands.ends_at() or "not connected",
            "up": self._up,
            **self._backbone_counts.figures(),
        }
