"""Why a message from one name reaches another, or does not: its walk, up to the first step that is missing.

    source registered ─► node takes calls ─► a way at that node ─┬─► target there
                                                                 └─► peer, backbone, route ─► target there
    ─► neither refuses the other ─► a way back

Each step is judged by the facts of the nodes that were asked (`gateway.admin.facts`). Pure: no I/O, and time
is in the facts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from time import gmtime, strftime
from typing import NamedTuple

from actors.record import record
from actors.routing.outbox import PATIENCE
from gateway.admin.facts import EndFacts, NameFacts, NeighbourFacts, NodeFacts, WayFacts


class StepState(StrEnum):
    """What is known of a step."""

    HOLDS = "holds"
    MISSING = "missing"
    UNKNOWN = "unknown"
    """No node that was asked knows it."""


@record
class WalkStep(NamedTuple):
    """One step of the walk, as one node sees it."""

    state: StepState
    node: str
    text: str


@record
class Walk(NamedTuple):
    """The walk of a message."""

    source: str
    target: str
    steps: tuple[WalkStep, ...]
    asked: tuple[str, ...]
    """The nodes whose facts were there."""
    unasked: tuple[NeighbourFacts, ...]
    """Nodes that these know of, and that were not asked."""

    @property
    def missing(self) -> WalkStep | None:
        """The step that is missing, if there is one."""
        last = self.steps[-1] if self.steps else None
        return last if last is not None and last.state is StepState.MISSING else None

    @property
    def verdict(self) -> str:
        """The answer in one sentence."""
        missing = self.missing
        if missing is not None:
            return f"{self.source} does not reach {self.target}: {missing.text}"
        if any(step.state is StepState.UNKNOWN for step in self.steps):
            return f"nothing is known that keeps {self.source} from {self.target}, but not all is known"
        return f"{self.source} reaches {self.target}"


@record
class Explanation(NamedTuple):
    """What one node answers, having asked its peers: the judgement, and the facts for who asks others too."""

    verdict: str
    source: str
    target: str
    steps: tuple[WalkStep, ...]
    unasked: tuple[NeighbourFacts, ...]
    """Nodes that are known of, and that were not asked or did not answer."""
    facts: NodeFacts
    """Of the node that answers."""
    others: tuple[NodeFacts, ...] = ()
    """Of its peers."""


REASONS = {
    "secret": "its token is made with another secret",
    "key": "its token is signed with a key that is not known there",
    "audience": "its token is for another audience",
    "issuer": "its token is of another issuer",
    "subject": "its token names a subject that is not trusted there",
    "keys": "the keys of its issuer cannot be had there",
    "time": "its token is not valid at the time of the clock there",
    "kind": "another kind of identity is expected there",
    "token": "its token is not taken there",
    "mls_wanted": "only encrypted sessions are taken there: it has to open them with MLS",
    "suite": "its MLS is of another cipher suite",
    "no_mls": "it asks for MLS, for which the other one is not set up",
}
"""What applications say, by the names of HintReason: about the token or the request of who was refused."""


def explain(nodes: Sequence[NodeFacts]) -> Walk:
    """The walk of a message, by the facts of one node or several, each once. At least one is needed."""
    steps: list[WalkStep] = []
    for step in _walk(nodes):
        steps.append(step)
        if step.state is StepState.MISSING:
            break
    known = {node.node for node in nodes}
    unasked = {
        neighbour.node or neighbour.endpoint: neighbour
        for node in nodes
        for neighbour in node.neighbours
        if neighbour.state != "itself" and (neighbour.node or neighbour.endpoint) not in known
    }
    first = nodes[0]
    names = (first.source.name, first.target.name)
    return Walk(*names, tuple(steps), tuple(node.called for node in nodes), tuple(unasked.values()))


def explanation(facts: Sequence[NodeFacts]) -> Explanation:
    """The answer of the first of these nodes, which asked the others."""
    own, *others = facts
    walk = explain(facts)
    return Explanation(walk.verdict, walk.source, walk.target, walk.steps, walk.unasked, own, tuple(others))


def _walk(nodes: Sequence[NodeFacts]) -> Iterator[WalkStep]:
    home = _home(nodes, back=False)
    if home is None:
        yield _absent(nodes, [node.source for node in nodes])
        return
    yield _registered(home, home.source)
    if home.state:
        yield _missing(home, f"{home.called} takes no messages any more: it is {home.state}")
    yield from _rules(home, _near(home.source), home.target.name)
    yield from _way(nodes, home, back=False)
    end = _home(nodes, back=True)
    yield from _acceptance(nodes, end)
    if end is not None:
        if end.state:
            yield _missing(end, f"{end.called} takes no messages any more: it is {end.state}")
        yield from _rules(end, _near(end.target), end.source.name, "the answers: ")
        yield from _way(nodes, end, back=True)


def _home(nodes: Sequence[NodeFacts], *, back: bool) -> NodeFacts | None:
    """The node at which the sender is: that of the message, or `back` that of the answer."""
    return next((node for node in nodes if _near(_sender(node, back))), None)


def _sender(node: NodeFacts, back: bool) -> NameFacts:
    return node.target if back else node.source


def _wanted(node: NodeFacts, back: bool) -> NameFacts:
    return node.source if back else node.target


def _near(name: NameFacts) -> tuple[WayFacts, ...]:
    """The applications themselves that have a name at a node."""
    return tuple(way for way in name.ways if way.rank in ("local", "edge"))


def _rules(node: NodeFacts, ways: Sequence[WayFacts], name: str, what: str = "") -> Iterator[WalkStep]:
    """What the rules by name of a node do not let those on the way do; no step where one of them may."""
    connections = {way.connection for way in ways}
    for action in ("invite", "publish"):
        rulings = [
            ruling
            for ruling in node.rulings
            if ruling.connection in connections and ruling.action == action and _is(ruling.name, name)
        ]
        if connections and {ruling.connection for ruling in rulings} == connections:
            first = rulings[0]
            doing = "invite" if action == "invite" else "publish to"
            yield _missing(
                node,
                f"{what}the rules of {node.called} do not let {first.who} (connection {first.connection}) "
                f"{doing} {first.name}: {first.rule}",
            )


def _is(one: str, other: str) -> bool:
    """Whether two names are one, whatever their instances are."""
    return _without_id(one) == _without_id(other)


# The way from a node to a name


def _way(nodes: Sequence[NodeFacts], home: NodeFacts, *, back: bool) -> Iterator[WalkStep]:
    name = _wanted(home, back)
    if not name.ways:
        yield _nobody(nodes, home, back)
        return
    # A message for one goes to the first rank that has somebody.
    rank = name.ways[0].rank
    ways = [way for way in name.ways if way.rank == rank]
    up = [way for way in ways if not way.down]
    if not up and rank != "backbone":
        yield _missing(home, f"the way to {name.name} is {_at(ways[0])}, which is down: {ways[0].down}")
        return
    if up and all(one.full_for >= PATIENCE for one in up):
        yield _missing(home, _stuck(up[0]))
        return
    way = next((one for one in up if one.full_for < PATIENCE), ways[0])
    if rank in ("local", "edge"):
        if not back:
            yield from _delivered(home, name, up)
            senders = {one.connection for one in _near(_sender(home, back))}
            if {one.connection for one in up} == senders and way.rank == "edge":
                yield _holds(home, f"both are behind {_at(way)}: their process hands messages over itself")
    elif rank == "by hand":
        yield _holds(home, f"a route made by hand leads to {name.name}: {_at(way)}")
        if way.node:
            yield from _at_peer(nodes, home, way, back)
        else:
            yield _unknown(home, f"what is behind {_at(way)} is not known to the node: ask there")
    elif rank == "backbone":
        yield from _over_backbone(nodes, home, name, back)
    else:
        yield from _over_peer(nodes, home, way, back)


def _delivered(node: NodeFacts, name: NameFacts, ways: Sequence[WayFacts]) -> Iterator[WalkStep]:
    """The application is at this node."""
    yield _registered(node, name)
    way = ways[0]
    if way.malformed:
        count = _many(way.malformed, "message")
        yield _unknown(
            node, f"{count} from {_at(way)} could not be read: has it another wire than {node.versions}?"
        )
    if way.dropped:
        yield _holds(node, f"{_at(way)} has been slow: {_many(way.dropped, 'message')} to it dropped so far")


def _over_peer(nodes: Sequence[NodeFacts], home: NodeFacts, way: WayFacts, back: bool) -> Iterator[WalkStep]:
    name = _wanted(home, back).name
    other = next((node for node in nodes if node.node == way.node), None)
    peer = way.node if other is None else other.called
    yield _holds(home, f"{home.called} hands it to its peer {peer}, which has told {name} ({_at(way)})")
    yield from _at_peer(nodes, home, way, back)


def _at_peer(nodes: Sequence[NodeFacts], home: NodeFacts, way: WayFacts, back: bool) -> Iterator[WalkStep]:
    """What a node does with what comes over a link from another one."""
    name = _wanted(home, back).name
    other = next((node for node in nodes if node.node == way.node), None)
    if other is None:
        yield _unknown(
            home, f"{way.node} did not say what it does with a message for {name}: it is not known"
        )
        return
    link = [one for one in _sender(other, back).ways if one.node == home.node]
    yield from _rules(other, link, name)
    there = _wanted(other, back)
    # What comes from a peer goes to own applications and by routes made by hand, never to another peer.
    ways = _near(there) or tuple(one for one in there.ways if one.rank == "by hand")
    if not ways:
        yield _absent([other], [there])
    elif ways[0].rank == "by hand":
        yield _holds(other, f"a route made by hand leads on to {name}: {_at(ways[0])}")
    elif not back:
        yield from _delivered(other, there, ways)


def _over_backbone(
    nodes: Sequence[NodeFacts], home: NodeFacts, name: NameFacts, back: bool
) -> Iterator[WalkStep]:
    down = home.backbone or next((way.down for way in _wanted(home, back).ways if way.down), "")
    if down:
        yield _missing(home, f"the backbone of {home.called} is down: {down}")
        return
    yield _holds(home, f"{home.called} puts it on the backbone: nobody nearer has {name.name}")
    others = [node for node in nodes if node is not home and _near(_wanted(node, back))]
    if not others:
        yield _unknown(home, f"none of the nodes asked has {name.name}: who has it on the backbone, answers")
        return
    other = others[0]
    if other.backbone is None:
        yield _missing(other, f"{name.name} is at {other.called}, which is not on the backbone")
    elif other.backbone:
        yield _missing(other, f"{name.name} is at {other.called}, whose backbone is down: {other.backbone}")
    elif not back:
        yield from _delivered(other, _wanted(other, back), _near(_wanted(other, back)))


def _nobody(nodes: Sequence[NodeFacts], home: NodeFacts, back: bool) -> WalkStep:
    """The node at home knows no way to a name."""
    name = _wanted(home, back)
    for other in nodes:
        if other is not home and _near(_wanted(other, back)):
            return _missing(home, _apart(home, other, name.name))
    return _absent(nodes, [_wanted(node, back) for node in nodes])


def _apart(home: NodeFacts, other: NodeFacts, name: str) -> str:
    """Why what is at one node is not known at another."""
    sides = [(home, other.node), (other, home.node)]
    for side, node in sides:
        for neighbour in side.neighbours:
            if neighbour.node == node and neighbour.state != "joined":
                return f"{name} is at {other.called}, and {_down(side, neighbour)}"
    for side, _ in sides:
        for neighbour in side.neighbours:
            if not neighbour.node and neighbour.state != "linked":
                link = _down(side, neighbour)
                return f"{name} is at {other.called}, to which {home.called} has no link; {link}"
    if any(neighbour.node == other.node for neighbour in home.neighbours):
        return f"{name} is at {other.called}, which has not told it to {home.called} yet: ask again"
    return (
        f"{name} is at {other.called}, to which {home.called} has no link: peers hand on what applications "
        "send, not what other peers do, so each two of them need a link"
    )


def _absent(nodes: Sequence[NodeFacts], names: Sequence[NameFacts]) -> WalkStep:
    """Nobody who was asked has a name: why, as far as they remember."""
    name = names[0].name
    ends: list[tuple[EndFacts, NodeFacts, str]] = []
    for node, known in zip(nodes, names, strict=True):
        if known.refused is not None:
            ends.append((known.refused, node, f"{name} was refused at {node.called}"))
        if known.left is not None:
            ends.append((known.left, node, f"{name} was known to {node.called} and left"))
    if ends:
        end, node, what = max(ends, key=lambda one: one[0].at)
        return _missing(node, f"{what} at {_when(end.at)} ({_ago(node.now - end.at)} ago): {end.cause}")
    first = nodes[0]
    text = f"{name} was never registered at {_list([node.called for node in nodes])} as far as remembered"
    return _missing(first, "; ".join([text, *_clues(nodes)]))


def _clues(nodes: Sequence[NodeFacts]) -> Iterator[str]:
    """What might be behind it that nobody knows a name."""
    for node in nodes:
        for neighbour in node.neighbours:
            if neighbour.state not in ("joined", "linked", "itself"):
                yield _down(node, neighbour)
            elif neighbour.state == "linked":
                yield f"{neighbour.endpoint} is no node of ours: only routes made by hand lead there"
        if node.backbone:
            yield f"the backbone of {node.called} is down ({node.backbone})"
        for endpoint in node.controllers:
            yield f"{node.called} does not reach its controller {endpoint}, which may know a route"
        for stranger in node.strangers:
            yield (
                f"connection {stranger.connection} from {stranger.peer} (version {stranger.version}) speaks "
                f"another wire than {node.called} ({node.versions})"
            )


# What applications said


def _acceptance(nodes: Sequence[NodeFacts], end: NodeFacts | None) -> Iterator[WalkStep]:
    """Whether the two take what the other one sends: the node cannot know, they may have said."""
    source, target = nodes[0].source.name, nodes[0].target.name
    there = {name for node in nodes for name in _instances(node)}
    for node in nodes:
        for refusal in node.refusals:
            if {refusal.by, refusal.of} <= there:
                ago = _ago(node.now - refusal.at)
                why = REASONS.get(refusal.reason, refusal.reason)
                yield _missing(node, f"{_short(refusal.by)} refuses {_short(refusal.of)}: {why} ({ago} ago)")
    if end is None:
        return
    ways = _near(end.target)
    if any(way.role == "application" or way.rank == "local" for way in ways):
        yield _holds(end, f"{target} has not said that it refuses {source}")
    else:
        yield _unknown(
            end, f"whether {target} takes it is not known to the node: look at the log of {target}"
        )


def _instances(node: NodeFacts) -> Iterator[str]:
    for name in (node.source, node.target):
        for way in _near(name):
            for id in way.ids:
                yield f"{_without_id(name.name)}/{id}"


def _without_id(name: str) -> str:
    return "/".join(name.split("/")[:3])


def _short(name: str) -> str:
    """A name with the first digits of its instance id, as `Name.short` has it."""
    *text, id = name.split("/")
    return f"{'/'.join(text)}/{id.zfill(16)[:4]}"


# Words


def _down(node: NodeFacts, neighbour: NeighbourFacts) -> str:
    """That a link between nodes is not there, since when, and why."""
    since = f" since {_when(neighbour.since)}" if neighbour.since else ""
    why = f" ({neighbour.cause})" if neighbour.cause else ""
    return f"the link from {node.called} to {neighbour.node or neighbour.endpoint} is down{since}{why}"


def _registered(node: NodeFacts, name: NameFacts) -> WalkStep:
    ways = _near(name)
    more = f" and {_many(len(ways) - 1, 'more', plural='more')}" if len(ways) > 1 else ""
    return _holds(node, f"{name.name} is registered at {node.called}: {_at(ways[0])}{more}")


def _stuck(way: WayFacts) -> str:
    """The other end of a connection takes nothing."""
    dropped = f", and {_many(way.dropped, 'message')} to it dropped so far" if way.dropped else ""
    waits = f"{way.backlog / 1024:.0f} KiB"
    return f"{_at(way)} does not read: its outbox has been full for {_ago(way.full_for)} ({waits}){dropped}"


def _at(way: WayFacts) -> str:
    if way.rank == "local":
        return "an application in its own process"
    where = f", {way.peer}" if way.peer else ""
    return f"connection {way.connection}{where}"


def _holds(node: NodeFacts, text: str) -> WalkStep:
    return WalkStep(StepState.HOLDS, node.called, text)


def _missing(node: NodeFacts, text: str) -> WalkStep:
    return WalkStep(StepState.MISSING, node.called, text)


def _unknown(node: NodeFacts, text: str) -> WalkStep:
    return WalkStep(StepState.UNKNOWN, node.called, text)


def _many(count: int, what: str, *, plural: str = "") -> str:
    return f"{count} {what if count == 1 else plural or what + 's'}"


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _when(at: float) -> str:
    return strftime("%Y-%m-%d %H:%M:%SZ", gmtime(at))


def _ago(seconds: float) -> str:
    """How long, in the unit that says most."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
