"""A node under a controller, over real sockets: registration, commands, orders, restarts."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from actors.messages.controller import Order
from gateway import Request, Slim
from gateway.config.node import NodeConfig
from gateway.controller.config import ControllerConfig
from gateway.controller.process import ControllerProcess
from gateway.controller.records import write_order
from gateway.node.node import Node
from gateway.proto import controller_pb2 as pb
from identity.jose.keys import Algorithm, Key, KeyData, KeyFormat
from identity.provider import IdentityProvider, IdentityVerifier
from tests.gateway.app_stage import PLAIN, SECRET, identity
from tests.gateway.controller.stage import PATIENCE, client, config, controller
from tests.identity.key_samples import private_pem, public_pem

TRANSPORTS = ("fast", "grpc")
TOKEN = {"type": "shared_secret", "id": "control-plane", "data": SECRET}
PATH = "/controller.proto.v1.ControllerService/OpenControlChannel"


def modules() -> tuple[Any, Any]:
    from controller.v1 import controller_pb2
    from controlplane.v1 import controlplane_pb2

    return controlplane_pb2, controller_pb2


class StartedNode:
    """A node of a configuration that is all ports of its own."""

    def __init__(self, node: Node, address: str) -> None:
        self.node, self.address = node, address


@asynccontextmanager
async def node(
    southbound: str = "",
    id: str = "slim/0",
    *,
    group: str = "",
    token: bool | dict[str, Any] = True,
    served: bool = False,
    transport: str = "fast",
) -> AsyncIterator[StartedNode]:
    control: dict[str, Any] = {}
    if southbound:
        control["clients"] = [{"endpoint": f"http://{southbound}", "tls": PLAIN, "transport": transport}]
    if served:
        control["servers"] = [{"endpoint": "127.0.0.1:0", "tls": PLAIN, "transport": transport}]
    if token:
        control["token_provider"] = TOKEN if token is True else token
    service = {
        "dataplane": {"servers": [{"endpoint": "127.0.0.1:0", "tls": PLAIN}]},
        "controller": control,
        "node_id": id,
    } | ({"group_name": group} if group else {})
    made = Node(NodeConfig.read({"services": {"slim/0": service}}))
    try:
        (address,) = await made.start()
        yield StartedNode(made, address)
    finally:
        await made.close(1.0)


class Company:
    """Applications, each connected to a node."""

    def __init__(self) -> None:
        self._apps: list[Slim] = []

    async def __aenter__(self) -> Company:
        return self

    async def __aexit__(self, *_: object) -> None:
        for app in self._apps:
            await app.close(1.0)

    async def app(self, name: str, address: str) -> Slim:
        made = Slim(name, *identity(name), local_service=True)
        self._apps.append(made)
        await made.connect({"endpoint": f"http://{address}", "tls": PLAIN})
        return made


async def until(true: Callable[[], Awaitable[Any]]) -> Any:
    """What a coroutine function returns once it is something."""
    async with asyncio.timeout(PATIENCE):
        while not (found := await true()):  # noqa: ASYNC110 (what is asked is another process's)
            await asyncio.sleep(0.02)
    return found


async def connected(stub: Any, *ids: str) -> None:
    """Wait until these nodes are registered."""
    p, _ = modules()

    async def registered() -> bool:
        listed = await stub.ListNodes(p.NodeListRequest())
        return set(ids) <= {one.id for one in listed.entries if one.status == p.NODE_STATUS_CONNECTED}

    await until(registered)


async def own(stub: Any, id: str, *names: str) -> list[Any]:
    """The entries of a node's table, once these applications are among its own."""
    p, _ = modules()
    await connected(stub, id)

    async def listed() -> list[Any]:
        entries = list((await stub.ListSubscriptions(p.Node(id=id))).entries)
        found = {f"{e.component_0}/{e.component_1}/{e.component_2}" for e in entries if e.local_connections}
        return entries if set(names) <= found else []

    return await until(listed)


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    """The status and the sentence of a call that has to fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_group_made_through_the_controller_talks_with_mls(transport: str) -> None:
    p, c = modules()
    async with (
        controller(transport) as made,
        node(made.southbound, transport=transport) as one,
        client(made.northbound) as stub,
        Company() as company,
    ):
        mo = await company.app("org/ns/moderator", one.address)
        ann, bob = [await company.app(f"org/ns/{who}", one.address) for who in ("ann", "bob")]
        await own(stub, "slim/0", "org/ns/moderator", "org/ns/ann", "org/ns/bob")
        request = p.CreateChannelRequest(moderators=["org/ns/moderator"], channel_name="org/ns/stage")
        assert (await stub.CreateChannel(request)).channel_id == "org/ns/stage"
        lead = await mo.listen_for_session(PATIENCE)
        members = []
        for app, who in ((ann, "ann"), (bob, "bob")):
            add = c.AddParticipantRequest(channel_name="org/ns/stage", participant_name=f"org/ns/{who}")
            assert (await stub.AddParticipant(add)).success
            members.append(await app.listen_for_session(PATIENCE))
        await (await lead.publish(b"curtain up"))
        for member in members:
            assert (await member.get_message(PATIENCE))[1] == b"curtain up"
        assert lead.session_config.mls_enabled

        remove = c.DeleteParticipantRequest(channel_name="org/ns/stage", participant_name="org/ns/ann")
        assert (await stub.DeleteParticipant(remove)).success
        await (await members[1].publish(b"she left"))
        assert (await lead.get_message(PATIENCE))[1] == b"she left"
        assert (await stub.DeleteChannel(c.DeleteChannelRequest(channel_name="org/ns/stage"))).success
        listed = await stub.ListChannels(c.ListChannelsRequest())
        assert list(listed.channel_name) == []


async def test_without_an_identity_orders_are_refused_at_once() -> None:
    p, _ = modules()
    async with (
        controller() as made,
        node(made.southbound, token=False) as one,
        client(made.northbound) as stub,
        Company() as company,
    ):
        await company.app("org/ns/moderator", one.address)
        await own(stub, "slim/0", "org/ns/moderator")
        status, text = await refused(
            stub.CreateChannel(p.CreateChannelRequest(moderators=["org/ns/moderator"]))
        )
        assert status is grpc.StatusCode.FAILED_PRECONDITION
        assert "controller.token_provider" in text
        assert "--shared-secret" in text


@pytest.mark.parametrize(("subjects", "allowed"), [(["control", "other"], True), (["other"], False)])
async def test_an_application_says_whose_orders_it_takes(subjects: list[str], *, allowed: bool) -> None:
    p, _ = modules()
    pem = {"algorithm": "ES256", "key": {"data": private_pem(Algorithm.ES256)}}
    token = {"type": "jwt", "key": {"type": "encoding"} | pem, "claims": {"subject": "control"}}
    private = Key(Algorithm.ES256, KeyFormat.Pem, KeyData.Content(private_pem(Algorithm.ES256)))
    public = Key(Algorithm.ES256, KeyFormat.Pem, KeyData.Content(public_pem(Algorithm.ES256)))
    who = IdentityProvider.Jwt(private, timedelta(hours=1), subject="moderator"), IdentityVerifier.Jwt(public)
    async with (
        controller() as made,
        node(made.southbound, token=token) as one,
        client(made.northbound) as stub,
        Slim(
            "org/ns/moderator",
            *who,
            True,
            connect={"endpoint": f"http://{one.address}", "tls": PLAIN},
            controllers=subjects,
        ) as app,
    ):
        await own(stub, "slim/0", "org/ns/moderator")
        request = p.CreateChannelRequest(moderators=["org/ns/moderator"], channel_name="org/ns/stage")
        if allowed:
            await stub.CreateChannel(request)
            session = await app.listen_for_session(PATIENCE)
            assert session.metadata == {}
            return
        status, text = await refused(stub.CreateChannel(request))
        assert status is grpc.StatusCode.ABORTED
        assert "'control' may not order groups of us" in text


@pytest.mark.long
async def test_a_failed_order_says_which_step() -> None:
    p, c = modules()
    async with (
        controller() as made,
        node(made.southbound) as one,
        client(made.northbound) as stub,
        Company() as company,
    ):
        mo = await company.app("org/ns/moderator", one.address)
        await own(stub, "slim/0", "org/ns/moderator")
        request = p.CreateChannelRequest(moderators=["org/ns/moderator"], channel_name="org/ns/stage")
        await stub.CreateChannel(request)
        await mo.listen_for_session(PATIENCE)
        add = c.AddParticipantRequest(channel_name="org/ns/stage", participant_name="org/ns/nobody")
        status, text = await refused(stub.AddParticipant(add, 30.0))
        assert status is grpc.StatusCode.ABORTED
        assert "no answer to the question who is there from any instance of org/ns/nobody" in text


async def test_traffic_goes_on_without_the_controller_and_the_node_registers_again(tmp_path: Path) -> None:
    p, c = modules()
    settings = config(database={"filePath": str(tmp_path / "state.db")})
    first = ControllerProcess(ControllerConfig.read(settings, {}), strict=True)
    await first.start()
    async with AsyncExitStack() as held:
        one = await held.enter_async_context(node(first.southbound, "east", group="g"))
        company = await held.enter_async_context(Company())
        mo, ann = [await company.app(f"org/ns/{who}", one.address) for who in ("mo", "ann")]
        async with client(first.northbound) as stub:
            await own(stub, "g/east", "org/ns/mo", "org/ns/ann")
            await stub.CreateChannel(p.CreateChannelRequest(moderators=["org/ns/mo"], channel_name="o/n/c"))
            lead = await mo.listen_for_session(PATIENCE)
            add = c.AddParticipantRequest(channel_name="o/n/c", participant_name="org/ns/ann")
            await stub.AddParticipant(add)
        member = await ann.listen_for_session(PATIENCE)
        await first.close()
        await (await lead.publish(b"without"))
        assert (await member.get_message(PATIENCE))[1] == b"without"

        bob = await company.app("org/ns/bob", one.address)
        settings["southbound"]["httpPort"] = int(first.southbound.rpartition(":")[2])
        second = ControllerProcess(ControllerConfig.read(settings, {}), strict=True)
        await second.start()
        held.push_async_callback(second.close)
        async with client(second.northbound) as stub:
            await connected(stub, "g/east")
            await own(stub, "g/east", "org/ns/mo", "org/ns/bob")
            add = c.AddParticipantRequest(channel_name="o/n/c", participant_name="org/ns/bob")
            assert (await stub.AddParticipant(add)).success
        late = await bob.listen_for_session(PATIENCE)
        await (await lead.publish(b"with"))
        assert (await late.get_message(PATIENCE))[1] == b"with"


async def test_connections_and_routes_of_a_controller() -> None:
    p, c = modules()
    async with (
        controller(reconciler={"automatic": False}) as made,
        node(made.southbound, "slim/a"),
        node(made.southbound, "slim/b") as b,
        client(made.northbound) as stub,
        Company() as company,
    ):
        await connected(stub, "slim/a", "slim/b")
        bob = await company.app("org/ns/bob", b.address)
        endpoint = f"http://{b.address}"
        drawn = c.Connection(
            connection_id=endpoint, config_data=json.dumps({"endpoint": endpoint, "tls": PLAIN})
        )
        assert (
            await stub.CreateConnection(p.CreateConnectionRequest(connection=drawn, node_id="slim/a"))
        ).success
        subscription = c.Subscription(
            component_0="org", component_1="ns", component_2="bob", connection_id=endpoint
        )
        await stub.CreateSubscription(
            p.CreateSubscriptionRequest(subscription=subscription, node_id="slim/a")
        )
        subscription.id.value = bob.id
        made_route = await stub.CreateSubscription(
            p.CreateSubscriptionRequest(subscription=subscription, node_id="slim/a")
        )
        entries = (await stub.ListSubscriptions(p.Node(id="slim/a"))).entries
        assert [e.id.value for e in entries if e.component_2 == "bob" and e.HasField("id")] == [bob.id]
        remote = [e.remote_connections[0].config_data for e in entries if e.component_2 == "bob"]
        assert [json.loads(text)["endpoint"] for text in remote] == [endpoint, endpoint]
        await stub.DeleteSubscription(
            p.DeleteSubscriptionRequest(subscription_id=made_route.subscription_id, node_id="slim/a")
        )

        async def withdrawn() -> bool:
            found = (await stub.ListSubscriptions(p.Node(id="slim/a"))).entries
            return len([e for e in found if e.component_2 == "bob"]) == 1

        await until(withdrawn)
        listed = (await stub.ListConnections(p.Node(id="slim/b"))).entries
        # An application, and slim/a, which is a node.
        assert [one.connection_type for one in listed].count(pb.CONNECTION_TYPE_LOCAL) == 1
        # Nobody listens there, and the node says so.
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            gone = f"http://127.0.0.1:{nobody.getsockname()[1]}"
            drawn = c.Connection(connection_id=gone, config_data=json.dumps({"endpoint": gone, "tls": PLAIN}))
            status, text = await refused(
                stub.CreateConnection(p.CreateConnectionRequest(connection=drawn, node_id="slim/a"))
            )
        assert status is grpc.StatusCode.FAILED_PRECONDITION
        assert f"cannot connect to {gone}" in text


async def test_applications_of_two_nodes_talk_over_a_link_that_a_controller_draws() -> None:
    p, c = modules()
    async with (
        controller(reconciler={"automatic": False}) as made,
        node(made.southbound, "slim/a") as a,
        node(made.southbound, "slim/b") as b,
        client(made.northbound) as stub,
        Company() as company,
    ):
        await connected(stub, "slim/a", "slim/b")
        endpoint = f"http://{b.address}"
        config = json.dumps({"endpoint": endpoint, "tls": PLAIN, "peer": True})
        drawn = c.Connection(connection_id=endpoint, config_data=config)
        await stub.CreateConnection(p.CreateConnectionRequest(connection=drawn, node_id="slim/a"))
        alice = await company.app("org/ns/alice", a.address)
        bob = await company.app("org/ns/bob", b.address)

        async def answer(request: Request[bytes]) -> bytes:
            return b"echo: " + request.payload

        await alice.set_route("org/ns/bob")
        async with bob.serve(answer), alice.session("org/ns/bob", mls=True) as session:
            assert (await session.request(b"hello")).payload == b"echo: hello"


class Tool:
    """A tool that dials a node's own controller server, asks, half-closes, and reads to the end."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def ask(self, *requests: pb.ControlMessage) -> list[pb.ControlMessage]:
        async with grpc.aio.insecure_channel(self._address) as channel, asyncio.timeout(PATIENCE):
            call = channel.stream_stream(
                PATH,
                request_serializer=pb.ControlMessage.SerializeToString,
                response_deserializer=pb.ControlMessage.FromString,
            )()
            for request in requests:
                await call.write(request)
            await call.done_writing()
            return [answer async for answer in call]


