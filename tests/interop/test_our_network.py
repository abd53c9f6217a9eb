"""A network of ours with originals in it: a moderator and members at our nodes, and a node linked to ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.controller.stage import client, controller
from tests.gateway.node.test_controlled import node, own
from tests.interop import scenarios
from tests.interop.harness import SECRET, OriginalApp, OriginalNode
from tests.interop.ours import CallboardApp
from tests.interop.test_controlled_node import WAIT, ControlledNode, until

pytestmark = pytest.mark.originals
pytest.importorskip("slim_bindings", reason="the originals do not install here")

TOKEN = {"type": "shared_secret", "id": "control-plane", "data": SECRET}


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


async def test_an_original_leads_on_our_node_what_our_controller_orders(stack: AsyncExitStack) -> None:
    from controller.v1 import controller_pb2
    from controlplane.v1 import controlplane_pb2

    made = await stack.enter_async_context(controller())
    nodes = [
        await stack.enter_async_context(node(made.southbound, f"slim/{number}", token=TOKEN))
        for number in range(2)
    ]
    stub = await stack.enter_async_context(client(made.northbound))
    moderator, near, far = [
        await stack.enter_async_context(OriginalApp(name, f"http://{nodes[number].address}"))
        for name, number in (("moderator", 0), ("near", 0), ("far", 1))
    ]
    await own(stub, "slim/0", "org/test/moderator", "org/test/near")
    await own(stub, "slim/1", "org/test/far")

    request = controlplane_pb2.CreateChannelRequest(
        moderators=["org/test/moderator"], channel_name="org/test/stage"
    )
    assert (await stub.CreateChannel(request, WAIT)).channel_id == "org/test/stage"
    ends = [await moderator.listen()]
    assert ends[0].initiator
    for member in (near, far):
        add = controller_pb2.AddParticipantRequest(
            channel_name="org/test/stage", participant_name=member.name
        )
        assert (await stub.AddParticipant(add, WAIT)).success
        ends.append(await member.listen())
    for number, end in enumerate(ends):
        await scenarios.flood(end, [one for one in ends if one is not end], 20, f"end{number}")

    remove = controller_pb2.DeleteParticipantRequest(
        channel_name="org/test/stage", participant_name="org/test/near"
    )
    told, ack = await asyncio.gather(ends[1].ended(), stub.DeleteParticipant(remove, WAIT))
    assert ack.success
    assert "session closed" in told
    await scenarios.flood(ends[2], [ends[0]], 20, "after")
    delete = controller_pb2.DeleteChannelRequest(channel_name="org/test/stage")
    told, ack = await asyncio.gather(ends[2].ended(), stub.DeleteChannel(delete, WAIT))
    assert ack.success
    assert "session closed" in told
    assert not (await stub.ListChannels(controller_pb2.ListChannelsRequest())).channel_name


@pytest.mark.long
async def test_an_original_node_is_linked_by_create_connection(stack: AsyncExitStack) -> None:
    from controlplane.v1 import controlplane_pb2
    from grpc_api import grpc_api_pb2

    made = await stack.enter_async_context(controller())
    ours = await stack.enter_async_context(node(made.southbound, token=TOKEN))
    stub = await stack.enter_async_context(client(made.northbound))
    original = await stack.enter_async_context(OriginalNode())
    far = await stack.enter_async_context(OriginalApp("far", original.endpoint))
    near = await stack.enter_async_context(CallboardApp("near", f"http://{ours.address}"))
    await own(stub, "slim/0", "org/test/near")
    config = '{"endpoint": "%s", "tls": {"insecure": true}, "announce": true}' % original.endpoint  # noqa: UP031
    connection = grpc_api_pb2.Connection(connection_id=original.endpoint, config_data=config)
    created = await stub.CreateConnection(
        controlplane_pb2.CreateConnectionRequest(connection=connection, node_id="slim/0")
    )
    assert created.success
    subscription = grpc_api_pb2.Subscription(
        component_0="org", component_1="test", component_2="far", connection_id=created.connection_id
    )
    # Without it the route is for the name as it stands, which is enough for channels.
    subscription.id.value = far.id
    wanted = controlplane_pb2.CreateSubscriptionRequest(node_id="slim/0", subscription=subscription)
    assert (await stub.CreateSubscription(wanted)).success
    await scenarios.p2p_both_ways(near, far, mls=True, count=50)
    await scenarios.p2p_both_ways(far, near, mls=False, count=50)


@pytest.mark.long
async def test_an_original_node_that_a_controller_has_dial_ours(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    from controlplane.v1 import controlplane_pb2

    made = await stack.enter_async_context(controller())
    original = await stack.enter_async_context(ControlledNode(tmp_path, "slim/0", made.southbound))
    ours = await stack.enter_async_context(node(made.southbound, "slim/1", token=TOKEN))
    stub = await stack.enter_async_context(client(made.northbound))
    far = await stack.enter_async_context(OriginalApp("far", f"http://127.0.0.1:{original.port}"))
    near = await stack.enter_async_context(CallboardApp("near", f"http://{ours.address}"))

    async def applied() -> Any:
        listed = (await stub.ListRoutes(controlplane_pb2.RouteListRequest())).entries
        done = {
            (one.source, one.name.split("/")[2]) for one in listed if one.status == "APPLIED" and one.name
        }
        return {("slim/0", "near"), ("slim/1", "far")} <= done

    await until(applied)
    await scenarios.p2p_both_ways(far, near, mls=True, count=50)
    await scenarios.p2p_both_ways(near, far, mls=False, count=50)
