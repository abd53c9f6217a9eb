"""Limits of a real node: who is over one is told, or has to wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest

from actors.errors import ConnectionLost, SessionError
from actors.names import Name
from actors.routing.shares import Shares
from gateway import Slim
from gateway.admin.limits import limit_rows
from gateway.config import ServerConfig
from gateway.config.node import NodeConfig
from gateway.node.doorkeeper import TOLD_PER_HOST
from gateway.node.node import Node
from identity.errors import SlimError
from tests.gateway.app_stage import identity
from tests.gateway.planes import TRANSPORTS, Endpoint, plane

INSECURE = {"insecure": True}
FROM = ("127.0.0.1", 0)


@asynccontextmanager
async def limited(transport: str = "fast", **limits: Any) -> AsyncIterator[tuple[Node, Endpoint]]:
    servers = [{"endpoint": "127.0.0.1:0", "tls": INSECURE, "transport": transport}]
    service = {"dataplane": {"servers": servers}, "limits": limits}
    node = Node(NodeConfig.read({"services": {"slim/0": service}}))
    try:
        (address,) = await node.start()
        yield node, Endpoint(node.data_plane, address.rpartition(":")[2], transport)
    finally:
        await node.close(0.2)


@asynccontextmanager
async def application(at: Endpoint, name: str) -> AsyncIterator[Slim]:
    client = {"endpoint": f"http://127.0.0.1:{at.port}", "tls": INSECURE, "transport": at.transport}
    async with Slim(Name.parse(name), *identity(name), local_service=True) as made:
        await made.connect(client)
        yield made


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("limit", "words"),
    [("connections", "this node has its 2 connections"),
     ("connections_per_address", "127.0.0.1 at this node has its 2 connections")],
)  # fmt: skip
async def test_one_connection_too_many_is_told_so(transport: str, limit: str, words: str) -> None:
    async with limited(transport, **{limit: 2}) as (node, at), AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(plane()) for _ in range(4)]
        for client in clients[:2]:
            await at.dial(client, INSECURE)
        with pytest.raises(ConnectionLost, match=words):
            await at.dial(clients[2], INSECURE)
        assert node.data_plane.door.refusals[limit] == 1
        await clients[0].close(1.0)
        async with asyncio.timeout(5):
            while len(node.data_plane.accepted) > 1:
                await node.data_plane.status()
        assert await at.dial(clients[3], INSECURE)


async def test_names_beyond_the_share_of_a_peer_are_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        limited(subscriptions=70_000, subscriptions_per_peer=3) as (_, at),
        application(at, "org/demo/alice") as alice,
    ):
        for fits in ("first", "second"):
            await alice.subscribe(Name.parse(f"org/more/{fits}"))
        for number in range(10):
            with pytest.raises(SessionError, match="this peer holds its 3 subscriptions"):
                await alice.subscribe(Name.parse(f"org/more/n{number}"))
    (told,) = [line for line in caplog.messages if line.startswith("subscription refused")]
    for part in (" conn=", " peer=127.0.0.1:", " name=org/more/n0/", "this peer holds its 3 subscriptions"):
        assert part in told


async def test_connections_that_open_no_stream_count_for_their_address_at_all_listeners() -> None:
    async with limited(connections_per_address=4) as (node, at), AsyncExitStack() as stack:
        refusals = node.data_plane.door.refusals
        second = await node.data_plane.serve(ServerConfig.read({"endpoint": "127.0.0.2:0", "tls": INSECURE}))
        hosts = (("127.0.0.1", int(at.port)), ("127.0.0.2", int(second.rpartition(":")[2])))
        writers = []
        for number in range(4 + TOLD_PER_HOST):
            reader, writer = await asyncio.open_connection(*hosts[number % 2], local_addr=FROM)
            stack.callback(writer.close)
            # The node's settings: the connection is up.
            assert await asyncio.wait_for(reader.readexactly(9), 5)
            writers.append(writer)
        for count, host in enumerate(hosts, 1):
            reader, writer = await asyncio.open_connection(*host, local_addr=FROM)
            stack.callback(writer.close)
            assert await asyncio.wait_for(reader.read(), 5) == b""
            assert refusals["connections_per_address"] == count
        # Who leaves makes room.
        writers[0].close()
        client = await stack.enter_async_context(plane())
        async with asyncio.timeout(5):
            while True:
                with suppress(ConnectionLost):
                    await at.dial(client, INSECURE)
                    break
    assert len(node.data_plane.doorkeeper.tcp) == 0, "a node that ended has nobody"


def test_applications_of_one_peer_are_counted_by_their_ids() -> None:
    shares = Shares(applications=2)
    one, two, three = (Name("org", "ns", "app", number) for number in range(3))
    assert shares.acquire("peer", one) == shares.acquire("peer", two) == ""
    assert shares.acquire("peer", three) == "this peer has its 2 applications"
    assert shares.acquire("peer", Name("org", "ns", "channel")) == ""
    assert shares.acquire("other", three) == ""
    shares.release("peer", one)
    assert shares.acquire("peer", three) == ""
    shares.limit(node=10, peer=10, applications=None)
    assert shares.acquire("peer", one) == ""


async def test_one_application_too_many_is_told_so() -> None:
    async with limited(applications_per_peer=1) as (_, at), application(at, "org/demo/one") as one:
        second = Name("org", "demo", "two", 7)
        connection = next(iter(one.data_plane.dialled().values()))
        with pytest.raises(SlimError, match="this peer has its 1 applications"):
            await one.subscribe(second, connection)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_who_sends_too_fast_waits_and_loses_nothing(
    transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        limited(transport, messages_per_second=220) as (node, at),
        application(at, "org/demo/bob") as bob,
        application(at, "org/demo/alice") as alice,
    ):

        @bob.serve
        async def echo(request):
            return request.payload

        loop = asyncio.get_running_loop()
        async with echo:
            await alice.set_route("org/demo/bob")
            async with alice.session("org/demo/bob") as session:
                began = loop.time()
                for _ in range(2):
                    asked = [b"%d" % number for number in range(100)]
                    answers = await asyncio.gather(*(session.request(one, timeout=20) for one in asked))
                    assert [each.payload for each in answers] == asked
                took = loop.time() - began
        figures = node.data_plane.telemetry.figures()
        assert figures["callboard_connection_slowed_total"] > 0
        # 200 messages of each and as many acknowledgements; a second's worth at once is free.
        assert took > 0.1
        assert node.data_plane.doorkeeper.sending.slowed["messages_per_second"] > 0
        rows = {row.limit: row for row in limit_rows(node)}
        assert rows["messages per second"].bound == 220
        assert 100 <= (rows["messages per second"].used or 0) <= 800
        assert rows["bytes per second"].used is None
    assert "it sends more than limits.messages_per_second allows" in caplog.text
    told = [line for line in caplog.messages if line.startswith("held up")]
    # Each of the two once, however often it had to wait.
    assert sorted(one for one in ("alice", "bob") if f"org/demo/{one}" in " ".join(told)) == ["alice", "bob"]
    assert len(told) == 2
    assert all("the node reads from us more slowly: we send more than it lets us" in line for line in told)


async def test_senders_are_held_back_while_memory_is_short_and_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        limited() as (node, at),
        application(at, "org/demo/bob") as bob,
        application(at, "org/demo/alice") as alice,
    ):

        @bob.serve
        async def echo(request):
            return request.payload

        async with echo:
            await alice.set_route("org/demo/bob")
            async with alice.session("org/demo/bob") as session:
                await session.request(b"before", timeout=10)
                node._watch_memory(NodeConfig.read(_with_memory(1)).limits)
                assert node.data_plane.telemetry.figures()["callboard_memory_alarm"] == 1
                await session.request(b"meanwhile", timeout=10)
                assert node.data_plane.telemetry.figures()["callboard_connection_slowed_total"] > 0
                node._watch_memory(NodeConfig.read(_with_memory(2**50)).limits)
                assert node.data_plane.telemetry.figures()["callboard_memory_alarm"] == 0
                await session.request(b"after", timeout=10)
                assert node.data_plane.doorkeeper.sending.slowed["memory"] > 0
    told = [line for line in caplog.messages if line.startswith("held up")]
    assert told
    assert all("its memory is nearly full" in line for line in told)


def _with_memory(limit: int) -> dict[str, Any]:
    servers = [{"endpoint": "127.0.0.1:0", "tls": INSECURE}]
    return {"services": {"slim/0": {"dataplane": {"servers": servers}, "limits": {"memory": limit}}}}
