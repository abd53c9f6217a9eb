"""The Gateway actor: parent of all Connection actors of a node.

Links are objects of this process and no messages: the data plane keeps them by index, tells the Gateway
Opened, and is called when one is over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, cast

from thespian.actors import ActorAddress, ActorExitRequest, ChildActorExited

from actors.alarm import Alarm
from actors.messages.routing import (
    Close,
    ConnectionState,
    Detach,
    Gather,
    Opened,
    Start,
    Status,
    StatusReport,
)
from actors.messages.wire import Introduction, Role
from actors.record import record
from actors.routing.backbone import Backbone, BackboneLink
from actors.routing.connection import Connection
from actors.routing.gate import NODE
from actors.routing.view import RouteView
from actors.system import Directive, LoopActor, LoopSystem, handles
from gateway.links.link import AcceptedLink
from gateway.links.nats import NatsLink
from gateway.node.access_log import AccessLog
from gateway.node.doorkeeper import Doorkeeper, identity_of
from identity.log import logger

_APPLICATION = Introduction(Role.APPLICATION)
_SAID = {"attached": "peer", "moved": "peer", "restored": "peer", "negotiated": "version", "joined": "node"}
"""What the detail of a connection's state is, where it is no cause."""


_OVER = ("RESOURCE_EXHAUSTED", "OUT_OF_RANGE")
"""How the end of a link begins whose other side had a message that is too large for it: of ours, and of an
original node."""


@record
class _Gathering(NamedTuple):
    """Figures under way: who asked for them, and whose are still awaited."""

    asker: ActorAddress
    awaited: set[ActorAddress]
    figures: dict[str, Any]


