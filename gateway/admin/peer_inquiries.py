"""What other nodes know about two names, asked over the links to them: and answered, when they ask.

    people ──► this node ──NodeInquiry──► its peers                        (each that is joined)
                         ──NodeInquiry──► a peer ──NodeInquiry──► its peer (which this node has no link to)

Only nodes that are joined ask and are answered; they are told what a reader of the admin port sees. A
question goes over two links at most, and so many a second are answered.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Coroutine, Iterable
from typing import Any, NamedTuple

from actors.messages.routing import Inquired, Transmit
from actors.messages.wire import NodeInquiry
from actors.names import Name
from actors.record import record
from actors.system.tasks import Tasks
from gateway.admin.facts import NodeFacts
from gateway.admin.inquiry import inquire
from gateway.admin.rows import plain
from gateway.node.node import Node

WAIT = 1.5
"""Seconds within which a peer answers; half of them for one that it asks for us."""
BACKBONE_WAIT = 0.5
"""Seconds for which answers of a backbone are waited for: nobody knows how many there are."""
PEERS = 16
"""Nodes that are asked, and as many that only these know."""
ANSWERS = 8
"""Questions of others that are answered in a second; to those above, nothing is said."""
LARGEST = 64 * 1024
"""Bytes of an answer."""


@record
class _Awaited(NamedTuple):
    connection: int
    answer: asyncio.Future[bytes]


class PeerInquiries:
    """Asks and answers for a node, from `start` to `close`."""

    def __init__(self, node: Node) -> None:
        self._node, self._plane = node, node.data_plane
        around = self._plane.surroundings
        self._clock, self._loop = around.clock, around.running_loop()
        self._inbox = self._plane.system.inbox(lambda message, _: self._heard(message))
        self._tasks = Tasks(self._loop)
        self._numbers = itertools.count(1)
        self._awaited: dict[int, _Awaited] = {}
        self._second, self._answered = 0.0, 0

    def start(self) -> None:
        """From now on peers are answered."""
        self._plane.routes.inquiries = self._inbox

    def close(self) -> None:
        """Nobody is answered any more."""
        self._plane.routes.inquiries = None
        self._tasks.cancel()

    # Asking

    async def gather(self, source: Name, target: Name) -> list[NodeFacts]:
        """What this node knows about two names, and then what others do that it reaches."""
        own = await inquire(self._node, source, target)
        links = self._plane.routes.node_links
        # Those to whom the names lead come first.
        leads = [way.connection for name in (own.target, own.source) for way in name.ways]
        peers = [index for index in dict.fromkeys([*leads, *links]) if index in links][:PEERS]
        near = await self._all(self._ask(index, links[index], source, target, WAIT) for index in peers)
        via = {links[index]: index for index in peers if index in links}
        known = {own.node, *links.values()}
        farther = {
            neighbour.node: via[facts.node]
            for facts in near
            for neighbour in facts.neighbours
            if neighbour.state == "joined" and neighbour.node not in known and facts.node in via
        }
        if any(way.rank == "backbone" for name in (own.source, own.target) for way in name.ways):
            near += await self._over_backbone(own.node, source, target)
        asked = itertools.islice(farther.items(), PEERS)
        far = await self._all(self._ask(index, node, source, target, WAIT, far=True) for node, index in asked)
        return [own, *near, *far]

    async def _over_backbone(self, own: str, source: Name, target: Name) -> list[NodeFacts]:
        """What those on the backbone know that have one of the names."""
        link = self._plane.backbone
        if link is None:
            return []
        asked = NodeInquiry(0, source, target)
        told = await asyncio.gather(*(link.inquire(name, asked, BACKBONE_WAIT) for name in (source, target)))
        read = (_read(each) for answers in told for each in answers[:PEERS])
        found = {facts.node: facts for facts in read if facts is not None and facts.node != own}
        return list(found.values())

    @staticmethod
    async def _all(asked: Iterable[Coroutine[Any, Any, NodeFacts | None]]) -> list[NodeFacts]:
        return [facts for facts in await asyncio.gather(*asked) if facts is not None]

    async def _ask(
        self, connection: int, node: str, source: Name, target: Name, wait: float, *, far: bool = False
    ) -> NodeFacts | None:
        """The facts of `node`, asked over `connection`; None when it does not tell them, and only them."""
        told = await self._answer_of(connection, NodeInquiry(0, source, target, node if far else ""), wait)
        facts = _read(told)
        return facts if facts is not None and facts.node == node else None

    async def _answer_of(self, connection: int, inquiry: NodeInquiry, wait: float) -> bytes:
        """What came back, unread; nothing when nothing did in time."""
        number = next(self._numbers)
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._awaited[number] = _Awaited(connection, answer)
        try:
            self._transmit(connection, inquiry._replace(number=number))
            async with asyncio.timeout(wait):
                return await answer
        except TimeoutError:
            return b""
        finally:
            del self._awaited[number]

    # Answering

    def _heard(self, message: Any) -> None:
        known = (*self._plane.routes.node_links, self._plane.routes.backbone)
        if not isinstance(message, Inquired) or message.connection not in known:
            return
        connection, inquiry = message
        if inquiry.facts is None:
            answering = self._known(inquiry) if self._may_answer() else _nothing()
            self._tasks(answering, lambda facts, _: self._reply(connection, inquiry, facts))
            return
        awaited = self._awaited.get(inquiry.number)
        if awaited is not None and awaited.connection == connection and not awaited.answer.done():
            awaited.answer.set_result(inquiry.facts if len(inquiry.facts) <= LARGEST else b"")

    def _may_answer(self) -> bool:
        now = self._clock()
        if now - self._second >= 1.0:
            self._second, self._answered = now, 0
        self._answered += 1
        return self._answered <= ANSWERS

    async def _known(self, inquiry: NodeInquiry) -> bytes:
        """What is known here, or to the peer that is meant."""
        links = self._plane.routes.node_links
        if inquiry.node in ("", self._plane.node_id):
            facts = await inquire(self._node, inquiry.source, inquiry.target)
            return json.dumps(plain(facts)).encode()
        connection = next((index for index, node in links.items() if node == inquiry.node), None)
        if connection is None:
            return b""
        return await self._answer_of(connection, inquiry._replace(node=""), WAIT / 2)

    def _reply(self, connection: int, inquiry: NodeInquiry, facts: bytes | None) -> None:
        told = facts if facts is not None and len(facts) <= LARGEST else b""
        self._transmit(connection, inquiry._replace(facts=told))

    def _transmit(self, connection: int, inquiry: NodeInquiry) -> None:
        backbone = self._plane.backbone
        if backbone is not None and connection == backbone.index:
            self._tasks(backbone.answer(inquiry), lambda *_: None)
            return
        address = self._plane.routes.addresses.get(connection)
        if address is not None:
            self._plane.system.tell(address, Transmit((inquiry,)), self._inbox)


def _read(told: bytes) -> NodeFacts | None:
    """What a node answered; None for whatever is no answer."""
    try:
        return NodeFacts.read(json.loads(told))
    except (ValueError, RecursionError):
        return None


async def _nothing() -> bytes:
    return b""
