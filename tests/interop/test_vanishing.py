"""Members and moderators that vanish without a word, and peers that are there and say nothing."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

import pytest

from gateway.config import ServerConfig
from gateway.node.data_plane import DataPlane
from tests.interop import scenarios
from tests.interop.harness import (
    CALLBOARD,
    SECRET,
    CallboardNode,
    OriginalApp,
    Process,
    full_name,
    requires_originals,
)
from tests.interop.ours import CallboardApp
from tests.interop.proxy import Proxy
from tests.interop.raw import RawPeer, name_of

PING = 0.3
"""Seconds between liveness rounds; who misses three is taken for gone."""


class Chat(Process):
    """`callboard chat`, waiting to be invited: a member of ours in a process of its own."""

    def __init__(self, name: str, endpoint: str) -> None:
        self.name = full_name(name)
        flags = ("--name", self.name, "--connect", endpoint, "--shared-secret", SECRET)
        super().__init__(name, str(CALLBOARD), "chat", *flags)

    async def start(self) -> None:
        await self.launch()
        async with asyncio.timeout(15.0):
            while "waiting to be invited" not in self.stderr:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


PROGRAM = """
import asyncio, sys
from gateway import IdentityProvider, IdentityVerifier, Name, Slim, SlimError

async def main(name, endpoint, secret):
    provider = IdentityProvider.SharedSecret(name, secret)
    async with Slim(Name.parse(name), provider, IdentityVerifier.SharedSecret(name, secret)) as app:
        await app.connect({"endpoint": endpoint, "tls": {"insecure": True}})
        print("waiting", file=sys.stderr)
        session = await app.listen_for_session(60.0)
        while not session.over:
            try:
                await session.get_message()
            except SlimError as error:
                print("met:", error, file=sys.stderr)

