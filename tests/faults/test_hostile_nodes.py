"""What a node says to a controller costs the controller a bounded amount, and few lines of its log."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from typing import Any

import grpc
import pytest

from gateway.controller.southbound import IN_WORK
from gateway.proto import controller_pb2 as pb
from tests.gateway.controller.stage import FakeNode, client, controller
from tests.gateway.controller.test_services import known, modules, until

MIB = 2**20


async def settled(node: FakeNode) -> None:
    """Wait until all that the node said was heard."""
    await node.send(pb.ControlMessage(message_id="again", register_node_request=node.register))
    while (await node.other()).ack.original_message_id != "again":
        pass


def creation(number: int) -> pb.ControlMessage:
    request = pb.CreateChannelRequest(moderators=["o/n/mod"], channel_name=f"o/n/stage{number}")
    return pb.ControlMessage(message_id=f"create-{number}", create_channel_request=request)


@pytest.mark.parametrize("number", ["9" * 5000, "²", "١", "-1", ""])
async def test_an_order_number_that_is_none_harms_nobody(number: str) -> None:
    async with controller() as made, FakeNode(made.southbound) as node:
        await node.registered()
        await node.send(pb.ControlMessage(ack=pb.Ack(original_message_id=f"order-{number}", success=True)))
        await settled(node)
        assert not node.ended.is_set()


async def test_names_that_are_told_again_and_again_are_kept_once() -> None:
    async with controller() as made, FakeNode(made.southbound) as node:
        await node.registered()
        command = pb.ConfigurationCommand()
        for number in range(500):
            command.subscriptions_to_set.add(component_0="o", component_1="n", component_2=f"a{number}")
        told = pb.ControlMessage(config_command=command)
        await node.send(told)
        await settled(node)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(15):
            await node.send(told)
        await settled(node)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert grown < MIB


async def disobedient(node: FakeNode, stub: Any) -> None:
    """It has a moderator, and carries out no order from now on."""
    await node.report("o/n/mod/7", "o/n/mod")
    await until(lambda: known(stub, "o/n/mod"))
    node.obedient = False
    while not node.orders.empty():
        node.orders.get_nowait()


async def test_what_a_node_asks_is_bounded() -> None:
    async with (
        controller() as made,
        FakeNode(made.southbound) as node,
        FakeNode(made.southbound, "slim/1") as asker,
        client(made.northbound) as stub,
    ):
        await node.registered()
        await asker.registered()
        await disobedient(node, stub)
        for number in range(IN_WORK + 10):
            await asker.send(creation(number))
        for _ in range(10):
            answer = (await asker.other()).ack
            assert answer.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
            assert "in work" in answer.messages[0]
        # Whoever waits has its place when something is done.
        await node.acknowledge(await node.order())
        assert (await asker.other()).ack.success
        await asker.send(creation(IN_WORK + 10))
        await settled(asker)


async def test_an_order_that_fails_when_nobody_waits_is_no_traceback() -> None:
    _, c = modules()
    failures: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    async with (
        controller() as made,
        FakeNode(made.southbound) as node,
        client(made.northbound) as stub,
    ):
        await node.registered()
        await disobedient(node, stub)
        async with FakeNode(made.southbound, "slim/1") as asker:
            await asker.registered()
            await asker.send(creation(1))
            order = await node.order()
        await node.acknowledge(order, success=False, text="no")
        await settled(node)
        await stub.ListChannels(c.ListChannelsRequest())
    gc.collect()
    await asyncio.sleep(0)
    assert failures == []
