"""Reads from a node what it knows about two names: the facts that `gateway.admin.explain` judges.

It changes nothing, asks the actors of a few connections, and looks at a bounded number of things.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice
from typing import Any

from actors.messages.routing import Status, StatusReport
from actors.names import Key, Name
from actors.routing.gate import Action
from actors.routing.past import Ended
from actors.routing.view import Rank
from actors.system import AskFailed, NotInVocabulary, SystemStopped
from gateway.admin.facts import (
    EndFacts,
    NameFacts,
    NeighbourFacts,
    NodeFacts,
    RefusalFacts,
    RulingFacts,
    StrangerFacts,
    WayFacts,
)
from gateway.admin.view import ASK, RANKS, id_of, text
from gateway.codec.family import FIRST
from gateway.config.node import DEFAULT_NODE
from gateway.node.data_plane import DataPlane
from gateway.node.node import Node

WAYS = 16
"""Connections of one rank that are told of."""
IDS = 16
"""Instances of a name at one connection."""
SEARCHED = 20_000
"""Names of one connection among which instances are looked for."""
LINKS = 16
"""Dialled links that are no peers."""
STRANGERS = 3


async def inquire(node: Node, source: Name, target: Name) -> NodeFacts:
    """All that `node` knows about a message from `source` to `target`."""
    return await _Inquiry(node).facts(source, target)


class _Inquiry:
    def __init__(self, node: Node) -> None:
        self._node = node
        self._plane: DataPlane = node.data_plane
        around = self._plane.surroundings
        self._now, self._clock = around.wall(), around.clock()
        self._past = self._plane.routes.past

    async def facts(self, source: Name, target: Name) -> NodeFacts:
        plane = self._plane
        of_source, of_target, linked, backbone = await asyncio.gather(
            self._name(source), self._name(target), self._linked(), self._backbone()
        )
        return NodeFacts(
            node=plane.node_id,
            now=self._now,
            source=of_source,
            target=of_target,
            state=plane.health.reason,
            versions=FIRST.versions,
            neighbours=(*self._peers(), *linked),
            backbone=backbone,
            controllers=tuple(endpoint for endpoint, up in self._node.controllers().items() if not up),
            refusals=self._refusals(source.key, target.key),
            strangers=tuple(islice(self._strangers(), STRANGERS)),
            rulings=(
                *self._rulings(of_source, target, (Action.INVITE, Action.PUBLISH)),
                # Whoever answers publishes to who asked.
                *self._rulings(of_target, source, (Action.PUBLISH,)),
            ),
            label=self._label(),
        )

    def _label(self) -> str:
        """Where it listens, if it has no id but the one that it drew."""
        node = self._node
        if node.config.node_id != DEFAULT_NODE:
            return ""
        return f"the node at {node.addresses[0]}" if node.addresses else ""

    # Names

    async def _name(self, name: Name) -> NameFacts:
        targets = self._plane.routes.find(name.key, name.instance)
        ways = []
        for rank, connections in zip(Rank, targets[:4] if targets is not None else (), strict=False):
            some = connections[:WAYS]
            ways += await asyncio.gather(*(self._way(index, rank, name) for index in some))
        left, refused = self._past.when_left(name.key), self._past.when_refused(name.key)
        shown = f"{text(name)}/{id_of(name)}" if name.has_id else text(name)
        return NameFacts(shown, tuple(ways), self._end(left, name.key), self._end(refused, name.key))

    async def _way(self, index: int, rank: Rank, name: Name) -> WayFacts:
        plane = self._plane
        if rank is Rank.LOCAL:
            return WayFacts(index, RANKS[rank], role="application", ids=self._ids(index, name.key))
        told = await self._ask(index)
        is_backbone = plane.backbone is not None and index == plane.backbone.index
        near = rank is Rank.EDGE
        return WayFacts(
            connection=index,
            rank="backbone" if is_backbone else RANKS[rank],
            peer=str(told.get("peer", "")),
            role=str(told.get("role", "unknown")),
            node=plane.routes.node_links.get(index, ""),
            down=str(told.get("down", "")),
            dropped=int(told.get("dropped", 0)),
            malformed=int(told.get("malformed", 0)),
            ids=self._ids(index, name.key) if near else (),
            full_for=float(told.get("full_for", 0.0)),
            backlog=int(told.get("backlog", 0)),
        )

    def _ids(self, index: int, key: Key) -> tuple[str, ...]:
        told = islice(self._plane.control.table.told(index), SEARCHED)
        ids = (id_of(name) for name, _, _ in told if name.key == key and name.has_id)
        return tuple(islice(ids, IDS))

    def _end(self, ended: Ended | None, key: Key) -> EndFacts | None:
        if ended is None:
            return None
        rule = self._plane.doorkeeper.rule_against(ended.connection, Action.SUBSCRIBE, key)
        cause = f"{ended.cause} ({rule})" if rule else ended.cause
        return EndFacts(self._wall(ended.at), cause, ended.connection)

    def _rulings(self, of: NameFacts, name: Name, actions: tuple[Action, ...]) -> Iterator[RulingFacts]:
        """What the connections that have one name may not do with the other one."""
        doorkeeper = self._plane.doorkeeper
        for way in of.ways:
            for action in actions:
                if rule := doorkeeper.rule_against(way.connection, action, name.key):
                    who = doorkeeper.who(way.connection)
                    yield RulingFacts(way.connection, who, action.value, text(name), rule)

    def _wall(self, at: float) -> float:
        """Unix seconds of a time of the node's own clock."""
        return self._now - (self._clock - at)

    def _refusals(self, source: Key, target: Key) -> tuple[RefusalFacts, ...]:
        return tuple(
            RefusalFacts(
                f"{text(told.about)}/{id_of(told.about)}",
                f"{text(told.of)}/{id_of(told.of)}",
                told.reason.name.lower(),
                self._wall(told.at),
            )
            for told in self._past.told(source, target, self._clock)
        )

    # Neighbours

    def _peers(self) -> Iterator[NeighbourFacts]:
        """Nodes that are dialled as peers, and those that came in."""
        plane = self._plane
        known = plane.control.nodes.peers
        seen = set()
        for endpoint, figures in plane.peering.figures().items():
            node = figures["node"]
            seen.add(node)
            state = "linked" if figures["state"] == "original" else figures["state"]
            if state != "joined" and node in known and known[node].connection is not None:
                # It called us meanwhile.
                state = "joined"
            yield self._neighbour(node, endpoint, state, figures["cause"])
        for node, record in known.items():
            if node not in seen:
                yield self._neighbour(node, "", "joined" if record.connection is not None else "lost", "")

    def _neighbour(self, node: str, endpoint: str, state: str, cause: str) -> NeighbourFacts:
        if state in ("joined", "linked"):
            return NeighbourFacts(node, endpoint, state)
        lost = self._past.when_lost(node)
        if lost is None:
            return NeighbourFacts(node, endpoint, state, cause)
        return NeighbourFacts(node, endpoint, state, cause or lost.cause, self._wall(lost.at))

    async def _linked(self) -> tuple[NeighbourFacts, ...]:
        """Links to nodes that are not ours, or that a controller or the configuration wanted."""
        plane = self._plane
        peers = plane.peering.figures()
        others = [one for one in plane.dialled().items() if one[0] not in peers][:LINKS]
        told = await asyncio.gather(*(self._ask(index) for _, index in others))
        return tuple(
            NeighbourFacts(plane.routes.node_links.get(index, ""), endpoint, "lost", str(figures["down"]))
            if figures.get("down")
            else NeighbourFacts("", endpoint, "linked")
            for (endpoint, index), figures in zip(others, told, strict=True)
            if index not in plane.routes.node_links
        )

    async def _backbone(self) -> str | None:
        link = self._plane.backbone
        if link is None:
            return None
        if link.ends_at():
            return ""
        return str((await self._ask(link.index)).get("down") or "no server takes it")

    def _strangers(self) -> Iterator[StrangerFacts]:
        """Those who sent what could not be read, and are known by no name."""
        plane = self._plane
        for index, link in list(plane.links.items()):
            malformed = link.counts.figures().get("malformed", 0)
            if malformed and not plane.control.table.names(index):
                yield StrangerFacts(index, link.peer, "unknown", malformed)

    async def _ask(self, index: int) -> dict[str, Any]:
        """The figures of a connection; none when it is gone or does not answer in time."""
        address = self._plane.routes.addresses.get(index)
        if address is None:
            return {}
        try:
            report = await self._plane.system.ask(address, Status(), ASK)
        except (AskFailed, NotInVocabulary, SystemStopped):
            return {}
        figures = report.figures.get(str(index), {}) if isinstance(report, StatusReport) else {}
        return figures if isinstance(figures, dict) else {}
