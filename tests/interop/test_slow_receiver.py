"""A receiver that stops reading: the node's memory is bounded, nobody else waits, the counter tells."""

from __future__ import annotations

import asyncio

import pytest

from actors.routing.outbox import HIGH
from gateway import http2
from gateway.config import TRANSPORTS, ServerConfig
from gateway.links.stream import METHOD_PATH
from gateway.node.data_plane import DataPlane
from gateway.proto import dataplane_pb2 as pb
from tests.interop.harness import CallboardNode
from tests.interop.raw import RawPeer, name_of, publication
from tests.interop.test_hostile import MIB, bystanders, needs_proc, resident

SLOW, FAST = name_of("slow", 1), name_of("fast", 2)
PIECE = bytes(64 * 1024)
PIECES = 1600
"""Together 100 MiB: far more than sockets, windows and the outbox hold."""


async def flood(sender: RawPeer, destination) -> None:
    for number in range(PIECES):
        await sender.send(publication(FAST, destination, PIECE, number=number))


@needs_proc
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_nodes_memory_is_bounded_and_nobody_else_waits(transport: str) -> None:
    async with (
        CallboardNode(0, "--transport", transport) as node,
        bystanders(node.endpoint),
        RawPeer(node.address, listening=False) as slow,
        RawPeer(node.address) as sender,
    ):
        await slow.subscribe(SLOW)
        await sender.settled()
        before = resident(node.pid)
        async with asyncio.timeout(60.0):
            await flood(sender, SLOW)
        await sender.settled()
        assert resident(node.pid) - before < 48 * MIB


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_what_a_slow_receiver_does_not_take_is_counted(transport: str) -> None:
    plane = DataPlane(patience=0.2)
    config = {"endpoint": "127.0.0.1:0", "tls": {"insecure": True}, "transport": transport}
    address = await plane.serve(ServerConfig.read(config))
    try:
        async with RawPeer(address, listening=False) as slow, RawPeer(address) as sender:
            await slow.subscribe(SLOW)
            await sender.settled()
            async with asyncio.timeout(60.0):
                await flood(sender, SLOW)
            await sender.settled()
            figures = (await plane.status())["connections"].values()
            assert sum(one["dropped"] > 0 for one in figures) == 1
            assert max(one["backlog"] for one in figures) <= 5 * HIGH
            assert sum(one["frames_out"] + one["dropped"] for one in figures) >= PIECES
    finally:
        await plane.close(0.5)


async def test_a_slow_member_does_not_hold_up_the_channel() -> None:
    """Everything for the others arrives, in order; the slow one loses what it did not take in time."""
    plane = DataPlane(patience=0.2)
    address = await plane.serve(ServerConfig.read({"endpoint": "127.0.0.1:0", "tls": {"insecure": True}}))
    channel = name_of("channel")
    try:
        async with (
            RawPeer(address, listening=False) as slow,
            RawPeer(address) as other,
            RawPeer(address) as sender,
        ):
            for member in (slow, other):
                await member.subscribe(channel)
            await other.settled()
            async with asyncio.timeout(60.0):
                for number in range(800):
                    await sender.send(publication(FAST, channel, PIECE, number=number, fanout=256))
            await other.heard(800)
            assert len(other.received) == 800
    finally:
        await plane.close(0.5)


@pytest.mark.long
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_who_does_not_even_take_control_messages_loses_the_connection(transport: str) -> None:
    plane = DataPlane(patience=0.2)
    config = {"endpoint": "127.0.0.1:0", "tls": {"insecure": True}, "transport": transport}
    address = await plane.serve(ServerConfig.read(config))
    try:
        async with RawPeer(address, listening=False) as slow, RawPeer(address) as sender:
            await slow.subscribe(SLOW)
            await sender.settled()
            message = publication(FAST, SLOW, PIECE)
            message.publish.session.session_message_type = pb.SESSION_MESSAGE_TYPE_PING
            for _ in range(400):
                await sender.send(message)
            await sender.settled()
            async with asyncio.timeout(20.0):
                while len((await plane.status())["connections"]) > 1:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
    finally:
        await plane.close(0.5)


@pytest.mark.parametrize("transport", ["fast", pytest.param("grpc", marks=pytest.mark.long)])
async def test_who_asks_and_never_reads_the_answers_loses_the_connection(transport: str) -> None:
    plane = DataPlane(patience=0.2, high_water=16 * 1024)
    config = {"endpoint": "127.0.0.1:0", "tls": {"insecure": True}, "transport": transport}
    address = await plane.serve(ServerConfig.read(config))
    header = pb.SLIMHeader(source=SLOW, destination=name_of("nothing"))
    question = pb.Message(unsubscribe=pb.Unsubscribe(header=header, subscription_id=2**63))
    stream = await http2.connect(f"http://{address}", METHOD_PATH, {})
    stream.start(on_messages=lambda batch: None, on_closed=lambda cause: None)
    stream.pause_reading()
    try:
        asked = 0
        async with asyncio.timeout(30.0):
            while (await plane.status())["connections"]:
                if asked < 400_000:
                    stream.send([question.SerializeToString()] * 2000)
                    asked += 2000
                await asyncio.sleep(0.01)
    finally:
        stream.cancel()
        await plane.close(0.5)
