"""Our applications and the originals in one conversation, through their node and through ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from gateway.proto import dataplane_pb2 as pb
from tests.interop import scenarios
from tests.interop.harness import CallboardNode, OriginalApp, OriginalNode, requires_originals
from tests.interop.ours import CallboardApp
from tests.interop.proxy import PASS, TO_APP, TO_NODE, Proxy, once_each

pytestmark = [pytest.mark.originals, requires_originals]

MSG, ACK = pb.SESSION_MESSAGE_TYPE_MSG, pb.SESSION_MESSAGE_TYPE_MSG_ACK
RTX, RTX_REPLY = pb.SESSION_MESSAGE_TYPE_RTX_REQUEST, pb.SESSION_MESSAGE_TYPE_RTX_REPLY

OURS, THEIRS = CallboardApp, OriginalApp
App = CallboardApp | OriginalApp
Cast = Callable[..., Awaitable[list[App]]]


@pytest.fixture(params=[CallboardNode], ids=["callboard-node"])
async def node(request: pytest.FixtureRequest) -> AsyncIterator[OriginalNode | CallboardNode]:
    async with request.param() as running:
        yield running


@pytest.fixture
async def cast(node: OriginalNode | CallboardNode) -> AsyncIterator[Cast]:
    """Starts applications, given as name=kind; all end with the test. The first starts last."""
    async with AsyncExitStack() as stack:

        async def start(*, endpoint: str | None = None, **kinds: type[App]) -> list[App]:
            apps = [kind(name, endpoint or node.endpoint) for name, kind in kinds.items()]
            for app in reversed(apps):
                await stack.enter_async_context(app)
            return apps

        yield start


either_node = pytest.mark.parametrize(
    "node", [OriginalNode, CallboardNode], ids=["original-node", "callboard-node"], indirect=True
)
roles = pytest.mark.parametrize(
    ("alice", "bob"), [(OURS, THEIRS), (THEIRS, OURS)], ids=["ours-opens", "theirs-opens"]
)


@either_node
@roles
async def test_point_to_point_loses_nothing_and_repeats_nothing(cast: Cast, alice, bob) -> None:
    await scenarios.p2p_both_ways(*await cast(alice=alice, bob=bob), mls=False)


@roles
async def test_best_effort(cast: Cast, alice, bob) -> None:
    ends = await scenarios.pair(*await cast(alice=alice, bob=bob), reliable=False)
    for sender, receiver in (ends, ends[::-1]):
        heard, _ = await asyncio.gather(receiver.receive(20), sender.publish(*(b"%d" % n for n in range(20))))
        assert [message.payload for message in heard] == [b"%d" % n for n in range(20)]
    await ends[0].delete()


@roles
async def test_the_responder_may_leave(cast: Cast, alice, bob) -> None:
    ends = await scenarios.pair(*await cast(alice=alice, bob=bob))
    told, _ = await asyncio.gather(ends[0].ended(), ends[1].delete())
    assert "participant disconnected" in told
    assert "session closed" in await ends[0].ended()


@roles
async def test_what_comes_with_a_message(cast: Cast, alice, bob) -> None:
    apps = await cast(alice=alice, bob=bob)
    ends = await scenarios.pair(*apps)
    for sender, receiver, source in ((*ends, apps[0]), (*ends[::-1], apps[1])):
        await sender.publish(b"21", payload_type="text/plain", metadata={"unit": "°C", "empty": ""})
        [message] = await receiver.receive()
        assert (message.payload, message.payload_type) == (b"21", "text/plain")
        assert message.metadata == {"unit": "°C", "empty": ""}
        assert message.source == (tuple(source.name.split("/")), source.id)


@roles
async def test_messages_of_every_size(cast: Cast, alice, bob) -> None:
    ends = await scenarios.pair(*await cast(alice=alice, bob=bob), interval=5.0)
    for size in (0, 1, 127, 128, 16_384, 65_536, 2_000_000):
        payload = bytes(size % 251 for _ in range(size))
        for sender, receiver in (ends, ends[::-1]):
            heard, _ = await asyncio.gather(receiver.receive(), sender.publish(payload))
            assert heard[0].payload == payload


GROUPS = {
    "ours-leads": {"moderator": OURS, "ann": THEIRS, "ben": OURS, "cleo": THEIRS, "dan": OURS},
    "theirs-leads": {"moderator": THEIRS, "ann": OURS, "ben": THEIRS, "cleo": OURS, "dan": THEIRS},
}
groups = pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)


def part(group: dict[str, type[App]], count: int) -> dict[str, type[App]]:
    return dict(list(group.items())[:count])


@either_node
@groups
async def test_everybody_in_a_group_hears_everybody(cast: Cast, group) -> None:
    moderator, *members = await cast(**group)
    await scenarios.group_talk(moderator, members, mls=False, count=20)


@pytest.mark.parametrize(
    "first", [OURS, pytest.param(THEIRS, marks=pytest.mark.long)], ids=["ours-answers", "theirs-answers"]
)
@groups
async def test_a_private_answer_reaches_one_member(cast: Cast, group, first) -> None:
    moderator, *members = await cast(moderator=group["moderator"], ann=first, ben=OURS, cleo=THEIRS)
    await scenarios.private_answer(moderator, members, mls=False)


@pytest.mark.parametrize(
    "first", [OURS, pytest.param(THEIRS, marks=pytest.mark.long)], ids=["ours-goes", "theirs-goes"]
)
@groups
async def test_a_removed_member_hears_no_more(cast: Cast, group, first) -> None:
    moderator, *members = await cast(moderator=group["moderator"], ann=first, ben=OURS, cleo=THEIRS)
    await scenarios.removal(moderator, members, mls=False)


@pytest.mark.parametrize(
    "first", [OURS, pytest.param(THEIRS, marks=pytest.mark.long)], ids=["ours-leaves", "theirs-leaves"]
)
@groups
async def test_a_member_may_leave(cast: Cast, group, first) -> None:
    moderator, *members = await cast(moderator=group["moderator"], ann=first, ben=OURS, cleo=THEIRS)
    await scenarios.leaving(moderator, members, mls=False)


@either_node
@roles
async def test_a_gap_is_asked_for_and_filled(node, cast: Cast, alice, bob) -> None:
    async with Proxy(node.endpoint, once_each(TO_NODE, MSG, {2})) as proxy:
        [receiver] = await cast(bob=bob)
        [sender] = await cast(alice=alice, endpoint=proxy.endpoint)
        # The sender's own timer is far away, so that only the receiver's request can fill the gap.
        ends = await scenarios.pair(sender, receiver, interval=2.5)
        await scenarios.flood(ends[0], [ends[1]], 4, "alice")
    assert proxy.count(TO_APP, RTX) == 1
    assert proxy.count(TO_NODE, RTX_REPLY) == 1
    assert proxy.count(TO_NODE, MSG) == 4


@either_node
@roles
async def test_what_was_not_acknowledged_is_sent_again(node, cast: Cast, alice, bob) -> None:
    async with Proxy(node.endpoint, once_each(TO_APP, ACK, {1, 3})) as proxy:
        [receiver] = await cast(bob=bob)
        [sender] = await cast(alice=alice, endpoint=proxy.endpoint)
        ends = await scenarios.pair(sender, receiver, interval=0.3)
        await scenarios.flood(ends[0], [ends[1]], 4, "alice")
    assert proxy.count(TO_NODE, MSG) == 6
    assert proxy.count(TO_APP, ACK) == 6
    assert sum(fate != PASS for _, fate in proxy.recorded) == 2
