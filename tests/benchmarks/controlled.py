"""What a controller has nodes do, in bulk: `python -m tests.benchmarks.controlled channels|routes [COUNT]`.

channels    COUNT channels of five members on two nodes, made through the API: time and memory for each
routes      COUNT routes of a node that is started again: how long until it has them all

Controller and nodes are processes of their own; the applications are in this one.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

from gateway import IdentityProvider, IdentityVerifier, Session, Slim
from tests.faults.killing import SECRET
from tests.faults.test_network_kills import Network
from tests.gateway.controller.stage import client
from tests.gateway.node.test_controlled import modules

MODERATORS, MEMBERS = 10, 8
"""Applications; half of the members are at each node."""
AT_ONCE = 8
"""Channels that are being made at a time."""
LIMIT = 60.0


class Cost(NamedTuple):
    """Of `made` channels or routes: seconds, and KiB that each process grew by."""

    made: int
    seconds: float
    grown: dict[str, int]

    def __str__(self) -> str:
        each = ", ".join(f"{who} {size / self.made:.1f} KiB" for who, size in self.grown.items())
        return f"{self.made} in {self.seconds:.1f} s, {1000 * self.seconds / self.made:.0f} ms each; {each}"


def resident(pid: int | str = "self") -> int:
    """KiB of memory that a process has."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmRSS:")).split()[1])


def _sizes(network: Network) -> dict[str, int]:
    processes = {"controller": network.controller, "node 0": network.nodes[0], "node 1": network.nodes[1]}
    return {who: resident(one.pid) for who, one in processes.items()} | {"applications": resident()}


async def _application(stack: AsyncExitStack, name: str, place: str) -> Slim:
    provider = IdentityProvider.SharedSecret(name, SECRET)
    app = Slim(name, provider, IdentityVerifier.SharedSecret(name, SECRET), local_service=True)
    await stack.enter_async_context(app)
    await app.connect({"endpoint": f"http://{place}", "tls": {"insecure": True}})
    return app


class Gathered:
    """Sessions as they come, by channel; `size` of them in all."""

    def __init__(self, size: int) -> None:
        self._left = size
        self.sessions: dict[str, list[Session]] = {}
        self.complete = asyncio.Event()

    async def collect(self, app: Slim) -> None:
        while True:
            session = await app.listen_for_session()
            self.sessions.setdefault(str(session.dst), []).append(session)
            self._left -= 1
            if not self._left:
                self.complete.set()


async def channels(count: int) -> Cost:
    """Every channel has a moderator and four members, two at each node; each hears one message."""
    p, c = modules()

    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        network = await stack.enter_async_context(Network(folder, 2))
        stub = await stack.enter_async_context(client(network.northbound))
        places = network.places
        leads, guests = [
            [
                await _application(stack, f"org/bulk/{kind}{number}", places[number % 2])
                for number in range(size)
            ]
            for kind, size in (("lead", MODERATORS), ("guest", MEMBERS))
        ]
        await _known(stub, [*leads, *guests])
        gathered = Gathered(5 * count)
        collecting = [asyncio.create_task(gathered.collect(app)) for app in (*leads, *guests)]
        room = asyncio.Semaphore(AT_ONCE)

        async def make(number: int) -> None:
            channel = f"org/bulk/channel{number}"
            async with room:
                lead = f"org/bulk/lead{number % MODERATORS}"
                await stub.CreateChannel(
                    p.CreateChannelRequest(moderators=[lead], channel_name=channel), LIMIT
                )
                for place in range(4):
                    guest = f"org/bulk/guest{(number + place) % MEMBERS}"
                    wanted = c.AddParticipantRequest(channel_name=channel, participant_name=guest)
                    assert (await stub.AddParticipant(wanted, LIMIT)).success

        before, began = _sizes(network), time.perf_counter()
        await asyncio.gather(*map(make, range(count)))
        seconds = time.perf_counter() - began
        after = _sizes(network)
        async with asyncio.timeout(LIMIT):
            await gathered.complete.wait()
            await asyncio.gather(*map(_talks, gathered.sessions.values()))
        assert len((await stub.ListChannels(c.ListChannelsRequest())).channel_name) == count
        for task in collecting:
            task.cancel()
        return Cost(count, seconds, {who: after[who] - size for who, size in before.items()})


async def _talks(sessions: list[Session]) -> None:
    """One of them says something, all others hear it."""
    first, *others = sessions
    await (await first.publish(b"hello"))
    for other in others:
        assert (await other.get_message(LIMIT))[1] == b"hello"


async def _known(stub: Any, apps: list[Slim]) -> None:
    """Wait until the controller knows where they are."""
    p, _ = modules()

    async with asyncio.timeout(LIMIT):
        while True:
            listed = [await stub.ListSubscriptions(p.Node(id=f"slim/{number}")) for number in range(2)]
            ids = {one.id.value for each in listed for one in each.entries if one.local_connections}
            if ids >= {app.id for app in apps}:
                return
            await asyncio.sleep(0.1)


async def routes(count: int) -> tuple[float, float]:
    """Seconds in which `count` routes are asked for, and in which a node has them all after it was killed,
    counted from the moment when it listens again."""
    p, c = modules()

    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        network = await stack.enter_async_context(Network(folder, 2))
        stub = await stack.enter_async_context(client(network.northbound))
        await network.ask("ListSubscriptions", p.Node(id="slim/0"))
        await network.ask("ListSubscriptions", p.Node(id="slim/1"))
        room = asyncio.Semaphore(AT_ONCE)

        async def add(number: int) -> None:
            subscription = c.Subscription(component_0="org", component_1="bulk", component_2=f"name{number}")
            subscription.id.value = number + 1
            wanted = p.AddRouteRequest(nodeId="slim/0", destNodeId="slim/1", subscription=subscription)
            async with room:
                assert (await stub.AddRoute(wanted, LIMIT)).success

        began = time.perf_counter()
        await asyncio.gather(*map(add, range(count)))
        asked = time.perf_counter() - began
        await _all_there(network, count)
        node = network.nodes[0]
        await node.kill()
        await node.start()
        began = time.perf_counter()
        await _all_there(network, count)
        return asked, time.perf_counter() - began


async def _all_there(network: Network, count: int) -> None:
    """Wait until the first node has them."""
    p, _ = modules()

    async with asyncio.timeout(LIMIT):
        while True:
            listed = await network.ask("ListSubscriptions", p.Node(id="slim/0"))
            found = [one for one in listed.entries if one.component_1 == "bulk" and one.remote_connections]
            if len(found) == count:
                break
            await asyncio.sleep(0.05)
        outline = await network.ask("ListRoutes", p.RouteListRequest())
        assert sum(one.status == "APPLIED" for one in outline.entries if one.name) == count


def main() -> None:
    kind, count = sys.argv[1], int((sys.argv[2:] or ["200" if sys.argv[1] == "channels" else "1000"])[0])
    if kind == "channels":
        print(asyncio.run(channels(count)))
    else:
        asked, again = asyncio.run(routes(count))
        print(f"{count} routes: asked for in {asked:.2f} s; after a restart there in {again:.2f} s")


if __name__ == "__main__":
    main()
