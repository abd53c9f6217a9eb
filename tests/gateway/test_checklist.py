"""The checklist for an interoperable node (`dataplane.md` 12), one test for each point, on every link."""

from __future__ import annotations

import uuid

import pytest

from actors.names import Name
from gateway.proto import dataplane_pb2 as pb
from tests.gateway.stage import (
    ALICE,
    BOB,
    CHANNEL,
    LINK_ID,
    Local,
    NodeStage,
    Peer,
    negotiation,
    subscription,
    wire,
)


def replies(peer: Peer) -> list[tuple[str, str, bool]]:
    said = [one.link.link_negotiation for one in peer.got if one.HasField("link")]
    return [(one.link_id, one.slim_version, one.is_reply) for one in said]


async def test_1_response_headers_come_before_any_message(node_stage: NodeStage) -> None:
    # Dialling returns when they are there; nobody has sent a message by then.
    peer = await node_stage.peer()
    assert peer.got == []


async def test_2_messages_are_accepted_before_during_and_after_negotiation(node_stage: NodeStage) -> None:
    peer = await (await node_stage.peer()).subscribed(ALICE)
    peer.send(subscription(BOB, 1), negotiation(), subscription(CHANNEL, 2))
    await peer.until(lambda: {1, 2} <= peer.acks().keys())
    assert replies(peer) == [(LINK_ID, "1.4.0", True)]
    await peer.subscribed(Name("org", "ns", "late"))


async def test_3_link_requests_are_answered(node_stage: NodeStage) -> None:
    peer = await node_stage.peer()
    for wrong in (
        negotiation("not a uuid"),
        negotiation(str(uuid.uuid1())),
        negotiation(version="one"),
        negotiation(reply=True),
    ):
        peer.send(wrong)
    peer.send(negotiation(), negotiation(str(uuid.uuid4())))
    await peer.is_in_step()
    assert replies(peer) == [(LINK_ID, "1.4.0", True)]


async def test_4_incoming_conn_is_overwritten_and_orders_are_cleared(node_stage: NodeStage) -> None:
    sender, receiver = await node_stage.peer(), await (await node_stage.peer()).subscribed(BOB)
    local = Local(node_stage.node)
    sent = wire(BOB, b"x")
    sent.publish.header.incoming_conn = 4711
    sent.publish.header.recv_from = sent.publish.header.forward_to = local.index
    sender.send(sent)
    await receiver.heard(b"x")
    header = receiver.got[-1].publish.header
    assert header.incoming_conn != 4711
    assert str(header.incoming_conn) in (await node_stage.node.status())["connections"]
    assert not header.HasField("recv_from")
    assert not header.HasField("forward_to")


async def test_4_a_peer_cannot_steer_the_table(node_stage: NodeStage) -> None:
    victim, thief = await node_stage.peer(), await node_stage.peer()
    await victim.subscribed(ALICE)
    order = subscription(BOB, 5)
    order.subscribe.header.recv_from = 1
    order.subscribe.header.forward_to = 1
    thief.send(order)
    await thief.until(lambda: 5 in thief.acks())
    before = len(victim.got)
    victim.send(wire(BOB, b"for the thief himself"))
    await thief.heard(b"for the thief himself")
    assert len(victim.got) == before


async def test_5_every_subscription_with_an_id_is_acknowledged_and_none_without(
    node_stage: NodeStage,
) -> None:
    peer = await node_stage.peer()
    peer.send(subscription(BOB), subscription(BOB, 3), subscription(BOB, 3, subscribe=False))
    peer.send(subscription(CHANNEL, 4, subscribe=False), subscription(BOB, subscribe=False))
    await peer.is_in_step()
    acks = [one.subscription_ack for one in peer.got]
    assert [(ack.subscription_id, ack.success) for ack in acks[:3]] == [(3, True), (3, True), (4, False)]
    assert len(acks) == 4
    assert acks[2].error


