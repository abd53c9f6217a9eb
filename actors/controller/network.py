"""Which links and routes a network is to have by itself, and which routes by hand would close a circle.

One hop (`backbone.md`): an automatic route never makes a path of two node links. Two nodes of Callboard
become peers by one link and tell one another their names themselves. Where an original is involved the
controller sets a route for each name, and only for a name that one node alone has: an original passes on over
its links what came in by another one, so that a name which several have would go round.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from actors.messages.controller import Held, NodeAddress, Triple
from actors.record import record


@record
class KnownNode(NamedTuple):
    """What planning needs to know of a node."""

    id: str
    addresses: tuple[NodeAddress, ...]
    group: str = ""
    host: str = ""
    version: str = ""
    """Of Callboard; empty for an original."""
    backbone: str = ""
    subject: str = ""


@record
class WantedLink(NamedTuple):
    """A link that is to be, or why it cannot be (`problem`)."""

    source: str
    destination: str
    endpoint: str
    config: str
    problem: str = ""


@record
class WantedRoute(NamedTuple):
    """An automatic route, or why there is none (`problem`)."""

    source: str
    destination: str
    held: Held
    problem: str = ""


@record
class Edge(NamedTuple):
    """A route by hand between two known nodes."""

    source: str
    destination: str
    name: Triple
    id: int | None


def link(source: KnownNode, destination: KnownNode, tls: Mapping[str, Any], *, peer: bool) -> WantedLink:
    """How `source` dials `destination` (`controller.md` 5); `tls` is the section for links with TLS."""

    def problem(text: str) -> WantedLink:
        return WantedLink(source.id, destination.id, "", "", text)

    if not destination.addresses:
        return problem(f"{destination.id} registered no address")
    if source.group == destination.group:
        address = destination.addresses[0]
        host = address.local or destination.host
    else:
        found = [one for one in destination.addresses if one.external]
        if not found:
            return problem(f"{destination.id} is in another group and has no external endpoint defined")
        address = found[0]
        host = address.external
    parts = urlsplit(host if "://" in host else f"//{host}")
    try:
        port = (
            parts.port
            or urlsplit(address.endpoint if "://" in address.endpoint else f"//{address.endpoint}").port
        )
    except ValueError:
        port = None
    if not parts.hostname or port is None:
        return problem(f"{destination.id} registered no usable address: {address.endpoint!r}")
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    endpoint = f"{'https' if address.tls else 'http'}://{name}:{port}"
    config: dict[str, Any] = {"endpoint": endpoint, "tls": dict(tls) if address.tls else {"insecure": True}}
    if peer:
        config["peer"] = True
    return WantedLink(source.id, destination.id, endpoint, json.dumps(config, sort_keys=True))


def peer_pairs(nodes: Iterable[KnownNode]) -> list[tuple[KnownNode, KnownNode]]:
    """Who dials whom among the nodes of Callboard: one link per pair, none for a node on a backbone."""
    ours = sorted((node for node in nodes if node.version and not node.backbone), key=lambda node: node.id)
    return [(one, other) for at, one in enumerate(ours) for other in ours[at + 1 :]]


def routes_of(
    name: Triple,
    holders: Mapping[str, set[int | None]],
    nodes: Mapping[str, KnownNode],
    by_hand: Iterable[Edge],
) -> list[WantedRoute]:
    """The automatic routes of a name that these nodes' applications have."""
    known = {node: ids for node, ids in holders.items() if node in nodes}
    edges = [edge for edge in by_hand if edge.name == name]
    found = []
    for holder, ids in known.items():
        for source in nodes:
            if source == holder or (nodes[source].version and nodes[holder].version):
                continue
            problem = ""
            if len(known) > 1:
                others = ", ".join(sorted(set(known) - {holder}))
                problem = f"{others} has this name too: an original node would send it round in a circle"
            elif hand := [e for e in edges if e.source == holder or e.destination == source]:
                problem = (
                    f"with the route by hand {hand[0].source} -> {hand[0].destination} it makes two hops"
                )
            for id in sorted(ids, key=lambda one: -1 if one is None else one):
                found.append(WantedRoute(source, holder, Held(name, id), problem))
    return found


def circle(new: Edge, edges: Iterable[Edge]) -> list[str] | None:
    """The nodes of the circle that a route would close, first and last the same; None when there is none."""
    after: dict[str, list[str]] = {}
    for edge in edges:
        if edge.name == new.name and (edge.id == new.id or edge.id is None or new.id is None):
            after.setdefault(edge.source, []).append(edge.destination)
    before: dict[str, str] = {new.destination: new.source}
    waiting = [new.destination]
    while waiting:
        node = waiting.pop()
        if node == new.source:
            path = [node]
            while len(path) == 1 or path[-1] != new.source:
                path.append(before[path[-1]])
            return path[::-1]
        for follower in after.get(node, ()):
            if follower not in before:
                before[follower] = node
                waiting.append(follower)
    return None
