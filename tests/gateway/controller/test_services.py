"""Both services over real sockets, with nodes that are only their end of the stream."""

from __future__ import annotations

import ast
import asyncio
import base64
import json
import sqlite3
import textwrap
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway.proto import controller_pb2 as pb
from tests.gateway.controller.stage import FakeNode, client, controller
from tests.guides import blocks

TRANSPORTS = ("fast", "grpc")


def modules() -> tuple[Any, Any]:
    from controller.v1 import controller_pb2
    from controlplane.v1 import controlplane_pb2

    return controlplane_pb2, controller_pb2


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    """The status and the sentence of a call that has to fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


async def until(true: Callable[[], Any]) -> Any:
    """What `true` (a coroutine function) returns once it is something."""
    async with asyncio.timeout(10):
        while not (found := await true()):  # noqa: ASYNC110 (what is asked is another process's)
            await asyncio.sleep(0.01)
    return found


def subscription(name: str, connection: str = "") -> Any:
    _, c = modules()
    parts = name.split("/")
    made = c.Subscription(
        component_0=parts[0], component_1=parts[1], component_2=parts[2], connection_id=connection
    )
    if len(parts) == 4:
        made.id.value = int(parts[3])
    return made


def config_of(endpoint: str) -> Any:
    _, c = modules()
    return c.Connection(connection_id=endpoint, config_data=json.dumps({"endpoint": endpoint}))


# The published snippets


def snippets() -> list[str]:
    return [code for code in blocks("group-management") if "controlplane_pb2" in code]


def run(code: str, address: str) -> list[str]:
    """What a snippet prints, as printed but for the port; one that returns is put into a function first."""
    code = code.replace("localhost:50051", address)
    said: list[str] = []
    if any(isinstance(node, ast.Return) for node in ast.walk(ast.parse(code))):
        code = "def snippet():\n" + textwrap.indent(code, "    ") + "\nsnippet()"
    exec(code, {"print": lambda *words: said.append(" ".join(map(str, words)))})
    return said


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_published_snippets_run_as_printed(transport: str) -> None:
    create, add, routes = snippets()
    p, _ = modules()
    async with controller(transport) as made, FakeNode(made.southbound) as node:
        await node.registered()
        await node.report("agncty/namespace/moderator", "agncty/namespace/moderator/7")
        async with client(made.northbound) as stub:
            await until(lambda: known(stub, "agncty/namespace/moderator"))
            said = await asyncio.to_thread(run, create, made.northbound)
            assert said[0].startswith("Channel created with ID: agncty/namespace/")
            order = await node.order()
            assert list(order.create_channel_request.moderators) == ["agncty/namespace/moderator/7"]

            said = await asyncio.to_thread(run, add, made.northbound)
            assert "NOT_FOUND" in said[0]
            assert "there is no channel agncty/namespace/group_channel; make it first" in said[0]

            await stub.CreateChannel(
                p.CreateChannelRequest(
                    moderators=["agncty/namespace/moderator"], channel_name="agncty/namespace/group_channel"
                )
            )
            said = await asyncio.to_thread(run, add, made.northbound)
            assert said == ["ACK received for : success=True"]

            said = await asyncio.to_thread(run, routes, made.northbound)
            assert said == [
                "Connection created successfully with ID: http://127.0.0.1:46357",
                "Subscription created successfully with ID: "
                "agncty/namespace/group_channel@http://127.0.0.1:46357",
            ]


async def known(stub: Any, name: str) -> bool:
    """Whether the controller has heard of a name: a moderator that nobody has cannot be ordered."""
    p, _ = modules()
    try:
        await stub.CreateChannel(p.CreateChannelRequest(moderators=[name], channel_name="probe/probe/probe"))
    except grpc.aio.AioRpcError as error:
        return error.code() is not grpc.StatusCode.UNAVAILABLE
    return False


# Routes


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_route_is_pushed_acknowledged_and_taken_away(transport: str) -> None:
    p, _ = modules()
    async with (
        controller(transport) as made,
        FakeNode(made.southbound, "slim/0", ours=False) as one,
        FakeNode(made.southbound, "slim/1", ours=False) as two,
        client(made.northbound) as stub,
    ):
        await one.registered()
        await two.registered()
        reply = await stub.AddRoute(
            p.AddRouteRequest(nodeId="slim/0", destNodeId="slim/1", subscription=subscription("a/b/c"))
        )
        assert reply.success
        command = await one.command()
        (connection,) = command.connections_to_create
        assert json.loads(connection.config_data)["endpoint"] == connection.connection_id
        assert command.subscriptions_to_set[0].connection_id == connection.connection_id

        async def applied() -> bool:
            listed = await stub.ListRoutes(p.RouteListRequest(srcNodeId="slim/0"))
            return [one.status for one in listed.entries if one.name] == ["APPLIED"]

        await until(applied)
        assert (await stub.ListRoutes(p.RouteListRequest())).routes == [reply.routeId]
        status, text = await refused(
            stub.AddRoute(
                p.AddRouteRequest(nodeId="slim/1", destNodeId="slim/0", subscription=subscription("a/b/c"))
            )
        )
        assert status is grpc.StatusCode.FAILED_PRECONDITION
        assert "slim/1 -> slim/0 -> slim/1" in text
        await stub.DeleteRoute(
            p.DeleteRouteRequest(nodeId="slim/0", destNodeId="slim/1", subscription=subscription("a/b/c"))
        )
        assert (await one.command()).subscriptions_to_delete[0].component_2 == "c"


async def test_a_failure_has_the_nodes_reason_and_is_tried_again() -> None:
    p, _ = modules()
    async with controller() as made, FakeNode(made.southbound) as node, client(made.northbound) as stub:
        node.failures["http://127.0.0.1:1"] = "nobody listens there"
        await node.registered()
        status, text = await refused(
            stub.CreateConnection(
                p.CreateConnectionRequest(connection=config_of("http://127.0.0.1:1"), node_id="slim/0")
            )
        )
        assert (status, text) == (grpc.StatusCode.FAILED_PRECONDITION, "nobody listens there")
        await stub.AddRoute(
            p.AddRouteRequest(
                nodeId="slim/0",
                connection=config_of("http://127.0.0.1:1"),
                subscription=subscription("a/b/c"),
            )
        )

        async def retried() -> bool:
            listed = (await stub.ListRoutes(p.RouteListRequest())).entries
            return any(one.name and one.attempts > 1 and "nobody listens" in one.reason for one in listed)

        await until(retried)
        node.failures.clear()

        async def applied() -> bool:
            listed = (await stub.ListRoutes(p.RouteListRequest())).entries
            return bool(listed) and all(one.status == "APPLIED" for one in listed)

        await until(applied)


async def test_a_node_that_never_answers_costs_a_deadline_and_no_more() -> None:
    p, _ = modules()
    async with (
        controller(reconciler={"ackTimeout": "300ms"}) as made,
        FakeNode(made.southbound) as node,
        client(made.northbound) as stub,
    ):
        node.silent = True
        await node.registered()
        status, text = await refused(
            stub.CreateConnection(
                p.CreateConnectionRequest(connection=config_of("http://127.0.0.1:1"), node_id="slim/0")
            )
        )
        assert status is grpc.StatusCode.FAILED_PRECONDITION
        assert text == "slim/0 did not answer within 0.3 s"


@pytest.mark.parametrize("count", [99, 100, 101, 250])
async def test_a_list_in_pieces_comes_whole(count: int) -> None:
    p, _ = modules()
    async with controller() as made, FakeNode(made.southbound) as node, client(made.northbound) as stub:
        await node.registered()
        node.connections = [
            pb.ConnectionEntry(id=at, config_data='{"endpoint": "x", "auth": {"password": "hush-hush"}}')
            for at in range(count)
        ]
        listed = await stub.ListConnections(p.Node(id="slim/0"))
        assert [one.id for one in listed.entries] == list(range(count))
        assert "hush-hush" not in str(listed)


async def test_what_a_node_has_over_our_link_and_nobody_wants_is_an_orphan() -> None:
    p, _ = modules()
    async with controller() as made, client(made.northbound) as stub:
        async with FakeNode(made.southbound) as node:
            await node.registered()
            await stub.CreateConnection(
                p.CreateConnectionRequest(connection=config_of("http://127.0.0.1:1"), node_id="slim/0")
            )
        again = FakeNode(made.southbound)
        entry = pb.SubscriptionEntry(component_0="a", component_1="b", component_2="stray")
        entry.remote_connections.add(config_data='{"endpoint": "http://127.0.0.1:1"}')
        again.subscriptions = [entry]
        async with again:
            await again.registered()

            async def orphans() -> list[Any]:
                listed = (await stub.ListRoutes(p.RouteListRequest())).entries
                return [one.name for one in listed if one.status == "ORPHAN"]

            assert await until(orphans) == ["a/b/stray"]


# Channels


async def test_one_order_at_a_time_and_the_place_in_the_queue() -> None:
    p, c = modules()
    async with controller() as made, FakeNode(made.southbound) as node, client(made.northbound) as stub:
        node.obedient = False
        await node.registered()
        await node.report("o/n/mod/5")
        name = "o/n/channel"
        creating = asyncio.create_task(
            stub.CreateChannel(p.CreateChannelRequest(moderators=["o/n/mod/5"], channel_name=name))
        )
        order = await node.order()
        assert order.create_channel_request.channel_name == name
        adding = [
            asyncio.create_task(
                stub.AddParticipant(c.AddParticipantRequest(channel_name=name, participant_name=who), 0.5)
            )
            for who in ("o/n/one", "o/n/two")
        ]
        status, text = await refused(adding[0])
        assert status is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "number 2 in the queue of o/n/channel" in text
        assert "number 3 in the queue" in (await refused(adding[1]))[1]
        assert node.orders.empty()
        await node.acknowledge(order)
        reply = await creating
        assert (reply.channel_name, reply.channel_id) == (name, name)
        assert (
            await stub.ListParticipants(c.ListParticipantsRequest(channel_name=name))
        ).participant_name == []

        failing = asyncio.create_task(
            stub.AddParticipant(p.AddParticipantRequest(channel_id=name, participant_id="o/n/one"))
        )
        await node.acknowledge(await node.order(), False, "nobody answers to o/n/one")
        status, text = await refused(failing)
        assert (status, text) == (grpc.StatusCode.ABORTED, "nobody answers to o/n/one")
        node.obedient = True
        await stub.AddParticipant(c.AddParticipantRequest(channel_name=name, participant_name="o/n/one"))
        status, _ = await refused(
            stub.AddParticipant(c.AddParticipantRequest(channel_name=name, participant_name="o/n/one"))
        )
        assert status is grpc.StatusCode.ALREADY_EXISTS
        await stub.DeleteParticipant(
            c.DeleteParticipantRequest(channel_name=name, participant_name="o/n/one")
        )
        assert (await stub.DeleteChannel(c.DeleteChannelRequest(channel_name=name))).success
        assert (await stub.ListChannels(c.ListChannelsRequest())).channel_name == []


async def test_a_lost_node_ends_the_wait_for_its_moderator() -> None:
    p, _ = modules()
    async with controller() as made, client(made.northbound) as stub:
        async with FakeNode(made.southbound) as node:
            node.obedient = False
            await node.registered()
            await node.report("o/n/mod/5")
            creating = asyncio.create_task(stub.CreateChannel(p.CreateChannelRequest(moderators=["o/n/mod"])))
            await node.order()
        status, text = await refused(creating)
        assert status is grpc.StatusCode.UNAVAILABLE
        assert "slim/0 was lost" in text
        status, text = await refused(stub.CreateChannel(p.CreateChannelRequest(moderators=["o/n/mod"])))
        assert (status, text) == (
            grpc.StatusCode.UNAVAILABLE,
            "no connected node has the moderator o/n/mod",
        )


async def test_groups_that_applications_lead_are_shown_and_take_no_orders() -> None:
    p, c = modules()
    async with controller() as made, FakeNode(made.southbound) as node, client(made.northbound) as stub:
        await node.registered()
        report = pb.GroupReport()
        report.groups.add(
            channel_name="o/n/stage", moderators=["o/n/mod/1"], members=["o/n/a", "o/n/b"], epoch=4
        )
        await node.send(pb.ControlMessage(group_report=report))

        async def groups() -> Any:
            return (await stub.ListChannels(c.ListChannelsRequest())).groups

        (group,) = await until(groups)
        assert (group.channel_name, group.epoch, group.read_only, group.node_id) == (
            "o/n/stage",
            4,
            True,
            "slim/0",
        )
        status, text = await refused(
            stub.AddParticipant(p.AddParticipantRequest(channel_id="o/n/stage", participant_id="o/n/c"))
        )
        assert status is grpc.StatusCode.FAILED_PRECONDITION
        assert "led by its own application" in text
        assert (await stub.ListChannels(c.ListChannelsRequest())).channel_name == []


async def test_a_node_may_ask_for_a_channel_itself() -> None:
    async with controller() as made, FakeNode(made.southbound) as node:
        await node.registered()
        await node.report("o/n/mod/5")
        request = pb.CreateChannelRequest(channel_name="o/n/own", moderators=["o/n/mod/5"])
        await node.send(pb.ControlMessage(message_id="mine", create_channel_request=request))
        assert (await node.order()).create_channel_request.channel_name == "o/n/own"
        answer = (await node.other()).ack
        assert (answer.original_message_id, answer.success) == ("mine", True)
        await node.send(pb.ControlMessage(message_id="list", list_channel_request=pb.ListChannelsRequest()))
        assert list((await node.other()).list_channel_response.channel_name) == ["o/n/own"]


# Registration


async def test_the_first_message_has_to_be_the_registration() -> None:
    async with controller() as made, FakeNode(made.southbound) as node:
        await node.other()
        await node.report("a/b/c")
        answer = (await node.other()).ack
        assert (answer.success, list(answer.messages)) == (False, ["register first"])
        async with asyncio.timeout(10):
            await node.ended.wait()


async def test_deregistration_is_answered_before_the_stream_ends() -> None:
    p, _ = modules()
    async with controller() as made, FakeNode(made.southbound) as node, client(made.northbound) as stub:
        await node.registered()
        await node.send(
            pb.ControlMessage(message_id="bye", deregister_node_request=pb.DeregisterNodeRequest())
        )
        answer = (await node.other()).deregister_node_response
        assert (answer.original_message_id, answer.success) == ("bye", True)
        async with asyncio.timeout(10):
            await node.ended.wait()
        assert not (await stub.ListNodes(p.NodeListRequest())).entries


async def test_a_node_that_comes_again_takes_over() -> None:
    p, _ = modules()
    async with controller() as made, client(made.northbound) as stub, FakeNode(made.southbound) as old:
        await old.registered()
        async with FakeNode(made.southbound) as new:
            await new.registered()
            async with asyncio.timeout(10):
                await old.ended.wait()
            (entry,) = (await stub.ListNodes(p.NodeListRequest())).entries
            assert entry.status == p.NODE_STATUS_CONNECTED

        async def gone() -> bool:
            (entry,) = (await stub.ListNodes(p.NodeListRequest())).entries
            return bool(entry.status == p.NODE_STATUS_NOT_CONNECTED)

        await until(gone)


async def test_details_of_1_4_are_understood() -> None:
    from google.protobuf.struct_pb2 import Struct

    p, _ = modules()
    metadata = Struct()
    metadata.update({"local_endpoint": "10.0.0.7", "external_endpoint": "node.example:7", "group_name": "g"})
    details = pb.ConnectionDetails(
        endpoint="0.0.0.0:46357", local_endpoint=metadata.SerializeToString(), external_endpoint=b"\xff\x00"
    )
    async with (
        controller() as made,
        client(made.northbound) as stub,
        FakeNode(made.southbound, ours=False, connection_details=[details]) as node,
    ):
        await node.registered()
        (entry,) = (await stub.ListNodes(p.NodeListRequest())).entries
        assert entry.connections[0].local_endpoint == "10.0.0.7"
        assert entry.connections[0].external_endpoint == "node.example:7"


# Bad input


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_bad_input_is_a_typed_refusal(transport: str) -> None:
    p, c = modules()
    ok = subscription("a/b/c")
    cases: list[tuple[str, Any, str, str]] = [
        ("CreateChannel", p.CreateChannelRequest(), "INVALID_ARGUMENT", "moderators"),
        ("CreateChannel", p.CreateChannelRequest(moderators=["a/b"]), "INVALID_ARGUMENT", "moderators"),
        ("CreateChannel", p.CreateChannelRequest(moderators=["a/b/c/x"]), "INVALID_ARGUMENT", "decimal"),
        ("CreateChannel", p.CreateChannelRequest(moderators=["a/b/c"]), "UNAVAILABLE", "a/b/c"),
        ("AddRoute", p.AddRouteRequest(nodeId="slim/0"), "INVALID_ARGUMENT", "subscription"),
        ("DeleteRoute", p.DeleteRouteRequest(nodeId="slim/0"), "INVALID_ARGUMENT", "subscription"),
        ("AddRoute", p.AddRouteRequest(nodeId="no", subscription=ok), "NOT_FOUND", "no"),
        ("AddRoute", p.AddRouteRequest(nodeId="slim/0", subscription=ok), "INVALID_ARGUMENT", "destNodeId"),
        (
            "AddRoute",
            p.AddRouteRequest(nodeId="slim/0", destNodeId="slim/0", subscription=ok),
            "INVALID_ARGUMENT",
            "itself",
        ),
        (
            "CreateConnection",
            p.CreateConnectionRequest(
                node_id="slim/0", connection=c.Connection(connection_id="x", config_data='{"endpoint": "y"}')
            ),
            "INVALID_ARGUMENT",
            "connection_id",
        ),
        (
            "CreateConnection",
            p.CreateConnectionRequest(
                node_id="slim/0", connection=c.Connection(connection_id="x", config_data="[" * 60000)
            ),
            "INVALID_ARGUMENT",
            "JSON",
        ),
        (
            "CreateSubscription",
            p.CreateSubscriptionRequest(node_id="slim/0", subscription=subscription("a/b/c", "http://no")),
            "NOT_FOUND",
            "http://no",
        ),
        ("ListConnections", p.Node(id="no"), "NOT_FOUND", "no"),
        ("DeregisterNode", p.Node(id="no"), "NOT_FOUND", "no"),
        ("DeleteChannel", c.DeleteChannelRequest(channel_name="a/b/c"), "NOT_FOUND", "a/b/c"),
        ("AddParticipant", c.AddParticipantRequest(), "INVALID_ARGUMENT", "channel_name"),
        (
            "ListParticipants",
            c.ListParticipantsRequest(channel_name="a//c"),
            "INVALID_ARGUMENT",
            "channel_name",
        ),
    ]
    async with (
        controller(transport) as made,
        FakeNode(made.southbound) as node,
        client(made.northbound) as stub,
    ):
        await node.registered()
        for method, request, status, word in cases:
            code, text = await refused(getattr(stub, method)(request))
            assert (method, code.name) == (method, status), text
            assert word in text
        large = c.Connection(
            connection_id="x", config_data=json.dumps({"endpoint": "x", "y": "z" * 10 * 2**20})
        )
        code, _ = await refused(
            stub.CreateConnection(p.CreateConnectionRequest(node_id="slim/0", connection=large))
        )
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await stub.ListNodes(p.NodeListRequest())).entries[0].id == "slim/0"


# Who may


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


AUTH = {
    "users": {
        "rita": {"password": "reads-only", "role": "reader"},
        "olga": {"password": "operates", "role": "operator"},
        "adam": {"password": "administers", "role": "admin"},
    }
}


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_roles_and_the_audit(transport: str, tmp_path: Path) -> None:
    p, _ = modules()
    file = tmp_path / "audit.jsonl"
    async with controller(transport, northbound={"auth": AUTH}, audit={"file": str(file)}) as made:  # noqa: SIM117
        async with FakeNode(made.southbound) as node:
            await node.registered()
            async with client(made.northbound) as stub:
                code, _ = await refused(stub.ListNodes(p.NodeListRequest()))
                assert code is grpc.StatusCode.UNAUTHENTICATED
            async with client(made.northbound, authorization=basic("rita", "wrong")) as stub:
                assert (await refused(stub.ListNodes(p.NodeListRequest())))[0].name == "UNAUTHENTICATED"
            async with client(made.northbound, authorization=basic("rita", "reads-only")) as stub:
                assert (await stub.ListNodes(p.NodeListRequest())).entries
                code, text = await refused(stub.CreateChannel(p.CreateChannelRequest(moderators=["a/b/c"])))
                assert code is grpc.StatusCode.PERMISSION_DENIED
                assert text == "CreateChannel needs the role operator; rita is reader"
            async with client(made.northbound, authorization=basic("olga", "operates")) as stub:
                assert (await refused(stub.DeregisterNode(p.Node(id="slim/0"))))[
                    0
                ].name == "PERMISSION_DENIED"
            async with client(made.northbound, authorization=basic("adam", "administers")) as stub:
                connection = config_of("http://127.0.0.1:9")
                connection.config_data = (
                    '{"endpoint": "http://127.0.0.1:9", "auth": {"password": "hush-hush"}}'
                )
                await stub.CreateConnection(
                    p.CreateConnectionRequest(connection=connection, node_id="slim/0")
                )
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert {line["what"] for line in lines} == {
        "ListNodes",
        "CreateChannel",
        "DeregisterNode",
        "CreateConnection",
    }
    change = lines[-1]
    assert change["who"] == "adam"
    assert change["from"].startswith("127.0.0.1:")
    assert (change["before"], change["after"], change["result"]) == ("absent", "APPLIED", "OK")
    for secret in ("hush-hush", "administers", "operates", "reads-only", "wrong"):
        assert secret not in file.read_text()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_nodes_prove_who_they_are(transport: str) -> None:
    auth = {"token": "a shared token", "nodes": {"slim/1": "somebody else"}}
    async with controller(transport, southbound={"auth": auth}) as made:
        async with FakeNode(made.southbound) as node:
            async with asyncio.timeout(10):
                await node.ended.wait()
            assert await node.call.code() is grpc.StatusCode.UNAUTHENTICATED
        node = FakeNode(made.southbound)
        node.metadata = (("authorization", "Bearer a shared token"),)
        async with node:
            await node.registered()
        node = FakeNode(made.southbound, "slim/1")
        node.metadata = (("authorization", "Bearer a shared token"),)
        async with node:
            await node.other()
            await node.send(pb.ControlMessage(message_id="r", register_node_request=node.register))
            answer = (await node.other()).ack
            assert (answer.success, list(answer.messages)) == (False, ["slim/1 belongs to another identity"])


# State


async def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    p, c = modules()
    database = {"filePath": str(tmp_path / "db" / "controller.db")}
    async with controller(database=database) as made, client(made.northbound) as stub:  # noqa: SIM117
        async with FakeNode(made.southbound) as node:
            await node.registered()
            await node.report("o/n/mod/5")
            await stub.AddRoute(
                p.AddRouteRequest(
                    nodeId="slim/0",
                    connection=config_of("http://127.0.0.1:9"),
                    subscription=subscription("a/b/c/3"),
                )
            )
            await stub.CreateChannel(p.CreateChannelRequest(moderators=["o/n/mod"], channel_name="o/n/c"))
            await stub.AddParticipant(c.AddParticipantRequest(channel_name="o/n/c", participant_name="o/n/p"))
    async with controller(database=database) as made, client(made.northbound) as stub:
        (entry,) = (await stub.ListNodes(p.NodeListRequest())).entries
        assert (entry.id, entry.status) == ("slim/0", p.NODE_STATUS_NOT_CONNECTED)
        status, text = await refused(
            stub.CreateConnection(
                p.CreateConnectionRequest(connection=config_of("http://127.0.0.1:8"), node_id="slim/0")
            )
        )
        assert status is grpc.StatusCode.UNAVAILABLE
        assert "not seen since the controller started" in text
        members = await stub.ListParticipants(c.ListParticipantsRequest(channel_name="o/n/c"))
        assert members.participant_name == ["o/n/p"]
        async with FakeNode(made.southbound) as node:
            await node.registered()
            command = await node.command()
            assert command.subscriptions_to_set[0].id.value == 3
            assert command.connections_to_create[0].connection_id == "http://127.0.0.1:9"
    assert (tmp_path / "db" / "controller.db").stat().st_mode & 0o77 == 0


async def test_a_copy_that_sqlite_made_while_it_ran_is_put_back(tmp_path: Path) -> None:
    """As `docs/operating.md` says: what was ordered after the copy is to be ordered again."""
    p, c = modules()
    path, copy = tmp_path / "controller.db", tmp_path / "copy.db"

    def participant(name: str) -> Any:
        return c.AddParticipantRequest(channel_name="o/n/c", participant_name=name)

    async with (
        controller(database={"filePath": str(path)}) as made,
        client(made.northbound) as stub,
        FakeNode(made.southbound) as node,
    ):
        await node.registered()
        await node.report("o/n/mod/5")
        await stub.CreateChannel(p.CreateChannelRequest(moderators=["o/n/mod"], channel_name="o/n/c"))
        await stub.AddParticipant(participant("o/n/before"))
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        await stub.AddParticipant(participant("o/n/after"))
    for beside in tmp_path.glob("controller.db-*"):
        beside.unlink()
    copy.replace(path)
    async with controller(database={"filePath": str(path)}) as made, client(made.northbound) as stub:
        (entry,) = (await stub.ListNodes(p.NodeListRequest())).entries
        assert (entry.id, entry.status) == ("slim/0", p.NODE_STATUS_NOT_CONNECTED)
        asked = c.ListParticipantsRequest(channel_name="o/n/c")
        assert (await stub.ListParticipants(asked)).participant_name == ["o/n/before"]
        async with FakeNode(made.southbound) as node:
            await node.registered()
            await node.report("o/n/mod/5")
            await stub.AddParticipant(participant("o/n/after"))
        assert (await stub.ListParticipants(asked)).participant_name == ["o/n/before", "o/n/after"]


async def test_a_report_right_behind_a_list_is_not_lost() -> None:
    p, _ = modules()
    async with controller() as made, client(made.northbound) as stub:
        for at in range(10):
            async with FakeNode(made.southbound) as node:
                await node.registered()
                # The answered list was empty; by the time it is looked at, this is here too.
                await node.report(f"o/n/mod{at}/5")
                node.subscriptions = []
                request = p.CreateChannelRequest(moderators=[f"o/n/mod{at}/5"], channel_name=f"o/n/c{at}")
                await stub.ListNodes(p.NodeListRequest())
                assert (await stub.CreateChannel(request)).channel_id == f"o/n/c{at}"