def order(verb: str, participant: str = "") -> pb.ControlMessage:
    """An order to the moderator of o/n/c, for a tool to send."""
    message = pb.ControlMessage(message_id=f"{verb} {participant}".strip())
    write_order(Order(0, verb, "o/n/c", ("org/ns/mo",), participant), message)
    return message


async def test_a_moderator_of_ours_says_at_once_what_cannot_be_done() -> None:
    async with node(served=True) as one, Company() as company:
        mo = await company.app("org/ns/mo", one.address)
        tool = Tool(one.node.controlled_at[0])
        (made,) = await tool.ask(order("create"))
        assert made.ack.success
        assert (await mo.listen_for_session(PATIENCE)).dst.components_strings() == ["o", "n", "c"]
        (failed,) = await tool.ask(order("remove", "org/ns/nobody"))
        assert failed.ack.code == grpc.StatusCode.ABORTED.value[0]
        assert "org/ns/nobody" in failed.ack.messages[0]
        # They wait for one another, each is answered, and the stream ends after the last.
        answers = await tool.ask(order("remove", "org/ns/x"), order("remove", "org/ns/y"), order("delete"))
        assert [answer.ack.original_message_id for answer in answers] == [
            "remove org/ns/x",
            "remove org/ns/y",
            "delete",
        ]
        assert answers[2].ack.success


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_node_takes_commands_at_its_own_server(
    transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with node(served=True, transport=transport) as one, Company() as company:
        apps = await asyncio.gather(*(company.app(f"org/ns/app{i}", one.address) for i in range(3)))
        for i in range(150):
            await apps[0].subscribe(f"org/more/name{i}")
        tool = Tool(one.node.controlled_at[0])
        lists = pb.ControlMessage(message_id="1")
        lists.subscription_list_request.SetInParent()
        answers = await tool.ask(lists)
        pieces = [one.subscription_list_response for one in answers]
        assert len(pieces[0].entries) == 100
        assert [piece.done for piece in pieces] == [False] * (len(pieces) - 1) + [True]
        assert all(piece.original_message_id == "1" for piece in pieces)
        found = {entry.component_2 for piece in pieces for entry in piece.entries}
        assert {"app0", "app1", "app2", "name149"} <= found

        bad = pb.ControlMessage(message_id="2")
        bad.config_command.connections_to_create.add(connection_id="x", config_data="{")
        bad.config_command.subscriptions_to_set.add(component_0="a", connection_id="x")
        bad.config_command.subscriptions_to_set.add(
            component_0="a", component_1="b", component_2="c", connection_id="x"
        )
        order = pb.ControlMessage(message_id="3")
        order.add_participant_request.channel_name = "no/channel"
        unknown = pb.ControlMessage(message_id="4")
        unknown.list_channel_request.SetInParent()
        away = pb.ControlMessage(message_id="5")
        away.create_channel_request.channel_name = "o/n/c"
        away.create_channel_request.moderators.append("o/n/nobody")
        answers = await tool.ask(bad, order, unknown, away)
        command = next(one.config_command_ack for one in answers if one.HasField("config_command_ack"))
        assert not command.connections_status[0].success
        assert "organisation/namespace/application" in command.subscriptions_status[0].errorMsg
        assert command.subscriptions_status[1].errorMsg == "Connection x not found"
        told = [line for line in caplog.messages if line.startswith("route of a controller refused")]
        # Both go by the same connection: the second is no warning.
        assert len(told) == 1
        assert " endpoint=x " in told[0]
        acks = {one.ack.original_message_id: one.ack for one in answers if one.HasField("ack")}
        assert acks["3"].code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        assert acks["4"].code == grpc.StatusCode.UNIMPLEMENTED.value[0]
        assert acks["5"].messages == ["the moderator o/n/nobody is not at this node"]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_what_a_tool_should_not_say_is_answered_and_the_next_one_is_served(transport: str) -> None:
    async with node(served=True, transport=transport) as one:
        tool = Tool(one.node.controlled_at[0])
        wanted = pb.ControlMessage(message_id="1")
        large = json.dumps({"endpoint": "http://127.0.0.1:1", "x": "y" * 2**20})
        for text in (
            "",
            "[" * 60_000,
            "7",
            '{"endpoint": 3}',
            '{"endpoint": "http://127.0.0.1:1", "a": 1}',
            large,
        ):
            wanted.config_command.connections_to_create.add(connection_id=f"{len(text)}", config_data=text)
        wanted.config_command.subscriptions_to_delete.add(component_0="o", connection_id="x")
        wanted.config_command.connections_to_close.append("http://never")
        nobody = pb.ControlMessage(message_id="2")
        nobody.create_channel_request.channel_name = "o/n/c"
        (answer, refusal) = await tool.ask(wanted, nobody)
        if answer.HasField("ack"):
            answer, refusal = refusal, answer
        outcomes = answer.config_command_ack.connections_status
        assert [one.success for one in outcomes] == [False] * 6 + [True]
        assert all(one.errorMsg for one in outcomes[:6])
        assert max(len(one.errorMsg) for one in outcomes) < 1000
        assert refusal.ack.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        assert "moderators" in refusal.ack.messages[0]
        huge = pb.ControlMessage(message_id="3")
        huge.config_command.connections_to_create.add(connection_id="x", config_data="y" * 10 * 2**20)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await tool.ask(huge)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        lists = pb.ControlMessage(message_id="4")
        lists.connection_list_request.SetInParent()
        (again,) = await tool.ask(lists)
        assert again.connection_list_response.done
