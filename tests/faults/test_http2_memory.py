"""What streams that do not read make a node hold: each payload once, and no more than the budget."""

from __future__ import annotations

import tracemalloc

from actors.routing.budget import ByteBudget
from gateway import http2
from gateway.config import ServerConfig
from gateway.http2 import frames
from gateway.http2.connection import Http2Connection
from gateway.http2.endpoint import Http2Role
from gateway.http2.events import StreamDrained
from gateway.http2.messages import SharedMessage
from gateway.links.stream import METHOD_PATH
from gateway.node.data_plane import DataPlane
from gateway.proto import dataplane_pb2 as pb
from tests.gateway.http2.peers import Served, data_frame, frame
from tests.interop.raw import RawPeer, name_of, publication

MIB = 1024 * 1024


class OnBudget(Served):
    """A server's connection whose bytes are on a node's budget, with streams that get no window."""

    def __init__(self, budget: ByteBudget, streams: int, **changes: object) -> None:
        super().__init__(handshake=False, max_streams=streams, header_burst=100_000, **changes)
        self.core = Http2Connection(Http2Role.SERVER, self.limits, self.counters, self.now, budget=budget)
        stingy = frames.settings([(frames.SETTINGS_INITIAL_WINDOW_SIZE, 0)])
        self.feed(frames.PREFACE + stingy + frames.SETTINGS_ACK)
        self.states = [self.stream(1 + 2 * number) for number in range(streams)]
        self.sent.clear()


def test_a_payload_is_held_once_however_many_wait_for_it() -> None:
    node = ByteBudget()
    connections = [OnBudget(node, 100) for _ in range(4)]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    body = bytes(4 * MIB)
    for one in connections:
        for state in one.states:
            assert one.core.send(state, [SharedMessage(b"header", body)])
        one.flush()
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert used < 4 * MIB + 400 * 4096
    assert 4 * MIB <= node.size < 4 * MIB + 400 * 64
    for one in connections:
        one.core.lost("gone")
    assert (node.size, node.holders) == (0, {})


def test_what_was_shared_arrives_whole() -> None:
    node = ByteBudget()
    one = OnBudget(node, 2)
    bodies = [bytes([number]) * 40_000 for number in range(3)]
    for state in one.states:
        one.core.send(state, [b"first", *(SharedMessage(b"header", body) for body in bodies), b"last"])
    for increment in (3, 5, 7, 11, 30_000, 50_000, 60_000):
        for state in one.states:
            one.feed(frames.window_update(state.id, increment) + frames.window_update(0, increment))
    for state in one.states:
        got = b"".join(f.payload for f in one.of_kind(frames.DATA) if f.stream_id == state.id)
        whole = data_frame(1, b"first", *(b"header" + body for body in bodies), b"last")
        assert got == whole[frames.HEAD_SIZE :]
    assert node.size == 0


def test_the_node_holds_no_more_than_its_budget_and_the_slowest_lose_data_first() -> None:
    node = ByteBudget(limit=8 * MIB)
    slow, steady = OnBudget(node, 1), OnBudget(node, 1)
    for number in range(20):
        for one in (slow, steady):
            one.core.send(one.states[0], [b"control", SharedMessage(b"", bytes([number]) * MIB)])
            one.flush()
        steady.feed(frames.window_update(1, 2 * MIB) + frames.window_update(0, 2 * MIB))
        assert node.size <= 8 * MIB
    assert slow.counters.refusals["unsent_budget"] >= 10
    assert "unsent_budget" not in steady.counters.refusals
    slow.feed(frames.window_update(1, 20 * MIB) + frames.window_update(0, 20 * MIB))
    said = b"".join(one.payload for one in slow.of_kind(frames.DATA))
    assert said.count(b"control") == 20


def test_one_connection_holds_no_more_than_its_own_budget() -> None:
    node = ByteBudget()
    greedy = OnBudget(node, 50, max_connection_unsent=4 * MIB)
    for number, state in enumerate(greedy.states):
        greedy.core.send(state, [SharedMessage(b"", bytes([number]) * MIB)])
        greedy.flush()
        greedy.core.send(state, [b"control"])
        assert node.size <= 5 * MIB + 50 * 1024
    assert greedy.counters.refusals["unsent_budget"] >= 40


