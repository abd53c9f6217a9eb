"""The originals among themselves, and through our node: the scenarios ask for what the originals do."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from functools import cache

import pytest

from gateway.proto import dataplane_pb2 as pb
from tests.interop import scenarios
from tests.interop.harness import CALLBOARD, CallboardNode, OriginalApp, OriginalNode, requires_originals
from tests.interop.proxy import (
    PASS,
    TO_APP,
    TO_NODE,
    TWICE,
    Fate,
    Proxy,
    Rule,
    drop_first,
    in_turn,
    once_each,
)

pytestmark = [pytest.mark.originals, requires_originals]

MSG, ACK = pb.SESSION_MESSAGE_TYPE_MSG, pb.SESSION_MESSAGE_TYPE_MSG_ACK
RTX, RTX_REPLY = pb.SESSION_MESSAGE_TYPE_RTX_REQUEST, pb.SESSION_MESSAGE_TYPE_RTX_REPLY

Node = OriginalNode | CallboardNode


@cache
def callboard_serves() -> bool:
    """Whether the command is there; without it our node cannot be a parameter."""
    if not CALLBOARD.exists():
        return False
    asked = subprocess.run([str(CALLBOARD), "start", "--help"], capture_output=True, timeout=30, check=False)
    return asked.returncode == 0


@pytest.fixture(
    params=[pytest.param(OriginalNode, marks=pytest.mark.long), CallboardNode],
    ids=["original-node", "callboard-node"],
)
async def node(request: pytest.FixtureRequest) -> AsyncIterator[Node]:
    factory: Callable[[], Node] = request.param
    if factory is CallboardNode and not callboard_serves():
        pytest.skip("`callboard start` does not run here")
    async with factory() as running:
        yield running


@pytest.fixture
async def cast(node: Node) -> AsyncIterator[Callable[..., object]]:
    """Starts applications by name; all end with the test.

    The first starts last: an original's `subscribe` returns before the node has acknowledged it, so who
    is looked for must be there a moment earlier than who looks (else the second discovery finds it).
    """
    async with AsyncExitStack() as stack:

        async def start(*names: str, endpoint: str | None = None) -> list[OriginalApp]:
            apps = [OriginalApp(name, endpoint or node.endpoint) for name in names]
            for app in reversed(apps):
                await stack.enter_async_context(app)
            return apps

        yield start


# What a node forwards is the same to it; MLS of originals is in test_mls.py too.
encryption = pytest.mark.parametrize(
    "mls", [False, pytest.param(True, marks=pytest.mark.long)], ids=["plain", "mls"]
)


@encryption
async def test_point_to_point_loses_nothing_and_repeats_nothing(cast, mls: bool) -> None:
    await scenarios.p2p_both_ways(*await cast("alice", "bob"), mls=mls)


@encryption
async def test_everybody_in_a_group_hears_everybody(cast, mls: bool) -> None:
    moderator, *members = await cast("moderator", "ann", "ben", "cleo", "dan")
    await scenarios.group_talk(moderator, members, mls=mls)


@encryption
async def test_a_private_answer_reaches_one_member(cast, mls: bool) -> None:
    moderator, *members = await cast("moderator", "ann", "ben")
    await scenarios.private_answer(moderator, members, mls=mls)


@encryption
async def test_a_removed_member_hears_no_more(cast, mls: bool) -> None:
    moderator, *members = await cast("moderator", "ann", "ben", "cleo")
    await scenarios.removal(moderator, members, mls=mls)


@encryption
async def test_a_member_may_leave(cast, mls: bool) -> None:
    moderator, *members = await cast("moderator", "ann", "ben", "cleo")
    await scenarios.leaving(moderator, members, mls=mls)


# Rules count, so each test makes its own.
LOSSES: dict[str, Callable[[], Rule]] = {
    "message": lambda: once_each(TO_NODE, MSG, {2, 3, 7, 20}),
    "ack": lambda: once_each(TO_APP, ACK, {1, 5, 20}),
    "message and request": lambda: in_turn(once_each(TO_NODE, MSG, {4, 9}), drop_first(TO_APP, RTX, 1)),
    "repeated": lambda: once_each(TO_NODE, MSG, {2, 6}, fate=TWICE),
    "overtaken": lambda: once_each(TO_NODE, MSG, {2, 6}, fate=Fate(delay=0.1)),
}


@pytest.mark.parametrize("loss", LOSSES)
async def test_loss_is_made_good(node: Node, cast, loss: str) -> None:
    async with Proxy(node.endpoint, LOSSES[loss]()) as proxy:
        [bob] = await cast("bob")
        [alice] = await cast("alice", endpoint=proxy.endpoint)
        ends = await scenarios.pair(alice, bob, interval=0.3)
        await scenarios.flood(ends[0], [ends[1]], 20, "alice")
        await ends[0].delete()
    assert any(fate != PASS for _, fate in proxy.recorded)


async def test_a_gap_is_asked_for_and_filled(node: Node, cast) -> None:
    async with Proxy(node.endpoint, once_each(TO_NODE, MSG, {2})) as proxy:
        [bob] = await cast("bob")
        [alice] = await cast("alice", endpoint=proxy.endpoint)
        # The sender's own timer is far away, so that only the receiver's request can fill the gap.
        ends = await scenarios.pair(alice, bob, interval=5.0)
        await scenarios.flood(ends[0], [ends[1]], 4, "alice")
    assert proxy.count(TO_APP, RTX) == 1
    assert proxy.count(TO_NODE, RTX_REPLY) == 1
    assert proxy.count(TO_NODE, MSG) == 4
