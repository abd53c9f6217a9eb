"""Nodes of ours as peers, each a process of its own, with originals and applications of ours on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from actors.names import Name
from gateway.config import ClientConfig, ServerConfig
from gateway.node.data_plane import DataPlane
from tests.interop import scenarios
from tests.interop.harness import (
    CallboardNode,
    OriginalApp,
    OriginalNode,
    free_port,
    numbered,
    requires_originals,
)
from tests.interop.ours import CallboardApp

LONG = pytest.mark.long


class Clique:
    """Processes that were each told of all."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.nodes: list[CallboardNode] = []
        self._ports: list[int] = []

    async def start(self, size: int) -> None:
        self._ports = [free_port() for _ in range(size)]
        self.nodes = await asyncio.gather(*(self.node(number) for number in range(size)))

    async def node(self, number: int) -> CallboardNode:
        """Start one of them."""
        everybody = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        made = CallboardNode(self._ports[number], "--peer", everybody, "--node-id", f"node-{number}")
        await self._stack.enter_async_context(made)
        return made


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


async def apps_on(stack: AsyncExitStack, clique: Clique, *kinds: type[CallboardApp | OriginalApp]):
    """One application on each node."""
    apps = [
        kind(f"member{number}", node.endpoint)
        for number, (node, kind) in enumerate(zip(clique.nodes, kinds, strict=True))
    ]
    for app in apps:
        await stack.enter_async_context(app)
    return apps


@pytest.mark.parametrize("size", [2, 3, 5])
async def test_a_group_on_all_nodes_gets_every_message_once(stack: AsyncExitStack, size: int) -> None:
    clique = Clique(stack)
    await clique.start(size)
    moderator, *members = await apps_on(stack, clique, *[CallboardApp] * size)
    await scenarios.group_talk(moderator, members, mls=True, count=20)


@pytest.mark.originals
@requires_originals
async def test_originals_talk_over_two_nodes(stack: AsyncExitStack) -> None:
    clique = Clique(stack)
    await clique.start(2)
    moderator, member = await apps_on(stack, clique, OriginalApp, OriginalApp)
    third = await stack.enter_async_context(CallboardApp("third", clique.nodes[1].endpoint))
    await scenarios.group_talk(moderator, [member, third], mls=True, count=20)
    await scenarios.p2p_both_ways(member, moderator, mls=False, count=100)


@pytest.mark.parametrize("size", [pytest.param(2, marks=LONG), 3, pytest.param(5, marks=LONG)])
async def test_whom_anycast_finds_is_one_of_all_nodes(stack: AsyncExitStack, size: int) -> None:
    clique = Clique(stack)
    await clique.start(size)
    alice = await stack.enter_async_context(CallboardApp("alice", clique.nodes[0].endpoint))
    bobs = [await stack.enter_async_context(CallboardApp("bob", node.endpoint)) for node in clique.nodes[1:]]
    await alice.set_route("bob")
    asking = [asyncio.create_task(bob.listen()) for bob in bobs]
    end = await alice.create_session("bob")
    done, waiting = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
    assert (len(done), len(waiting)) == (1, size - 2)
    await end.publish(b"to one")
    assert [one.payload for one in await done.pop().result().receive()] == [b"to one"]
    for task in waiting:
        task.cancel()


async def test_a_killed_node_takes_nobody_else_with_it_and_comes_back(stack: AsyncExitStack) -> None:
    clique = Clique(stack)
    await clique.start(3)
    alice, bob = [
        await stack.enter_async_context(CallboardApp(name, node.endpoint))
        for name, node in zip(("alice", "bob"), clique.nodes, strict=False)
    ]
    ends = await scenarios.pair(alice, bob)
    traffic = asyncio.create_task(scenarios.flood(ends[0], [ends[1]], 3000, "load"))
    clique.nodes[2].kill()
    await clique.nodes[2].process.wait()
    await traffic
    back = await clique.node(2)
    carol = await stack.enter_async_context(CallboardApp("carol", back.endpoint))
    to_carol = await scenarios.pair(alice, carol)
    await scenarios.flood(to_carol[0], [to_carol[1]], 20, "back")
    # The node of one end: what was acknowledged is not lost, what was not comes once it is back.
    sending = asyncio.create_task(ends[0].publish_many(200, prefix="again"))
    clique.nodes[1].kill()
    await clique.nodes[1].process.wait()
    await clique.node(1)
    got = await ends[1].receive(200, timeout=60.0)
    await sending
    assert [one.payload for one in got] == [numbered("again", number) for number in range(200)]


@pytest.mark.originals
@requires_originals
async def test_an_original_node_is_linked_by_routes_and_is_told_our_names(stack: AsyncExitStack) -> None:
    original = await stack.enter_async_context(OriginalNode())
    ours = DataPlane(strict=True)
    stack.push_async_callback(ours.close, 1.0)
    address = await ours.serve(ServerConfig.read({"endpoint": "127.0.0.1:0", "tls": {"insecure": True}}))
    there = {"endpoint": original.endpoint, "tls": {"insecure": True}}
    await ours.link(ClientConfig.read(there), announce=True, routes=[Name.parse("org/test/*")])
    near = await stack.enter_async_context(OriginalApp("near", f"http://{address}"))
    far = await stack.enter_async_context(OriginalApp("far", original.endpoint))
    await scenarios.p2p_both_ways(near, far, mls=False, count=50)
