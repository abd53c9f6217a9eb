"""What those who route see of the subscription table: which connections a name leads to, as it is now.

One object for a whole loop, with one writer, the table (`actors/routing/table.py`). Everybody else reads it,
gets it when spawned and never in a message. What it holds are immutable values: a change puts new Targets in
the place of old ones, so that whoever took them out may go on with them, and tell by identity that they aged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import NamedTuple

from thespian.actors import ActorAddress

from actors.memo import Memo
from actors.names import NO_INSTANCE, InstanceId, Key, Name
from actors.record import record
from actors.routing.bindings import Bindings
from actors.routing.past import Past
from actors.routing.tap import Tap

Instance = tuple[Key, InstanceId]
"""A name with its instance id; the view's `no_instance` for those who subscribed the name alone."""

PATTERN_LENGTHS = (8, 16, 24)
"""How much of a key a pattern may be: an organisation, its namespace, or a name with all its ids."""

_NONE: tuple[int, ...] = ()
_MEMORY_BOUND = 8192


class Rank(IntEnum):
    """Why a connection is a target. A message for one goes to the first rank that has somebody."""

    LOCAL = 0
    """An application of this process."""
    EDGE = 1
    """A stream that is no node link: applications, and whoever did not say that it is a node."""
    PEER = 2
    """A node link whose other end told the name, or the backbone, which may lead to any."""
    BY_HAND = 3
    """A connection that we dialled and that is no node link, or any but an edge that a route names."""


@record
class Targets(NamedTuple):
    """The connections that a name leads to, by rank, in the order of their first subscription."""

    local: tuple[int, ...] = ()
    edges: tuple[int, ...] = ()
    peers: tuple[int, ...] = ()
    by_hand: tuple[int, ...] = ()
    all: tuple[int, ...] = ()
    """Each once, in the order of the ranks."""

    @property
    def first(self) -> tuple[int, ...]:
        """Those of the first rank that has any."""
        return self.local or self.edges or self.peers or self.by_hand

    def having(self, connection: int, rank: Rank) -> Targets:
        """These and one more."""
        ranks = list(self[:4])
        ranks[rank] = (*ranks[rank], connection)
        return _of(ranks)

    def without(self, connection: int, rank: Rank) -> Targets | None:
        """These but one, which is there with that rank; None when nobody is left."""
        ranks = list(self[:4])
        at = ranks[rank].index(connection)
        ranks[rank] = ranks[rank][:at] + ranks[rank][at + 1 :]
        return _of(ranks) if any(ranks) else None

    def inward(self, *, by_hand: bool) -> Targets | None:
        """Those to whom a message may go that came from a node: edges, and routes by hand if they may."""
        if not self.peers and (by_hand or not self.by_hand):
            return self
        ranks = [self.local, self.edges, _NONE, self.by_hand if by_hand else _NONE]
        return _of(ranks) if any(ranks) else None


def _of(ranks: list[tuple[int, ...]]) -> Targets:
    local, edges, peers, by_hand = ranks
    everybody = local + edges + peers + by_hand
    if (peers or edges) and by_hand:
        everybody = tuple(dict.fromkeys(everybody))
    return Targets(local, edges, peers, by_hand, everybody)


