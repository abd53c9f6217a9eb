"""The eye of the admin port: reads a node, a page at a time, into the rows of `gateway.admin.rows`.

It changes nothing, and waits for nobody but the actors of connections and sessions whose rows are asked for.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from operator import itemgetter
from typing import Any

from actors.messages.routing import Status, StatusReport
from actors.messages.wire import GroupLed
from actors.names import Name, hashes_of
from actors.routing.view import Rank
from actors.session.actor import SessionActor
from actors.system import AskFailed, NotInVocabulary, SystemStopped
from actors.system.cell import Cell
from actors.system.status import ActorStatus
from actors.telemetry import PREFIX, Sample
from gateway.admin.limits import certificate_rows, descriptors, limit_rows
from gateway.admin.paging import Page, Position, Query, chunks, in_turns, page
from gateway.admin.rows import (
    ActorRow,
    ApplicationRow,
    BackboneRow,
    ConnectionRow,
    ControllerRow,
    CounterRow,
    GroupRow,
    NodeRow,
    PeerRow,
    QueueRow,
    RouteRow,
    SessionRow,
)
from gateway.admin.sending import Sending
from gateway.api.version import get_version
from gateway.links.link import AcceptedLink
from gateway.node.group_reports import figures_of
from gateway.node.loop_lag import Largest, LoopLag
from gateway.node.memory import resident
from gateway.node.node import Node
from gateway.node.peer_policy import proved_name
from gateway.security.expiry import problems

ASK = 0.5
"""Seconds within which an actor tells its figures."""
ASKED = 50
"""Actors that are asked at a time."""
ASKED_ALWAYS, ASKED_A_SECOND = 100, 1000
"""Sessions of this process that are asked for their sums each time; of more, so many in a second. Each costs
some 50 us: a large node's figures take a twentieth of a core at most, however many look at them."""
NAMES_SEARCHED = 64
"""Names of one connection in which a search looks."""
SUMMED = {
    "unacknowledged": "Messages of sessions of this process that somebody has not acknowledged.",
    "lag": "Messages that the member furthest behind has not acknowledged, added up over the sessions of "
    "this process.",
}
"""Of what sessions count and nobody sums up, what is asked for, and its help."""


