"""Node links (`backbone.md`, peers): one per pair of nodes, and what is told over them. No I/O, no clock.

    link opened ──► settle: which of the links to that node stays? ──► the names of our edges, all of them
    edge changes ─► EdgeNames: is the name there for the first, or gone with the last? ──► told over each

A message that came over one of them is routed by an `InwardView`, to own edges: that is why each node tells
the names of its own edges only, and why nothing goes round or arrives twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from actors.incarnations import Incarnations
from actors.messages.wire import Introduction
from actors.names import Name
from actors.record import record
from actors.routing.table import Change
from actors.routing.view import Instance, Rank

TOLD_BOUND = 64
"""Namesakes that people were told of; of the one told longest ago they may hear again."""
PEERS_BOUND = 1024
"""Nodes of which it is remembered that they were here; the one gone for longest is forgotten first."""


@record
class NodeLink(NamedTuple):
    """The link to a node that stays."""

    connection: int
    boot: int
    dialled: bool
    link_id: str


@record
class Settled(NamedTuple):
    """What became of a new link: an outcome of `NodeLinkSettled`, and the link that gives way to it."""

    outcome: str
    loser: int | None = None
    gives_way: str = "superseded"
    """The outcome for that one."""


@record
class PeerRecord(NamedTuple):
    """What is known of a node that is or was a peer."""

    connection: int | None
    losses: int = 0
    returns: int = 0


class NodeLinks:
    """The links of the node `own` to others, and who they are."""

    def __init__(self, own: Introduction) -> None:
        self.own = own
        self._links: dict[str, NodeLink] = {}
        """By node id."""
        self._nodes: dict[int, str] = {}
        """By connection, those that stay."""
        self._superseded: set[int] = set()
        self._runs = Incarnations()
        self._told: dict[tuple[str, int], None] = {}
        """Runs of which people know that two nodes have one id."""
        self.peers: dict[str, PeerRecord] = {}
        """By node id."""

    def __contains__(self, connection: object) -> bool:
        return connection in self._nodes

    def superseded(self, connection: int) -> bool:
        """Whether a link is one that gave way, and says nothing that counts any more."""
        return connection in self._superseded

    def why_not(self, node: Introduction) -> str:
        """Why a node that calls cannot be a peer; nothing when it may be one."""
        if node.node_id == self.own.node_id and node.boot != self.own.boot:
            return f"this node has the node id {node.node_id!r} too: give each its own"
        known = self._links.get(node.node_id)
        if known is not None and self._runs.is_earlier(node.node_id, node.boot, known.boot):
            return f"another node has the node id {node.node_id!r} too, and came later: give each its own"
        return ""

    def is_news(self, node: Introduction) -> bool:
        """Whether people have yet to be told that this one has the id of another node; once."""
        run = (node.node_id, node.boot)
        if run in self._told:
            return False
        self._told[run] = None
        if len(self._told) > TOLD_BOUND:
            del self._told[next(iter(self._told))]
        return True

    def connection_of(self, node_id: str) -> int | None:
        """The link to a node."""
        known = self._links.get(node_id)
        return None if known is None else known.connection

    def join(self, connection: int, node: Introduction, *, dialled: bool, link_id: str) -> Settled:
        """A link to `node` opened; `dialled` by us.

        1. Of a node that restarted, the link of the later run stays (`Incarnations`).
        2. Of two that different sides dialled, the one that the smaller node id dialled.
        3. Of two that one side dialled, the later try of one link, else the one with the smaller link id.
        """
        node_id = node.node_id
        if node_id == self.own.node_id:
            self._superseded.add(connection)
            return Settled("itself" if node.boot == self.own.boot else "namesake")
        self._runs.met(node_id, node.boot)
        new = NodeLink(connection, node.boot, dialled, link_id)
        known = self._links.get(node_id)
        if known is not None and known.connection != connection:
            if not self._prefers(new, known, node_id):
                self._superseded.add(connection)
                return Settled("superseded" if new.boot == known.boot else "namesake")
            del self._nodes[known.connection]
            self._superseded.add(known.connection)
        self._links[node_id] = new
        self._nodes[connection] = node_id
        self._count_join(node_id, connection)
        if known is None or known == new:
            return Settled("joined")
        return Settled("joined", known.connection, "superseded" if known.boot == new.boot else "displaced")

    def _prefers(self, new: NodeLink, known: NodeLink, node_id: str) -> bool:
        if new.boot != known.boot:
            return not self._runs.is_earlier(node_id, new.boot, known.boot)
        if new.dialled is not known.dialled:
            return new.dialled is (self.own.node_id < node_id)
        return new.link_id <= known.link_id

    def leave(self, connection: int) -> str | None:
        """A link is gone. Returns the id of the node that is reached no more, if there is one."""
        self._superseded.discard(connection)
        node_id = self._nodes.pop(connection, None)
        if node_id is None:
            return None
        del self._links[node_id]
        peer = self.peers.pop(node_id)
        self.peers[node_id] = peer._replace(connection=None, losses=peer.losses + 1)
        return node_id

    def _count_join(self, node_id: str, connection: int) -> None:
        peer = self.peers.pop(node_id, None)
        if peer is None:
            peer = PeerRecord(connection)
            if len(self.peers) >= PEERS_BOUND:
                gone = next((id for id, known in self.peers.items() if known.connection is None), None)
                if gone is not None:
                    del self.peers[gone]
        elif peer.connection is None:
            peer = peer._replace(returns=peer.returns + 1)
        self.peers[node_id] = peer._replace(connection=connection)


class EdgeNames:
    """The names of this node's edges, and which of them the others have yet to be told."""

    def __init__(self) -> None:
        self._edges: dict[Instance, int] = {}
        """How many edges have it."""
        self._told: dict[Instance, Name] = {}
        self._touched: dict[Instance, Name] = {}

    def take(self, changes: Iterable[Change]) -> None:
        """Note what changed in the table."""
        for name, _, rank, present in changes:
            if rank <= Rank.EDGE:
                instance = (name.key, name.instance)
                self._touched[instance] = name
                edges = self._edges.get(instance, 0) + (1 if present else -1)
                if edges:
                    self._edges[instance] = edges
                else:
                    self._edges.pop(instance, None)

    def changes(self) -> list[tuple[Name, bool]]:
        """What others are to be told: names, and whether they are there. What came and went is not told."""
        touched, self._touched = self._touched, {}
        changes = []
        for instance, name in touched.items():
            present = instance in self._edges
            if present is not (instance in self._told):
                changes.append((name, present))
                if present:
                    self._told[instance] = name
                else:
                    del self._told[instance]
        return changes

    def __contains__(self, name: Name) -> bool:
        return (name.key, name.instance) in self._told

    def all(self) -> Iterable[Name]:
        """What the others have been told."""
        return self._told.values()
