"""The recorded conversations through our node: what comes out is what the original node let out.

All that may differ are the node's own connection indices and when it acknowledges a subscription. Nodes
before 1.3 neither negotiate nor acknowledge; ours does so with every client that asks (`dataplane.md` 11).
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import AsyncExitStack

import pytest

from actors.routing.negotiation import OUR_VERSION
from gateway.config import TRANSPORTS, ServerConfig
from gateway.node.data_plane import DataPlane
from gateway.proto import dataplane_pb2 as pb
from tests.interop.raw import RawPeer
from tests.transcripts import V1, Row, rows

pytestmark = pytest.mark.vectors


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("name", V1)
async def test_the_node_lets_out_what_the_original_did(name: str, transport: str) -> None:
    conversation = rows(name)
    async with AsyncExitStack() as stack:
        plane = DataPlane(strict=True)
        stack.push_async_callback(plane.close, 0.5)
        config = {"endpoint": "127.0.0.1:0", "tls": {"insecure": True}, "transport": transport}
        address = await plane.serve(ServerConfig.read(config))
        peers: dict[int, RawPeer] = {}
        for row in conversation:
            if row.conn not in peers:
                peers[row.conn] = await stack.enter_async_context(RawPeer(address))
            if row.to_node and not row.dropped:
                await peers[row.conn].send(row.data)
                # One after the other, so that the order is the recorded one.
                await peers[row.conn].settled()
        for number, peer in peers.items():
            await peer.settled()
            check(number, [row for row in conversation if row.conn == number], peer.received)


def check(number: int, recorded: list[Row], received: list[bytes]) -> None:
    """What one connection received is what was recorded there, published messages in their order."""
    want = [row.data for row in recorded if not row.to_node]
    published = [pb.Message.FromString(data) for data in received if is_publish(data)]
    assert [renumbered(data, 0) for data in received if is_publish(data)] == [
        renumbered(data, 0) for data in want if is_publish(data)
    ], f"connection {number}"
    for data in received:
        # Apart from the index our bytes are the usual ones, in the usual order.
        assert pb.Message.FromString(data).SerializeToString() == data
    # One arrival connection is one index.
    indices = defaultdict(set)
    for message in published:
        header = message.publish.header
        indices[header.source.SerializeToString()].add(header.incoming_conn)
        assert not header.HasField("recv_from")
        assert not header.HasField("forward_to")
    assert all(len(seen) == 1 for seen in indices.values())
    assert sorted(data for data in received if not is_publish(data)) == sorted(owed(recorded))


def owed(recorded: list[Row]) -> list[bytes]:
    """The answers to a client's link negotiation and (un)subscriptions."""
    answers = []
    for row in recorded:
        if not row.to_node or row.dropped:
            continue
        message = pb.Message.FromString(row.data)
        if message.HasField("link"):
            asked = message.link.link_negotiation
            reply = pb.LinkNegotiationPayload(link_id=asked.link_id, slim_version=OUR_VERSION, is_reply=True)
            answers.append(pb.Message(link=pb.Link(link_negotiation=reply)))
        asked_id = message.subscribe.subscription_id or message.unsubscribe.subscription_id
        if asked_id:
            ack = pb.SubscriptionAck(subscription_id=asked_id, success=True)
            answers.append(pb.Message(subscription_ack=ack))
    made = [answer.SerializeToString() for answer in answers]
    told = [row.data for row in recorded if not row.to_node and not is_publish(row.data)]
    assert not told or sorted(told) == sorted(made), "the original node answered something else"
    return made


def is_publish(data: bytes) -> bool:
    return pb.Message.FromString(data).HasField("publish")


def renumbered(data: bytes, index: int) -> bytes:
    """The message as if its arrival connection had this index."""
    message = pb.Message.FromString(data)
    message.publish.header.incoming_conn = index
    return message.SerializeToString()