async def test_6_unknown_fields_and_metadata_are_preserved(node_stage: NodeStage) -> None:
    sender, receiver = await node_stage.peer(), await (await node_stage.peer()).subscribed(BOB)
    sent = wire(BOB, b"x")
    sent.metadata["traceparent"] = "00-1"
    unknown = b"\xfa\x3e\x03new"  # field 1007
    sent.MergeFromString(unknown)
    sent.publish.MergeFromString(unknown)
    sent.publish.header.MergeFromString(unknown)
    sent.publish.session.MergeFromString(unknown)
    sender.send(sent)
    await receiver.heard(b"x")
    got = receiver.got[-1]
    assert got.metadata["traceparent"] == "00-1"
    for part in (got, got.publish, got.publish.header, got.publish.session):
        assert unknown in part.SerializeToString()
    got.publish.header.ClearField("incoming_conn")
    assert got.SerializeToString(deterministic=True) == sent.SerializeToString(deterministic=True)


@pytest.mark.parametrize("fanout", [1, 256])
async def test_7_an_id_matches_only_itself_and_nothing_goes_back(node_stage: NodeStage, fanout: int) -> None:
    one = await (await node_stage.peer()).subscribed(BOB.with_id(1))
    two = await (await node_stage.peer()).subscribed(BOB.with_id(2), CHANNEL)
    bare = await (await node_stage.peer()).subscribed(BOB)
    one.send(wire(BOB.with_id(2), b"two", fanout=fanout), wire(BOB.with_id(1), b"me", fanout=fanout))
    one.send(wire(BOB.with_id(3), b"nobody", fanout=fanout), wire(CHANNEL, b"channel", fanout=fanout))
    await two.heard(b"two", b"channel")
    two.send(wire(CHANNEL, b"to myself", fanout=fanout))
    await two.is_in_step()
    assert two.blobs() == [b"two", b"channel"]
    assert one.blobs() == bare.blobs() == []


async def test_8_no_match_is_dropped_silently(node_stage: NodeStage) -> None:
    peer = await node_stage.peer()
    peer.send(wire(BOB, b"nobody is there"))
    await peer.is_in_step()
    assert len(peer.got) == 1
    assert peer.closed is None
    connections = (await node_stage.node.status())["connections"]
    assert [figures["unrouted"] for figures in connections.values()] == [1]


async def test_9_the_end_of_a_stream_removes_all_its_state(node_stage: NodeStage) -> None:
    leaving, watching = await node_stage.peer(), await node_stage.peer()
    await leaving.subscribed(ALICE, BOB, CHANNEL)
    local = Local(node_stage.node)
    await local.table(lambda: bool(local.router.route(BOB.key, BOB.instance, 256)))
    leaving.stream.close()
    await local.table(lambda: not local.router.route(BOB.key, BOB.instance, 256))
    status = await node_stage.node.status()
    assert status["routes"]["names"] == status["routes"]["lost_connections"] == 0
    assert status["routes"]["connections"] == 2
    assert len(status["connections"]) == 1
    await watching.is_in_step()


@pytest.mark.parametrize(("fanout", "copies"), [(0, 3), (1, 1), (2, 3), (256, 3)])
async def test_10_fanout_1_is_one_and_everything_else_all(
    node_stage: NodeStage, fanout: int, copies: int
) -> None:
    receivers = [await (await node_stage.peer()).subscribed(CHANNEL) for _ in range(3)]
    sender = await node_stage.peer()
    sender.send(wire(CHANNEL, b"x", fanout=fanout))
    await sender.is_in_step()
    for receiver in receivers:
        await receiver.is_in_step()
    assert sum(len(receiver.blobs()) for receiver in receivers) == copies


async def test_11_messages_of_kinds_from_the_future_are_ignored(node_stage: NodeStage) -> None:
    peer = await node_stage.peer()
    peer.send(pb.Message(), b"\xfa\x3e\x03new", pb.Message(link=pb.Link()))
    await peer.is_in_step()
    assert peer.closed is None
    figures = next(iter((await node_stage.node.status())["connections"].values()))
    assert figures["ignored"] == 3
    assert figures["malformed"] == 0
