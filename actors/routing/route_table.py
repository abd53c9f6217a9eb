"""The RouteTable actor: the single writer of the subscription table.

It is not on the path of published messages: who routes reads the table's view. What a change brings about
(acknowledgements, forwarded subscriptions) leaves when the mailbox has come round once, in batches, and so
after the change is visible: whoever was told that it is subscribed is reachable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from thespian.actors import ActorAddress, WakeupMessage

from actors.alarm import RETRY_PAUSE, SourceAlarms
from actors.messages.routing import (
    Acknowledged,
    AnnounceNames,
    Attach,
    Detach,
    Echo,
    Negotiated,
    NodeLinkLost,
    Reattach,
    RouteByHand,
    RulesChanged,
    Status,
    StatusReport,
    Subscribing,
    Sweep,
    Transmit,
    WatchRoutes,
)
from actors.messages.wire import Subscription, SubscriptionAck
from actors.routing.control import RouteControl
from actors.routing.turn import RouteTurn
from actors.system import Cancellable, Directive, LoopActor, handles
from identity.log import logger

Clock = Callable[[], float]


class RouteTable(LoopActor):
    """Shell around a RouteControl. `clock` gives seconds that only ever grow."""

    def __init__(self, core: RouteControl, clock: Clock) -> None:
        self._core = core
        self._clock = clock
        self._turn = RouteTurn(clock())
        """Goes on from message to message until its effects are out."""
        self._leaving: deque[tuple[ActorAddress, Any]] = deque()
        """What is on its way out: what cannot be sent is dropped alone."""
        self._sweeping = False
        self._alarms = SourceAlarms(RETRY_PAUSE)
        """Of connections whose names are refused: who is refused asks again and again."""
        self._timer: Cancellable | None = None
        self._timer_at: float | None = None

    def started(self) -> None:
        """Made anew, too: what the core waits for has its time, and what it changed is announced."""
        self._sweep()

    def failed(self, message: Any, sender: ActorAddress, error: BaseException) -> Directive:
        """What a connection reported is dropped; it gets it back, and the peer that caused it is cut off.

        Anything else means that this actor itself is broken: it is made anew, with its core.
        """
        if hasattr(message, "connection"):
            return Directive.RESUME
        if isinstance(message, Sweep) and self._leaving:
            self._sweep()
            return Directive.RESUME
        return Directive.RESTART

    @handles(
        Acknowledged,
        AnnounceNames,
        Attach,
        Detach,
        Negotiated,
        NodeLinkLost,
        Reattach,
        RouteByHand,
        RulesChanged,
        Subscribing,
        WatchRoutes,
    )
    def _on_report(self, message: Any, _: ActorAddress) -> None:
        """What connections and applications report is the core's."""
        self._turn.now = self._clock()
        self._core.handle(message, self._turn)
        self._sweep()

    @handles(WakeupMessage)
    def _on_wakeup(self, _: WakeupMessage, __: ActorAddress) -> None:
        self._timer = self._timer_at = None
        self._turn.now = self._clock()
        self._core.expire(self._turn)
        self._sweep()

    @handles(Echo)
    def _on_echo(self, message: Echo, sender: ActorAddress) -> None:
        self.send(sender, message)

    @handles(Status)
    def _on_status(self, message: Status, sender: ActorAddress) -> None:
        self.send(sender, StatusReport(dict(self._core.status()), message.tag))

    def _sweep(self) -> None:
        """Have the effects leave once the mailbox has come round."""
        if not self._sweeping:
            self._sweeping = True
            self.send(self.myAddress, Sweep())
        self._arm()

    @handles(Sweep)
    def _on_sweep(self, _: Sweep, __: ActorAddress) -> None:
        self._sweeping = False
        self._core.announce(self._turn)
        turn, self._turn = self._turn, RouteTurn(self._turn.now)
        for text, peer, connection, cause in turn.notices:
            level = "WARNING" if cause or "another" in text else "INFO"
            logger.log(level, text, node=peer, conn=connection, cause=cause or None)
        for name, connection, peer, cause in turn.refused:
            level, more = self._alarms.level(connection, turn.now)
            fields = {"conn": connection, "peer": peer or None, "name": name.short, "cause": cause}
            logger.log(level, f"subscription refused{more}", **fields)
        leaving = self._leaving
        leaving.extend(turn.told)
        batches: dict[int, list[Subscription | SubscriptionAck]] = {}
        for connection, record in turn.written:
            batches.setdefault(connection, []).append(record)
        for connection, records in batches.items():
            known = self._core.connections.get(connection)
            if known is not None:
                leaving.append((known.address, Transmit(tuple(records))))
        while leaving:
            address, message = leaving.popleft()
            self.send(address, message)

    def _arm(self) -> None:
        """One timer, for the earliest deadline."""
        deadline = self._core.next_deadline()
        if deadline == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, deadline
        if deadline is not None:
            self._timer = self.after(max(0.0, deadline - self._clock()))
