"""What one peer may take of the route table, and what it may say about connections: on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from actors.routing.control import RouteControl
from actors.routing.shares import SMALL, Shares
from gateway import http2
from gateway.links.stream import METHOD_PATH
from gateway.node.data_plane import DataPlane
from gateway.proto import dataplane_pb2 as pb
from tests.gateway.app_stage import AppStage
from tests.interop.raw import RawPeer, name_of
from tests.interop.test_hostile import subscription

CONTENT = pb.Content(app_payload=pb.ApplicationPayload(payload_type="text", blob=b"hello"))


@asynccontextmanager
async def node(shares: Shares | None = None) -> AsyncIterator[tuple[DataPlane, str]]:
    plane = DataPlane(control=RouteControl(shares=shares))
    try:
        yield plane, await plane.serve(AppStage.server_config("127.0.0.1:0"))
    finally:
        await plane.close(0.5)


def acknowledged(peer: RawPeer) -> list[bool]:
    return [pb.Message.FromString(data).subscription_ack.success for data in peer.received]


async def test_one_peer_takes_its_share_and_leaves_the_others_theirs() -> None:
    shares = Shares(node=2 * SMALL, peer=20, reserve=SMALL)
    async with node(shares) as (_, address), RawPeer(address) as greedy, RawPeer(address) as modest:
        for number in range(30):
            await greedy.subscribe(name_of(f"g{number}", number), number + 1)
        await greedy.heard(30)
        assert acknowledged(greedy) == [True] * 20 + [False] * 10
        await modest.subscribe(name_of("modest", 1), 1)
        await modest.heard(1)
        assert acknowledged(modest) == [True]


async def test_the_streams_of_one_tcp_connection_are_one_holder() -> None:
    shares = Shares(node=2 * SMALL, peer=20, reserve=SMALL)
    answers: list[bool] = []
    all_answered = asyncio.Event()

    def heard(batch: list[bytes]) -> None:
        answers.extend(
            ack.success
            for ack in (pb.Message.FromString(data).subscription_ack for data in batch)
            if ack.subscription_id
        )
        if len(answers) == 40:
            all_answered.set()

    async with node(shares) as (plane, address), RawPeer(address) as modest:
        connection = await http2.dial(f"http://{address}")
        try:
            for stream_number in range(4):
                stream = await connection.open(METHOD_PATH)
                stream.start(on_messages=heard, on_closed=lambda cause: None)
                for number in range(stream_number * 10, stream_number * 10 + 10):
                    stream.send([subscription(name_of(f"g{number}", number), number + 1)])
            async with asyncio.timeout(10.0):
                await all_answered.wait()
            assert (answers.count(True), answers.count(False)) == (20, 20)
            # A TCP connection of its own is another holder.
            await modest.subscribe(name_of("modest", 1), 1)
            await modest.heard(1)
            assert acknowledged(modest) == [True]
            assert (await plane.status())["routes"]["places"] == 21
        finally:
            await connection.close()


@pytest.mark.parametrize("field", ["recv_from", "forward_to", "incoming_conn"])
async def test_a_peer_speaks_for_its_own_connection_only(field: str) -> None:
    """Subscribed on behalf of another connection, and sent past the routes to it: neither happens."""
    async with node() as (plane, address), RawPeer(address) as eve, RawPeer(address) as victim:
        await victim.subscribe(name_of("victim", 1), 1)
        await victim.heard(1)
        for others in (await plane.status())["connections"]:
            claim: Any = {field: int(others)}
            header = pb.SLIMHeader(source=name_of("eve", 2), destination=name_of("eve", 2), fanout=1, **claim)
            await eve.send(pb.Message(subscribe=pb.Subscribe(header=header, subscription_id=9)))
            header = pb.SLIMHeader(
                source=name_of("eve", 2), destination=name_of("stray", 3), fanout=1, **claim
            )
            await eve.send(
                pb.Message(
                    publish=pb.Publish(header=header, session=pb.SessionHeader(session_id=1), msg=CONTENT)
                )
            )
        await eve.settled()
        # What is sent to eve's name now comes to eve, and nothing came to the victim.
        before = len(eve.received)
        header = pb.SLIMHeader(source=name_of("victim", 1), destination=name_of("eve", 2), fanout=1)
        await victim.send(
            pb.Message(publish=pb.Publish(header=header, session=pb.SessionHeader(session_id=1), msg=CONTENT))
        )
        await eve.heard(before + 1)
        await victim.settled()
        assert len(victim.received) == 1
        came = pb.Message.FromString(eve.received[-1])
        assert came.publish.msg.app_payload.blob == b"hello"