asyncio.run(main(*sys.argv[1:]))
"""


class Listener(Process):
    """A member of ours in a process of its own, that says how its session ends."""

    def __init__(self, name: str, endpoint: str) -> None:
        self.name = full_name(name)
        super().__init__(name, sys.executable, "-c", PROGRAM, self.name, endpoint, SECRET)

    async def start(self) -> None:
        await self.launch()
        await self.said("waiting")

    async def said(self, text: str) -> None:
        async with asyncio.timeout(15.0):
            while text not in self.stderr:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "kind", [Chat, pytest.param(OriginalApp, marks=[pytest.mark.originals, requires_originals])]
)
async def test_the_group_goes_on_without_a_member_that_was_killed(kind) -> None:
    async with (
        CallboardNode() as node,
        kind("victim", node.endpoint) as victim,
        CallboardApp("ann", node.endpoint, ping_interval=PING) as ann,
        CallboardApp("moderator", node.endpoint, ping_interval=PING) as moderator,
    ):
        lead, member = await scenarios.gathering(moderator, [ann], interval=0.2)
        await lead.invite(victim.name)
        assert await member.participants() == {moderator.name, ann.name, victim.name}
        victim.kill()
        assert f"participant disconnected: {victim.name}" in await lead.ended()
        await scenarios.membership([lead, member], {"moderator", "ann"}, among=[0, 1])
        await scenarios.flood(lead, [member], 20, "moderator")
        await scenarios.flood(member, [lead], 20, "ann")
        await lead.delete()


async def test_a_paused_member_is_given_up_and_may_come_again() -> None:
    async with (
        CallboardNode() as node,
        Chat("victim", node.endpoint) as victim,
        CallboardApp("ann", node.endpoint, ping_interval=PING) as ann,
        CallboardApp("moderator", node.endpoint, ping_interval=PING) as moderator,
    ):
        lead, _ = await scenarios.gathering(moderator, [ann], interval=0.2)
        await lead.invite(victim.name)
        victim.pause()
        assert f"participant disconnected: {victim.name}" in await lead.ended()
        victim.kill()
        async with Chat("victim", node.endpoint) as again:
            await lead.invite(again.name)
            assert victim.name in await lead.participants()
        await lead.delete()


@pytest.mark.parametrize("mls", [False, True], ids=["clear", "mls"])
async def test_a_paused_member_that_goes_on_learns_that_it_is_out(mls: bool) -> None:
    async with (
        CallboardNode() as node,
        Listener("victim", node.endpoint) as victim,
        CallboardApp("ann", node.endpoint, ping_interval=PING) as ann,
        CallboardApp("moderator", node.endpoint, ping_interval=PING) as moderator,
    ):
        lead, member = await scenarios.gathering(moderator, [ann], mls=mls, interval=0.2)
        await lead.invite(victim.name)
        victim.pause()
        assert f"participant disconnected: {victim.name}" in await lead.ended()
        await scenarios.membership([lead, member], {"moderator", "ann"}, among=[0, 1])
        victim.resume()
        await victim.said("removed by the moderator")
        await scenarios.flood(lead, [member], 20, "moderator")
        await lead.delete()


@pytest.mark.originals
@requires_originals
@pytest.mark.parametrize("mls", [False, True], ids=["clear", "mls"])
async def test_a_paused_original_that_goes_on_learns_that_it_is_out(mls: bool) -> None:
    async with (
        CallboardNode() as node,
        OriginalApp("victim", node.endpoint) as victim,
        CallboardApp("ann", node.endpoint, ping_interval=PING) as ann,
        CallboardApp("moderator", node.endpoint, ping_interval=PING) as moderator,
    ):
        lead, member, out = await scenarios.gathering(moderator, [ann, victim], mls=mls, interval=0.2)
        victim.pause()
        assert f"participant disconnected: {victim.name}" in await lead.ended()
        victim.resume()
        assert "session closed" in await out.ended()
        await scenarios.flood(lead, [member], 20, "moderator")
        await scenarios.flood(member, [lead], 20, "ann")
        await lead.delete()


async def test_members_end_when_their_moderator_is_gone() -> None:
    async with contextlib.AsyncExitStack() as stack:
        node = await stack.enter_async_context(CallboardNode())
        members = [
            await stack.enter_async_context(CallboardApp(name, node.endpoint, ping_interval=PING))
            for name in ("ann", "ben")
        ]
        proxy = await stack.enter_async_context(Proxy(node.endpoint))
        moderator = await stack.enter_async_context(
            CallboardApp("moderator", proxy.endpoint, ping_interval=PING)
        )
        ends = await scenarios.gathering(moderator, members, interval=0.2)
        # At least one round of pings has been heard, so that members count those that are missing.
        await asyncio.sleep(2 * PING)
        await proxy.stop()
        for end in ends[1:]:
            assert f"participant disconnected: {moderator.name}" in await end.ended()
            assert "session closed" in await end.ended()


# Half-open connections


@pytest.fixture
async def impatient() -> AsyncIterator[tuple[DataPlane, str]]:
    """A node that asks its peers every 0.3 s whether they are there."""
    plane = DataPlane()
    keepalive = {"time": 0.3, "timeout": 0.3}
    config = {"endpoint": "127.0.0.1:0", "tls": {"insecure": True}, "keepalive": keepalive}
    address = await plane.serve(ServerConfig.read(config))
    yield plane, address
    await plane.close(0.5)


async def test_a_connection_whose_peer_hangs_is_closed(impatient) -> None:
    plane, address = impatient
    async with RawPeer(address) as alive:
        await alive.subscribe(name_of("alive", 1))
        await alive.settled()
        async with Chat("hanging", f"http://{address}") as hanging:
            assert (await plane.status())["routes"]["names"] == 2
            hanging.pause()
            async with asyncio.timeout(10.0):
                while (await plane.status())["routes"]["names"] != 1:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            await alive.settled()
            hanging.kill()


async def test_connections_that_never_call_cost_nobody_else_anything() -> None:
    plane = DataPlane()
    address = await plane.serve(ServerConfig.read({"endpoint": "127.0.0.1:0", "tls": {"insecure": True}}))
    host, _, port = address.rpartition(":")
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(plane.close, 0.5)
        for number in range(100):
            _, writer = await asyncio.open_connection(host, int(port))
            stack.callback(writer.close)
            # Nothing at all, half a preface, a preface alone.
            writer.write([b"", b"PRI * HTTP", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"][number % 3])
        async with RawPeer(address) as peer:
            await peer.settled()
        assert len((await plane.status())["connections"]) <= 1
