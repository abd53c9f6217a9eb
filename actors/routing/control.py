"""Subscriptions as an event-driven core (`dataplane.md` 5.2, 8): processing, acknowledgements, recovery.

The RouteTable actor feeds it what connections report and performs the effects. Time is an argument.

    subscription ──► target in the table ──► forwarded to a peer? ──► its acknowledgement awaited
                                     └──────────────► snapshot        (5 s, three more tries) ──► ours
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

from actors.messages.routing import Attach, Snapshot
from actors.messages.wire import Subscription, SubscriptionAck
from actors.names import Name
from actors.record import record
from actors.routing.negotiation import Version, acknowledges, parse_version
from actors.routing.table import SubscriptionNotFound, SubscriptionTable

ACK_WAIT = 5.0
"""Seconds between attempts to have a forwarded subscription acknowledged."""
ACK_RESENDS = 3
RECOVERY_TIME = 30.0
"""Seconds for which the routes of a lost, negotiated connection are remembered."""
RECOVERY_BOUND = 1024
"""Lost connections remembered at most; the oldest is forgotten first."""
SUBSCRIPTION_BOUND = 65_536
"""Subscriptions one connection may hold, and all lost ones together; one more is refused with a negative
acknowledgement."""
NODE_BOUND = 4 * SUBSCRIPTION_BOUND
"""References to all connections together. One with a name of its own takes about 2 KiB."""
NAME_BOUND = 4096
"""Characters of a name that may be subscribed to."""


@record
class SendTo(NamedTuple):
    """Effect: write a record on a connection."""

    connection: int
    record: Subscription | SubscriptionAck


@record
class KnownConnection(NamedTuple):
    """What the core knows of a connection."""

    address: Any
    local: bool
    dialled: bool


@record
class _AwaitedAck(NamedTuple):
    """A forwarded subscription whose acknowledgement is awaited."""

    asker: int
    subscription: Subscription
    resends: int
    deadline: float
    repeated: bool = False
    """Whether it was sent on an older stream of the connection too."""


@record
class _Lost(NamedTuple):
    names: list[tuple[Name, int]]
    forwarded: list[Subscription]
    deadline: float


class RouteControl:
    """Owns the subscription table and everything remembered about connections."""

    def __init__(self, *, recovery_time: float = RECOVERY_TIME) -> None:
        self.table = SubscriptionTable()
        self.connections: dict[int, KnownConnection] = {}
        self._recovery_time = recovery_time
        self._versions: dict[int, Version] = {}
        self._links: dict[int, str] = {}
        self._forwarded: dict[int, dict[tuple[Name, int], Subscription]] = {}
        self._pending: dict[tuple[int, int], _AwaitedAck] = {}
        self._lost: OrderedDict[str, _Lost] = OrderedDict()
        self._version = 0
        self._addresses_changed = False
        self.counters = {"subscriptions_refused": 0, "recovered": 0, "acks_timed_out": 0}

    # Connections

    def attach(self, event: Attach) -> None:
        """A connection came up."""
        self.connections[event.connection] = KnownConnection(event.address, event.local, event.dialled)
        self._addresses_changed = True

    def detach(self, connection: int, now: float) -> list[SendTo]:
        """A connection is gone for good: clean up, and remember its routes for a while if it may return."""
        known = self.connections.pop(connection, None)
        if known is None:
            return []
        self._addresses_changed = True
        names = self.table.remove_connection(connection)
        forwarded = list(self._forwarded.pop(connection, {}).values())
        link_id = self._links.pop(connection, None)
        self._versions.pop(connection, None)
        if link_id is not None and not known.dialled and (names or forwarded):
            self._lost[link_id] = _Lost(names, forwarded, now + self._recovery_time)
            self._lost.move_to_end(link_id)
            while len(self._lost) > RECOVERY_BOUND or self._remembered() > SUBSCRIPTION_BOUND:
                self._lost.popitem(last=False)
        effects = []
        for key, pending in list(self._pending.items()):
            if pending.asker == connection:
                del self._pending[key]
            elif key[0] == connection:
                del self._pending[key]
                effects.append(self._ack(pending.asker, pending.subscription, "connection lost"))
        return effects

    def _remembered(self) -> int:
        """Subscriptions of lost connections."""
        return sum(len(lost.names) + len(lost.forwarded) for lost in self._lost.values())

    def negotiated(self, connection: int, link_id: str, version: str, now: float) -> list[SendTo]:
        """The peer introduced itself; who was here a moment ago gets its routes back (`dataplane.md` 8)."""
        known = self.connections.get(connection)
        parsed = parse_version(version)
        if known is None or parsed is None:
            return []
        self._versions[connection] = parsed
        if known.dialled:
            return []
        self._links[connection] = link_id
        lost = self._lost.pop(link_id, None)
        if lost is None or lost.deadline < now:
            return []
        self.counters["recovered"] += 1
        for name, subscription_id in lost.names:
            self.table.add(name, connection, subscription_id, local=False)
        return self._send_again(connection, lost.forwarded)

    def reattach(self, connection: int) -> list[SendTo]:
        """A dialled connection has a new stream: send again what had been forwarded on the old one."""
        self._versions.pop(connection, None)
        effects = []
        for subscription in list(self._forwarded.get(connection, {}).values()):
            key = (connection, subscription.subscription_id)
            again = subscription if key in self._pending else subscription._replace(subscription_id=0)
            effects.append(SendTo(connection, again))
        for key, pending in self._pending.items():
            if key[0] == connection:
                self._pending[key] = pending._replace(repeated=True)
                if not pending.subscription.subscribe:
                    # The peer may have kept what it was to forget (route recovery).
                    effects.append(SendTo(connection, pending.subscription))
        return effects

    def _send_again(self, connection: int, forwarded: list[Subscription]) -> list[SendTo]:
        mine = self._forwarded.setdefault(connection, {})
        for subscription in forwarded:
            mine[subscription.destination, subscription.subscription_id] = subscription
        return [SendTo(connection, s._replace(subscription_id=0)) for s in forwarded]

    # Subscriptions

    def subscription(self, connection: int, subscription: Subscription, now: float) -> list[SendTo]:
        """Process a Subscribe or Unsubscribe that arrived on `connection`."""
        arrived = self.connections.get(connection)
        if arrived is None:
            return []
        if not arrived.local:
            # A remote peer must not steer our table: these are orders of our own applications only.
            subscription = subscription._replace(recv_from=None, forward_to=None)
        target = connection if subscription.recv_from is None else subscription.recv_from
        known = self.connections.get(target)
        if known is None:
            return self._answer(connection, subscription, f"connection {target} not found")
        forward = subscription.forward_to
        if forward is not None and forward not in self.connections:
            return self._answer(connection, subscription, f"connection {forward} not found")
        if forward is not None and self.connections[forward].local:
            forward = None
        if subscription.recv_from is None or not known.local:
            error = self._apply(target, known, subscription)
            if error:
                return self._answer(connection, subscription, error)
        if forward is None:
            return self._answer(connection, subscription, "")
        return self._forward(connection, forward, subscription, now)

    def _apply(self, target: int, known: KnownConnection, subscription: Subscription) -> str:
        """Change the table; the text of what went wrong, or nothing."""
        name, id = subscription.destination, subscription.subscription_id
        if subscription.subscribe:
            if sum(map(len, name.strings)) > NAME_BOUND:
                self.counters["subscriptions_refused"] += 1
                return f"the name has more than {NAME_BOUND} characters"
            if self.table.count(target) >= SUBSCRIPTION_BOUND:
                self.counters["subscriptions_refused"] += 1
                return f"connection {target} holds its {SUBSCRIPTION_BOUND} subscriptions"
            if self.table.total >= NODE_BOUND:
                self.counters["subscriptions_refused"] += 1
                return f"the node holds its {NODE_BOUND} subscriptions"
            self.table.add(name, target, id, local=known.local)
            return ""
        try:
            self.table.remove(name, target, id)
        except SubscriptionNotFound as exc:
            return str(exc)
        return ""

    def _forward(self, asker: int, forward: int, subscription: Subscription, now: float) -> list[SendTo]:
        sent = subscription._replace(recv_from=None, forward_to=None)
        mine = self._forwarded.setdefault(forward, {})
        key = (sent.destination, sent.subscription_id)
        if sent.subscribe:
            mine[key] = sent
        else:
            mine.pop(key, None)
        effects = [SendTo(forward, sent)]
        if sent.subscription_id and acknowledges(self._versions.get(forward)):
            self._pending[forward, sent.subscription_id] = _AwaitedAck(asker, sent, 0, now + ACK_WAIT)
        else:
            effects += self._answer(asker, subscription, "")
        return effects

    def acknowledged(self, connection: int, ack: SubscriptionAck) -> list[SendTo]:
        """A peer acknowledged something we forwarded: hand the answer on."""
        pending = self._pending.pop((connection, ack.subscription_id), None)
        if pending is None:
            return []
        if pending.repeated and not pending.subscription.subscribe:
            # A peer that knows nothing of it has forgotten it, which is what was asked for.
            ack = SubscriptionAck(ack.subscription_id, success=True)
        return [SendTo(pending.asker, ack)]

    def _answer(self, connection: int, subscription: Subscription, error: str) -> list[SendTo]:
        return [self._ack(connection, subscription, error)] if subscription.subscription_id else []

    @staticmethod
    def _ack(connection: int, subscription: Subscription, error: str) -> SendTo:
        return SendTo(connection, SubscriptionAck(subscription.subscription_id, not error, error))

    # Time

    def next_deadline(self) -> float | None:
        """When `expire` wants to be called; None while nothing waits."""
        deadlines = [p.deadline for p in self._pending.values()] + [
            lost.deadline for lost in self._lost.values()
        ]
        return min(deadlines, default=None)

    def expire(self, now: float) -> list[SendTo]:
        """Re-send or give up what was not acknowledged; forget what nobody came back for."""
        effects: list[SendTo] = []
        for key, pending in list(self._pending.items()):
            if pending.deadline > now:
                continue
            if pending.resends >= ACK_RESENDS:
                del self._pending[key]
                self.counters["acks_timed_out"] += 1
                effects.append(self._ack(pending.asker, pending.subscription, "no ack from the peer"))
            else:
                self._pending[key] = pending._replace(resends=pending.resends + 1, deadline=now + ACK_WAIT)
                effects.append(SendTo(key[0], pending.subscription))
        while self._lost and next(iter(self._lost.values())).deadline <= now:
            self._lost.popitem(last=False)
        return effects

    # Snapshots

    @property
    def changed(self) -> bool:
        """Whether a new snapshot is due."""
        return self._addresses_changed or self.table.changed

    def snapshot(self) -> Snapshot:
        """The table as it is now, for everybody who routes."""
        if self.changed:
            self._version += 1
            self._addresses_changed = False
        addresses = {index: connection.address for index, connection in self.connections.items()}
        return Snapshot(self._version, self.table.routes(), addresses)

    def status(self) -> dict[str, int]:
        """Figures: names, connections, remembered and pending entries, counters."""
        return {
            "names": len(self.table),
            "connections": len(self.connections),
            "pending_acks": len(self._pending),
            "lost_connections": len(self._lost),
            "snapshot": self._version,
            **self.counters,
        }