class RouteView:
    """The table to read. Only the table that made it changes what is in it."""

    __slots__ = (
        "_alone", "_far", "_fitting", "_latest", "_near", "addresses", "backbone", "bindings", "by_instance",
        "by_name", "find", "inquiries", "no_instance", "node_links", "past", "patterns", "plain", "tap",
    )  # fmt: skip

    def __init__(
        self,
        by_name: Mapping[Key, Targets],
        by_instance: Mapping[Instance, Targets],
        addresses: Mapping[int, ActorAddress],
        node_links: Mapping[int, str],
        patterns: Mapping[bytes, tuple[int, ...]],
        no_instance: InstanceId = NO_INSTANCE,
    ) -> None:
        self.by_name = by_name
        """Everybody who subscribed a name, under whatever id."""
        self.by_instance = by_instance
        """Those who subscribed it under exactly this id."""
        self.addresses = addresses
        """The actor that puts frames out on a connection."""
        self.node_links = node_links
        """The ids of the nodes at the other end, of connections that are node links."""
        self.patterns = patterns
        """Routes by hand for all names whose key begins so, and for all their ids."""
        self.bindings = Bindings()
        """Beside the table: what sessions of this process learned. Their applications write it."""
        self.past = Past()
        """Beside the table: who was here, and who refused whom. Connections write the latter."""
        self.tap: Tap | None = None
        """Beside the table: who looks at messages now. Nobody, nearly always."""
        self.inquiries: ActorAddress | None = None
        """Beside the table: who asks other nodes about names, and answers them; nobody without a Node."""
        self.no_instance = no_instance
        """The instance id of a message for any instance, in the family of these names."""
        self.find: Callable[[Key, InstanceId], Targets | None] = self.exact
        """Who may serve a message to (key, id): without id everybody, else those with exactly that id."""
        self.plain = True
        """Whether `find` is `exact` now."""
        self._fitting: Memo[Instance, tuple[Targets | None, tuple[int, ...], Targets]] = Memo(_MEMORY_BOUND)
        """Targets with those of patterns: what they were put together from, and the whole."""
        self.backbone: int | None = None
        """The connection that may lead to any name, where the node has one."""
        self._near = self.find
        """As `find`, but for the backbone."""
        self._alone = Targets()
        """The backbone, for names that nobody here has."""
        self._far: Memo[Instance, tuple[Targets, Targets]] = Memo(_MEMORY_BOUND)
        """Targets, and the same with the backbone."""
        self._latest = (self._alone, self._alone)
        """The latest of these."""

    def exact(self, key: Key, id: InstanceId) -> Targets | None:
        """As `find`, but for patterns."""
        return self.by_name.get(key) if id == self.no_instance else self.by_instance.get((key, id))

    def may_serve(self, connection: int, name: Name) -> bool:
        """Whether `connection` leads to `name` as far as is known: only of node links all names are.

        The backbone does not lead back here, to whom has the name now.
        """
        if connection == self.backbone:
            near = self._near(name.key, name.instance)
            return near is None or not (near.local or near.edges)
        if connection not in self.node_links:
            return True
        targets = self.find(name.key, name.instance)
        return targets is not None and connection in targets.all

    def follow_patterns(self, *, follow: bool) -> None:
        """The table has patterns, or none any more: without them looking one up costs nothing."""
        self._near = self._with_patterns if follow else self.exact
        self._find_near_or_far()

    def reach(self, backbone: int | None) -> None:
        """From now on there is a backbone, or none any more: without one it costs nothing."""
        self.backbone = backbone
        self._alone = Targets() if backbone is None else Targets().having(backbone, Rank.PEER)
        self._far.clear()
        self._latest = (self._alone, self._alone)
        self._find_near_or_far()

    def _find_near_or_far(self) -> None:
        self.find = self._near if self.backbone is None else self._with_backbone
        self.plain = self.find == self.exact

    def _with_backbone(self, key: Key, id: InstanceId) -> Targets:
        targets = self._near(key, id)
        if targets is None:
            return self._alone
        if targets is self._latest[0]:
            # Messages that follow one another mostly go the same way.
            return self._latest[1]
        known = self._far.get((key, id))
        if known is None or known[0] is not targets:
            assert self.backbone is not None
            known = (targets, targets.having(self.backbone, Rank.PEER))
            self._far.remember((key, id), known)
        self._latest = known
        return known[1]

    def _with_patterns(self, key: Key, id: InstanceId) -> Targets | None:
        targets = self.exact(key, id)
        by_hand = targets.by_hand if targets is not None else _NONE
        for length in PATTERN_LENGTHS:
            by_hand += self.patterns.get(key[:length], _NONE)
        by_hand = tuple(dict.fromkeys(by_hand))
        if not by_hand:
            return targets
        known = self._fitting.get((key, id))
        if known is not None and known[0] is targets and known[1] == by_hand:
            return known[2]
        found = _of([*(targets or Targets())[:3], by_hand])
        self._fitting.remember((key, id), (targets, by_hand, found))
        return found


class InwardView(RouteView):
    """What of a view is there for messages that came from a node (`backbone.md`): never another node link.

    `by_hand`: routes that somebody made by hand may be followed; else own edges only.
    """

    __slots__ = ("_by_hand", "_narrowed", "_whole")

    def __init__(self, view: RouteView, *, by_hand: bool) -> None:
        super().__init__(
            view.by_name, view.by_instance, view.addresses, view.node_links, view.patterns, view.no_instance
        )
        self.find, self.plain = self._inward, False
        self.past = view.past
        self._whole = view
        self._by_hand = by_hand
        self._narrowed: Memo[Instance, tuple[Targets, Targets | None]] = Memo(_MEMORY_BOUND)
        """What was narrowed, and to what; true while the targets are the same."""

    def _inward(self, key: Key, id: InstanceId) -> Targets | None:
        if self.patterns:
            targets = self._whole.find(key, id)
        else:
            # As `exact` does: a call less for each message.
            targets = self.by_name.get(key) if id == self.no_instance else self.by_instance.get((key, id))
        if targets is None or not (targets.peers or targets.by_hand):
            return targets
        known = self._narrowed.get((key, id))
        if known is not None and known[0] is targets:
            return known[1]
        narrowed = targets.inward(by_hand=self._by_hand)
        self._narrowed.remember((key, id), (targets, narrowed))
        return narrowed
