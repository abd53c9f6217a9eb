"""What the admin port does in one turn of the loop is bounded, however many connections there are.

Work is counted, not timed: `tests/benchmarks/admin.py` times it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from actors.telemetry import Registry
from gateway.admin.paging import PER_TURN, SCANNED, Page, Query, in_turns, page
from gateway.admin.view import NodeView
from gateway.config.node import NodeConfig
from gateway.node.node import Node
from tests.benchmarks.admin import crowd

MANY = 2_000


class Meter:
    """Counts what is done between two turns of the loop."""

    def __init__(self) -> None:
        self.done = self.most = self.total = 0
        self._ticking = True

    def work(self) -> None:
        self.done += 1
        self.total += 1
        self.most = max(self.most, self.done)

    async def measure(self, what: Awaitable[Any]) -> Any:
        """Await something while each turn of the loop begins a new count."""
        loop = asyncio.get_running_loop()

        def tick() -> None:
            self.done = 0
            if self._ticking:
                loop.call_soon(tick)

        tick()
        try:
            return await what
        finally:
            self._ticking = False


@pytest.fixture
async def crowded() -> Any:
    """A node with many connections that each told two names; their links stand still."""
    server = {"endpoint": "127.0.0.1:0", "tls": {"insecure": True}}
    node = Node(NodeConfig.read({"services": {"slim/0": {"dataplane": {"servers": [server]}}}}))
    plane = node.data_plane
    crowd(node, MANY)
    table = plane.control.table
    table.view.addresses.clear()  # type: ignore[attr-defined]  # nobody is there to be asked
    yield node
    plane.links.clear()
    await node.close(0.1)


def counted(monkeypatch: pytest.MonkeyPatch, meter: Meter, owner: Any, name: str) -> None:
    """Count the calls of a function."""
    real = getattr(owner, name)

    def call(*arguments: Any, **named: Any) -> Any:
        meter.work()
        return real(*arguments, **named)

    monkeypatch.setattr(owner, name, call)


async def test_a_search_over_all_connections_takes_many_turns(
    crowded: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    view, meter = NodeView(crowded), Meter()
    counted(monkeypatch, meter, crowded.data_plane.control.table, "told")
    found = await meter.measure(view.connections(Query(prefix="nobody is called so")))
    assert found == Page([], None)
    assert meter.total >= MANY
    assert meter.most <= PER_TURN + 1


LISTS: list[Callable[[NodeView, Query], Awaitable[Page[Any]]]] = [
    NodeView.routes, NodeView.applications, NodeView.groups, NodeView.queues, NodeView.actors,
]  # fmt: skip


@pytest.mark.parametrize("listed", LISTS, ids=lambda one: one.__name__)
async def test_lists_are_walked_in_many_turns(
    crowded: Node, monkeypatch: pytest.MonkeyPatch, listed: Callable[[NodeView, Query], Awaitable[Page[Any]]]
) -> None:
    meter = Meter()
    real = in_turns

    async def metered(many: Any, per_turn: int = PER_TURN) -> Any:
        async for one in real(many, per_turn):
            meter.work()
            yield one

    monkeypatch.setattr("gateway.admin.paging.in_turns", metered)
    await meter.measure(listed(NodeView(crowded), Query(prefix="nobody is called so")))
    assert meter.most <= PER_TURN + 1


async def test_counters_of_all_connections_are_summed_up_in_many_turns(
    crowded: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter, view = Meter(), NodeView(crowded)
    real = Registry.steps

    def steps(registry: Registry) -> Any:
        for one in real(registry):
            meter.work()
            yield one

    monkeypatch.setattr(Registry, "steps", steps)
    samples = await meter.measure(view.samples())
    assert meter.total >= 2 * MANY
    assert meter.most <= PER_TURN + 1
    registry = {one.name: one.value for one in crowded.data_plane.telemetry.samples()}
    # What sessions are asked for beside it.
    sessions = {f"callboard_session_{what}_messages": 0 for what in ("unacknowledged", "lag")}
    assert {one.name: one.value for one in samples} == registry | sessions


@pytest.mark.parametrize(("sessions", "asked"), [(100, 200), (600, 600)])
async def test_of_many_sessions_so_many_in_a_second_are_asked(
    crowded: Node, monkeypatch: pytest.MonkeyPatch, sessions: int, asked: int
) -> None:
    meter, view, now = Meter(), NodeView(crowded), 0.0
    view.clock = lambda: now

    class Cell:
        address, kind = None, "SessionActor"

    async def told(_: Any) -> dict[str, Any]:
        meter.work()
        return {"lag": 1}

    monkeypatch.setattr(crowded.data_plane.system, "cells", lambda: iter([Cell()] * sessions))
    monkeypatch.setattr(view, "_ask", told)
    for _ in range(2):
        samples = await view.samples()
        assert samples[-1].value == sessions
    assert meter.total == asked
    now = 0.6
    await view.samples()
    assert meter.total == asked + sessions


async def test_pages_are_complete_without_repetition_and_bear_changes(crowded: Node) -> None:
    view, seen, query = NodeView(crowded), [], Query(limit=900)
    gone = sorted(crowded.data_plane.links)[MANY // 2]
    while True:
        found = await view.connections(query)
        seen += [row.connection for row in found.items]
        crowded.data_plane.links.pop(gone, None)
        if found.next is None:
            break
        query = query._replace(after=found.next)
    assert seen == sorted(crowded.data_plane.links)


async def test_a_page_looks_at_so_many_candidates_and_no_more() -> None:
    found = await page((((one,), one) for one in range(SCANNED + 5)), 10, lambda one: one >= SCANNED)
    assert (found.items, found.cursor) == ([], str(SCANNED - 1))
    rest = await page((((one,), one) for one in range(SCANNED, SCANNED + 5)), 10, lambda one: True)
    assert (len(rest.items), rest.next) == (5, None)