def test_small_data_is_shed_too_where_it_can_be_told_from_control() -> None:
    node = ByteBudget(limit=64 * 1024)
    one = OnBudget(node, 1)
    state = one.states[0]
    state.droppable = lambda message: message.startswith(b"data")
    for _ in range(1000):
        one.core.send(state, [b"data" * 100, b"control"])
    assert node.size <= 64 * 1024
    assert one.counters.refusals["unsent_budget"] > 800
    one.feed(frames.window_update(1, MIB) + frames.window_update(0, MIB))
    assert b"".join(f.payload for f in one.of_kind(frames.DATA)).count(b"control") == 1000


async def test_streams_that_do_not_read_cost_a_node_its_budget_and_others_nothing() -> None:
    limit = 8 * MIB
    plane = DataPlane(patience=0.2, waiting_limit=limit)
    address = await plane.serve(ServerConfig.read({"endpoint": "127.0.0.1:0", "tls": {"insecure": True}}))
    channel = name_of("channel")
    idle = await http2.dial(f"http://{address}", limits=http2.CLIENT)
    try:
        deaf = []
        for number in range(40):
            stream = await idle.open(METHOD_PATH)
            stream.start(on_messages=lambda batch: None, on_closed=lambda cause: None)
            subscription = _subscription(channel, number)
            stream.send([subscription])
            stream.pause_reading()
            deaf.append(stream)
        async with RawPeer(address) as other, RawPeer(address) as sender:
            await other.subscribe(channel)
            await other.settled()
            highest = 0
            for number in range(30):
                message = publication(
                    name_of("a", 1), channel, bytes([number]) * MIB, number=number, fanout=256
                )
                await sender.send(message)
                await sender.settled()
                highest = max(highest, (await plane.status())["waiting"]["bytes"])
            await other.heard(30)
            figures = (await plane.status())["waiting"]
            assert highest <= limit + 2 * MIB
            assert len(deaf) == 40
            assert (
                figures["dropped"]
                + sum(one["dropped"] for one in (await plane.status())["connections"].values())
                >= 20
            )
    finally:
        await idle.close()
        await plane.close(0.5)


def test_a_piece_of_a_message_does_not_hold_the_read_that_brought_it() -> None:
    """Whatever stands around it, and however many turns the read takes."""
    peer = Served(max_streams=100, header_burst=100_000)
    streams = [peer.stream(1 + 2 * number).id for number in range(100)]
    for number in streams:
        peer.feed(frame(frames.DATA, 0, number, b"\0\0\x40\0\0"))
    ping = frame(frames.PING, payload=bytes(8))
    read = b"".join(ping * 31 + frame(frames.DATA, 0, number, b"x") for number in streams) + ping * 5000
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    peer.feed(read)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert not peer.core.over
    assert len(peer.core._streams) == 100
    assert used < 8 * len(read)


def test_who_waits_for_room_hears_of_it_when_another_connection_has_it_shed() -> None:
    """Its own connection does nothing meanwhile: its peer neither reads nor writes."""
    node = ByteBudget(limit=4 * MIB)
    waiting, greedy = (OnBudget(node, 1, high_water=MIB, low_water=MIB // 4) for _ in range(2))
    news: list[list[object]] = []
    (stream,) = waiting.states
    stream.on_news = lambda: news.append(waiting.core.take_events())
    waiting.core.send(stream, [SharedMessage(b"", bytes(2 * MIB))])
    waiting.flush()
    assert news == []
    greedy.core.send(greedy.states[0], [SharedMessage(b"", bytes(3 * MIB))])
    assert news == [[StreamDrained(stream)]]
    assert stream.unsent == 0


def _subscription(channel: pb.Name, number: int) -> bytes:
    header = pb.SLIMHeader(source=channel, destination=channel, fanout=1)
    return pb.Message(subscribe=pb.Subscribe(header=header, subscription_id=number)).SerializeToString()
