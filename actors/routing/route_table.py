"""The RouteTable actor: the single writer of the subscription table.

It is not on the path of published messages: who routes reads the table's view. What a change brings about
(acknowledgements, forwarded subscriptions) leaves when the mailbox has come round once, in batches, and so
after the change is visible: whoever was told that it is subscribed is reachable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thespian.actors import ActorAddress, WakeupMessage

from actors.messages.routing import Echo, Status, StatusReport, Sweep, Transmit
from actors.messages.wire import Subscription, SubscriptionAck
from actors.routing.control import RouteControl, RouteTurn
from actors.system import Cancellable, LoopActor

Clock = Callable[[], float]


class RouteTable(LoopActor):
    """Shell around a RouteControl. `clock` gives seconds that only ever grow."""

    def __init__(self, core: RouteControl, clock: Clock) -> None:
        self._core = core
        self._clock = clock
        self._turn = RouteTurn(clock())
        """Goes on from message to message until its effects are out."""
        self._sweeping = False
        self._timer: Cancellable | None = None
        self._timer_at: float | None = None

    def receiveMessage(self, message: Any, sender: ActorAddress) -> None:
        match message:
            case Sweep():
                self._flush()
                return
            case Echo():
                self.send(sender, message)
                return
            case Status():
                self.send(sender, StatusReport(dict(self._core.status()), message.tag))
                return
        self._turn.now = self._clock()
        if isinstance(message, WakeupMessage):
            self._timer = self._timer_at = None
            self._core.expire(self._turn)
        else:
            self._core.handle(message, self._turn)
        if not self._sweeping:
            self._sweeping = True
            self.send(self.myAddress, Sweep())
        self._arm()

    def _flush(self) -> None:
        self._sweeping = False
        self._core.announce(self._turn)
        turn, self._turn = self._turn, RouteTurn(self._turn.now)
        for address, message in turn.told:
            self.send(address, message)
        batches: dict[int, list[Subscription | SubscriptionAck]] = {}
        for connection, record in turn.written:
            batches.setdefault(connection, []).append(record)
        for connection, records in batches.items():
            known = self._core.connections.get(connection)
            if known is not None:
                self.send(known.address, Transmit(tuple(records)))

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
