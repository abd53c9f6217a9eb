"""The RouteTable actor, in strict mode: what it tells whom, and in which order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from thespian.actors import WakeupMessage

from actors.alarm import RETRY_PAUSE
from actors.errors import ConnectionLost
from actors.messages import VOCABULARY
from actors.messages.routing import (
    Acknowledged,
    Attach,
    Attached,
    ConnectionGone,
    Detach,
    Echo,
    Negotiated,
    Reattach,
    Status,
    StatusReport,
    Subscribing,
    Transmit,
)
from actors.messages.wire import Subscription, SubscriptionAck
from actors.names import Name
from actors.routing.acknowledgements import ACK_WAIT
from actors.routing.control import RouteControl
from actors.routing.route_table import RouteTable
from actors.system import Address, LoopSystem

ALICE, BOB = Name("org", "ns", "alice"), Name("org", "ns", "bob")
LINK_ID = "6a8f2c1e-0d3b-4f5a-9c7e-1b2d3e4f5a6b"


class Stage:
    """A RouteTable and the connections that attached to it: their inboxes by index."""

    def __init__(self, recovery_time: float = 30.0) -> None:
        self.now = 0.0
        self.system = LoopSystem(vocabulary=VOCABULARY)
        self.core = RouteControl(recovery_time=recovery_time)
        self.view = self.core.table.view
        self.table = self.system.spawn(RouteTable, self.core, lambda: self.now)
        self.inboxes: dict[int, list[Any]] = {}
        self.ports: dict[int, Address] = {}

    async def attach(self, index: int, *, local: bool = False, dialled: bool = False) -> list[Any]:
        inbox = self.inboxes[index] = []
        self.ports[index] = self.system.inbox(lambda message, _: inbox.append(message))
        await self.tell(Attach(index, self.ports[index], local, dialled))
        return inbox

    async def tell(self, *messages: Any) -> None:
        for message in messages:
            self.system.tell(self.table, message)
        await self.system.idle()

    async def figures(self) -> dict[str, int]:
        report: StatusReport = await self.system.ask(self.table, Status(), 1.0)
        return report.figures


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    yield made
    await made.system.shutdown(1.0)


def subscribing(
    connection: int, name: Name, id: int = 0, *, subscribe: bool = True, **ways: Any
) -> Subscribing:
    return Subscribing(connection, Subscription(subscribe, ALICE, name, subscription_id=id, **ways))


def records(inbox: list[Any]) -> list[Any]:
    return [record for message in inbox if isinstance(message, Transmit) for record in message.records]


async def test_who_attaches_is_answered_and_can_be_reached(stage: Stage) -> None:
    one, two = await stage.attach(1), await stage.attach(2)
    assert (one, two) == ([Attached(1)], [Attached(2)])
    assert stage.view.addresses.keys() == {1, 2}


async def test_what_comes_together_is_answered_together(stage: Stage) -> None:
    one = await stage.attach(1)
    one.clear()
    for number in range(1, 51):
        stage.system.tell(stage.table, subscribing(1, Name("org", "ns", f"app{number}"), number))
    await stage.system.idle()
    assert [type(message) for message in one] == [Transmit]
    assert len(one[0].records) == 50


async def test_an_acknowledgement_comes_when_the_change_is_visible(stage: Stage) -> None:
    seen: list[tuple[Any, bool]] = []
    address = stage.system.inbox(lambda message, _: seen.append((message, BOB.key in stage.view.by_name)))
    await stage.tell(Attach(1, address, False))
    await stage.tell(subscribing(1, BOB, 7))
    await stage.tell(subscribing(1, BOB, 7, subscribe=False))
    assert seen == [
        (Attached(1), False),
        (Transmit((SubscriptionAck(7, success=True),)), True),
        (Transmit((SubscriptionAck(7, success=True),)), False),
    ]


async def test_a_forwarded_subscription_is_acknowledged_when_the_peer_has_done_so(stage: Stage) -> None:
    app, peer = await stage.attach(1, local=True), await stage.attach(2, dialled=True)
    await stage.tell(Negotiated(2, LINK_ID, "1.4.0"), subscribing(1, BOB, 7, forward_to=2))
    assert [sent.destination for sent in records(peer)] == [BOB]
    assert records(app) == []
    await stage.tell(Acknowledged(2, SubscriptionAck(7, success=True)))
    assert records(app) == [SubscriptionAck(7, success=True)]


async def test_the_timer_asks_again_and_at_last_gives_up(stage: Stage) -> None:
    app, peer = await stage.attach(1, local=True), await stage.attach(2, dialled=True)
    stage.now = 0.0
    await stage.tell(Negotiated(2, LINK_ID, "1.4.0"))
    for expected in range(1, 6):
        # The actor's own timer waits for 5 s of real time; here the wake-up comes when the clock says so.
        stage.now += ACK_WAIT
        if expected == 1:
            await stage.tell(subscribing(1, BOB, 7, forward_to=2))
        else:
            await stage.tell(WakeupMessage(timedelta(seconds=ACK_WAIT)))
        assert len(records(peer)) == min(expected, 4)
    assert [ack.success for ack in records(app)] == [False]
    assert (await stage.figures())["acks_timed_out"] == 1


async def test_a_real_timer_expires_what_was_lost() -> None:
    brief = Stage(recovery_time=0.02)
    loop = asyncio.get_running_loop()
    brief.now = loop.time()
    await brief.attach(1)
    await brief.tell(Negotiated(1, LINK_ID, "1.4.0"), subscribing(1, BOB))
    await brief.tell(Detach(1))
    assert (await brief.figures())["lost_connections"] == 1
    async with asyncio.timeout(5):
        while (await brief.figures())["lost_connections"]:
            brief.now = loop.time()
            await asyncio.sleep(0.005)
    await brief.system.shutdown(1.0)


async def test_recovered_routes_reach_everybody_and_are_announced_to_the_peer(stage: Stage) -> None:
    await stage.attach(1, local=True)
    await stage.attach(2)
    await stage.tell(Negotiated(2, LINK_ID, "1.4.0"), subscribing(2, BOB, 5))
    await stage.tell(subscribing(1, ALICE, 6, forward_to=2), Detach(2))
    assert BOB.key not in stage.view.by_name
    stage.now += 29.0
    back = await stage.attach(3)
    await stage.tell(Negotiated(3, LINK_ID, "1.4.0"))
    assert stage.view.by_name[BOB.key].edges == (3,)
    assert [(sent.destination, sent.subscription_id) for sent in records(back)] == [(ALICE, 0)]


async def test_a_dialled_connection_with_a_new_stream_is_told_again(stage: Stage) -> None:
    await stage.attach(1, local=True)
    peer = await stage.attach(2, dialled=True)
    await stage.tell(subscribing(1, BOB, 5, forward_to=2))
    await stage.tell(Reattach(2))
    assert [sent.subscription_id for sent in records(peer)] == [5, 0]


async def test_an_unsubscription_under_way_is_sent_again_and_a_peer_that_forgot_is_content(
    stage: Stage,
) -> None:
    app, peer = await stage.attach(1, local=True), await stage.attach(2, dialled=True)
    await stage.tell(Negotiated(2, LINK_ID, "1.4.0"), subscribing(1, BOB, 5, forward_to=2))
    await stage.tell(Acknowledged(2, SubscriptionAck(5, success=True)))
    await stage.tell(subscribing(1, BOB, 5, subscribe=False, forward_to=2), Reattach(2))
    assert [sent.subscribe for sent in records(peer)] == [True, False, False]
    await stage.tell(Acknowledged(2, SubscriptionAck(5, success=False, error="subscription not found")))
    assert records(app) == [SubscriptionAck(5, success=True)] * 2


async def test_applications_hear_of_a_connection_lost_for_good(stage: Stage) -> None:
    app, other = await stage.attach(1, local=True), await stage.attach(3)
    await stage.attach(2, dialled=True)
    app.clear()
    other.clear()
    error = ConnectionLost("http://node", "gave up")
    await stage.tell(Detach(2, "gave up", error), Detach(2, "gave up", error))
    assert [type(message) for message in app] == [ConnectionGone]
    assert app[0].connection == 2
    assert str(app[0].error) == str(error)
    assert other == []


async def test_what_awaits_a_lost_connection_fails(stage: Stage) -> None:
    app = await stage.attach(1, local=True)
    await stage.attach(2, dialled=True)
    await stage.tell(Negotiated(2, LINK_ID, "1.4.0"), subscribing(1, BOB, 7, forward_to=2), Detach(2))
    assert records(app) == [SubscriptionAck(7, success=False, error="connection lost")]


async def test_of_one_connection_a_refused_subscription_is_a_warning_in_half_a_minute(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.core.shares.limit(node=None, peer=0, applications=None)
    for connection in (7, 8):
        await stage.attach(connection)
    await stage.tell(*(subscribing(7, Name("org", "ns", f"a{number}"), number) for number in range(100)))
    await stage.tell(subscribing(8, BOB, 1))
    stage.now = RETRY_PAUSE + 1
    await stage.tell(subscribing(7, BOB, 1))
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [line.partition(" conn=")[0] for line in told] == [
        "subscription refused",
        "subscription refused (99 more were not told)",
        "subscription refused",
    ]


async def test_an_echo_comes_back_when_all_before_it_is_done(stage: Stage) -> None:
    inbox: list[Any] = []
    port = stage.system.inbox(lambda message, _: inbox.append(message))
    stage.system.tell(stage.table, Echo(), port)
    await stage.system.idle()
    assert inbox == [Echo()]


async def test_detaching_twice_and_strangers_harm_nobody(stage: Stage) -> None:
    one = await stage.attach(1)
    await stage.tell(Detach(9), subscribing(9, BOB, 1), Acknowledged(9, SubscriptionAck(1, success=True)))
    await stage.tell(Negotiated(9, LINK_ID, "1.4.0"), Reattach(9))
    assert one == [Attached(1)]
    assert (await stage.figures())["names"] == 0
