"""What programs and nodes should not say to a controller: each costs one answer, nothing hangs behind it."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from gateway.proto import controller_pb2 as pb
from tests.gateway.controller.stage import PATIENCE, FakeNode, client, controller
from tests.gateway.controller.test_services import TRANSPORTS, known, modules, refused, until


async def test_what_is_there_already_or_not_at_all_is_said_and_nothing_hangs() -> None:
    p, c = modules()
    async with controller() as made, FakeNode(made.southbound) as node, client(made.northbound) as stub:
        await node.registered()
        await node.report("o/n/mod/7", "o/n/mod")
        await until(lambda: known(stub, "o/n/mod"))
        create = p.CreateChannelRequest(moderators=["o/n/mod"], channel_name="o/n/stage")
        guest = {"channel_name": "o/n/stage", "participant_name": "o/n/guest"}
        await stub.CreateChannel(create)
        for request in (
            create,
            p.CreateChannelRequest(moderators=["o/n/mod", "o/n/mod"], channel_name="o/n/stage"),
        ):
            code, text = await refused(stub.CreateChannel(request))
            assert code is grpc.StatusCode.ALREADY_EXISTS
            assert "o/n/stage" in text
        assert (await stub.AddParticipant(c.AddParticipantRequest(**guest))).success
        code, text = await refused(stub.AddParticipant(c.AddParticipantRequest(**guest)))
        assert code is grpc.StatusCode.ALREADY_EXISTS
        assert "o/n/guest" in text
        absent = c.DeleteParticipantRequest(channel_name="o/n/stage", participant_name="o/n/nobody")
        code, text = await refused(stub.DeleteParticipant(absent))
        assert code is grpc.StatusCode.NOT_FOUND
        assert "o/n/nobody" in text
        for bad in ("", "o/n", "o//x", "o/n/a/b", "o/n/" + "x" * 300, "o/n/a\x00b"):
            wanted = c.AddParticipantRequest(channel_name="o/n/stage", participant_name=bad)
            code, text = await refused(stub.AddParticipant(wanted))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert "participant_name" in text
        # None of it stands in the way of what comes next.
        assert (await stub.DeleteParticipant(c.DeleteParticipantRequest(**guest))).success
        assert (await stub.DeleteChannel(c.DeleteChannelRequest(channel_name="o/n/stage"))).success


async def test_what_a_node_should_not_say_costs_it_that_and_no_more() -> None:
    p, c = modules()
    async with controller() as made, FakeNode(made.southbound) as node, client(made.northbound) as stub:
        await node.registered()
        report = pb.GroupReport()
        for name in ("", "o/n", "o//n", "o/n/a\nb", "o/n/" + "x" * 300, "o/n/good"):
            report.groups.add(channel_name=name, members=["o/n/a"])
        command = pb.ConfigurationCommand()
        command.subscriptions_to_set.add(component_0="o", connection_id="n/a")
        command.subscriptions_to_delete.add(component_0="o", component_1="n", component_2="never")
        for message in (
            pb.ControlMessage(group_report=report),
            pb.ControlMessage(config_command=command),
            pb.ControlMessage(ack=pb.Ack(original_message_id="order-4711", success=True)),
            pb.ControlMessage(ack=pb.Ack(original_message_id="order-x")),
            pb.ControlMessage(config_command_ack=pb.ConfigurationCommandAck(original_message_id="config-99")),
            pb.ControlMessage(
                subscription_list_response=pb.SubscriptionListResponse(original_message_id="list-99")
            ),
            pb.ControlMessage(),
        ):
            await node.send(message)
        await node.send(pb.ControlMessage(message_id="again", register_node_request=node.register))
        answer = await node.other()
        assert (answer.ack.original_message_id, answer.ack.success) == ("again", False)
        assert "registered already" in answer.ack.messages[0]
        groups = (await stub.ListChannels(c.ListChannelsRequest())).groups
        assert [one.channel_name for one in groups] == ["o/n/good"]
        assert not (await stub.ListRoutes(p.RouteListRequest())).entries
        assert not node.ended.is_set()


@pytest.mark.parametrize("id", ["", "x" * 300, "a\nb"])
async def test_a_node_without_a_usable_id_is_told_so(id: str) -> None:
    async with controller() as made, FakeNode(made.southbound, id) as node:
        assert (await node.other()).ack.success
        await node.send(pb.ControlMessage(message_id="r", register_node_request=node.register))
        answer = (await node.other()).ack
        assert not answer.success
        assert "node_id" in answer.messages[0]
        async with asyncio.timeout(PATIENCE):
            await node.ended.wait()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_program_may_call_a_thousand_times(transport: str) -> None:
    p, _ = modules()
    async with controller(transport) as made, client(made.northbound) as stub:
        room = asyncio.Semaphore(32)

        async def call() -> None:
            async with room:
                await stub.ListNodes(p.NodeListRequest())

        await asyncio.gather(*(call() for _ in range(1000)))
