"""AcceptedLink and DialledLink on a fake stream."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from actors.errors import ConnectionLost
from actors.messages.routing import FramesIn, LinkClosed, LinkDrained, LinkLost, LinkRestored
from actors.messages.wire import Frame, LinkNegotiation, SubscriptionAck
from gateway.codec import InboundParser
from gateway.config import Backoff
from gateway.http2.turns import PASSES
from gateway.links.link import BLOCK, TURN_MESSAGES, TURN_READ, AcceptedLink, DialledLink
from gateway.links.stream import StreamHandler, StreamStatus
from tests.gateway.stage import BOB, subscription, wire

AT_ONCE = Backoff(base=0.001, factor=1.0, jitter=False)
WAIT = 10.0


class FakeStream:
    """Writes down what it is asked for; the test plays its peer through `handler`."""

    def __init__(self) -> None:
        self.unsent = 0
        self.peer = "fake"
        self.handler: StreamHandler | None = None
        self.sent: list[bytes] = []
        self.calls: list[Any] = []

    def start(self, handler: StreamHandler, low_water: int) -> None:
        self.handler = handler
        self.calls.append(("start", low_water))

    def send(self, messages: Sequence[bytes]) -> None:
        self.sent += messages

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")

    def close(self, status: StreamStatus = StreamStatus.OK, message: str = "") -> None:
        self.calls.append(("close", status, message))

    def abort(self, message: str) -> None:
        self.calls.append(("abort", message))
        if self.handler is not None:
            self.handler.stream_closed(message)


class Told:
    """What a link told its Connection."""

    def __init__(self, link: AcceptedLink) -> None:
        self.all: list[Any] = []
        self._news = asyncio.Event()
        link.attach(self._take)

    def _take(self, message: Any) -> None:
        self.all.append(message)
        self._news.set()

    async def until(self, kind: type) -> Any:
        async with asyncio.timeout(WAIT):
            while not self.all or type(self.all[-1]) is not kind:
                self._news.clear()
                await self._news.wait()
        return self.all[-1]


def frame(size: int = 10) -> Frame:
    parsed = InboundParser(1).parse(wire(BOB, b"x" * size).SerializeToString())
    assert isinstance(parsed, Frame)
    return parsed


def accepted(**options: Any) -> tuple[AcceptedLink, FakeStream, Told]:
    stream = FakeStream()
    link = AcceptedLink(1, stream, **options)
    told = Told(link)
    link.start()
    return link, stream, told


def test_one_read_becomes_one_batch_and_what_is_ignored_is_not_in_it() -> None:
    link, _, told = accepted()
    read = [wire(BOB, b"1"), subscription(BOB, 3), wire(BOB, b"2")]
    data = [one.SerializeToString() for one in read] + [b""]
    link.stream_messages(data)
    (batch,) = told.all
    assert isinstance(batch, FramesIn)
    assert [type(record).__name__ for record in batch.frames] == ["Frame", "Subscription", "Frame"]
    figures = link.figures()
    assert figures["bytes_in"] == sum(map(len, data))
    assert figures["ignored"] == 1
    link.stream_messages([b""])
    assert len(told.all) == 1


def test_frames_and_records_are_written_and_counted() -> None:
    link, stream, _ = accepted()
    assert link.send([frame(), frame(20)]) == ()
    link.transmit([SubscriptionAck(1, success=True), LinkNegotiation("id", "1.4.0")])
    assert len(stream.sent) == 4
    assert link.figures()["bytes_out"] == sum(map(len, stream.sent))


def test_oversized_frames_come_back_and_the_others_are_written() -> None:
    link, stream, _ = accepted(max_message_size=1000)
    small, large = frame(), frame(1000)
    assert link.send([small, large, small]) == [large]
    assert len(stream.sent) == 2
    assert link.figures()["oversized"] == 1
    assert link.figures()["bytes_out"] == sum(map(len, stream.sent))
    # A batch may be larger than its messages may be.
    assert not link.send([small] * 50)


@pytest.mark.parametrize("by", ["send", "transmit"])
def test_draining_is_told_once_after_the_high_water_mark(by: str) -> None:
    link, stream, told = accepted(high=100)
    assert stream.calls == [("start", 25)]
    link.stream_drained()
    assert told.all == []
    stream.unsent = 100
    if by == "send":
        link.send([frame()])
    else:
        link.transmit([SubscriptionAck(1, success=True)])
    assert link.backlog == 100
    link.stream_drained()
    link.stream_drained()
    assert told.all == [LinkDrained()]


async def test_bytes_that_are_no_message_end_the_stream_and_what_follows_is_ignored() -> None:
    link, stream, told = accepted(close_time=0.01)
    good = wire(BOB, b"1").SerializeToString()
    link.stream_messages([good, b"\xff\xff", good])
    link.stream_messages([good])
    assert len(told.all[0].frames) == len(told.all) == 1
    assert stream.calls[1][:2] == ("close", StreamStatus.INTERNAL)
    assert link.figures()["malformed"] == 1
    # A peer that does not let the stream end is cut off.
    await told.until(LinkClosed)
    assert stream.calls[-1] == ("abort", "a message is not the protobuf of this protocol")


async def test_closing_waits_for_the_stream_and_only_so_long() -> None:
    link, stream, told = accepted(close_time=0.01)
    link.close("enough")
    link.close("twice")
    assert stream.calls[1:] == [("close", StreamStatus.OK, "enough")]
    assert told.all == []
    assert await told.until(LinkClosed) == LinkClosed("enough")
    assert stream.calls[-1] == ("abort", "enough")


async def test_a_stream_that_ends_in_time_is_not_cut() -> None:
    link, stream, told = accepted(close_time=0.01)
    link.close("enough")
    link.stream_closed("the peer ended it")
    assert told.all == [LinkClosed("enough")]
    await asyncio.sleep(0.02)
    assert ("abort", "enough") not in stream.calls
    link.abort("late")
    assert told.all == [LinkClosed("enough")]


def test_the_end_is_told_once_and_nothing_is_asked_of_the_stream_then() -> None:
    link, stream, told = accepted()
    link.stream_closed("broken")
    link.pause()
    link.resume()
    link.send([frame()])
    link.transmit([SubscriptionAck(1, success=True)])
    link.close("over")
    assert told.all == [LinkClosed("broken")]
    assert stream.calls == [("start", 1024 * 1024 // 4)]
    assert link.figures()["lost_while_down"] == 2
    assert link.backlog == 0


class Dialler:
    """Yields streams, or raises what `outcomes` says in turn."""

    def __init__(self, *outcomes: Exception) -> None:
        self.outcomes = list(outcomes)
        self.streams: list[FakeStream] = []
        self.attempts = 0

    async def __call__(self) -> FakeStream:
        self.attempts += 1
        if self.outcomes:
            raise self.outcomes.pop(0)
        self.streams.append(FakeStream())
        return self.streams[-1]


async def dialled(dial: Any, backoff: Backoff = AT_ONCE) -> tuple[DialledLink, Told]:
    link = DialledLink(1, dial, backoff, endpoint="http://node")
    told = Told(link)
    await link.connect()
    link.start()
    return link, told


LOST = ConnectionLost("http://node", "refused")


async def test_without_an_end_of_attempts_the_first_dial_is_tried_once() -> None:
    dial = Dialler(LOST, LOST)
    with pytest.raises(ConnectionLost, match="refused"):
        await dialled(dial)
    assert dial.attempts == 1


async def test_the_first_dial_is_tried_as_often_as_configured() -> None:
    dial = Dialler(LOST, LOST)
    await dialled(dial, Backoff(base=0.001, max_attempts=3))
    assert dial.attempts == 3


async def test_a_stream_that_takes_nothing_is_dropped_and_dialled_again() -> None:
    dial = Dialler()
    link, told = await dialled(dial)
    link.reset("it takes nothing")
    await told.until(LinkRestored)
    assert told.all == [LinkLost("it takes nothing"), LinkRestored()]
    assert dial.streams[0].calls[-1] == ("abort", "it takes nothing")


async def test_a_lost_stream_is_dialled_again_until_it_is_there() -> None:
    dial = Dialler()
    link, told = await dialled(dial)
    dial.outcomes = [LOST, LOST]
    link.stream_closed("broken")
    assert link.backlog == 0
    await told.until(LinkRestored)
    assert told.all == [LinkLost("broken"), LinkRestored()]
    assert dial.attempts == 4
    link.send([frame()])
    assert len(dial.streams[1].sent) == 1
    assert link.peer == "http://node"


async def test_a_bad_message_costs_a_dialled_link_only_its_stream() -> None:
    dial = Dialler()
    link, told = await dialled(dial)
    link.stream_messages([b"\xff\xff"])
    link.stream_closed("ended")
    await told.until(LinkRestored)
    link.stream_messages([wire(BOB, b"1").SerializeToString()])
    assert isinstance(told.all[-1], FramesIn)


async def test_it_gives_up_after_the_configured_attempts() -> None:
    dial = Dialler()
    link, told = await dialled(dial, Backoff(base=0.001, max_attempts=2))
    dial.outcomes = [LOST] * 5
    link.stream_closed("broken")
    closed = await told.until(LinkClosed)
    assert closed.cause == f"gave up after 2 attempts: {LOST}"
    assert dial.attempts == 3


async def test_a_dialler_that_breaks_its_word_leaves_nobody_waiting() -> None:
    dial = Dialler()
    link, told = await dialled(dial)
    dial.outcomes = [ZeroDivisionError("not to be told")]
    link.stream_closed("broken")
    assert await told.until(LinkClosed) == LinkClosed("dialling failed: ZeroDivisionError")


async def test_closing_ends_the_dialling() -> None:
    dial = Dialler()
    link, told = await dialled(dial, Backoff(base=100.0, max_delay=100.0))
    link.stream_closed("broken")
    link.close("enough")
    assert told.all == [LinkLost("broken"), LinkClosed("enough")]
    await asyncio.sleep(0)
    assert dial.attempts == 1


async def test_a_closed_stream_is_not_dialled_again() -> None:
    dial = Dialler()
    link, told = await dialled(dial)
    link.close("enough")
    link.stream_closed("ended")
    assert told.all == [LinkClosed("enough")]
    assert dial.attempts == 1


# Turns.


def alike(count: int) -> list[bytes]:
    """Messages that differ in their payloads only: the first is the one that has to be read in full."""
    return [wire(BOB, b"%06d" % number).SerializeToString() for number in range(count)]


def batches(told: Told) -> list[int]:
    return [len(message.frames) for message in told.all if isinstance(message, FramesIn)]


async def turns(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_turn_takes_a_bounded_number_of_messages() -> None:
    link, stream, told = accepted()
    most = TURN_MESSAGES
    link.stream_messages(alike(2 * most + 1))
    assert batches(told) == [most]
    assert stream.calls[-1] == "pause"
    await turns()
    assert batches(told) == [most, most, 1]
    assert stream.calls[-1] == "resume"


async def test_a_turn_takes_fewer_of_those_that_have_to_be_read_in_full() -> None:
    link, _, told = accepted()
    said = [subscription(BOB, number + 1) for number in range(300)]
    link.stream_messages([one.SerializeToString() for one in said])
    assert batches(told) == [TURN_READ]
    await turns()
    assert sum(batches(told)) == 300
    assert max(batches(told)) <= TURN_READ + BLOCK
    ids = [one.subscription_id for message in told.all for one in message.frames]
    assert ids == list(range(1, 301))


async def test_after_many_that_were_read_in_full_the_stream_is_read_on_after_others() -> None:
    """A socket may be read several times in a turn of the loop."""
    link, stream, told = accepted()
    said = [subscription(BOB, number + 1).SerializeToString() for number in range(TURN_READ // 2 + 1)]
    link.stream_messages(said[:-1])
    assert "pause" not in stream.calls
    link.stream_messages(said)
    assert stream.calls[-1] == "pause"
    assert sum(batches(told)) == 2 * len(said) - 1
    await turns(PASSES - 1)
    assert stream.calls[-1] == "pause"
    await turns(2)
    assert stream.calls[-1] == "resume"
    link.stream_messages(said)
    link.pause()
    await turns()
    assert stream.calls[-1] == "pause"
    link.resume()
    assert stream.calls[-1] == "resume"


async def test_what_waits_for_its_turn_comes_before_what_comes_later_and_before_the_end() -> None:
    link, _, told = accepted()
    messages = alike(TURN_MESSAGES + 3)
    link.stream_messages(messages[:-1])
    link.stream_messages(messages[-1:])
    link.stream_closed("gone")
    assert not any(isinstance(message, LinkClosed) for message in told.all)
    await turns()
    assert isinstance(told.all[-1], LinkClosed)
    frames = [one for message in told.all[:-1] for one in message.frames]
    assert len(frames) == len(messages)
    assert all(b"%06d" % number in one.body for number, one in enumerate(frames))


async def test_what_waits_for_its_turn_waits_for_whoever_does_not_want_to_read() -> None:
    link, stream, told = accepted()
    link.stream_messages(alike(TURN_MESSAGES + 3))
    link.pause()
    await turns()
    assert batches(told) == [TURN_MESSAGES]
    link.resume()
    await turns()
    assert batches(told) == [TURN_MESSAGES, 3]
    assert stream.calls[-1] == "resume"
