"""Nodes ask their peers about names by themselves: over the links between them, and who else could."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from actors.errors import ProtocolError
from actors.messages.routing import Inquired
from actors.messages.wire import NodeInquiry
from gateway.admin import peer_inquiries
from gateway.admin.explain import Walk
from gateway.admin.peer_inquiries import ANSWERS, LARGEST
from gateway.codec.inbound import InboundParser
from gateway.codec.outbound import encode_record
from gateway.links.nats_inquiries import FORMAT, OPEN, SIZE, NatsInquiries
from tests.gateway.admin.operated import ALICE, BOB, WAIT, Operated, reaches, says
from tests.gateway.links.nats_server import NatsServer, needs_nats_server


@pytest.fixture
async def operated() -> AsyncIterator[Operated]:
    made = Operated()
    async with made.held:
        yield made


async def three(operated: Operated, *of_last: str) -> None:
    """Alice at the first, bob at the last, which dials the nodes that are named."""
    await operated.node("n1")
    await operated.node("n2", "n1")
    await operated.node("n3", *of_last)
    await operated.application(ALICE, "n1", route=BOB)
    await operated.application(BOB, "n3")


async def until(operated: Operated, holds: Any, node: str = "n1") -> Walk:
    async with asyncio.timeout(WAIT):
        while not holds(walk := await operated.told(node)):  # noqa: ASYNC110 - names take their time
            await asyncio.sleep(0.05)
    return walk


async def test_one_node_of_three_peers_knows_the_whole_way(operated: Operated) -> None:
    await three(operated, "n1", "n2")
    walk = await until(operated, reaches)
    assert walk.asked[0] == "n1"
    assert set(walk.asked) == {"n1", "n2", "n3"}
    assert walk.unasked == ()
    assert any("org/demo/bob is registered at n3" in step.text for step in walk.steps)
    # Whichever node is asked.
    assert reaches(await operated.told("n2"))


async def test_a_peers_peer_is_asked_through_it(operated: Operated) -> None:
    await three(operated, "n2")
    walk = await until(operated, says("org/demo/bob is at n3, to which n1 has no link: peers hand on"))
    assert walk.asked == ("n1", "n2", "n3")


async def test_what_a_peer_knows_is_the_reason(operated: Operated) -> None:
    await three(operated, "n1", "n2")
    await until(operated, reaches)
    operated.nodes["n3"].data_plane.health.end("draining")
    await until(operated, says("n3 takes no messages any more: it is draining"))


async def test_a_peer_that_does_not_answer_is_named(
    operated: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_inquiries, "WAIT", 0.1)
    await three(operated, "n1", "n2")
    await until(operated, reaches)
    operated.inquiries["n3"].close()
    walk = await operated.told("n1")
    assert [neighbour.node for neighbour in walk.unasked] == ["n3"]
    assert "n3 did not say" in walk.steps[-1].text


@needs_nats_server
async def test_who_has_a_name_on_a_backbone_is_asked(operated: Operated, tmp_path: Path) -> None:
    server = await NatsServer(tmp_path).start()
    operated.held.callback(server.kill)
    for name in ("n1", "n2", "n3"):
        await operated.node(name, backbone={"url": server.url})
    await operated.application(ALICE, "n1", route=BOB)
    await operated.application(BOB, "n2")
    walk = await until(operated, reaches)
    assert walk.asked == ("n1", "n2"), "who has neither is not asked"
    assert any("n1 puts it on the backbone" in step.text for step in walk.steps)
    assert reaches(await operated.told("n3")), "from a node that has neither"
    operated.nodes["n2"].data_plane.health.end("draining")
    await until(operated, says("n2 takes no messages any more: it is draining"))


def test_questions_of_a_backbone_are_bounded_and_read_with_care() -> None:
    inquiries = NatsInquiries("_INBOX.x")
    question = FORMAT + encode_record(NodeInquiry(7, ALICE, BOB))
    heard = [inquiries.asked(question, f"reply.{number}") for number in range(OPEN + 5)]
    assert len({inquiry.number for inquiry in heard}) == OPEN + 5
    assert len(inquiries._replies) == OPEN
    for data, reply in (
        (question, ""),
        (FORMAT + b"\xff\xff", "r"),
        (FORMAT + encode_record(NodeInquiry(7, ALICE, BOB, "", b"{}")), "r"),
        (FORMAT + b"x" * SIZE, "r"),
    ):
        with pytest.raises(ProtocolError):
            inquiries.asked(data, reply)
    inquiries.answered("i99", question)


# Who may, and how much


class Asking:
    """One node, and what it is told on a connection that need not be a node link."""

    def __init__(self, operated: Operated, name: str) -> None:
        self.plane, self.inquiries = operated.nodes[name].data_plane, operated.inquiries[name]
        self.link = next(iter(self.plane.routes.node_links))

    def says(self, connection: int, **more: Any) -> None:
        inquiry = NodeInquiry(1, ALICE, BOB)._replace(**more)
        self.plane.system.tell(self.inquiries._inbox, Inquired(connection, inquiry), self.inquiries._inbox)


@pytest.fixture
async def pair(operated: Operated) -> tuple[Asking, Asking]:
    await operated.node("n1")
    await operated.node("n2", "n1")
    async with asyncio.timeout(WAIT):
        while not all(node.data_plane.routes.node_links for node in operated.nodes.values()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return Asking(operated, "n1"), Asking(operated, "n2")


async def test_an_application_is_not_answered(operated: Operated) -> None:
    await operated.node("n1")
    other = await operated.original("n1")
    other.send(encode_record(NodeInquiry(1, ALICE, BOB)))
    await other.is_in_step()
    assert operated.inquiries["n1"]._answered == 0


async def test_an_answer_counts_on_its_own_link_only_and_of_whom_was_asked(
    pair: tuple[Asking, Asking], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pair
    there.inquiries.close()
    monkeypatch.setattr(peer_inquiries, "WAIT", 0.1)
    forged = json.dumps({"node": "n9", "now": 1.0, "source": {"name": "a"}, "target": {"name": "b"}}).encode()
    for connection, facts in ((here.link + 1000, forged), (here.link, forged), (here.link, b"[" * 5000)):
        asking = asyncio.ensure_future(here.inquiries.gather(ALICE, BOB))
        while not here.inquiries._awaited:  # noqa: ASYNC110 - its own facts come first
            await asyncio.sleep(0)
        number = next(iter(here.inquiries._awaited))
        here.says(connection, number=number, facts=facts)
        assert [one.node for one in await asking] == ["n1"]
    assert here.inquiries._awaited == {}


async def test_so_many_questions_a_second_are_answered(pair: tuple[Asking, Asking]) -> None:
    here, _ = pair
    answers: list[bytes | None] = []
    here.inquiries._reply = lambda connection, inquiry, facts: answers.append(facts)  # type: ignore[method-assign]
    for _ in range(ANSWERS + 5):
        here.says(here.link)
    async with asyncio.timeout(WAIT):
        while len(answers) < ANSWERS + 5:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert sum(not answer for answer in answers) == 5


async def test_a_question_for_somebody_unknown_gets_an_empty_answer(pair: tuple[Asking, Asking]) -> None:
    here, there = pair
    assert await here.inquiries._answer_of(here.link, NodeInquiry(0, ALICE, BOB, "n9"), WAIT) == b""
    assert b'"node": "n2"' in await here.inquiries._answer_of(here.link, NodeInquiry(0, ALICE, BOB), WAIT)
    assert there.inquiries._awaited == {}


def test_an_inquiry_goes_over_the_wire() -> None:
    for facts in (None, b"", b"{}" * (LARGEST // 2)):
        inquiry = NodeInquiry(7, ALICE, BOB, "n3", facts)
        assert InboundParser(1).parse(encode_record(inquiry)) == inquiry
