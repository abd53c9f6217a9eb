"""What a node counts, as `status` tells it; and that queues which drop say so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from actors.messages.routing import ConnectionState
from actors.messages.session import MemberJoined
from actors.names import Name
from actors.system import Address
from gateway.api import connecting
from gateway.api import slim as api_slim
from gateway.api.events import EVENTS
from tests.gateway.app_stage import AppStage, name


@pytest.fixture
async def stage() -> AsyncIterator[AppStage]:
    made = AppStage("server")
    await made.start()
    yield made
    await made.close()


async def counters(plane: Any) -> dict[str, int]:
    found: dict[str, int] = (await plane.status())["counters"]
    return found


async def test_a_node_counts_what_passes_and_keeps_it_when_connections_are_gone(stage: AppStage) -> None:
    alice, bob = await stage.app("alice"), await stage.app("bob")
    await alice.set_route(name("bob"))
    async with alice.session(name("bob")) as session:
        theirs = await bob.listen_for_session(5)
        await session.publish(b"hello")
        await theirs.get_message(5)
    before = await counters(stage.node)
    assert before["callboard_connection_frames_received_total"] > 3
    assert before["callboard_connection_frames_sent_total"] > 3
    assert before["callboard_link_bytes_in_total"] > 100
    assert before["callboard_http2_messages_received_total"] > 3
    assert before["callboard_routes_connections"] == 2
    await alice.close()
    await bob.close()
    await stage.close()
    after = stage.node.telemetry.figures()
    assert (
        after["callboard_connection_frames_received_total"]
        >= before["callboard_connection_frames_received_total"]
    )
    assert after["callboard_link_bytes_in_total"] >= before["callboard_link_bytes_in_total"]


async def test_an_application_tells_its_own_figures_beside_those_of_its_data_plane(stage: AppStage) -> None:
    alice = await stage.app("alice")
    status = await alice.status()
    assert status["application"]["sessions"] == 0
    assert status["application"]["unroutable"] == 0
    leaks = {"announced", "awaited", "bound", "congested"}
    assert {status["application"][figure] for figure in leaks} == {0}
    assert status["counters"]["callboard_app_unroutable_total"] == 0
    assert len(status["connections"]) == 1


async def test_membership_events_that_a_reader_did_not_get_are_counted(stage: AppStage) -> None:
    alice = await stage.app("alice")
    session = await alice.create_session(
        name("channel"), api_slim.SessionConfiguration.Group(timeout=1.0, max_retries=3)
    )
    events = session.events()
    first = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    joined = MemberJoined(session.id, Name("org", "default", "guest"), ())
    for _ in range(EVENTS + 9):
        session._receive(joined, Address(1))
    await first
    dropped = (await counters(alice.data_plane))["callboard_session_events_dropped_total"]
    assert dropped == 9
    await events.aclose()


async def test_changes_of_connections_that_a_reader_did_not_get_are_counted(stage: AppStage) -> None:
    alice = await stage.app("alice")
    states = alice.connection_states()
    first = asyncio.ensure_future(anext(states))
    for _ in range(10):  # until it waits
        await asyncio.sleep(0)
    for number in range(connecting._STATES + 5):
        alice.data_plane._state_changed(ConnectionState(10_000 + number, "lost"))
    assert (await first).connection == 10_005
    dropped = (await counters(alice.data_plane))["callboard_app_connection_states_dropped_total"]
    assert dropped == 5
    await states.aclose()  # type: ignore[attr-defined]