class Gateway(LoopActor):
    """Gives every new link a Connection actor, and gathers their figures."""

    def __init__(
        self,
        system: LoopSystem,
        links: Mapping[int, AcceptedLink | NatsLink],
        link_over: Callable[[int], None],
        route_table: ActorAddress,
        routes: RouteView,
        clock: Callable[[], float],
        *,
        high: int,
        patience: float,
        introduction: Introduction,
        doorkeeper: Doorkeeper,
    ) -> None:
        self._system = system
        self._links = links
        self._link_over = link_over
        self._route_table = route_table
        self._routes = routes
        self._clock = clock
        self._high, self._patience = high, patience
        self._introduction, self._doorkeeper = introduction, doorkeeper
        self._connections: dict[int, ActorAddress] = {}
        self._indices: dict[ActorAddress, int] = {}
        self._observers: dict[int, Any] = {}
        """Who is told of each connection that has not said that it is closed; None: nobody but us."""
        self._gatherings: dict[int, _Gathering] = {}
        self._tags = 0
        self._access = AccessLog(clock)
        self._overs = Alarm()
        self._closing: Close | None = None
        self._close_asker: ActorAddress | None = None

    def failed(self, message: Any, sender: ActorAddress, error: BaseException) -> Directive:
        """The stream that it was about is closed; the others go on.

        A Connection whose word broke us gets it back, and closes its stream itself.
        """
        if isinstance(message, Opened):
            # Each of the two attempts may have made one.
            made = [address for address, index in self._indices.items() if index == message.connection]
            for address in made:
                self.send(address, ActorExitRequest())
            if not made:
                self._cut(message.connection, message.observer)
                self._link_over(message.connection)
        return Directive.RESUME

    def _cut(self, index: int, observer: Any) -> None:
        """End a link that has no Connection (any more), and tell others what that would have told."""
        closing = self._closing
        cause = closing.cause if closing is not None else "its actor failed"
        logger.log("DEBUG" if closing is not None else "WARNING", "connection cut", conn=index, cause=cause)
        link = self._links.get(index)
        if link is not None:
            link.abort(cause)
        self.send(self._route_table, Detach(index, cause))
        if observer is not None:
            self.send(observer, ConnectionState(index, "closed", cause))

    @handles(ConnectionState)
    def _on_state(self, message: ConnectionState, _: ActorAddress) -> None:
        if message.state == "closed":
            self._observers.pop(message.connection, None)
        link = self._links.get(message.connection)
        self._access.take(message, link if isinstance(link, AcceptedLink) else None)
        key = _SAID.get(message.state, "cause")
        # Of the beginning and the end the access log tells.
        level = "DEBUG" if message.state in ("attached", "negotiated", "closed") else "INFO"
        if message.state == "lost" and message.detail.startswith(_OVER) and self._overs.is_due(self._clock()):
            # It is dialled again, and lost again with the next such message: nobody else is told.
            level = "WARNING"
        text = f"connection {message.state}"
        logger.log(level, text, conn=message.connection, **{key: message.detail or None})

    @handles(Close)
    def _on_close(self, message: Close, sender: ActorAddress) -> None:
        self._closing, self._close_asker = message, sender
        for address in self._connections.values():
            self.send(address, message)
        self._report_closed()

    @handles(Opened)
    def _on_opened(self, message: Opened, _: ActorAddress) -> None:
        index = message.connection
        link = self._links.get(index)
        if link is None:
            return
        observers = (self.myAddress,) if message.observer is None else (self.myAddress, message.observer)

        # Who accepts is a node; who dials is one when it says so.
        as_node = message.dialled_as is None or message.as_node
        introduction = self._introduction if as_node else _APPLICATION
        keeper = self._doorkeeper
        accepted = isinstance(link, AcceptedLink) and message.dialled_as is None
        who = identity_of(link) if isinstance(link, AcceptedLink) and accepted else NODE
        gate = keeper.gate(index, link.peer, who)

        def make() -> Connection:
            if message.backbone:
                return Backbone(
                    index,
                    cast(BackboneLink, link),
                    self._route_table,
                    self._routes,
                    self._clock,
                    gate=gate,
                    forbidden=keeper.forbidden,
                    sending=keeper.sending,
                    observers=observers,
                    high=self._high,
                    patience=self._patience,
                    telemetry=self._system.telemetry,
                )
            return Connection(
                index,
                link,
                self._route_table,
                self._routes,
                self._clock,
                dialled_as=message.dialled_as,
                introduction=introduction,
                admit=keeper.admits(index, link),
                gate=gate,
                forbidden=keeper.forbidden,
                sending=keeper.sending,
                observers=observers,
                high=self._high,
                patience=self._patience,
                telemetry=self._system.telemetry,
            )

        address = self.spawn(make)
        self._connections[index] = address
        self._indices[address] = index
        self._observers[index] = message.observer
        link.attach(partial(self._system.tell_now, address))
        self.send(address, Start())
        if self._closing is not None:
            self.send(address, self._closing)

    @handles(ChildActorExited)
    def _on_child_exited(self, message: ChildActorExited, _: ActorAddress) -> None:
        address = message.childAddress
        index = self._indices.pop(address, None)
        if index is None:
            return
        self._connections.pop(index, None)
        if index in self._observers:
            self._cut(index, self._observers.pop(index))
        self._link_over(index)
        for tag in list(self._gatherings):
            self._gathered(tag, address, {})
        self._report_closed()

    def _report_closed(self) -> None:
        """Answer who asked for Close, once no connection is left."""
        if self._close_asker is not None and not self._connections:
            self.send(self._close_asker, StatusReport({}))
            self._close_asker = None

    @handles(Gather)
    def _on_gather(self, _: Gather, asker: ActorAddress) -> None:
        if not self._connections:
            self.send(asker, StatusReport({}))
            return
        self._tags += 1
        self._gatherings[self._tags] = _Gathering(asker, set(self._indices), {})
        for address in self._connections.values():
            self.send(address, Status(self._tags))

    @handles(StatusReport)
    def _on_report(self, message: StatusReport, sender: ActorAddress) -> None:
        self._gathered(message.tag, sender, message.figures)

    def _gathered(self, tag: int, by: ActorAddress, figures: dict[str, Any]) -> None:
        """A connection told its figures, or has ended and never will."""
        gathering = self._gatherings.get(tag)
        if gathering is None or by not in gathering.awaited:
            return
        gathering.awaited.discard(by)
        gathering.figures.update(figures)
        if not gathering.awaited:
            del self._gatherings[tag]
            self.send(gathering.asker, StatusReport(gathering.figures))
