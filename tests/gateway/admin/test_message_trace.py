"""Who looks at the messages of a name sees each in a line, bounded, and nothing that is in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from actors.messages.wire import (
    ALL,
    Frame,
    MessageType,
    Payload,
    SessionKind,
    SessionMessage,
)
from actors.names import Name
from actors.routing.table import SubscriptionTable
from gateway.admin.message_trace import LINES, LOOKS, WATCHERS, MessageTraces, TraceRow
from gateway.codec import WireCodec
from tests.gateway.admin.conftest import Run
from tests.gateway.admin.operated import ALICE, BOB, Operated

PAYLOAD, TOKEN = b"what nobody may read", "what nobody may show"
ALICE_A1 = ALICE.with_id(0xA1 << 56)
CAROL = Name("org", "demo", "carol", 3)


def message(source: Name = ALICE_A1, destination: Name = BOB, number: int = 7) -> Frame:
    said = SessionMessage(
        source,
        destination,
        SessionKind.POINT_TO_POINT,
        MessageType.MSG,
        42,
        number,
        Payload("text", PAYLOAD),
        fanout=ALL,
    )
    return WireCodec().encode(said, TOKEN)


class Traced:
    """The tap of a node, without the node."""

    def __init__(self) -> None:
        self.now = 0.0
        self.view = SubscriptionTable().view
        self.traces = MessageTraces(self.view, lambda: self.now, lambda: 1000.0 + self.now)
        self.rows: list[TraceRow] = []
        self.room = True

    def tell(self, row: TraceRow | None) -> bool:
        if self.room and row is not None:
            self.rows.append(row)
        return self.room


@pytest.fixture
def traced() -> Traced:
    return Traced()


def test_a_message_is_one_line(traced: Traced) -> None:
    traced.traces.begin(ALICE, traced.tell)
    frame = message()
    traced.traces.routed(3, frame, (4, 5))
    assert traced.rows == [
        TraceRow(1000.0, "org/demo/alice/a100", "org/demo/bob", "msg", 42, 7, frame.size, 3, (4, 5), "")
    ]


@pytest.mark.parametrize("name", [ALICE, ALICE_A1, BOB])
def test_it_is_seen_by_either_name_and_by_the_instance(traced: Traced, name: Name) -> None:
    traced.traces.begin(name, traced.tell)
    traced.traces.routed(3, message(), (4,))
    assert len(traced.rows) == 1


@pytest.mark.parametrize("name", [CAROL, ALICE.with_id(9), BOB.with_id(9)])
def test_others_are_not_seen(traced: Traced, name: Name) -> None:
    traced.traces.begin(name, traced.tell)
    traced.traces.routed(3, message(), (4,))
    assert traced.rows == []


def test_why_it_is_dropped_is_said(traced: Traced) -> None:
    traced.traces.begin(BOB, traced.tell)
    traced.traces.routed(3, message(), ())
    traced.traces.dropped(4, [message()], "the receiver has been slow for too long")
    assert [(row.by, row.to, row.dropped) for row in traced.rows] == [
        (3, (), "nobody has the name"),
        (0, (4,), "the receiver has been slow for too long"),
    ]


def test_nothing_from_inside_is_told(traced: Traced) -> None:
    traced.traces.begin(BOB, traced.tell)
    traced.traces.routed(3, message(), (4,))
    told = json.dumps(traced.rows[0]._asdict())
    assert PAYLOAD.decode() not in told
    assert TOKEN not in told


def test_so_many_lines_a_second_and_the_rest_is_counted(traced: Traced) -> None:
    traced.traces.begin(BOB, traced.tell)
    for number in range(LINES + 50):
        traced.traces.routed(3, message(number=number), (4,))
    assert len(traced.rows) == LINES
    traced.now = 1.0
    traced.traces.routed(3, message(), (4,))
    assert traced.rows[-1].more == 50


def test_who_does_not_take_rows_hears_how_many_there_were(traced: Traced) -> None:
    traced.traces.begin(BOB, traced.tell)
    traced.room = False
    traced.traces.routed(3, message(), (4,))
    traced.room = True
    traced.traces.routed(3, message(), (4,))
    assert [row.more for row in traced.rows] == [1]


def test_no_more_messages_are_looked_at_than_the_node_can_spare(traced: Traced) -> None:
    traced.traces.begin(CAROL, traced.tell)
    frame, wanted = message(), message(CAROL)
    for _ in range(LOOKS + 10):
        traced.traces.routed(3, frame, (4,))
    traced.now = 1.0
    traced.traces.routed(3, wanted, (4,))
    assert [(row.source, row.unread) for row in traced.rows] == [("org/demo/carol/0000", 10)]


def test_a_header_that_cannot_be_read_is_passed_over(traced: Traced) -> None:
    traced.traces.begin(BOB, traced.tell)
    traced.traces.routed(3, message()._replace(header=b"\x0a\x02\xff\xff"), (4,))
    assert traced.rows == []


def test_connections_tell_only_while_somebody_looks(traced: Traced) -> None:
    traces, view = traced.traces, traced.view
    assert view.tap is None
    first, second = (traces.begin(name, traced.tell) for name in (ALICE, BOB))
    assert view.tap is traces
    for trace in (first, first, second):
        assert trace is not None
        traces.end(trace)
    assert view.tap is None


def test_so_many_may_look(traced: Traced) -> None:
    made = [traced.traces.begin(BOB, traced.tell) for _ in range(WATCHERS + 1)]
    assert made[-1] is None
    assert None not in made[:-1]


# A real node


@pytest.fixture
async def operated() -> AsyncIterator[Operated]:
    made = Operated()
    async with made.held:
        yield made


async def watch(http: Any, enough: Callable[[list[dict[str, Any]]], bool], **query: Any) -> list[Any]:
    """The rows of a stream until there are enough, or it ends."""
    rows: list[dict[str, Any]] = []
    async with asyncio.timeout(10), http.stream("GET", "/api/v1/trace", params=query) as response:
        assert response.status_code == 200
        async for line in response.aiter_lines():
            if line.startswith("data: ") and line != "data: {}":
                rows.append(json.loads(line.removeprefix("data: ")))
            if line == "event: end" or enough(rows):
                break
    return rows


async def test_messages_of_real_applications_are_seen(run_node: Run, operated: Operated) -> None:
    async with run_node() as running, running.client() as http:
        operated.nodes["n1"] = running.node
        alice = await operated.application(ALICE, "n1", route=BOB)
        bob = await operated.application(BOB, "n1")
        looking = asyncio.create_task(
            watch(http, lambda rows: any(row["kind"] == "msg" for row in rows), name="org/demo/alice")
        )
        async with asyncio.timeout(10):
            while running.node.data_plane.routes.tap is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        listening = asyncio.create_task(bob.listen_for_session())
        async with alice.session(BOB) as session:
            await listening
            await session.publish(PAYLOAD)
            rows = await looking
        kinds = [row["kind"] for row in rows]
        assert kinds[:2] == ["discovery_request", "discovery_reply"]
        assert all(row["dropped"] == "" and row["by"] and row["to"] for row in rows)
        assert PAYLOAD.decode() not in json.dumps(rows)
        async with asyncio.timeout(10):
            while running.node.data_plane.routes.tap is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_what_nobody_wants_is_seen_with_the_reason(run_node: Run, operated: Operated) -> None:
    async with run_node() as running, running.client() as http:
        operated.nodes["n1"] = running.node
        alice = await operated.application(ALICE, "n1", route=BOB)
        looking = asyncio.create_task(watch(http, bool, name="org/demo/bob"))
        async with asyncio.timeout(10):
            while running.node.data_plane.routes.tap is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        opening = asyncio.create_task(alice.session(BOB, timeout=0.1, max_retries=1)._open())
        (row,) = await looking
        assert (row["kind"], row["dropped"]) == ("discovery_request", "nobody has the name")
        await asyncio.gather(opening, return_exceptions=True)


async def test_a_look_ends_when_its_time_is_over(run_node: Run) -> None:
    async with run_node() as running, running.client() as http:
        assert await watch(http, bool, name="org/demo/bob", seconds="0.05") == []
        assert running.node.data_plane.routes.tap is None


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({}, "name: a name is organisation/namespace/application"),
        ({"name": "x"}, "name: a name is organisation/namespace/application"),
        ({"name": "a/b/c", "seconds": "0"}, "seconds: expected a number up to 3600"),
        ({"name": "a/b/c", "seconds": "nan"}, "seconds: expected a number up to 3600"),
        ({"name": "a/b/c", "seconds": "1e9"}, "seconds: expected a number up to 3600"),
        ({"name": "a/b/c", "payload": "1"}, "payload: not known here"),
    ],
)
async def test_what_cannot_be_looked_at_is_refused_in_words(
    run_node: Run, query: dict[str, str], text: str
) -> None:
    async with run_node() as running, running.client() as http:
        answer = await http.get("/api/v1/trace", params=query)
        assert answer.status_code == 400
        assert answer.json()["error"].startswith(text)


async def test_the_node_does_not_wait_for_who_looks(run_node: Run) -> None:
    async with run_node() as running, running.client() as http:
        looking = asyncio.create_task(watch(http, bool, name="org/demo/bob"))
        async with asyncio.timeout(10):
            while running.node.data_plane.routes.tap is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 3.0
    await asyncio.gather(looking, return_exceptions=True)


async def test_explain_is_an_answer_of_the_port(run_node: Run) -> None:
    async with run_node() as running, running.client() as http:
        answer = await http.get("/api/v1/explain", params={"from": "org/demo/alice", "to": "org/demo/bob"})
        said = answer.json()
        assert said["steps"][-1]["state"] == "missing"
        assert said["verdict"].startswith(
            "org/demo/alice does not reach org/demo/bob: org/demo/alice was never"
        )
        assert said["facts"]["node"] == running.node.data_plane.node_id
        wrong = await http.get("/api/v1/explain", params={"from": "org/demo/alice"})
        assert (wrong.status_code, wrong.json()["error"][:4]) == (400, "to: ")
