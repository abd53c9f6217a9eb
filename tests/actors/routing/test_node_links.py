"""Whole networks of pure cores: links and names that come and go in any order, and what reaches whom."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.routing import Attach, Detach, Negotiated, NodeLinkSettled, RouteByHand, Subscribing
from actors.messages.wire import ALL, ONE, Frame, Introduction, Role, Subscription
from actors.names import Name
from actors.routing.control import RouteControl
from actors.routing.node_link import HOPS, HopCount, hops_of
from actors.routing.router import Router
from actors.routing.turn import RouteTurn
from actors.routing.view import InwardView

NAMES = [Name("org", "ns", text) for text in ("one", "two")]


class Node:
    """A node of the stage: its core, and the routers of its connections."""

    def __init__(self, id: str, boot: int) -> None:
        self.introduction = Introduction(Role.NODE, id, boot)
        self.core = RouteControl()
        self.core.introduce(self.introduction)
        self.ends: dict[int, tuple[Node, int]] = {}
        """By connection, the other end of node links."""
        self.edges: list[int] = []
        self.routers: dict[int, Router] = {}
        self.got: Counter[int] = Counter()
        """By edge."""
        self._indices = iter(range(1, 10_000))

    def edge(self) -> int:
        index = next(self._indices)
        self.edges.append(index)
        self.routers[index] = Router(index, self.core.table.view)
        return index

    def link(self, far: Node, far_index: int, index: int) -> None:
        self.ends[index] = far, far_index
        self.routers[index] = Router(index, InwardView(self.core.table.view, by_hand=True))

    def next_index(self) -> int:
        return next(self._indices)


class Stage:
    """Nodes and what is on its way between them; each link keeps its order, and nothing else does."""

    def __init__(self, size: int) -> None:
        self.nodes = [Node(f"node {number}", number) for number in range(size)]
        self.wires: dict[tuple[int, int], deque[Any]] = {}
        """What waits at (node, connection)."""
        self.boots = size

    def number(self, node: Node) -> int:
        return next(number for number, known in enumerate(self.nodes) if known is node)

    def do(self, node: Node, event: Any) -> None:
        turn = RouteTurn(0.0)
        node.core.handle(event, turn)
        node.core.announce(turn)
        closing = [
            address
            for address, message in turn.told
            if isinstance(message, NodeLinkSettled) and message.outcome != "joined"
        ]
        for connection, record in turn.written:
            self.write(node, connection, record)
        for index in closing:
            # What was written before the end arrives before it.
            self.write(node, index, None)

    def write(self, node: Node, connection: int, record: Any) -> None:
        end = node.ends.get(connection)
        if end is not None and end[0] in self.nodes:
            self.wires.setdefault((self.number(end[0]), end[1]), deque()).append(record)

    def dial(self, caller: Node, called: Node, id: int) -> None:
        ours, theirs = caller.next_index(), called.next_index()
        caller.link(called, theirs, ours)
        called.link(caller, ours, theirs)
        self.do(caller, Attach(ours, ours, local=False, dialled=True))
        self.do(called, Attach(theirs, theirs, local=False))
        link_id = f"{id:04}"
        self.write(caller, ours, Negotiated(theirs, link_id, "1.4.0", caller.introduction))

    def deliver(self, choose: int) -> bool:
        """Let one thing arrive. Returns whether there was any."""
        waiting = [where for where, records in self.wires.items() if records]
        if not waiting:
            return False
        number, connection = waiting[choose % len(waiting)]
        record = self.wires[number, connection].popleft()
        node = self.nodes[number]
        if connection not in node.ends:
            return True
        if record is None:
            self.end(node, connection)
        elif isinstance(record, Negotiated):
            if not node.core.connections[connection].dialled:
                far_index = node.ends[connection][1]
                reply = Negotiated(far_index, record.link_id, "1.4.0", node.introduction)
                self.write(node, connection, reply)
            self.do(node, record)
        else:
            self.do(node, Subscribing(connection, record))
        return True

    def settle(self) -> None:
        while self.deliver(0):
            pass

    def end(self, node: Node, connection: int) -> None:
        """One end of a link is over; the other hears of it after what is on its way."""
        self.write(node, connection, None)
        node.ends.pop(connection)
        self.wires.pop((self.number(node), connection), None)
        self.do(node, Detach(connection, "over"))

    def cut(self, node: Node, connection: int) -> None:
        """A link is gone, with all that was on its way, at both ends."""
        far, far_index = node.ends[connection]
        for one, index in ((node, connection), (far, far_index)):
            if one.ends.pop(index, None) is not None:
                self.wires.pop((self.number(one), index), None)
                self.do(one, Detach(index, "cut"))

    def publish(self, node: Node, edge: int, name: Name, fanout: int) -> Counter[tuple[str, int]]:
        """Which edges get a message from this one, and how often."""
        got: Counter[tuple[str, int]] = Counter()
        frame = Frame(name.key, name.instance, fanout, control=False, header=b"", inner=0, body=b"")
        queue = deque([(node, edge, frame)])
        hops = HopCount()
        while queue:
            at, came_by, frame = queue.popleft()
            for target in at.routers[came_by].route(name.key, name.instance, fanout):
                if target in at.edges:
                    got[at.introduction.node_id, target] += 1
                    continue
                view = at.core.table.view
                out = [frame]
                if target in view.node_links and came_by in view.node_links:
                    out = hops.forward(out)
                far, index = at.ends[target]
                queue.extend((far, index, one) for one in out)
        return got


def clique_is_complete(stage: Stage) -> None:
    """Whoever has no link to another dials it, until all have one; then everything arrives."""
    for number, caller in enumerate(stage.nodes):
        for called in stage.nodes[number + 1 :]:
            linked = called.introduction.node_id in caller.core.table.view.node_links.values()
            back = caller.introduction.node_id in called.core.table.view.node_links.values()
            if not (linked and back):
                stage.dial(caller, called, 9000 + number)
    stage.settle()


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_after_any_history_each_gets_a_message_once_and_never_twice_before(data: st.DataObject) -> None:
    stage = Stage(data.draw(st.integers(2, 4), "nodes"))
    subscribed: set[tuple[Node, int, Name]] = set()
    for step in range(data.draw(st.integers(0, 40), "steps")):
        node = data.draw(st.sampled_from(stage.nodes))
        match data.draw(st.sampled_from(["dial", "both", "cut", "name", "restart", *["arrive"] * 4])):
            case "dial":
                other = data.draw(st.sampled_from(stage.nodes))
                if other is not node:
                    stage.dial(node, other, step)
            case "both":
                other = data.draw(st.sampled_from(stage.nodes))
                if other is not node:
                    stage.dial(node, other, step)
                    stage.dial(other, node, 100 + step)
            case "cut" if node.ends:
                stage.cut(node, data.draw(st.sampled_from(sorted(node.ends))))
            case "name":
                name = data.draw(st.sampled_from(NAMES))
                if not node.edges or data.draw(st.booleans()):
                    edge = node.edge()
                    stage.do(node, Attach(edge, edge, local=data.draw(st.booleans())))
                edge = data.draw(st.sampled_from(node.edges))
                subscribe = (node, edge, name) not in subscribed
                stage.do(node, Subscribing(edge, Subscription(subscribe, name, name, subscription_id=7)))
                (subscribed.add if subscribe else subscribed.remove)((node, edge, name))
            case "restart":
                for connection in list(node.ends):
                    stage.cut(node, connection)
                subscribed = {one for one in subscribed if one[0] is not node}
                stage.boots += 1
                at = stage.number(node)
                stage.nodes[at] = Node(node.introduction.node_id, stage.boots)
            case "arrive":
                stage.deliver(data.draw(st.integers(0, 7)))
        for sender in stage.nodes:
            for name in NAMES:
                for edge in sender.edges[:1]:
                    # While things change a message may be missed, but nobody gets it twice.
                    assert set(stage.publish(sender, edge, name, ALL).values()) <= {1}
                    assert sum(stage.publish(sender, edge, name, ONE).values()) <= 1
    stage.settle()
    clique_is_complete(stage)
    for sender in stage.nodes:
        own = sender.edge()
        stage.do(sender, Attach(own, own, local=True))
        assert sorted(sender.core.table.view.node_links.values()) == sorted(
            other.introduction.node_id for other in stage.nodes if other is not sender
        )
        for name in NAMES:
            wanted = {(node.introduction.node_id, edge) for node, edge, wants in subscribed if wants == name}
            assert stage.publish(sender, own, name, ALL) == Counter(wanted)
            one = stage.publish(sender, own, name, ONE)
            assert sum(one.values()) == bool(wanted)
            at_home = {who for who in wanted if who[0] == sender.introduction.node_id}
            assert not at_home or set(one) <= at_home


def test_of_two_links_that_both_sides_dialled_the_smaller_nodes_stays() -> None:
    stage = Stage(2)
    one, two = stage.nodes
    stage.dial(two, one, 1)
    stage.dial(one, two, 2)
    stage.settle()
    (kept,) = one.core.table.view.node_links
    assert one.core.connections[kept].dialled
    assert len(two.core.table.view.node_links) == len(one.ends) == len(two.ends) == 1


@given(st.lists(st.integers(0, 7), max_size=20))
def test_while_one_link_gives_way_to_another_nobody_gets_a_message_twice(order: list[int]) -> None:
    stage = Stage(2)
    one, two = stage.nodes
    sender, receiver = one.edge(), two.edge()
    for node, edge in ((one, sender), (two, receiver)):
        stage.do(node, Attach(edge, edge, local=True))
    for name in NAMES:
        stage.do(two, Subscribing(receiver, Subscription(True, name, name)))
    stage.dial(two, one, 1)
    stage.settle()
    stage.dial(one, two, 2)
    for choose in [*order, *[0] * 20]:
        stage.deliver(choose)
        assert stage.publish(one, sender, NAMES[0], ALL)["node 1", receiver] <= 1
    assert stage.publish(one, sender, NAMES[0], ALL)["node 1", receiver] == 1


def by_hand(stage: Stage, name: Name, *path: int) -> None:
    """A route for `name` along these nodes."""
    for here, there in itertools.pairwise(path):
        node = stage.nodes[here]
        far_id = stage.nodes[there].introduction.node_id
        (link,) = [index for index, id in node.core.table.view.node_links.items() if id == far_id]
        stage.do(node, RouteByHand(name, link))


def test_routes_by_hand_lead_along_a_line_and_a_circle_of_them_ends() -> None:
    stage = Stage(3)
    for here, there in ((0, 1), (1, 2)):
        stage.dial(stage.nodes[here], stage.nodes[there], here)
    stage.settle()
    first, last = stage.nodes[0], stage.nodes[2]
    sender, receiver = first.edge(), last.edge()
    for node, edge in ((first, sender), (last, receiver)):
        stage.do(node, Attach(edge, edge, local=False))
    stage.do(last, Subscribing(receiver, Subscription(True, NAMES[0], NAMES[0])))
    stage.settle()
    assert not stage.publish(first, sender, NAMES[0], ALL)
    by_hand(stage, NAMES[0], 0, 1, 2)
    assert stage.publish(first, sender, NAMES[0], ALL) == Counter({("node 2", receiver): 1})
    stage.dial(last, first, 5)
    stage.settle()
    by_hand(stage, NAMES[0], 2, 0)
    copies = stage.publish(first, sender, NAMES[0], ALL)["node 2", receiver]
    assert 1 < copies <= HOPS + 2


def test_a_hop_count_takes_the_place_of_the_one_before() -> None:
    frame = Frame(b"", b"", ONE, control=False, header=b"", inner=2, body=b"ab")
    for hops in range(1, HOPS + 1):
        (frame,) = HopCount().forward([frame])
        assert hops_of(frame) == hops
        assert len(frame.body) == 5
    count = HopCount()
    assert count.forward([frame]) == []
    assert count.dropped == 1
