"""The same scenarios on every link: the gRPC library, the fast link, and in memory."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from actors.errors import ConnectionLost, NotConnected
from actors.messages.routing import ConnectionGone, TooLarge
from actors.names import Name
from gateway.proto import dataplane_pb2 as pb
from tests.gateway.stage import (
    ALICE,
    BOB,
    CHANNEL,
    LINK_ID,
    TRANSPORTS,
    Local,
    NodeStage,
    Peer,
    States,
    negotiation,
    subscription,
    wire,
)

KIB = 1024


@pytest.fixture(params=TRANSPORTS)
async def narrow(request: pytest.FixtureRequest) -> AsyncIterator[NodeStage]:
    """A node with small outboxes and little patience."""
    made = NodeStage(request.param, high_water=64 * KIB, patience=0.05)
    try:
        await made.open()
        yield made
    finally:
        await made.close()


# Subscribing and publishing


async def test_applications_of_two_data_planes_meet_through_a_node(node_stage: NodeStage) -> None:
    (one, to_one), (two, to_two) = await node_stage.plane(), await node_stage.plane()
    alice, bob = Local(one), Local(two)
    await bob.subscribed(BOB, to_two)
    await alice.routed(BOB, to_one)
    alice.publish(BOB, b"1", b"2", b"3")
    await bob.heard(b"1", b"2", b"3")
    assert {received.connection for received in bob.got} == {to_two}
    assert alice.got == []


async def test_a_refused_subscription_says_why(node_stage: NodeStage) -> None:
    plane, connection = await node_stage.plane()
    local = Local(plane)
    ack = await local.order(BOB, subscribe=False, forward_to=connection)
    assert not ack.success
    assert ack.error == "subscription not found"


async def test_one_reaches_each_in_turn_and_all_reaches_all(node_stage: NodeStage) -> None:
    receivers = [await (await node_stage.peer()).subscribed(CHANNEL) for _ in range(3)]
    sender = await node_stage.peer()
    for number in range(6):
        sender.send(wire(CHANNEL, b"%d" % number))
    sender.send(wire(CHANNEL, b"all", fanout=256))
    for receiver in receivers:
        await receiver.heard_last(b"all")
        assert len(receiver.blobs()) == 3
    assert sorted(blob for receiver in receivers for blob in receiver.blobs()[:2]) == [
        b"%d" % number for number in range(6)
    ]


async def test_nothing_goes_back_to_the_sender(node_stage: NodeStage) -> None:
    alone = await (await node_stage.peer()).subscribed(CHANNEL)
    alone.send(wire(CHANNEL, b"1"), wire(CHANNEL, b"2", fanout=256))
    await alone.is_in_step()
    assert alone.blobs() == []
    other = await (await node_stage.peer()).subscribed(CHANNEL)
    alone.send(wire(CHANNEL, b"3"), wire(CHANNEL, b"4", fanout=256))
    await other.heard(b"3", b"4")
    assert alone.blobs() == []


async def test_order_is_kept_over_thousands_of_messages_of_many_sizes(node_stage: NodeStage) -> None:
    sender, receiver = await node_stage.peer(), await (await node_stage.peer()).subscribed(BOB)
    blobs = [b"%d " % number + b"x" * (number % 97) ** 2 for number in range(2000)]
    for start in range(0, len(blobs), 100):
        sender.send(*(wire(BOB, blob) for blob in blobs[start : start + 100]))
    await receiver.heard(*blobs)


# Negotiation


async def test_both_sides_learn_the_versions(node_stage: NodeStage) -> None:
    plane, connection = await node_stage.plane()
    mine = (await plane.status())["connections"][str(connection)]
    theirs = next(iter((await node_stage.node.status())["connections"].values()))
    assert mine["version"] == theirs["version"] == "1.4.0"


async def test_a_peer_that_never_negotiates_is_served(node_stage: NodeStage) -> None:
    peer = await (await node_stage.peer()).subscribed(BOB)
    assert next(iter((await node_stage.node.status())["connections"].values()))["version"] == "unknown"
    assert not any(one.HasField("link") for one in peer.got)


# Losing a stream


async def test_after_a_loss_subscriptions_are_restored_and_messages_flow(node_stage: NodeStage) -> None:
    plane, connection = await node_stage.plane()
    bob, states = await Local(plane).subscribed(BOB, connection), States(plane)
    await node_stage.shut()
    assert (await states.reached("lost")).connection == connection
    await node_stage.open()
    await states.until(lambda: [state.state for state in states.seen] == ["lost", "restored", "negotiated"])
    sender = await node_stage.peer()
    await _reaches(sender, bob, BOB)
    assert plane.dialled() == {node_stage.config().endpoint: connection}


async def test_an_unsubscription_while_the_stream_is_down_holds(node_stage: NodeStage) -> None:
    plane, connection = await node_stage.plane()
    local, states = await Local(plane).subscribed(BOB, connection), States(plane)
    await local.subscribed(ALICE, connection)
    await node_stage.shut()
    await states.reached("lost")
    ending = asyncio.ensure_future(local.order(BOB, subscribe=False, forward_to=connection))
    await node_stage.open()
    assert (await ending).success
    sender = await node_stage.peer()
    await _reaches(sender, local, ALICE)
    sender.send(wire(BOB, b"to nobody"), wire(ALICE, b"last"))
    await local.until(lambda: local.blobs()[-1] == b"last")
    assert b"to nobody" not in local.blobs()


async def test_what_is_sent_while_the_stream_is_down_is_counted(node_stage: NodeStage) -> None:
    plane, connection = await node_stage.plane()
    local, states = await Local(plane).routed(BOB, connection), States(plane)
    await node_stage.shut()
    await states.reached("lost")
    local.publish(BOB, b"1", b"2")
    figures = (await plane.status())["connections"][str(connection)]
    assert figures["lost_while_down"] == 2


async def test_who_waits_learns_when_dialling_is_given_up(node_stage: NodeStage) -> None:
    backoff = {"type": "fixed", "interval": 0.02, "max_attempts": 2}
    plane, connection = await node_stage.plane(backoff=backoff)
    local, states = await Local(plane).routed(BOB, connection), States(plane)
    await node_stage.shut()
    closed = await states.reached("closed")
    assert closed.detail.startswith("gave up after 2 attempts: ")
    await local.until(lambda: local.told)
    (told,) = local.told
    assert isinstance(told, ConnectionGone)
    assert isinstance(told.error, ConnectionLost)
    assert told.error.endpoint == node_stage.config().endpoint
    assert plane.dialled() == {}
    await local.table(lambda: not local.router.route(BOB.key, BOB.instance, 1))
    with pytest.raises(NotConnected):
        await plane.disconnect(node_stage.config().endpoint)


@pytest.mark.parametrize(("seconds", "recovered"), [(29, True), (31, False)])
async def test_routes_are_recovered_for_30_seconds(
    node_stage: NodeStage, seconds: float, recovered: bool
) -> None:
    lost = await node_stage.peer()
    lost.send(negotiation())
    await lost.subscribed(BOB)
    lost.stream.close()
    sender = await node_stage.peer()
    await _forgotten(node_stage)
    node_stage.now += seconds
    back = await node_stage.peer()
    back.send(negotiation())
    await back.is_in_step()
    sender.send(wire(BOB, b"x"))
    await sender.is_in_step()
    await back.is_in_step()
    assert back.blobs() == ([b"x"] if recovered else [])
    assert (await node_stage.node.status())["routes"]["recovered"] == recovered


async def test_recovered_routes_can_be_unsubscribed_by_their_old_ids(node_stage: NodeStage) -> None:
    lost = await node_stage.peer()
    lost.send(negotiation(), subscription(BOB, 77))
    await lost.until(lambda: lost.acks() == {77: True})
    lost.stream.close()
    await _forgotten(node_stage)
    back = await node_stage.peer()
    back.send(negotiation(), subscription(BOB), subscription(BOB, 77, subscribe=False))
    await back.until(lambda: back.acks() == {77: True})
    assert (await node_stage.node.status())["routes"]["names"] == 0


async def test_another_link_id_recovers_nothing(node_stage: NodeStage) -> None:
    lost = await node_stage.peer()
    lost.send(negotiation(LINK_ID))
    await lost.subscribed(BOB)
    lost.stream.close()
    await _forgotten(node_stage)
    other = await node_stage.peer()
    other.send(negotiation(str(uuid.uuid4())))
    await other.is_in_step()
    assert (await node_stage.node.status())["routes"]["names"] == 0


# Credit


async def test_a_slow_receiver_costs_itself_messages_and_nobody_else(narrow: NodeStage) -> None:
    slow, quick = await narrow.peer(), await narrow.peer()
    await slow.subscribed(ALICE)
    await quick.subscribed(BOB)
    sender = await narrow.peer()
    slow.stream.pause_reading()
    blob = b"x" * (16 * KIB)
    expected: list[bytes] = []

    async def flood() -> bool:
        sender.send(*(wire(ALICE, blob) for _ in range(32)), wire(BOB, b"%d" % len(expected)))
        expected.append(b"%d" % len(expected))
        await quick.heard(*expected)
        # On the stage: [slow, quick, sender] in the order of their connections.
        figures = list((await narrow.node.status())["connections"].values())
        # Four times the high-water mark, and one batch that was accepted below it.
        assert figures[0]["backlog"] <= 4 * 64 * KIB + 33 * len(blob)
        return bool(figures[0]["dropped"])

    async with asyncio.timeout(15):
        while not await flood():
            pass
    figures = list((await narrow.node.status())["connections"].values())
    assert [one["dropped"] for one in figures[1:]] == [0, 0]
    assert figures[2]["pauses"] > 0
    slow.stream.resume_reading()
    got = len(slow.blobs())
    await slow.until(lambda: len(slow.blobs()) > got)
    await _reaches(sender, slow, ALICE)


async def test_an_application_that_sends_too_fast_is_told_and_told_again(narrow: NodeStage) -> None:
    slow = await (await narrow.peer()).subscribed(ALICE)
    slow.stream.pause_reading()
    local = Local(narrow.node)
    await local.table(lambda: bool(local.router.route(ALICE.key, ALICE.instance, 1)))
    while not local.congested:
        local.publish(ALICE, b"x" * (60 * KIB))
        await asyncio.sleep(0)
    assert local.pauses == 1
    slow.stream.resume_reading()
    await local.until(lambda: not local.congested)


async def test_a_congested_connection_that_goes_away_holds_nobody_up(narrow: NodeStage) -> None:
    slow = await (await narrow.peer()).subscribed(ALICE)
    slow.stream.pause_reading()
    local = Local(narrow.node)
    await local.table(lambda: bool(local.router.route(ALICE.key, ALICE.instance, 1)))
    while not local.congested:
        local.publish(ALICE, b"x" * (60 * KIB))
        await asyncio.sleep(0)
    slow.stream.abort("gone")
    await local.until(lambda: not local.congested)


# Bad messages


async def test_an_oversized_message_is_reported_to_its_publisher_and_harms_nobody(
    node_stage: NodeStage,
) -> None:
    plane, connection = await node_stage.plane(max_message_size=64 * KIB)
    local = await Local(plane).routed(BOB, connection)
    receiver = await (await node_stage.peer()).subscribed(BOB)
    local.publish(BOB, b"before", b"x" * (64 * KIB), b"after")
    await receiver.heard(b"before", b"after")
    await local.until(lambda: local.told)
    (told,) = local.told
    assert isinstance(told, TooLarge)
    assert told.limit == 64 * KIB
    assert [len(frame.body) > 64 * KIB for frame in told.frames] == [True]
    assert (await plane.status())["connections"][str(connection)]["oversized"] == 1


async def test_a_message_that_breaks_a_rule_costs_that_message(node_stage: NodeStage) -> None:
    sender, receiver = await node_stage.peer(), await (await node_stage.peer()).subscribed(BOB)
    without_session, nameless, headless = wire(BOB, b"1"), wire(BOB, b"2"), pb.Message()
    without_session.publish.ClearField("session")
    nameless.publish.header.destination.ClearField("str_name")
    headless.subscribe.subscription_id = 9
    sender.send(without_session, nameless, headless, wire(BOB, b"good"))
    await receiver.heard(b"good")
    assert sender.closed is None
    assert [one["malformed"] for one in (await node_stage.node.status())["connections"].values()] == [3, 0]


async def test_bytes_that_are_no_message_cost_the_stream_and_no_other(node_stage: NodeStage) -> None:
    sender, receiver = await node_stage.peer(), await (await node_stage.peer()).subscribed(BOB)
    sender.send(wire(BOB, b"good"), b"\x1a\x7f\x01", wire(BOB, b"too late"))
    await sender.ended()
    await receiver.is_in_step()
    assert receiver.blobs() == [b"good"]
    assert receiver.closed is None


# The end


async def test_disconnecting_writes_out_what_was_published_and_cleans_up(node_stage: NodeStage) -> None:
    plane, connection = await node_stage.plane()
    local, states = await Local(plane).routed(BOB, connection), States(plane)
    await local.subscribed(ALICE, connection)
    receiver = await (await node_stage.peer()).subscribed(BOB)
    blobs = [b"%d" % number for number in range(500)]
    local.publish(BOB, *blobs)
    local.publish(BOB, b"last")
    # The actors come before the link: what was told them first is with the link by then.
    await plane.status()
    await plane.disconnect(node_stage.config().endpoint)
    await receiver.heard(*blobs, b"last")
    assert states.seen[-1].state == "closed"
    assert plane.dialled() == {}
    await local.table(lambda: not local.router.route(BOB.key, BOB.instance, 1))
    await local.until(lambda: local.told)
    again = await plane.connect(node_stage.config(), dial=node_stage.dial(node_stage.config()))
    assert again != connection


async def test_a_node_that_closes_writes_out_and_ends_every_stream(node_stage: NodeStage) -> None:
    receiver, sender = await (await node_stage.peer()).subscribed(BOB), await node_stage.peer()
    plane, _ = await node_stage.plane()
    states = States(plane)
    sender.send(*(wire(BOB, b"%d" % number) for number in range(100)))
    await sender.is_in_step()
    await node_stage.node.close(2.0)
    await receiver.ended()
    await sender.ended()
    assert receiver.blobs() == [b"%d" % number for number in range(100)]
    await states.until(lambda: any(state.state == "lost" for state in states.seen))
    assert node_stage.node.closed
    await node_stage.node.close()


async def test_stopping_a_server_ends_the_streams_accepted_there(node_stage: NodeStage) -> None:
    if node_stage.transport == "memory":
        pytest.skip("nothing listens in memory")
    peer = await (await node_stage.peer()).subscribed(BOB)
    local = Local(node_stage.node)
    await node_stage.shut()
    await peer.ended()
    await local.table(lambda: local.router.addresses.keys() == {local.index})
    assert (await node_stage.node.status())["connections"] == {}
    with pytest.raises(ConnectionLost):
        await node_stage.peer()


async def _reaches(sender: Peer, receiver: Peer | Local, name: Name) -> None:
    """Publish until something arrives: subscriptions come back when they come back."""
    got = len(receiver.blobs())
    async with asyncio.timeout(15):
        while len(receiver.blobs()) == got:
            sender.send(wire(name, b"ping"))
            await sender.is_in_step()
            await asyncio.sleep(0)


async def _forgotten(node_stage: NodeStage) -> None:
    """Wait until the node has noticed that a negotiated peer is gone."""
    async with asyncio.timeout(15):
        while not (await node_stage.node.status())["routes"]["lost_connections"]:  # noqa: ASYNC110
            await asyncio.sleep(0)
