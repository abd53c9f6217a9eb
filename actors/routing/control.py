"""Subscriptions as an event-driven core (`dataplane.md` 5.2, 8): processing, acknowledgements, recovery.

The RouteTable actor feeds it what connections report and performs the effects. Time is an argument.

    subscription ──► target in the table ──► forwarded to a peer? ──► its acknowledgement awaited
                                     └──────────────► visible         (5 s, three more tries) ──► ours
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

from thespian.actors import ActorAddress

from actors.messages.routing import (
    Acknowledged,
    AnnounceNames,
    Attach,
    Attached,
    ConnectionGone,
    Detach,
    Negotiated,
    NodeLinkLost,
    NodeLinkSettled,
    Reattach,
    RouteByHand,
    RouteEntry,
    RoutesChanged,
    RulesChanged,
    Subscribing,
    WatchRoutes,
)
from actors.messages.wire import Introduction, Role, Subscription, SubscriptionAck
from actors.names import NO_INSTANCE, InstanceId, Name
from actors.record import record
from actors.routing.acknowledgements import AwaitedAcks
from actors.routing.negotiation import Version, acknowledges, parse_version
from actors.routing.node_links import EdgeNames, NodeLinks
from actors.routing.partings import Partings
from actors.routing.pieces import PIECE, Pieces, piece_of
from actors.routing.recovery import RECOVERY_TIME, Lost, LostConnections
from actors.routing.shares import Holder, Shares
from actors.routing.table import Change, Departure, References, SubscriptionNotFound, SubscriptionTable
from actors.routing.turn import NameRefused, Notice, RouteTurn
from actors.routing.view import Rank
from actors.routing.withdrawals import Withdrawals
from actors.telemetry import Counts, Registry, counter


@record
class KnownConnection(NamedTuple):
    """What the core knows of a connection."""

    address: ActorAddress
    local: bool
    dialled: bool
    holder: Holder
    """Whose share of the table its subscriptions count against."""


_WILD = "*"
"""In a route by hand: any namespace, or any application."""
_ALONE = Introduction(Role.NODE, "alone")
"""A node that has not been introduced."""


class RouteCounts(Counts, part="routes"):
    recovered: int = counter("Lost connections that came back in time to have their routes again.")
    forgotten: int = counter("Lost connections forgotten before their time: too many were remembered.")
    acks_timed_out: int = counter("Forwarded subscriptions that a peer never acknowledged.")
    peers_lost: int = counter("Peers that were lost.")
    peers_returned: int = counter("Peers that came back.")
    peer_names_refused: int = counter("Names that peers told and that have no place in the table.")


class RouteControl:
    """Owns the subscription table and everything remembered about connections."""

    def __init__(
        self,
        *,
        recovery_time: float = RECOVERY_TIME,
        shares: Shares | None = None,
        no_instance: InstanceId = NO_INSTANCE,
    ) -> None:
        self.table = SubscriptionTable(no_instance)
        self.past = self.table.view.past
        self.connections: dict[int, KnownConnection] = {}
        self.shares = shares or Shares()
        self._local: dict[int, ActorAddress] = {}
        """Applications of this process."""
        self._versions: dict[int, Version] = {}
        self._links: dict[int, str] = {}
        self._forwarded: dict[int, dict[tuple[Name, int], Subscription]] = {}
        self._awaited = AwaitedAcks()
        self._withdrawals = Withdrawals()
        self._lost = LostConnections(recovery_time)
        self._watchers: dict[ActorAddress, None] = {}
        self.nodes = NodeLinks(_ALONE)
        self._edge_names: EdgeNames | None = None
        """Kept from the first link on that is told of them."""
        self._partings = Partings()
        self._told: dict[int, object] = {}
        """Connections over which the names of our edges are told, each with a mark of its own."""
        self._announced: set[int] = set()
        """Those among them that are told whoever is there."""
        self.counts = RouteCounts()
        self.may: Callable[[int, Name], str] = lambda connection, name: ""
        """Why a name may not lead to a connection that told it; nothing when it may."""
        self._pieces = Pieces[RouteTurn]()
        """What takes too long for one turn."""

    def handle(self, event: Any, turn: RouteTurn) -> None:
        """Take what a connection, an application or a watcher reports."""
        match event:
            case Subscribing():
                self._subscription(event.connection, event.subscription, turn)
            case Acknowledged():
                self._acknowledged(event.connection, event.ack, turn)
            case Attach():
                self._attach(event, turn)
            case Detach():
                self._detach(event, turn)
            case Negotiated():
                self._negotiated(event, turn)
            case Reattach():
                self._reattach(event.connection, turn)
            case WatchRoutes():
                self._watch(event.inbox, turn)
            case NodeLinkLost():
                self._node_link_lost(event.connection, event.cause, turn)
            case RouteByHand():
                self._route_by_hand(event, turn)
            case RulesChanged():
                self._judge_anew(turn)
            case AnnounceNames():
                self._announced.add(event.connection)
                self._tell_names(event.connection, turn)

    # Connections

    def _attach(self, event: Attach, turn: RouteTurn) -> None:
        holder: Holder = event.peer or event.connection
        self.connections[event.connection] = KnownConnection(
            event.address, event.local, event.dialled, holder
        )
        if event.local:
            self._local[event.connection] = event.address
        rank = Rank.LOCAL if event.local else Rank.BY_HAND if event.dialled else Rank.EDGE
        if event.backbone:
            rank = Rank.PEER
            self.table.view.reach(event.connection)
        self.table.attach(event.connection, event.address, rank)
        turn.tell(event.address, Attached(event.connection))

    def _detach(self, event: Detach, turn: RouteTurn) -> None:
        """A connection is gone for good: clean up, and remember its routes for a while if it may return."""
        connection = event.connection
        known = self.connections.pop(connection, None)
        if known is None:
            return
        self._local.pop(connection, None)
        if connection == self.table.view.backbone:
            self.table.view.reach(None)
        self._announced.discard(connection)
        self._node_gone(connection, event.cause, turn)
        departures = self.table.detach(connection)
        forwarded = list(self._forwarded.pop(connection, {}).values())
        link_id = self._links.pop(connection, None)
        self._versions.pop(connection, None)
        self._withdrawals.drop(connection)
        if link_id is not None and not known.dialled and (departures or forwarded):
            names = [name for departure in departures for name in departure.names()]
            places, now = self.shares.held(known.holder), turn.now
            earlier, forgotten = self._lost.keep(
                link_id, known.holder, names, forwarded, places=places, now=now
            )
            self.counts.forgotten += len(forgotten)
            for lost in (*forgotten, *([earlier] if earlier is not None else [])):
                self._pieces.begin(self._forgetting(lost), turn)
            self._depart(None, departures, connection, event.cause, turn)
        else:
            self._depart(known.holder, departures, connection, event.cause, turn)
        for awaited in self._awaited.drop(connection):
            self._ack(awaited.asker, awaited.subscription, "connection lost", turn)
        if event.error is not None:
            for address in self._local.values():
                turn.tell(address, ConnectionGone(connection, event.error))

    def _depart(
        self,
        holder: Holder | None,
        departures: list[Departure],
        connection: int,
        cause: str,
        turn: RouteTurn,
    ) -> None:
        """Forget what is gone; `holder` has its places back then, None if they are kept for its return."""

        def forgetting(departure: Departure) -> Callable[[RouteTurn], int]:
            def forget(turn: RouteTurn) -> int:
                gone = self.table.forget(departure, PIECE)
                if holder is not None:
                    self._release(holder, gone)
                for name, _ in gone:
                    self._note_left(name, connection, cause, turn)
                return len(gone)

            return forget

        for departure in departures:
            self._pieces.begin(forgetting(departure), turn)

    def _note_left(self, name: Name, connection: int, cause: str, turn: RouteTurn) -> None:
        """Remember that nobody has a name any more, if it is so."""
        if name.key not in self.table.view.by_name:
            self.past.left(name, connection, cause, turn.now)

    def _forgetting(self, lost: Lost) -> Callable[[RouteTurn], int]:
        """Nobody came back for it: others may have its places."""

        def forget(_: RouteTurn) -> int:
            some = lost.some()
            self._release(lost.holder, some)
            return len(some)

        return forget

    def _release(self, holder: Holder, names: list[tuple[Name, int]]) -> None:
        for name, _ in names:
            self.shares.release(holder, name)

    def _negotiated(self, event: Negotiated, turn: RouteTurn) -> None:
        """The peer introduced itself; was it here a moment ago, its routes come back (`dataplane.md` 8)."""
        connection = event.connection
        known = self.connections.get(connection)
        parsed = parse_version(event.version)
        if known is None or parsed is None:
            return
        self._versions[connection] = parsed
        if event.node is not None:
            self._join(event, event.node, turn)
            return
        if known.dialled:
            return
        self._links[connection] = event.link_id
        lost = self._lost.take(event.link_id)
        if lost is None:
            return
        if lost.deadline < turn.now:
            self._pieces.begin(self._forgetting(lost), turn)
            return
        self.counts.recovered += 1
        self._pieces.begin(self._recovering(connection, lost), turn)
        mine = self._forwarded.setdefault(connection, {})
        for subscription in lost.forwarded:
            mine[subscription.destination, subscription.subscription_id] = subscription
            turn.write(connection, subscription._replace(subscription_id=0))

    def _recovering(self, connection: int, lost: Lost) -> Callable[[RouteTurn], int]:
        """The names of `lost` lead to `connection`, for as long as that is there."""

        def recover(turn: RouteTurn) -> int:
            some = lost.some()
            self._release(lost.holder, some)
            known = self.connections.get(connection)
            if known is not None:
                for name, subscription_id in some:
                    self._add(name, connection, known.holder, subscription_id, turn)
            return len(some)

        return recover

    def _reattach(self, connection: int, turn: RouteTurn) -> None:
        """A dialled connection has a new stream: send again what had been forwarded on the old one."""
        self._versions.pop(connection, None)
        for withdrawn in self._withdrawals.of(connection):
            # The peer may have kept it (route recovery). First of all: it takes what stands under id 0 along.
            turn.write(connection, withdrawn)
        if connection in self._announced:
            self._tell_names(connection, turn)
        for subscription in self._forwarded.get(connection, {}).values():
            asked = (connection, subscription.subscription_id)
            again = subscription if asked in self._awaited else subscription._replace(subscription_id=0)
            turn.write(connection, again)
        self._awaited.repeat(connection)

    # Subscriptions

    def _subscription(self, connection: int, subscription: Subscription, turn: RouteTurn) -> None:
        """Process a Subscribe or Unsubscribe that arrived on `connection`."""
        arrived = self.connections.get(connection)
        if arrived is None:
            return
        if not arrived.local:
            # A remote peer must not steer our table: these are orders of our own applications only.
            subscription = subscription._replace(recv_from=None, forward_to=None)
            if self.nodes.superseded(connection):
                return
        target = connection if subscription.recv_from is None else subscription.recv_from
        known = self.connections.get(target)
        if known is None:
            self._refuse(connection, subscription, f"connection {target} not found", turn)
            return
        forward = subscription.forward_to
        if forward is not None and forward not in self.connections:
            self._refuse(connection, subscription, f"connection {forward} not found", turn)
            return
        if forward is not None and self.connections[forward].local:
            forward = None
        if subscription.recv_from is None or not known.local:
            error = self._apply(target, known.holder, subscription, turn)
            if error:
                self._refuse(connection, subscription, error, turn)
                return
        if forward is None:
            self._answer(connection, subscription, "", turn)
        else:
            self._forward(connection, forward, subscription, turn)

    def _apply(self, target: int, holder: Holder, subscription: Subscription, turn: RouteTurn) -> str:
        """Change the table; the text of what went wrong, or nothing."""
        name, id = subscription.destination, subscription.subscription_id
        by_hand = subscription.recv_from is not None
        if subscription.subscribe:
            return self._add(name, target, holder, id, turn, by_hand=by_hand)
        try:
            gone = self.table.remove(name, target, id, by_hand=by_hand)
        except SubscriptionNotFound as exc:
            return str(exc)
        for _ in range(gone):
            self.shares.release(holder, name)
        node_id = self.table.view.node_links.get(target)
        cause = "unsubscribed" if node_id is None else f"node {node_id} says that it is gone there"
        self._note_left(name, target, cause, turn)
        return ""

    def _judge_anew(self, turn: RouteTurn) -> None:
        """Other rules are in force: what they forbid leads to nobody any more."""
        for connection, known in self.connections.items():
            if not known.local:
                told = self.table.told_by(connection)
                self._pieces.begin(self._judging(connection, known.holder, told), turn)

    def _judging(self, connection: int, holder: Holder, told: list[References]) -> Callable[[RouteTurn], int]:
        def judge(turn: RouteTurn) -> int:
            some = piece_of(told)
            for references in some:
                if not (why := self.may(connection, references.name)):
                    continue
                for id in list(references):
                    with contextlib.suppress(SubscriptionNotFound):
                        for _once in range(self.table.remove(references.name, connection, id)):
                            self.shares.release(holder, references.name)
                self._note_left(references.name, connection, why, turn)
            return len(some)

        return judge

    def _add(
        self, name: Name, connection: int, holder: Holder, id: int, turn: RouteTurn, *, by_hand: bool = False
    ) -> str:
        from_node = connection in self.nodes and not by_hand
        known = self.connections.get(connection)
        of_others = not by_hand and known is not None and not known.local
        if of_others and (why := self.may(connection, name)):
            return why
        refused = self.shares.acquire(holder, name, node_link=from_node)
        if refused:
            self.counts.peer_names_refused += from_node
            if of_others:
                peer = holder if isinstance(holder, str) else ""
                turn.refused.append(NameRefused(name, connection, peer, refused))
        elif not self.table.add(name, connection, id, by_hand=by_hand):
            self.shares.release(holder, name)
        return refused

    def _forward(self, asker: int, forward: int, subscription: Subscription, turn: RouteTurn) -> None:
        sent = subscription._replace(recv_from=None, forward_to=None)
        mine = self._forwarded.setdefault(forward, {})
        key = (sent.destination, sent.subscription_id)
        if sent.subscribe:
            mine[key] = sent
        else:
            mine.pop(key, None)
        turn.write(forward, sent)
        if sent.subscription_id and acknowledges(self._versions.get(forward)):
            if not sent.subscribe:
                self._withdrawals.ask(forward, sent)
            self._awaited.ask(forward, asker, sent, turn.now)
        else:
            self._answer(asker, subscription, "", turn)

    def _acknowledged(self, connection: int, ack: SubscriptionAck, turn: RouteTurn) -> None:
        """A peer acknowledged something we forwarded: hand the answer on."""
        self._withdrawals.acknowledged(connection, ack.subscription_id)
        awaited = self._awaited.take(connection, ack.subscription_id)
        if awaited is None:
            return
        if not ack.success and awaited.subscription.subscribe:
            self.past.refused(awaited.subscription.destination, connection, ack.error, turn.now)
        if awaited.repeated and not awaited.subscription.subscribe:
            # A peer that knows nothing of it has forgotten it, which is what was asked for.
            ack = SubscriptionAck(ack.subscription_id, success=True)
        turn.write(awaited.asker, ack)

    def _refuse(self, connection: int, subscription: Subscription, error: str, turn: RouteTurn) -> None:
        """It cannot be; people may ask why later."""
        if subscription.subscribe:
            self.past.refused(subscription.destination, connection, error, turn.now)
        self._answer(connection, subscription, error, turn)

    def _answer(self, connection: int, subscription: Subscription, error: str, turn: RouteTurn) -> None:
        if subscription.subscription_id:
            self._ack(connection, subscription, error, turn)

    @staticmethod
    def _ack(connection: int, subscription: Subscription, error: str, turn: RouteTurn) -> None:
        turn.write(connection, SubscriptionAck(subscription.subscription_id, not error, error))

    # Other nodes (`backbone.md`)

    def _join(self, event: Negotiated, node: Introduction, turn: RouteTurn) -> None:
        """The other end is a node: use the link, or the one there is already."""
        connection, known = event.connection, self.connections[event.connection]
        settled = self.nodes.join(connection, node, dialled=known.dialled, link_id=event.link_id)
        turn.tell(known.address, NodeLinkSettled(settled.outcome, node.node_id))
        if settled.loser is not None:
            self._unlink(settled.loser, "another link to that node stays", turn)
            turn.tell(
                self.connections[settled.loser].address, NodeLinkSettled(settled.gives_way, node.node_id)
            )
        if settled.outcome == "joined":
            self.table.link(connection, node.node_id)
            peer = self.nodes.peers[node.node_id]
            if self._partings.back(node.node_id):
                turn.notices.append(Notice("peer goes on over another link", node.node_id, connection))
            elif settled.loser is None:
                self.counts.peers_returned += bool(peer.returns)
                text = "peer is back" if peer.returns else "peer joined"
                turn.notices.append(Notice(text, node.node_id, connection))
            elif settled.gives_way == "displaced":
                turn.notices.append(Notice("peer was started anew", node.node_id, connection))
            self._tell_names(connection, turn)
        elif settled.outcome == "namesake" and self.nodes.is_news(node):
            turn.notices.append(
                Notice("two nodes have one id", node.node_id, connection, "give each its own")
            )

    def _node_link_lost(self, connection: int, cause: str, turn: RouteTurn) -> None:
        """The stream of a node link is gone; the connection may dial again."""
        if connection in self.nodes:
            node_id = self._node_gone(connection, cause, turn)
            self._unlink(connection, f"the link to node {node_id} is gone: {cause}", turn)

    def _node_gone(self, connection: int, cause: str, turn: RouteTurn) -> str | None:
        node_id = self.nodes.leave(connection)
        self._told.pop(connection, None)
        if node_id is not None:
            self.counts.peers_lost += 1
            self.past.link_lost(node_id, connection, cause, turn.now)
            self._partings.lost(Notice("peer lost", node_id, connection, cause), turn)
        return node_id

    def _unlink(self, connection: int, cause: str, turn: RouteTurn) -> None:
        """What the node at the other end told does not count any more."""
        if connection not in self._announced:
            self._told.pop(connection, None)
        holder, told = self.connections[connection].holder, self.table.unlink(connection)
        self._depart(holder, told, connection, cause, turn)

    def _tell_names(self, connection: int, turn: RouteTurn) -> None:
        """Tell all names of our edges, and from now on what changes."""
        if connection not in self.connections:
            return
        if self._edge_names is None:
            self.announce(turn)
            self._edge_names = EdgeNames()
            self._edge_names.take(self.table.record_changes())
        # Those who are told already get what is due before this one joins them.
        self.announce(turn)
        mark = self._told[connection] = object()
        self._pieces.begin(self._telling(connection, mark, list(self._edge_names.all())), turn)

    def _telling(self, connection: int, mark: object, names: list[Name]) -> Callable[[RouteTurn], int]:
        """Tell what of `names` is still true when its turn comes; what changes is told besides."""

        def tell(turn: RouteTurn) -> int:
            if self._edge_names is None or self._told.get(connection) is not mark:
                return 0
            some = piece_of(names)
            for name in some:
                if name in self._edge_names:
                    turn.write(connection, Subscription(True, name, name))
            return len(some)

        return tell

    def _route_by_hand(self, event: RouteByHand, turn: RouteTurn) -> None:
        known = self.connections.get(event.connection)
        if known is None:
            return
        name, connection = event.name, event.connection
        if not name.has_id:
            given = name.strings.index(_WILD) if _WILD in name.strings else len(name.strings)
            prefix = name.key[: 8 * given]
            (self.table.add_pattern if event.present else self.table.remove_pattern)(prefix, connection)
        elif event.present:
            self._add(name, connection, known.holder, 0, turn, by_hand=True)
        else:
            with contextlib.suppress(SubscriptionNotFound):
                for _ in range(self.table.remove(name, connection, 0, by_hand=True)):
                    self.shares.release(known.holder, name)

    # Those who follow the table from elsewhere

    def _watch(self, inbox: ActorAddress, turn: RouteTurn) -> None:
        self.announce(turn)
        self._watchers[inbox] = None
        turn.tell(inbox, RoutesChanged(_entries(self.table.record_changes()), complete=True))

    def announce(self, turn: RouteTurn) -> None:
        """Tell the watchers what has changed since the last time."""
        changes = self.table.changes()
        if self._edge_names is not None:
            self._edge_names.take(changes)
            for name, present in self._edge_names.changes():
                for connection in self._told:
                    turn.write(connection, Subscription(present, name, name))
        if changes and self._watchers:
            changed = RoutesChanged(_entries(changes))
            for inbox in self._watchers:
                turn.tell(inbox, changed)

    # Time

    def next_deadline(self) -> float | None:
        """When `expire` wants to be called: 0 as soon as others had their turn; None while nothing waits."""
        if self._pieces:
            return 0.0
        due = (part.next_deadline() for part in (self._awaited, self._lost, self._partings))
        return min((one for one in due if one is not None), default=None)

    def expire(self, turn: RouteTurn) -> None:
        """Re-send or give up what was not acknowledged; forget what nobody came back for."""
        self._pieces.go_on(turn)
        for awaited in self._awaited.expired(turn.now):
            if not awaited.given_up:
                self._awaited.again(awaited, turn.now)
                turn.write(awaited.peer, awaited.subscription)
                continue
            self.counts.acks_timed_out += 1
            if awaited.subscription.subscribe:
                destination = awaited.subscription.destination
                self.past.refused(destination, awaited.peer, "no ack from the peer", turn.now)
            self._ack(awaited.asker, awaited.subscription, "no ack from the peer", turn)
        self._partings.expire(turn)
        for lost in self._lost.expired(turn.now):
            self._pieces.begin(self._forgetting(lost), turn)

    def register(self, telemetry: Registry) -> None:
        """Count in `telemetry`."""
        telemetry.register(self.counts)
        read, shares = telemetry.read, self.shares
        read("routes_names", "Names in the subscription table.", lambda: len(self.table))
        read("routes_places", "Places of the table that are taken.", lambda: shares.total)
        read("routes_connections", "Connections and applications.", lambda: len(self.connections))
        read("routes_jobs", "What the table has yet to forget, or to repeat.", lambda: len(self._pieces))
        read("routes_refused_total", "Subscriptions without a place for them.", lambda: shares.refused)

    def introduce(self, own: Introduction) -> None:
        """What this node is to others. Once, before anything else."""
        self.nodes = NodeLinks(own)

    def status(self) -> dict[str, Any]:
        """Figures: names, connections, remembered and pending entries, counters, and the peers."""
        return {
            "names": len(self.table),
            "places": self.shares.total,
            "connections": len(self.connections),
            "pending_acks": len(self._awaited),
            "lost_connections": len(self._lost),
            "subscriptions_refused": self.shares.refused,
            **self.counts.figures(),
            "peers": {
                node_id: {
                    "connection": peer.connection,
                    "losses": peer.losses,
                    "returns": peer.returns,
                }
                for node_id, peer in self.nodes.peers.items()
            },
        }


def _entries(changes: list[Change]) -> tuple[RouteEntry, ...]:
    return tuple(
        RouteEntry(name, connection, rank is Rank.LOCAL, present, rank <= Rank.EDGE)
        for name, connection, rank, present in changes
    )
