"""The node dies and comes back on its port: sessions go on, nothing is lost, nothing comes twice."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from random import Random

import pytest

from gateway.config import Backoff
from identity.errors import SlimError
from tests.interop import scenarios
from tests.interop.harness import CallboardNode, OriginalApp, PeerError, numbered, requires_originals
from tests.interop.ours import CallboardApp, CallboardSession

COUNT = 400
PATIENT = 100
"""Re-sends that outlast the start of a node on a busy machine."""
REDIAL = {"backoff": {"base": "20ms", "max_delay": "200ms"}}


async def restart(node: CallboardNode) -> CallboardNode:
    """Kill it; another one on the same port."""
    node.kill()
    await node.process.wait()
    return CallboardNode(int(node.address.rpartition(":")[2]))


async def test_a_reliable_session_outlives_its_node() -> None:
    async with AsyncExitStack() as nodes, AsyncExitStack() as stack:
        node = await nodes.enter_async_context(CallboardNode())
        bob = await stack.enter_async_context(CallboardApp("bob", node.endpoint, client=REDIAL))
        alice = await stack.enter_async_context(CallboardApp("alice", node.endpoint, client=REDIAL))
        ends = await scenarios.pair(alice, bob, interval=0.2, max_retries=PATIENT)
        receiving = asyncio.create_task(ends[1].receive(2 * COUNT, timeout=40.0))
        for part in range(2):
            halfway = asyncio.create_task(publish_slowly(ends[0], part * COUNT))
            await asyncio.sleep(0)
            node = await nodes.enter_async_context(await restart(node))
            await halfway
        received = await receiving
        assert [message.payload for message in received] == [numbered("alice", n) for n in range(2 * COUNT)]
        await scenarios.silent(*ends)
        await ends[0].delete()


async def publish_slowly(sender: CallboardSession, start: int) -> None:
    """Publish while the node is gone, too; the end comes when all is acknowledged."""
    handles = []
    for number in range(start, start + COUNT):
        handles.append(await sender.session.publish(numbered("alice", number)))
        await asyncio.sleep(0.001)
    async with asyncio.timeout(30.0):
        for handle in handles:
            await handle


async def test_a_group_outlives_its_node() -> None:
    async with AsyncExitStack() as nodes, AsyncExitStack() as stack:
        node = await nodes.enter_async_context(CallboardNode())
        moderator, *members = [
            await stack.enter_async_context(CallboardApp(name, node.endpoint, client=REDIAL))
            for name in ("moderator", "ann", "ben")
        ]
        ends = await scenarios.gathering(moderator, members, interval=0.2, max_retries=PATIENT)
        await scenarios.flood(ends[0], ends[1:], 10, "before")
        await nodes.enter_async_context(await restart(node))
        await scenarios.flood(ends[0], ends[1:], 50, "after")
        await scenarios.flood(ends[1], [ends[0], ends[2]], 50, "ann")
        await ends[0].delete()


@pytest.mark.originals
@requires_originals
@pytest.mark.parametrize("ours_sends", [True, False], ids=["ours-sends", "theirs-sends"])
async def test_a_session_with_an_original_outlives_its_node(ours_sends: bool) -> None:
    async with AsyncExitStack() as nodes, AsyncExitStack() as stack:
        node = await nodes.enter_async_context(CallboardNode())
        bob = await stack.enter_async_context(OriginalApp("bob", node.endpoint))
        alice = await stack.enter_async_context(CallboardApp("alice", node.endpoint, client=REDIAL))
        ends = await scenarios.pair(alice, bob, interval=0.5, max_retries=PATIENT)
        sender, receiver = ends if ours_sends else ends[::-1]
        await scenarios.flood(sender, [receiver], 10, "before")
        # An original that reaches the port while the old process is still dying gives up for good.
        bob.pause()
        await nodes.enter_async_context(await restart(node))
        bob.resume()
        # It fails what it publishes while its link is down, so wait for it to come back.
        await reachable(sender, receiver)
        await scenarios.flood(sender, [receiver], 100, "after")
        await ends[0].delete()


async def reachable(sender, receiver) -> None:
    """Publish until something arrives; take all that came of it."""
    async with asyncio.timeout(20.0):
        while True:
            try:
                await sender.publish(b"still there?", timeout=8.0)
            except (PeerError, SlimError):
                await asyncio.sleep(0.1)
            else:
                break
    messages, _ = await receiver.receive_some(100, 0.3)
    assert messages


async def test_fifty_clients_come_back() -> None:
    async with AsyncExitStack() as nodes, AsyncExitStack() as stack:
        node = await nodes.enter_async_context(CallboardNode())
        caller = await stack.enter_async_context(CallboardApp("caller", node.endpoint))
        clients = [
            await stack.enter_async_context(CallboardApp(f"client{n}", node.endpoint)) for n in range(50)
        ]
        await nodes.enter_async_context(await restart(node))
        # Each is found by its name only when its own subscription came back.
        for client in clients:
            await caller.set_route(client.name)
        ends = await asyncio.gather(
            *(
                caller.create_session(client.name, interval=0.5, max_retries=PATIENT, timeout=30.0)
                for client in clients
            )
        )
        heard, _ = await asyncio.gather(
            asyncio.gather(*(answer_one(client) for client in clients)),
            asyncio.gather(*(end.publish(b"welcome back") for end in ends)),
        )
        assert heard == [b"welcome back"] * 50


async def answer_one(client: CallboardApp) -> bytes:
    [message] = await (await client.listen(30.0)).receive()
    return message.payload


def test_fifty_clients_do_not_come_back_in_step() -> None:
    random = Random(7)
    for attempt in range(8):
        full = Backoff(jitter=False).delay(attempt, 0.0)
        delays = [Backoff().delay(attempt, random.random()) for _ in range(50)]
        assert full / 2 <= min(delays) < max(delays) <= full
        # Cut into ten slices of time, none holds more than a third of them.
        slices = [int(20 * (delay / full - 0.5)) for delay in delays]
        assert max(slices.count(one) for one in slices) <= 17
