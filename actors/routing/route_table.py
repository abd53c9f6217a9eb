"""The RouteTable actor: the single writer of the subscription table, and the source of snapshots.

It is not on the path of published messages. A change is announced to everybody who routes by a new
Snapshot; changes that arrive together share one. Acknowledgements leave after the snapshot they speak of,
so whoever was told that it is subscribed is reachable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

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
from actors.system import Cancellable, LoopActor, handles

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

    # What connections and applications report

    @handles(Subscribing)
    def _on_subscribing(self, message: Subscribing, _: ActorAddress) -> None:
        self._do(self._core.subscription(message.connection, message.subscription, self._clock()))

    @handles(Acknowledged)
    def _on_acknowledged(self, message: Acknowledged, _: ActorAddress) -> None:
        self._do(self._core.acknowledged(message.connection, message.ack))

    @handles(Attach)
    def _on_attach(self, message: Attach, _: ActorAddress) -> None:
        self._core.attach(message)
        self._do(())

    @handles(Detach)
    def _on_detach(self, message: Detach, _: ActorAddress) -> None:
        if message.error is not None and message.connection in self._core.connections:
            self._gone.append(ConnectionGone(message.connection, message.error))
        self._do(self._core.detach(message.connection, self._clock()))

    @handles(Negotiated)
    def _on_negotiated(self, message: Negotiated, _: ActorAddress) -> None:
        now = self._clock()
        self._do(self._core.negotiated(message.connection, message.link_id, message.version, now))

    @handles(Reattach)
    def _on_reattach(self, message: Reattach, _: ActorAddress) -> None:
        self._do(self._core.reattach(message.connection))

    @handles(Echo)
    def _on_echo(self, message: Echo, sender: ActorAddress) -> None:
        self.send(sender, message)

    @handles(Status)
    def _on_status(self, message: Status, sender: ActorAddress) -> None:
        self.send(sender, StatusReport(dict(self._core.status()), message.tag))

    # Its own turns

    @handles(WakeupMessage)
    def _on_wakeup(self, _: WakeupMessage, __: ActorAddress) -> None:
        self._timer = self._timer_at = None
        self._do(self._core.expire(self._clock()))

    @handles(Sweep)
    def _on_sweep(self, _: Sweep, __: ActorAddress) -> None:
        self._flush()

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
