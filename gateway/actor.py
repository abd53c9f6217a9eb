"""The Gateway actor: parent of all Connection actors of a node.

Links are objects of this process and no messages: whoever makes one (a listener, a dialler) puts it into
`links` under its index and tells the Gateway Opened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from loguru import logger
from thespian.actors import ActorAddress, ChildActorExited

from actors.connection import Connection
from actors.messages.routing import (
    Close,
    ConnectionState,
    Gather,
    Opened,
    Start,
    Status,
    StatusReport,
)
from actors.system import LoopActor, LoopSystem
from gateway.links.link import AcceptedLink


class Gateway(LoopActor):
    """Gives every new link a Connection actor, and gathers their figures."""

    def __init__(
        self,
        system: LoopSystem,
        links: dict[int, AcceptedLink],
        route_table: ActorAddress,
        clock: Callable[[], float],
        *,
        high: int,
        patience: float,
    ) -> None:
        self._system = system
        self._links = links
        self._route_table = route_table
        self._clock = clock
        self._high, self._patience = high, patience
        self._connections: dict[int, ActorAddress] = {}
        self._indices: dict[ActorAddress, int] = {}
        self._totals: dict[str, int] = {}
        self._gatherings: dict[int, tuple[ActorAddress, int, int, dict[str, Any]]] = {}
        self._tags = 0
        self._closing: ActorAddress | None = None

    def receiveMessage(self, message: Any, sender: ActorAddress) -> None:
        match message:
            case Opened():
                self._open(message)
            case ConnectionState():
                if message.state in ("closed", "lost", "restored", "attached"):
                    logger.info("connection {}", message.state, conn=message.connection, peer=message.detail)
            case ChildActorExited():
                index = self._indices.pop(message.childAddress, None)
                if index is not None:
                    del self._connections[index]
                    self._links.pop(index, None)
                self._report_closed()
            case Close():
                self._closing = sender
                for address in self._connections.values():
                    self.send(address, message)
                self._report_closed()
            case Gather():
                self._gather(sender)
            case StatusReport():
                self._gathered(message)

    def _open(self, message: Opened) -> None:
        index = message.connection
        link = self._links[index]
        observers = (self.myAddress,) if message.observer is None else (self.myAddress, message.observer)

        def make() -> Connection:
            return Connection(
                index,
                link,
                self._route_table,
                self._clock,
                dialled_as=message.dialled_as,
                observers=observers,
                high=self._high,
                patience=self._patience,
            )

        address = self.spawn(make)
        self._connections[index] = address
        self._indices[address] = index
        tell_now = self._system.tell_now
        link.attach(lambda event: tell_now(address, event))
        self.send(address, Start())

    def _report_closed(self) -> None:
        """Answer who asked for Close, once no connection is left."""
        if self._closing is not None and not self._connections:
            self.send(self._closing, StatusReport({}))
            self._closing = None

    def _gather(self, asker: ActorAddress) -> None:
        if not self._connections:
            self.send(asker, StatusReport({}))
            return
        self._tags += 1
        self._gatherings[self._tags] = (asker, len(self._connections), 0, {})
        for address in self._connections.values():
            self.send(address, Status(self._tags))

    def _gathered(self, report: StatusReport) -> None:
        gathering = self._gatherings.pop(report.tag, None)
        if gathering is None:
            return
        asker, expected, seen, figures = gathering
        figures |= report.figures
        if seen + 1 == expected:
            self.send(asker, StatusReport(figures))
        else:
            self._gatherings[report.tag] = (asker, expected, seen + 1, figures)