class NodeView:
    """What a node shows."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._plane = node.data_plane
        around = self._plane.surroundings
        self.clock, self._wall = around.clock, around.wall
        self._started, self._since = self.clock(), self._wall()
        self.lag = LoopLag(asyncio.get_running_loop(), self.clock)
        self.turns = Largest()
        """How long turns of the actors took."""
        self._sending = Sending()
        self._sums: list[Sample] = []
        self._sums_until = -math.inf

    def begin(self) -> None:
        """Look at the loop from now on."""
        self.lag.start()
        self._plane.system.time_turns(self.clock, self.turns.add)

    def end(self) -> None:
        """Look at it no more."""
        self.lag.stop()
        self._plane.system.time_turns(None)

    # The node

    def node(self) -> NodeRow:
        """The node as a whole."""
        plane, status = self._plane, self._plane.system.system_status()
        used, most = descriptors()
        return NodeRow(
            node=self._node.config.node_id,
            version=get_version(),
            state=plane.health.reason or "serving",
            since=self._since,
            uptime=self.clock() - self._started,
            listeners=tuple(self._node.addresses),
            connections=len(plane.links),
            accepted=len(plane.links) - len(plane.dialled()) - (plane.backbone is not None),
            names=len(plane.control.table),
            peers=len(plane.routes.node_links),
            actors=status.actors + status.inboxes,
            mailboxes=status.depth,
            failures=status.failures,
            restarts=status.restarts,
            waiting_bytes=plane.waiting.size,
            waiting_bound=plane.waiting.limit,
            loop_lag=self.lag.seconds,
            slowest_turn=self.turns.get(self.clock()),
            memory=resident(),
            descriptors=used,
            descriptors_bound=most,
            backbone=self._backbone(),
            controllers=self._controllers(),
            limits=limit_rows(self._node),
            certificates=certificate_rows(self._node, self._wall()),
        )

    def problems(self) -> list[str]:
        """What is to be said of a node that serves."""
        said = problems(self._node.certificates, self._wall())
        if self._plane.doorkeeper.sending.held_back:
            said.append("memory is nearly full: senders are held back")
        return said

    def _backbone(self) -> BackboneRow | None:
        link = self._plane.backbone
        if link is None:
            return None
        return BackboneRow(link.peer, "up" if link.ends_at() else "down", link.index)

    def _controllers(self) -> tuple[ControllerRow, ...]:
        dialled = self._node.controllers()
        return (
            *(ControllerRow(endpoint, "up" if up else "down") for endpoint, up in dialled.items()),
            *(ControllerRow(endpoint, "listening") for endpoint in self._node.controlled_at),
        )

    # Connections

    async def connections(self, query: Query) -> Page[ConnectionRow]:
        """Streams, by their index; a search looks at addresses, identities and names."""
        table, links = self._plane.control.table, self._plane.links
        after = query.after[0] if query.after else 0

        def wanted(index: int) -> bool:
            link: Any = links.get(index)
            if link is None:
                return False
            prefix = query.prefix
            return (
                not prefix
                or link.peer.startswith(prefix)
                or getattr(link, "subject", "").startswith(prefix)
                or any(
                    text(name).startswith(prefix) for name, _, _ in islice(table.told(index), NAMES_SEARCHED)
                )
            )

        candidates: Iterator[tuple[Position, int]] = (
            ((index,), index) for index in sorted(links) if index > after
        )
        found = await page(candidates, query.limit, wanted)
        rows: list[ConnectionRow] = []
        for some in chunks(found.items, ASKED):
            rows += await asyncio.gather(*map(self.connection, some))
        return Page([row for row in rows if row.connection], found.next)

    async def connection(self, index: int) -> ConnectionRow:
        """One stream. Its `connection` is 0 when there is none of that index."""
        link: Any = self._plane.links.get(index)
        address = self._plane.routes.addresses.get(index)
        report = await self._ask(address) if address is not None else {}
        told = report.get(str(index), {})
        if link is None:
            return _NO_CONNECTION
        counts = {**link.counts.figures(), **told}
        number = counts.get
        came = number("frames_in", 0), number("bytes_in", 0)
        messages, size = self._sending.rates(index, *came, since=link.since, now=self._wall())
        bounds = self._plane.doorkeeper.paces(index)
        return ConnectionRow(
            connection=index,
            kind=self._kind(index),
            role=told.get("role", "unknown"),
            peer=link.peer,
            node=self._plane.routes.node_links.get(index, ""),
            version=told.get("version", "unknown"),
            identity=proved_name(link) if isinstance(link, AcceptedLink) else "",
            listener=getattr(link, "listener", ""),
            since=link.since,
            names=self._plane.control.table.names(index),
            frames_in=number("frames_in", 0),
            frames_out=number("frames_out", 0),
            bytes_in=number("bytes_in", 0),
            bytes_out=number("bytes_out", 0),
            messages_per_second=messages,
            messages_bound=bounds[0],
            bytes_per_second=size,
            bytes_bound=bounds[1],
            backlog=link.backlog,
            congested=told.get("congested", False),
            pauses=number("pauses", 0),
            dropped=number("dropped", 0),
            unrouted=number("unrouted", 0),
            too_large=number("oversized", 0),
            malformed=number("malformed", 0),
        )

    def _kind(self, index: int) -> str:
        plane = self._plane
        if plane.backbone is not None and index == plane.backbone.index:
            return "backbone"
        if index in plane.routes.node_links:
            return "peer"
        return "edge" if plane.is_edge(index) else "dialled"

    async def _ask(self, address: Any) -> dict[str, Any]:
        """The figures of an actor; none when it is gone or does not answer in time."""
        try:
            report = await self._plane.system.ask(address, Status(), ASK)
        except (AskFailed, NotInVocabulary, SystemStopped):
            return {}
        return report.figures if isinstance(report, StatusReport) else {}

    # Names

    async def routes(self, query: Query) -> Page[RouteRow]:
        """Which name leads where, by connection."""
        return await page(self._routes(query.after), query.limit, _named(query.prefix))

    def _routes(self, after: Position) -> Iterator[tuple[Position, RouteRow]]:
        table = self._plane.control.table
        first, at = (*after, 0, 0)[:2]
        for connection in table.tellers():
            if connection >= first:
                start = at if connection == first else 0
                for number, (name, rank, count) in enumerate(table.told(connection, start), start + 1):
                    yield (
                        (connection, number),
                        RouteRow(text(name), id_of(name), connection, RANKS[rank], count),
                    )

    async def applications(self, query: Query) -> Page[ApplicationRow]:
        """Instances of names on edges and in this process."""
        links = self._plane.links

        def candidates() -> Iterator[tuple[Position, ApplicationRow | None]]:
            for position, row in self._routes(query.after):
                near = row.rank in ("local", "edge") and row.id
                if not near:
                    yield position, None
                    continue
                link = links.get(row.connection)
                where = "here" if row.rank == "local" else "edge"
                peer = link.peer if link is not None else ""
                yield position, ApplicationRow(row.name, row.id, row.connection, where, peer)

        found = await page(
            candidates(), query.limit, lambda row: row is not None and row.name.startswith(query.prefix)
        )
        return Page([row for row in found.items if row is not None], found.next)

    async def groups(self, query: Query) -> Page[GroupRow]:
        """Names that somebody subscribed without an id: channels among them."""
        table, view = self._plane.control.table, self._plane.routes
        first, at = (*query.after, 0, 0)[:2]
        led = {group.channel.key: group async for group in in_turns(self._plane.groups.reports())}

        leaders = self._plane.groups.leaders()

        def candidates() -> Iterator[tuple[Position, tuple[GroupRow, Any] | None]]:
            for connection in table.tellers():
                if connection < first:
                    continue
                start = at if connection == first else 0
                for number, (name, _, _) in enumerate(table.told(connection, start), start + 1):
                    item = None
                    targets = view.by_instance.get((name.key, name.instance))
                    # Each name once: at the first of its connections.
                    if not name.has_id and targets is not None and targets.all[0] == connection:
                        members = len(targets.local) + len(targets.edges)
                        row = group_row(name, members, len(targets.peers), led.get(name.key))
                        item = row, leaders.get(name.key)
                    yield (connection, number), item

        def wanted(item: tuple[GroupRow, Any] | None) -> bool:
            return item is not None and item[0].name.startswith(query.prefix)

        found = await page(candidates(), query.limit, wanted)
        rows: list[GroupRow] = []
        for some in chunks([item for item in found.items if item is not None], ASKED):
            rows += await asyncio.gather(*(self._with_figures(*item) for item in some))
        return Page(rows, found.next)

    async def _with_figures(self, row: GroupRow, leader: Any) -> GroupRow:
        """With what its moderator counts, where that is a session of this process."""
        figures = figures_of(await self._ask(leader)) if leader is not None else None
        return row if figures is None else row._replace(**figures._asdict())

    # Actors

    def _cells(self, after: Position) -> Iterator[tuple[Position, Cell]]:
        """All actors and inboxes, by the number in their address."""
        last = after[0] if after else 0
        numbered = sorted(
            ((cell.address.number, cell) for cell in self._plane.system.cells()), key=itemgetter(0)
        )
        return (((number,), cell) for number, cell in numbered if number > last)

    async def actors(self, query: Query) -> Page[ActorRow]:
        """Actors and inboxes; a search looks at their kinds and names."""

        def wanted(cell: Cell) -> bool:
            return cell.kind.startswith(query.prefix) or (cell.globalName or "").startswith(query.prefix)

        found = await page(self._cells(query.after), query.limit, wanted)
        return Page([actor_row(cell.status()) for cell in found.items], found.next)

    async def sessions(self, query: Query) -> Page[SessionRow]:
        """Sessions of applications in this process; a search looks at their names."""
        rows: list[SessionRow] = []
        after: Position | None = query.after
        while after is not None and len(rows) < query.limit:
            found = await page(
                self._cells(after), query.limit - len(rows), lambda cell: cell.kind == SessionActor.__name__
            )
            after = found.next
            for some in chunks(found.items, ASKED):
                told = await asyncio.gather(*(self._ask(cell.address) for cell in some))
                rows += [
                    row for row in map(session_row, told) if row is not None and _is_of(row, query.prefix)
                ]
            if query.prefix:
                # What is left is the next page's: a request asks so many actors at most.
                break
        return Page(rows, after)

    async def queues(self, query: Query) -> Page[QueueRow]:
        """Bounded queues that hold something or dropped something; a search looks at their kind."""
        plane = self._plane

        def candidates() -> Iterator[tuple[Position, QueueRow]]:
            kind, number = (*query.after, 0, 0)[:2]
            if kind < 1:
                waiting = plane.waiting
                yield (
                    (1, 0),
                    QueueRow("waiting", "node", waiting.size, waiting.limit, "bytes", waiting.dropped),
                )
            if kind < 2 or (kind == 2 and number):
                for index in sorted(plane.links):
                    link = plane.links.get(index)
                    if link is not None and not (kind == 2 and index <= number):
                        owner = f"connection {index}"
                        row = QueueRow("outbox", owner, link.backlog, plane.high_water, "bytes", None)
                        yield (2, index), row
            for (at,), cell in self._cells((number,) if kind == 3 else ()):
                owner = f"{cell.kind} {cell.address}"
                yield (3, at), QueueRow("mailbox", owner, cell.depth, cell.bound, "messages", cell.refused)

        def wanted(row: QueueRow) -> bool:
            return bool(row.depth > 0 or row.dropped or row.queue == "waiting") and row.queue.startswith(
                query.prefix
            )

        return await page(candidates(), query.limit, wanted)

    # Neighbours and numbers

    async def peers(self, query: Query) -> Page[PeerRow]:
        """Other nodes: those that are dialled, and those that came in."""
        plane = self._plane
        known = plane.control.nodes.peers
        rows: list[PeerRow] = []
        for endpoint, figures in plane.peering.figures().items():
            node = figures["node"]
            past = known.get(node)
            rows.append(
                PeerRow(
                    node, endpoint, figures["connection"], figures["state"], figures["cause"],
                    figures["attempts"], past.losses if past else 0, past.returns if past else 0,
                )
            )  # fmt: skip
        dialled = {row.node for row in rows}
        for node, record in known.items():
            if node not in dialled:
                state = "joined" if record.connection is not None else "lost"
                rows.append(PeerRow(node, "", record.connection, state, "", 0, record.losses, record.returns))
        candidates = ((((number,), row)) for number, row in enumerate(rows, 1) if (number,) > query.after)
        found = await page(candidates, query.limit, lambda row: _any(query.prefix, row.node, row.endpoint))
        shown: list[PeerRow] = []
        for some in chunks(found.items, ASKED):
            shown += await asyncio.gather(*map(self._with_rates, some))
        return Page(shown, found.next)

    async def _with_rates(self, row: PeerRow) -> PeerRow:
        """With what comes over its connection."""
        if row.connection is None:
            return row
        sent = await self.connection(row.connection)
        return row._replace(
            messages_per_second=sent.messages_per_second, bytes_per_second=sent.bytes_per_second
        )

    async def counters(self, query: Query) -> Page[CounterRow]:
        """All counters and gauges of the registry; a search looks at their names."""
        samples = await self.samples()
        candidates = (
            ((number,), CounterRow(one.name, one.help, dict(one.labels), one.value))
            for number, one in enumerate(samples, 1)
            if (number,) > query.after
        )
        return await page(candidates, query.limit, lambda row: row.name.startswith(query.prefix))

    async def samples(self) -> list[Sample]:
        """The registry as it is now, summed up in many turns."""
        counted = [one async for one in in_turns(self._plane.telemetry.steps()) if one is not None]
        return [*counted, *await self._of_sessions()]

    async def _of_sessions(self) -> list[Sample]:
        """Sums over the sessions of this process; of many, those of a moment ago."""
        if self.clock() < self._sums_until:
            return self._sums
        sums = dict.fromkeys(SUMMED, 0)
        cells = [
            cell.address
            async for cell in in_turns(self._plane.system.cells())
            if cell.kind == SessionActor.__name__
        ]
        for some in chunks(cells, ASKED):
            for told in await asyncio.gather(*map(self._ask, some)):
                for figure in SUMMED:
                    sums[figure] += told.get(figure, 0)
        self._sums = [
            Sample(f"{PREFIX}_session_{figure}_messages", help, sums[figure])
            for figure, help in SUMMED.items()
        ]
        self._sums_until = self.clock() + max(0, len(cells) - ASKED_ALWAYS) / ASKED_A_SECOND
        return self._sums


_NO_CONNECTION = ConnectionRow(0, *("",) * 7, 0.0, *(0,) * 5, 0.0, None, 0.0, None, 0, False, *(0,) * 5)
RANKS = {Rank.LOCAL: "local", Rank.EDGE: "edge", Rank.PEER: "peer", Rank.BY_HAND: "by hand"}


def text(name: Name) -> str:
    """org/ns/app. Parts that a peer sent without text are shown as it hashed them."""
    return "/".join(
        part or f"#{number:016x}" for part, number in zip(name.strings, hashes_of(name.key), strict=True)
    )


def id_of(name: Name) -> str:
    """The instance id in hex; empty without one."""
    return f"{name.id:x}" if name.has_id else ""


def _named(prefix: str) -> Callable[[RouteRow], bool] | None:
    return (lambda row: row.name.startswith(prefix)) if prefix else None


def _any(prefix: str, *texts: str) -> bool:
    return any(one.startswith(prefix) for one in texts)


def _is_of(row: SessionRow, prefix: str) -> bool:
    return _any(prefix, row.application, row.destination)


def actor_row(status: ActorStatus) -> ActorRow:
    """As it is shown."""
    return ActorRow(**{**status._asdict(), "name": status.name or "", "state": status.state.value})


def group_row(name: Name, members: int, peers: int, led: GroupLed | None) -> GroupRow:
    """Of what the node sees, and what the moderator tells of it."""
    row = GroupRow(text(name), members, peers, "", None, None, None, None, None)
    if led is None:
        return row
    row = row._replace(moderator=text(led.moderator), group_members=len(led.members), epoch=led.epoch)
    return row if led.figures is None else row._replace(**led.figures._asdict())


def session_row(told: Mapping[str, Any]) -> SessionRow | None:
    """Of what a session told; None when it told nothing."""
    about = told.get("about")
    if about is None:
        return None
    local, number, kind, destination, epoch = about
    figures = {key: value for key, value in told.items() if isinstance(value, int)}
    return SessionRow(
        local, number, kind.lower().replace("_", " "), destination, figures.get("members", 0), epoch, figures
    )
