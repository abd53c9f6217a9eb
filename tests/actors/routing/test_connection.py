"""The Connection actor between a fake link and fake neighbours, in strict mode."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from actors.errors import ConnectionLost
from actors.messages import VOCABULARY
from actors.messages.routing import (
    Acknowledged,
    Attach,
    Attached,
    Close,
    Congested,
    ConnectionState,
    Detach,
    Drained,
    Echo,
    Forward,
    FramesIn,
    LinkClosed,
    LinkDrained,
    LinkLost,
    LinkRestored,
    Negotiated,
    Reattach,
    Start,
    Status,
    StatusReport,
    Subscribing,
    TooLarge,
    Transmit,
)
from actors.messages.wire import ALL, ONE, Frame, LinkNegotiation, Subscription, SubscriptionAck
from actors.names import Name
from actors.routing.connection import ASKED_BOUND, Connection
from actors.routing.table import SubscriptionTable
from actors.routing.view import Rank
from actors.system import Address, LoopSystem

LINK_ID = "6a8f2c1e-0d3b-4f5a-9c7e-1b2d3e4f5a6b"
BOB = Name("org", "ns", "bob")
ME, LEFT, RIGHT = 1, 2, 3
HIGH = 1000


def data(body: bytes = b"x", fanout: int = ONE) -> Frame:
    return Frame(BOB.key, BOB.instance, fanout, False, b"", len(body), body)


class FakeLink:
    """Writes down what it is asked for. `backlog` and `limit` are the test's to set."""

    def __init__(self) -> None:
        self.backlog = 0
        self.limit = 100
        self.peer = "fake"
        self.sent: list[Frame] = []
        self.transmitted: list[Any] = []
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def send(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        self.sent += [frame for frame in frames if len(frame.body) <= self.limit]
        return [frame for frame in frames if len(frame.body) > self.limit]

    def transmit(self, records: Sequence[Any]) -> None:
        self.transmitted += records

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    def close(self, cause: str) -> None:
        self.calls.append(f"close: {cause}")

    def reset(self, cause: str) -> None:
        self.calls.append(f"reset: {cause}")

    def figures(self) -> dict[str, int]:
        return {"bytes_in": 0}


class Stage:
    """One Connection; `left` and `right` are the inboxes of two others, `table` and `observer` theirs."""

    def __init__(self, dialled_as: str | None = None) -> None:
        self.now = 0.0
        self.system = LoopSystem(vocabulary=VOCABULARY)
        self.link = FakeLink()
        self.left: list[Any] = []
        self.right: list[Any] = []
        self.table: list[Any] = []
        self.observer: list[Any] = []
        inboxes = {LEFT: self.left, RIGHT: self.right, 0: self.table, -1: self.observer}
        self.inboxes = {index: self._inbox(inbox) for index, inbox in inboxes.items()}
        self.routes = SubscriptionTable()
        self.address = self.system.spawn(
            lambda: Connection(
                ME,
                self.link,
                self.inboxes[0],
                self.routes.view,
                lambda: self.now,
                dialled_as=dialled_as,
                observers=(self.inboxes[-1],),
                high=HIGH,
                patience=0.05,
            )
        )

    def _inbox(self, inbox: list[Any]) -> Address:
        return self.system.inbox(lambda message, _: inbox.append(message))

    async def tell(self, *messages: Any) -> None:
        """Give the actor messages and let everything settle."""
        for message in messages:
            self.system.tell(self.address, message)
        await self.system.idle()

    async def attached(self, *remote: int) -> Stage:
        """Started, with routes for BOB to these connections."""
        await self.tell(Start())
        for connection in (ME, LEFT, RIGHT):
            address = self.address if connection == ME else self.inboxes[connection]
            self.routes.attach(connection, address, Rank.EDGE)
        for connection in remote:
            self.routes.add(BOB, connection, 0)
        await self.tell(Attached(ME))
        return self

    def forward(self, *frames: Frame, sender: int = LEFT) -> Forward:
        return Forward(frames, sender, self.inboxes[sender])

    def states(self) -> list[str]:
        return [message.state for message in self.observer if isinstance(message, ConnectionState)]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    yield made
    await made.system.shutdown(1.0)


@pytest.fixture
async def dialled() -> AsyncIterator[Stage]:
    made = Stage(LINK_ID)
    yield made
    await made.system.shutdown(1.0)


# Life


async def test_it_attaches_and_reads_from_the_first_snapshot_on(stage: Stage) -> None:
    await stage.tell(Start())
    assert stage.table == [Attach(ME, stage.address, local=False, dialled=False)]
    assert stage.link.calls == []
    await stage.attached()
    assert stage.link.calls == ["start"]
    assert stage.states() == ["attached"]
    assert stage.link.transmitted == []


async def test_the_dialling_side_opens_the_negotiation(dialled: Stage) -> None:
    await dialled.attached()
    assert dialled.link.transmitted == [LinkNegotiation(LINK_ID, "1.4.0")]
    await dialled.tell(FramesIn((LinkNegotiation(LINK_ID, "1.3.0", is_reply=True),)))
    assert dialled.table[-1] == Negotiated(ME, LINK_ID, "1.3.0")
    assert dialled.states() == ["attached", "negotiated"]


async def test_the_accepting_side_answers(stage: Stage) -> None:
    await stage.attached()
    await stage.tell(FramesIn((LinkNegotiation(LINK_ID, "1.4.0"),)))
    assert stage.link.transmitted == [LinkNegotiation(LINK_ID, "1.4.0", is_reply=True)]
    assert stage.table[-1] == Negotiated(ME, LINK_ID, "1.4.0")


async def test_a_restored_link_negotiates_anew_and_attaches_again(dialled: Stage) -> None:
    await dialled.attached()
    reply = FramesIn((LinkNegotiation(LINK_ID, "1.4.0", is_reply=True),))
    await dialled.tell(reply, LinkLost("broken"), LinkRestored(), reply)
    assert dialled.states() == ["attached", "negotiated", "lost", "restored", "negotiated"]
    assert len(dialled.link.transmitted) == 2
    assert [type(message) for message in dialled.table] == [Attach, Negotiated, Reattach, Negotiated]


async def test_its_end_is_told_once_and_is_its_own(stage: Stage) -> None:
    await stage.attached()
    await stage.tell(LinkClosed("over"), LinkClosed("over again"))
    assert stage.table[-1] == Detach(ME, "over")
    assert stage.states() == ["attached", "closed"]
    assert stage.system.status(stage.address) is None


async def test_the_end_of_a_dialled_one_brings_an_error_for_who_waits(dialled: Stage) -> None:
    await dialled.attached()
    await dialled.tell(LinkClosed("gave up"))
    detach = dialled.table[-1]
    assert isinstance(detach.error, ConnectionLost)
    assert (detach.error.endpoint, detach.error.cause) == ("fake", "gave up")


async def test_asked_to_close_it_closes_its_link_and_waits_for_it(stage: Stage) -> None:
    await stage.attached()
    await stage.tell(Close("enough"))
    assert stage.link.calls == ["start", "close: enough"]
    assert stage.system.status(stage.address) is not None


# From the peer


async def test_a_read_becomes_one_batch_for_each_target(stage: Stage) -> None:
    await stage.attached(LEFT, RIGHT)
    await stage.tell(FramesIn((data(b"1"), data(b"2", ALL), data(b"3"), data(b"4", ALL))))
    (left,), (right,) = stage.left, stage.right
    assert sorted(frame.body for frame in left.frames + right.frames) == [b"1", b"2", b"2", b"3", b"4", b"4"]
    assert [frame.body for frame in left.frames] == sorted(frame.body for frame in left.frames)
    assert left.sender == right.sender == ME


async def test_nothing_goes_back_and_what_nobody_wants_is_counted(stage: Stage) -> None:
    await stage.attached(ME)
    await stage.tell(FramesIn((data(), data(fanout=ALL))))
    report = await stage.system.ask(stage.address, Status(5), 1.0)
    assert isinstance(report, StatusReport)
    assert report.tag == 5
    assert report.figures[str(ME)]["unrouted"] == 2
    assert stage.link.sent == []


async def test_subscriptions_and_acknowledgements_go_to_the_route_table(stage: Stage) -> None:
    await stage.attached()
    asked, ack = Subscription(True, BOB, BOB, subscription_id=9), SubscriptionAck(9, success=True)
    await stage.tell(FramesIn((asked, ack)))
    assert stage.table[1:] == [Subscribing(ME, asked), Acknowledged(ME, ack)]


async def test_a_rush_of_subscriptions_is_not_read_on_before_the_table_is_done(stage: Stage) -> None:
    await stage.attached()
    await stage.tell(FramesIn((Subscription(True, BOB, BOB),) * ASKED_BOUND))
    assert stage.link.calls == ["start", "pause"]
    assert stage.table[-1] == Echo()
    # A receiver that drains meanwhile does not end the wait.
    await stage.tell(Congested(LEFT), Drained(LEFT))
    assert "resume" not in stage.link.calls
    await stage.tell(Echo())
    assert stage.link.calls[-1] == "resume"


# To the peer


async def test_what_others_forward_and_the_table_says_is_written(stage: Stage) -> None:
    await stage.attached()
    await stage.tell(stage.forward(data(b"1"), data(b"2")), Transmit((SubscriptionAck(1, success=True),)))
    assert [frame.body for frame in stage.link.sent] == [b"1", b"2"]
    assert stage.link.transmitted == [SubscriptionAck(1, success=True)]


async def test_oversized_frames_are_told_to_who_sent_them(stage: Stage) -> None:
    await stage.attached()
    large = data(b"x" * 101)
    await stage.tell(stage.forward(data(b"1"), large, data(b"2")))
    assert [frame.body for frame in stage.link.sent] == [b"1", b"2"]
    assert stage.left == [TooLarge((large,), 100)]


async def test_each_sender_is_told_of_congestion_once_and_of_its_end(stage: Stage) -> None:
    await stage.attached()
    stage.link.backlog = HIGH
    await stage.tell(stage.forward(data()), stage.forward(data()), stage.forward(data(), sender=RIGHT))
    assert stage.left == stage.right == [Congested(ME)]
    await stage.tell(LinkDrained())
    assert stage.left == stage.right == [Congested(ME), Drained(ME)]
    await stage.tell(stage.forward(data()))
    assert stage.left[2:] == [Congested(ME)]


@pytest.mark.parametrize("end", [LinkLost("broken"), LinkClosed("over")])
async def test_nobody_waits_for_a_link_that_went_away(dialled: Stage, end: Any) -> None:
    await dialled.attached()
    dialled.link.backlog = HIGH
    await dialled.tell(dialled.forward(data()), end)
    assert dialled.left == [Congested(ME), Drained(ME)]


async def test_out_of_patience_data_is_dropped_until_it_drains(stage: Stage) -> None:
    await stage.attached()
    stage.link.backlog = HIGH
    await stage.tell(stage.forward(data(b"kept")))
    stage.now = 0.05
    await stage.tell(stage.forward(data(b"dropped"), data(b"control")._replace(control=True)))
    assert [frame.body for frame in stage.link.sent] == [b"kept", b"control"]
    figures = (await stage.system.ask(stage.address, Status(), 5.0)).figures
    assert [one["dropped"] for one in figures.values()] == [1]
    stage.link.backlog = 0
    await stage.tell(LinkDrained(), stage.forward(data(b"again")))
    assert stage.link.sent[-1].body == b"again"


async def test_a_peer_that_takes_not_even_control_loses_its_connection(stage: Stage) -> None:
    await stage.attached()
    stage.link.backlog = 8 * HIGH
    await stage.tell(stage.forward(data()))
    stage.now = 1.0
    await stage.tell(stage.forward(data()))
    assert stage.link.calls[-1].startswith("reset: the peer takes nothing")


# Credit of others


async def test_it_reads_on_when_the_last_of_the_congested_has_drained(stage: Stage) -> None:
    await stage.attached()
    await stage.tell(Congested(LEFT), Congested(RIGHT), Drained(LEFT))
    assert stage.link.calls == ["start", "pause"]
    await stage.tell(Drained(RIGHT), Drained(RIGHT))
    assert stage.link.calls == ["start", "pause", "resume"]


async def test_it_reads_on_when_its_patience_is_over(stage: Stage) -> None:
    await stage.attached()
    await stage.tell(Congested(LEFT))
    async with asyncio.timeout(5):
        while "resume" not in stage.link.calls:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    await stage.tell(Drained(LEFT))
    assert stage.link.calls == ["start", "pause", "resume"]
    await stage.tell(Congested(LEFT))
    assert stage.link.calls[-1] == "pause"
