"""The controller's core: what nodes tell and programs ask, in; what is to be sent, answered and stored, out.

It owns the nodes and the names they hold, and hands the rest on: routes to the Reconciler, channels to
Channels. What is derived (automatic links and routes) is planned anew whenever a node or the holders of a
name change.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from actors.controller import names
from actors.controller.channels import ORDER_TIME, Channel, Channels
from actors.controller.connections import check_connection, host_and_port
from actors.controller.network import Edge, KnownNode, WantedLink, circle, link, peer_pairs, routes_of
from actors.controller.reconciler import ACK_TIME, DELETING, MAX_ATTEMPTS, Item, Reconciler
from actors.controller.turn import ControllerTurn, Declined, Save
from actors.incarnations import Incarnations
from actors.messages.controller import (
    AddParticipant,
    AddRoute,
    Configured,
    CreateChannel,
    CreateConnection,
    CreateSubscription,
    DeleteChannel,
    DeleteParticipant,
    DeleteRoute,
    DeleteSubscription,
    DeregisterNode,
    Direction,
    DrawnLink,
    GroupsTold,
    Held,
    ListChannels,
    ListNodes,
    ListParticipants,
    ListRoutes,
    NamesListed,
    NamesTold,
    NamesWanted,
    NodeAddress,
    NodeForgotten,
    NodeGone,
    NodeRegistered,
    NodeShown,
    OrderDone,
    RouteShown,
    Superseded,
    Triple,
)

ORDERS_FROM = ("controller", "controller", "controller")
"""The name that nodes give orders under (`controller.md` 6.1)."""


class Controller:
    """All that a controller decides.

    `draw` gives a random number below a bound; `tls` is the section for links that are drawn to nodes with
    TLS; `automatic` lets the controller draw links and set routes of its own.
    """

    def __init__(
        self,
        draw: Callable[[int], int],
        *,
        tls: Mapping[str, Any] | None = None,
        automatic: bool = True,
        ack_time: float = ACK_TIME,
        order_time: float = ORDER_TIME,
        max_attempts: int = MAX_ATTEMPTS,
    ) -> None:
        self._tls = dict(tls or {})
        self._automatic = automatic
        self._nodes: dict[str, KnownNode] = {}
        self._connected: dict[str, Any] = {}
        """Nodes that have a stream, and that stream's inbox."""
        self._runs, self._run = Incarnations(), dict[str, int | str]()
        """Which run of each node has registered; of an original the host it is at stands for that."""
        self._gone: dict[str, str] = {}
        """Why the others have none."""
        self._held: dict[str, dict[Held, None]] = {}
        """By node."""
        self._holders: dict[Triple, dict[str, set[int | None]]] = {}
        self._orphans: dict[str, tuple[Direction, ...]] = {}
        self._reconciler = Reconciler(ack_time=ack_time, max_attempts=max_attempts)
        self._channels = Channels(self._locate, draw, order_time=order_time)

    def load(self, entries: Iterable[Save]) -> None:
        """Take over what was stored. Called once, before anything else."""
        for entry in entries:
            if entry.value is None:
                continue
            match entry.kind:
                case "node":
                    addresses, *rest = entry.value
                    node = KnownNode(entry.key[0], tuple(NodeAddress(*one) for one in addresses), *rest)
                    self._nodes[node.id] = node
                    self._gone[node.id] = "not seen since the controller started"
                case "held":
                    self._hold(entry.key[0], Held(_triple(entry.key[1]), entry.key[2]))
                case "item":
                    node_id, connection, name, *more = entry.value
                    item = Item(node_id, connection, None if name is None else _triple(name), *more[:6])
                    item.sent = more[6]
                    self._reconciler.load(item)
                case "channel":
                    moderators, participants = entry.value
                    self._channels.load(Channel(entry.key[0], tuple(moderators), list(participants)))

    def inbox(self, node: str) -> Any:
        """Where a connected node's stream takes records; None without one."""
        return self._connected.get(node)

    def next_deadline(self) -> float | None:
        """When `expire` is to be called, on the turn's clock."""
        times = (self._reconciler.next_deadline(), self._channels.next_deadline())
        return min((time for time in times if time is not None), default=None)

    def handle(self, event: Any, turn: ControllerTurn) -> None:
        """Something that a node told."""
        match event:
            case NodeGone():
                if self._connected.get(event.node) == event.inbox:
                    self._lost(event.node, event.cause, turn)
            case NodeForgotten():
                if self._connected.get(event.node) == event.inbox:
                    self._forget(event.node, turn)
            case NamesListed():
                self._listed(event, turn)
            case NamesTold():
                self._told(event, turn)
            case GroupsTold():
                if event.node in self._connected:
                    self._channels.told(event.node, event.groups)
            case Configured():
                self._reconciler.configured(event, turn)
            case OrderDone():
                self._channels.done(event, turn)
        self.expire(turn)

    def ask(self, question: Any, ticket: Hashable, deadline: float, turn: ControllerTurn) -> None:
        """A program's question: the answer to `ticket` is among the effects, now or in a later turn."""
        try:
            match question:
                case NodeRegistered():
                    self._register(question, turn)
                    turn.answer(ticket)
                case CreateChannel() | DeleteChannel() | AddParticipant() | DeleteParticipant():
                    self._channels.ask(question, ticket, deadline, turn)
                case CreateConnection():
                    self._create_connection(question, ticket, turn)
                case CreateSubscription():
                    self._create_subscription(question, ticket, turn)
                case AddRoute():
                    self._add_route(question, ticket, turn)
                case DeleteRoute():
                    self._delete_route(question, ticket, turn)
                case DeleteSubscription():
                    self._delete_subscription(question, ticket, turn)
                case DeregisterNode():
                    self._known(question.node)
                    self._forget(question.node, turn)
                    turn.answer(ticket, before="known", after="absent")
                case ListNodes():
                    turn.answer(ticket, self._nodes_shown())
                case ListRoutes():
                    turn.answer(ticket, self._routes_shown(question))
                case ListChannels():
                    turn.answer(ticket, self._channels.shown())
                case ListParticipants():
                    turn.answer(ticket, self._channels.participants(question.channel))
                case _:
                    turn.refuse(ticket, "UNIMPLEMENTED", f"{type(question).__name__} is no question")
        except Declined as error:
            turn.refuse(ticket, error.status, error.text)
        self.expire(turn)

    def expire(self, turn: ControllerTurn) -> None:
        """Give up whose time is over, and send what is due."""
        self._channels.expire(turn)
        self._reconciler.expire(turn)

    # Nodes

    def _register(self, event: NodeRegistered, turn: ControllerTurn) -> None:
        """The latest run of a node has its place. Raises Declined when the node's id is somebody else's."""
        names.node_id(event.node)
        known = self._nodes.get(event.node)
        if known is not None and known.subject and known.subject != event.subject:
            raise Declined("PERMISSION_DENIED", f"{event.node} belongs to another identity")
        former, run = self._connected.get(event.node), event.boot or event.host
        if former is not None and self._runs.is_earlier(event.node, run, self._run[event.node]):
            there = known.host if known is not None else "elsewhere"
            raise Declined(
                "ALREADY_EXISTS",
                f"another node is registered as {event.node}, from {there}, and came later: "
                "give each its own id",
            )
        self._runs.met(event.node, run)
        self._run[event.node] = run
        node = KnownNode(
            event.node, event.addresses, event.group, event.host, event.version, event.backbone, event.subject
        )
        if former is not None and former != event.inbox:
            turn.to(event.node, Superseded("the node has registered again"), former)
            self._lost(event.node, "it registered again", turn)
        self._connected[event.node] = event.inbox
        self._gone.pop(event.node, None)
        self._nodes[event.node] = node
        turn.save("node", (node.id,), (node.addresses, *node[2:]))
        self._reconciler.joined(event.node, turn)
        if known is None or known != node:
            self._plan_links(turn)
            self._plan(list(self._holders), turn)
        turn.to(event.node, NamesWanted())

    def _lost(self, node: str, cause: str, turn: ControllerTurn) -> None:
        del self._connected[node]
        self._gone[node] = cause
        self._reconciler.left(node, cause, turn)
        self._channels.left(node, cause, turn)

    def _forget(self, node: str, turn: ControllerTurn) -> None:
        if node in self._connected:
            turn.to(node, Superseded("the node was deregistered"), self._connected[node])
            self._lost(node, "it was deregistered", turn)
        self._gone.pop(node, None)
        self._run.pop(node, None)
        del self._nodes[node]
        turn.save("node", (node,), None)
        for held in list(self._held.get(node, ())):
            self._release(node, held)
            turn.save("held", (node, held.name, held.id), None)
        self._orphans.pop(node, None)
        self._reconciler.forget_node(node, turn)
        for item in list(self._reconciler.items()):
            if item.destination == node:
                self._reconciler.unwant(item.key, turn)
        self._plan_links(turn)
        self._plan(list(self._holders), turn)

    def _known(self, node: str) -> KnownNode:
        """Raises Declined (NOT_FOUND)."""
        found = self._nodes.get(node)
        if found is None:
            listed = ", ".join(sorted(self._nodes)) or "none"
            raise Declined("NOT_FOUND", f"there is no node {node!r}; known: {listed}")
        return found

    # Names

    def _hold(self, node: str, held: Held) -> None:
        self._held.setdefault(node, {})[held] = None
        self._holders.setdefault(held.name, {}).setdefault(node, set()).add(held.id)

    def _release(self, node: str, held: Held) -> None:
        self._held[node].pop(held, None)
        holders = self._holders[held.name]
        holders[node].discard(held.id)
        if not holders[node]:
            del holders[node]
        if not holders:
            del self._holders[held.name]

    def _told(self, event: NamesTold, turn: ControllerTurn) -> None:
        if event.node not in self._connected:
            return
        own = self._held.setdefault(event.node, {})
        changed = set()
        for held in event.gained:
            if held not in own:
                self._hold(event.node, held)
                turn.save("held", (event.node, held.name, held.id), ())
                changed.add(held.name)
        for held in event.lost:
            if held in own:
                self._release(event.node, held)
                turn.save("held", (event.node, held.name, held.id), None)
                changed.add(held.name)
        self._plan(changed, turn)

    def _listed(self, event: NamesListed, turn: ControllerTurn) -> None:
        """The whole set of a node's names: it replaces what was known."""
        own = set(self._held.get(event.node, ()))
        now = set(event.own)
        self._told(NamesTold(event.node, tuple(now - own), tuple(own - now)), turn)
        drawn = {item.connection_id for item in self._reconciler.items(event.node) if item.name is None}
        self._orphans[event.node] = tuple(
            one
            for one in event.remote
            if one.connection_id in drawn
            and not self._is_peer_link(event.node, one.connection_id)
            and self._reconciler.item((event.node, *one)) is None
        )

    def _is_peer_link(self, node: str, connection_id: str) -> bool:
        """Whether names travel over the link by themselves: then they are nobody's orphans."""
        item = self._reconciler.item((node, connection_id))
        return item is not None and '"peer": true' in item.config

    def _locate(self, name: Triple, id: int | None) -> tuple[str, int] | None:
        """The first connected node, in their order, with an instance of an application."""
        for node, ids in sorted(self._holders.get(name, {}).items()):
            if node in self._connected:
                instances = sorted(one for one in ids if one is not None and id in (None, one))
                if instances:
                    return node, instances[0]
        return None

    # What is automatic

    def _plan_links(self, turn: ControllerTurn) -> None:
        """One link for each pair of nodes of Callboard."""
        if not self._automatic:
            return
        wanted = {}
        for source, destination in peer_pairs(self._nodes.values()):
            made = link(source, destination, self._tls, peer=True)
            item = self._link_item(made)
            wanted[item.key] = True
            if made.problem:
                self._reconciler.refuse(item, made.problem, turn)
            else:
                self._reconciler.want(item, turn)
        for item in list(self._reconciler.items()):
            drawn = item.automatic and item.name is None and item.key not in wanted
            if drawn and (not item.config or self._is_peer_link(item.node, item.connection_id)):
                self._reconciler.unwant(item.key, turn)

    @staticmethod
    def _link_item(made: WantedLink) -> Item:
        # What cannot be has no endpoint: it is listed under the node it should lead to.
        connection = made.endpoint or f"-> {made.destination}"
        return Item(made.source, connection, config=made.config, destination=made.destination, automatic=True)

    def _plan(self, changed: Iterable[Triple], turn: ControllerTurn) -> None:
        """The automatic routes of some names."""
        if not self._automatic:
            return
        # Every node answers to this name itself.
        wanted_names = set(changed) - {ORDERS_FROM}
        present = [item for item in self._reconciler.items() if item.automatic and item.name in wanted_names]
        edges = list(self._edges())
        wanted = set()
        for name in wanted_names:
            for route in routes_of(name, self._holders.get(name, {}), self._nodes, edges):
                made = link(self._nodes[route.source], self._nodes[route.destination], self._tls, peer=False)
                problem = route.problem or made.problem
                connection = made.endpoint or f"-> {route.destination}"
                item = Item(
                    route.source,
                    connection,
                    name,
                    route.held.id,
                    destination=route.destination,
                    automatic=True,
                )
                wanted.add(item.key)
                if problem:
                    self._reconciler.refuse(item, problem, turn)
                    continue
                if self._reconciler.item((route.source, connection)) is None:
                    self._reconciler.want(self._link_item(made), turn)
                self._reconciler.want(item, turn)
        for item in present:
            if item.key not in wanted:
                self._reconciler.unwant(item.key, turn)
                self._drop_unused(item.node, item.connection_id, turn)

    def _drop_unused(self, node: str, connection_id: str, turn: ControllerTurn) -> None:
        """Take away a link that was drawn for routes when its last one goes."""
        over = self._reconciler.item((node, connection_id))
        if over is None or not over.automatic or self._is_peer_link(node, connection_id):
            return
        if not any(
            item.connection_id == connection_id and item.name is not None and item.status != DELETING
            for item in self._reconciler.items(node)
        ):
            self._reconciler.unwant(over.key, turn)

    def _edges(self) -> Iterable[Edge]:
        """Routes by hand between nodes that are known."""
        for item in self._reconciler.items():
            if item.name is not None and not item.automatic and item.destination and item.status != DELETING:
                yield Edge(item.node, item.destination, item.name, item.id)

    # Routes by hand

    def _at(self, endpoint: str) -> str:
        """The known node at an endpoint; empty when it is nobody's."""
        wanted = host_and_port(endpoint)
        for node in self._nodes.values():
            for address in node.addresses:
                hosts = (address.local or node.host, address.external, address.endpoint)
                port = address.endpoint.rpartition(":")[2]
                if wanted in {
                    host_and_port(host if ":" in host.rpartition("]")[2] else f"{host}:{port}")
                    for host in hosts
                    if host
                }:
                    return node.id
        return ""

    def _add_route(self, question: AddRoute, ticket: Hashable, turn: ControllerTurn) -> None:
        name = names.checked(question.name, "subscription")
        source = self._known(question.node)
        if question.destination:
            destination = self._known(question.destination)
            if destination.id == source.id:
                raise Declined("INVALID_ARGUMENT", f"destNodeId: {source.id} is the source itself")
            made = link(source, destination, self._tls, peer=False)
            if made.problem:
                raise Declined("FAILED_PRECONDITION", made.problem)
            connection, target = DrawnLink(made.endpoint, made.config), destination.id
        elif question.connection is not None:
            connection = question.connection
            check_connection(connection)
            target = self._at(connection.connection_id)
            if target == source.id:
                raise Declined("INVALID_ARGUMENT", f"connection: {source.id} is the source itself")
        else:
            raise Declined("INVALID_ARGUMENT", "destNodeId or connection: one is required")
        self._check_circle(Edge(source.id, target, name, question.id))
        known = self._reconciler.item((source.id, connection.connection_id))
        if known is None or known.status == DELETING or question.connection is not None:
            self._reconciler.want(
                Item(source.id, connection.connection_id, config=connection.config, destination=target), turn
            )
        item = Item(source.id, connection.connection_id, name, question.id, destination=target)
        before = self._reconciler.item(item.key)
        item = self._reconciler.want(item, turn)
        self._plan((name,), turn)
        turn.answer(
            ticket, _route_text(item), before="absent" if before is None else before.status, after=item.status
        )

    def _check_circle(self, edge: Edge) -> None:
        """Raise Declined when a route would close a circle among the nodes that are known."""
        if edge.destination:
            found = circle(edge, self._edges())
            if found is not None:
                raise Declined(
                    "FAILED_PRECONDITION",
                    f"{names.shown(edge.name, edge.id)} would go in a circle: {' -> '.join(found)}",
                )

    def _delete_route(self, question: DeleteRoute, ticket: Hashable, turn: ControllerTurn) -> None:
        name = names.checked(question.name, "subscription")
        self._known(question.node)
        if question.destination:
            self._known(question.destination)
        elif not question.connection_id:
            raise Declined("INVALID_ARGUMENT", "destNodeId or subscription.connection_id: one is required")
        for item in list(self._reconciler.items(question.node)):
            if (item.name, item.id) != (name, question.id) or item.automatic or item.status == DELETING:
                continue
            if question.destination in ("", item.destination) and question.connection_id in (
                "",
                item.connection_id,
            ):
                before = item.status
                self._reconciler.unwant(item.key, turn)
                self._plan((name,), turn)
                turn.answer(ticket, _route_text(item), before=before, after=DELETING)
                return
        for orphan in self._orphans.get(question.node, ()):
            if orphan == Direction(name, question.id, question.connection_id):
                item = Item(question.node, orphan.connection_id, name, orphan.id, sent=True)
                self._reconciler.load(item)
                self._reconciler.unwant(item.key, turn)
                self._orphans[question.node] = tuple(o for o in self._orphans[question.node] if o != orphan)
                turn.answer(ticket, _route_text(item), before="ORPHAN", after=DELETING)
                return
        where = question.destination or question.connection_id
        raise Declined(
            "NOT_FOUND", f"no route by hand {question.node}:{names.shown(name, question.id)} to {where}"
        )

    def _online(self, node: str) -> None:
        """Raise Declined unless a node is known and connected."""
        self._known(node)
        if node not in self._connected:
            raise Declined("UNAVAILABLE", f"{node} is not connected: {self._gone.get(node, 'unknown')}")

    def _create_connection(self, question: CreateConnection, ticket: Hashable, turn: ControllerTurn) -> None:
        check_connection(question.connection)
        self._online(question.node)
        connection = question.connection
        item = self._reconciler.want(
            Item(
                question.node,
                connection.connection_id,
                config=connection.config,
                destination=self._at(connection.connection_id),
            ),
            turn,
        )
        self._when_applied(item, ticket, turn)

    def _create_subscription(
        self, question: CreateSubscription, ticket: Hashable, turn: ControllerTurn
    ) -> None:
        route = question.route
        name = names.checked(route.name, "subscription")
        self._online(question.node)
        over = self._reconciler.item((question.node, route.connection_id))
        if over is None or over.status == DELETING:
            raise Declined(
                "NOT_FOUND",
                f"subscription.connection_id: {question.node} has no connection {route.connection_id!r}",
            )
        self._check_circle(Edge(question.node, over.destination, name, route.id))
        item = Item(question.node, route.connection_id, name, route.id, destination=over.destination)
        item = self._reconciler.want(item, turn)
        self._plan((name,), turn)
        self._when_applied(item, ticket, turn)

    def _when_applied(self, item: Item, ticket: Hashable, turn: ControllerTurn) -> None:
        if item.status == "APPLIED":
            turn.answer(ticket, item.connection_id, before=item.status, after=item.status)
        else:
            item.waiting.append(ticket)

    def _delete_subscription(
        self, question: DeleteSubscription, ticket: Hashable, turn: ControllerTurn
    ) -> None:
        self._known(question.node)
        text, _, connection = question.subscription_id.partition("@")
        parts = text.split("/")
        id = int(parts[3]) if len(parts) == 4 and parts[3].isdigit() else None
        name = names.checked(tuple(parts[:3]), "subscription_id")
        self._delete_route(DeleteRoute(question.node, name, id, connection_id=connection), ticket, turn)

    # What is shown

    def _nodes_shown(self) -> tuple[NodeShown, ...]:
        return tuple(
            NodeShown(
                node.id,
                node.id in self._connected,
                node.addresses,
                self._gone.get(node.id) or (f"Callboard {node.version}" if node.version else ""),
            )
            for node in sorted(self._nodes.values(), key=lambda one: one.id)
        )

    def _routes_shown(self, question: ListRoutes) -> tuple[RouteShown, ...]:
        for node in filter(None, question):
            self._known(node)
        shown = [
            RouteShown(
                _route_text(item),
                item.node,
                item.destination,
                item.connection_id,
                "" if item.name is None else names.shown(item.name, item.id),
                item.status,
                item.reason,
                item.attempts,
                item.automatic,
            )
            for item in self._reconciler.items()
        ]
        shown += [
            RouteShown(
                f"{node}:{names.shown(one.name, one.id)}->[{one.connection_id}]",
                node,
                self._at(one.connection_id),
                one.connection_id,
                names.shown(one.name, one.id),
                "ORPHAN",
                "the node has it and nobody wants it",
                0,
                False,
            )
            for node, orphans in self._orphans.items()
            for one in orphans
        ]
        return tuple(
            one
            for one in sorted(shown, key=lambda one: one.id)
            if question.source in ("", one.source) and question.destination in ("", one.destination)
        )


def _triple(name: Iterable[str]) -> Triple:
    one, two, three = name
    return (one, two, three)


def _route_text(item: Item) -> str:
    """The text form of a route (`controller.md` 5), or of a link."""
    where = f"{item.destination}[{item.connection_id}]"
    if item.name is None:
        return f"{item.node}->{where}"
    return f"{item.node}:{'/'.join(item.name)}/{'*' if item.id is None else item.id}->{where}"
