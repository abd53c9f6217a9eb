"""What programs and nodes should not say to a controller: each costs one answer, nothing hangs behind it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest

from gateway.controller.rivals import WINDOW, Rivals
from gateway.controller.store import SqliteStore
from gateway.proto import controller_pb2 as pb
from identity.errors import ConfigError
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


async def answer_to(node: FakeNode) -> pb.Ack:
    """What a node is told that registers."""
    assert (await node.other()).ack.success
    await node.send(pb.ControlMessage(message_id="r", register_node_request=node.register))
    return (await node.other()).ack


async def test_of_two_nodes_with_one_id_the_later_stays_and_the_other_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refusal = "another node is registered as slim/0, from 127.0.0.1, and came later: give each its own id"
    async with controller() as made, FakeNode(made.southbound, boot=1) as earlier:
        await earlier.registered()
        async with FakeNode(made.southbound, boot=2) as later:
            await later.registered()
            async with asyncio.timeout(PATIENCE):
                await earlier.ended.wait()
            for _ in range(3):
                async with FakeNode(made.southbound, boot=1) as again:
                    answer = await answer_to(again)
                    assert answer.code == grpc.StatusCode.ALREADY_EXISTS.value[0]
                    assert answer.messages == [refusal]
                    async with asyncio.timeout(PATIENCE):
                        await again.ended.wait()
            assert not later.ended.is_set()
            told = [one for one in caplog.records if "a node is not taken" in one.getMessage()]
            assert len(told) == 1
            # The same run over a new stream is no other node.
            async with FakeNode(made.southbound, boot=2) as reconnected:
                await reconnected.registered()
        # With the later one gone the earlier one has its place again.
        async with asyncio.timeout(PATIENCE):
            taken = False
            while not taken:
                async with FakeNode(made.southbound, boot=1) as back:
                    taken = (await answer_to(back)).success


def test_one_database_is_one_controllers(tmp_path: Path) -> None:
    path = tmp_path / "controlplane.db"
    first = SqliteStore(path)
    with pytest.raises(ConfigError, match=r"another controller keeps .*; end that one first"):
        SqliteStore(path)
    first.close()
    SqliteStore(path).close()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_program_may_call_a_thousand_times(transport: str) -> None:
    p, _ = modules()
    async with controller(transport) as made, client(made.northbound) as stub:
        room = asyncio.Semaphore(32)

        async def call() -> None:
            async with room:
                await stub.ListNodes(p.NodeListRequest())

        await asyncio.gather(*(call() for _ in range(1000)))


async def test_originals_of_one_id_that_take_the_place_of_one_another_are_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """They do not tell one run from the next: the controller cannot know which one is meant."""
    async with controller() as made, AsyncExitStack() as held:
        for times in range(5):
            one = await held.enter_async_context(FakeNode(made.southbound, "one", ours=False))
            await one.registered()
            told = [line for line in caplog.records if "take the place of one another" in line.getMessage()]
            assert len(told) == (times >= 3), "once, from the third time on"


def test_a_place_that_is_taken_now_and_then_is_nothing_to_be_told_of() -> None:
    rivals = Rivals()
    assert not any(rivals.took("one", now) for now in (0.0, WINDOW / 2, WINDOW + 1))
    assert rivals.took("one", WINDOW + 2)
    assert not rivals.took("one", WINDOW + 3)
