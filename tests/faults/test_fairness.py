"""One connection with very many very small messages: others have their turn, whatever the event loop."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import cast

import pytest

from gateway import http2
from gateway.http2 import frames
from gateway.http2.connection import Http2Connection
from gateway.http2.endpoint import Http2Role
from gateway.http2.errors import Cause
from gateway.http2.events import Event, MessagesReceived
from gateway.http2.limits import Counters, Limits
from gateway.http2.reader import DATA_OF_A_FRAME, TURN_FRAMES
from gateway.http2.stream import StreamState
from gateway.http2.transport import CALL_MESSAGES, FULL_READS, READ_SIZE, TURN_MESSAGES, Wire, WireOwner
from gateway.http2.turns import PASSES
from tests.gateway.http2.links import Accepting, Collector, url
from tests.gateway.http2.peers import METHOD, Served, frame, request

COUNT = 200_000
EMPTY = bytes(5)
"""A message of nothing: the smallest there is."""
FLOOD = frame(frames.DATA, 0, 1, EMPTY * 3000)


def run(loop: str, main: Callable[[], Coroutine[None, None, None]]) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop").run(main())
    else:
        asyncio.run(main())


class Flood:
    """A client in a thread that sends `COUNT` empty messages as fast as the socket takes them."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port))
        self._sock.sendall(frames.PREFACE + frames.settings([]) + frames.SETTINGS_ACK + request(1))
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        for _ in range(COUNT // 3000 + 1):
            self._sock.sendall(FLOOD)

    def close(self) -> None:
        self._thread.join(10.0)
        self._sock.close()


class Turns:
    """Counts what happens in each turn of the loop."""

    def __init__(self) -> None:
        self.most = self.total = self._now = 0
        self._loop = asyncio.get_running_loop()
        self._tick()

    def _tick(self) -> None:
        self.most, self._now = max(self.most, self._now), 0
        self._handle = self._loop.call_soon(self._tick)

    def add(self, batch: list[bytes]) -> None:
        self._now += len(batch)
        self.total += len(batch)

    def stop(self) -> None:
        self._handle.cancel()


class Counting:
    """Accepts the flood and counts its messages."""

    def __init__(self, turns: Turns, over: asyncio.Event) -> None:
        self._turns, self._over = turns, over

    def stream_opened(self, stream: http2.ServerStream, headers: http2.Headers) -> None:
        stream.start(on_messages=self._take, on_closed=lambda cause: self._over.set())

    def _take(self, batch: list[bytes]) -> None:
        self._turns.add(batch)
        if self._turns.total >= COUNT:
            self._over.set()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_turn_of_the_loop_brings_a_bounded_number_of_messages(loop: str) -> None:
    async def main() -> None:
        turns, over = Turns(), asyncio.Event()
        async with await http2.serve(Counting(turns, over), METHOD) as server:
            flood = await asyncio.to_thread(Flood, server.port)
            async with asyncio.timeout(20.0):
                await over.wait()
            turns.stop()
            await asyncio.to_thread(flood.close)
        assert turns.total >= COUNT
        # What waited from the turn before, and one more read.
        assert 0 < turns.most <= 2 * TURN_MESSAGES

    run(loop, main)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_waited_for_its_turn_arrives_in_order_and_before_the_end(loop: str) -> None:
    async def main() -> None:
        handler = Accepting(reply=True)
        async with await http2.serve(handler, METHOD) as server:
            mine = Collector(await http2.connect(url(server), METHOD))
            said = [b"%d" % number for number in range(20_000)]
            mine.stream.send(said)
            mine.stream.close()  # type: ignore[attr-defined]
            assert (await mine.closed()).ok
            theirs = handler.calls[0]
            assert (await theirs.closed()).ok
            assert theirs.messages == said
            assert mine.messages == said
            assert theirs.batches >= 20_000 // TURN_MESSAGES

    run(loop, main)


class Reading(asyncio.Transport):
    """Notes when its protocol wants nothing to be read."""

    paused = False

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Nobody is there."""


class Whole(Http2Connection):
    """Takes each read for so many messages."""

    def __init__(self, count: int) -> None:
        super().__init__(Http2Role.SERVER, Limits(), Counters(), asyncio.get_running_loop().time())
        self._count = count
        self.delivered = 0

    def receive(self, data: bytes, now: float) -> list[Event]:
        owner = SimpleNamespace(_deliver=self._deliver)
        return [MessagesReceived(cast(StreamState, SimpleNamespace(owner=owner)), [b""] * self._count)]

    def _deliver(self, messages: list[bytes]) -> None:
        self.delivered += len(messages)
        messages.clear()  # The list is the callee's.


@pytest.mark.parametrize(
    ("count", "reads"), [(4, FULL_READS), (TURN_MESSAGES // FULL_READS, FULL_READS), (TURN_MESSAGES // 2, 1)]
)
async def test_full_reads_of_one_turn_are_few(count: int, reads: int) -> None:
    """Some event loops read again and again: large messages four times, many at once never."""
    core = Whole(count)
    wire = Wire(core, cast(WireOwner, None), asyncio.get_running_loop())
    wire._transport = transport = Reading()
    taken = 0
    while not transport.paused:
        wire.data_received(bytes(READ_SIZE))
        taken += 1
    assert (taken, core.delivered) == (reads, reads * count)
    for _ in range(PASSES + 1):
        await asyncio.sleep(0)
    assert not transport.paused
    for _ in range(FULL_READS):
        wire.data_received(bytes(READ_SIZE - 1))
    assert not transport.paused


CONTROLS = {
    "pings": frame(frames.PING, payload=bytes(8)) * 1000,
    "calls that are reset": b"".join(
        request(number) + frames.rst_stream(number, 8) for number in range(1, 1001, 2)
    ),
    "empty data": request(1) + frame(frames.DATA, 0, 1) * 1000,
}


@pytest.mark.parametrize("name", CONTROLS)
def test_a_turn_reads_a_bounded_number_of_frames_that_carry_nothing(name: str) -> None:
    peer = Served()
    data, calls, most = CONTROLS[name], 0, 0
    events = peer.core.receive(data, 0.0)
    while peer.core.unread:
        calls, most = calls + 1, max(most, len(events))
        events = peer.core.receive(b"", 0.0)
    assert not peer.core.over
    assert calls >= 1000 // TURN_FRAMES
    assert most <= TURN_FRAMES


@pytest.mark.parametrize("payload", [b"x", bytes(5)], ids=["pieces of a message", "messages"])
def test_a_turn_reads_a_bounded_number_of_frames_with_next_to_nothing(payload: bytes) -> None:
    peer = Served(stream_window=2**20)
    peer.stream(1)
    peer.feed(frame(frames.DATA, 0, 1, b"\0\0\x40\0\0") if payload == b"x" else b"")
    window, turns = peer.core._streams[1].receive_window, 1
    most = TURN_FRAMES * DATA_OF_A_FRAME
    peer.core.receive(frame(frames.DATA, 0, 1, payload) * 10_000, 0.0)
    while peer.core.unread:
        peer.core.receive(b"", 0.0)
        turns += 1
    assert turns == 1 + 10_000 // most
    assert peer.core._streams[1].receive_window == window - 10_000 * len(payload)


class Calls:
    """Refuses nothing, and counts the calls that begin and end in each turn of the loop."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.begun = self.ended = 0
        self.all_ended = asyncio.Event()

    def stream_opened(self, stream: http2.ServerStream, headers: http2.Headers) -> None:
        self.begun += 1
        self._turns.add([b""])
        stream.start(on_messages=lambda batch: None, on_closed=self._closed)

    def _closed(self, cause: Cause) -> None:
        self.ended += 1
        self._turns.add([b""])
        if self.ended == 100:
            self.all_ended.set()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_turn_brings_few_calls_that_begin_or_end(loop: str) -> None:
    """Also when the connection is gone, of which its owner hears last."""

    async def main() -> None:
        turns = Turns()
        calls = Calls(turns)
        async with await http2.serve(calls, METHOD) as server:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            asked = b"".join(request(number) for number in range(1, 200, 2))
            writer.write(frames.PREFACE + frames.settings([]) + frames.SETTINGS_ACK + asked)
            writer.write_eof()
            async with asyncio.timeout(10.0):
                await calls.all_ended.wait()
            writer.close()
            assert calls.begun == 100
        turns.stop()
        # What waited from the turn before, and one more read.
        assert 0 < turns.most <= 2 * (TURN_MESSAGES // CALL_MESSAGES + 1)

    run(loop, main)
