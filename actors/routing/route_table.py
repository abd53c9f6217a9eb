"""The RouteTable actor: the single writer of the subscription table, and the source of snapshots.

It is not on the path of published messages. A change is announced to everybody who routes by a new
Snapshot; changes that arrive together share one. Acknowledgements leave after the snapshot they speak of,
so whoever was told that it is subscribed is reachable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from thespian.actors import ActorAddress, WakeupMessage

from actors.messages.routing import (
    Acknowledged,
    Attach,
    ConnectionGone,
    Detach,
    Echo,
    Negotiated,
    Reattach,
    Status,
    StatusReport,
    Subscribing,
    Sweep,
    Transmit,
)
from actors.messages.wire import Subscription, SubscriptionAck
from actors.routing.control import RECOVERY_TIME, RouteControl, SendTo
from actors.system import Cancellable, LoopActor

Clock = Callable[[], float]


class RouteTable(LoopActor):
    """Shell around RouteControl. `clock` gives seconds that only ever grow."""

    def __init__(self, clock: Clock, recovery_time: float = RECOVERY_TIME) -> None:
        self._core = RouteControl(recovery_time=recovery_time)
        self._clock = clock
        self._effects: list[SendTo] = []
        self._gone: list[ConnectionGone] = []
        self._flushing = False
        self._timer: Cancellable | None = None
        self._timer_at: float | None = None

    def receiveMessage(self, message: Any, sender: ActorAddress) -> None:
        core, now = self._core, self._clock()
        match message:
            case Subscribing():
                self._do(core.subscription(message.connection, message.subscription, now))
            case Acknowledged():
                self._do(core.acknowledged(message.connection, message.ack))
            case Attach():
                core.attach(message)
                self._do(())
            case Detach():
                if message.error is not None and message.connection in core.connections:
                    self._gone.append(ConnectionGone(message.connection, message.error))
                self._do(core.detach(message.connection, now))
            case Negotiated():
                self._do(core.negotiated(message.connection, message.link_id, message.version, now))
            case Reattach():
                self._do(core.reattach(message.connection))
            case Sweep():
                self._flush()
            case Echo():
                self.send(sender, message)
            case WakeupMessage():
                self._timer = self._timer_at = None
                self._do(core.expire(now))
            case Status():
                self.send(sender, StatusReport(dict(core.status()), message.tag))

    def _do(self, effects: Iterable[SendTo]) -> None:
        """Keep the effects until the snapshot is out, which is when the mailbox has come round once."""
        self._effects.extend(effects)
        if not self._flushing:
            self._flushing = True
            self.send(self.myAddress, Sweep())
        self._arm()

    def _flush(self) -> None:
        self._flushing = False
        if self._core.changed:
            snapshot = self._core.snapshot()
            for address in snapshot.addresses.values():
                self.send(address, snapshot)
        gone, self._gone = self._gone, []
        for lost in gone:
            for one in self._core.connections.values():
                if one.local:
                    self.send(one.address, lost)
        effects, self._effects = self._effects, []
        batches: dict[int, list[Subscription | SubscriptionAck]] = {}
        for effect in effects:
            batches.setdefault(effect.connection, []).append(effect.record)
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
