"""A controller, and nodes among peers, that are killed (-9) under load (`killing`).

Four nodes, peers, under a controller that had alice lead the group: alice at the first, bob and dave at the
second, carol at the third, nobody at the fourth.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway import Session, Slim
from tests.faults.killing import CHANNEL, LIMIT, SECRET, Kill, Server, talking
from tests.gateway.controller.stage import client
from tests.gateway.links.nats_server import free_port
from tests.gateway.node.test_controlled import connected

pytestmark = pytest.mark.xdist_group("kills")


class Network:
    """A controller and its nodes, each a process."""

    def __init__(self, folder: Path, size: int) -> None:
        self.northbound, southbound = (f"127.0.0.1:{free_port()}" for _ in range(2))
        state = ("--database", str(folder / "controller.db"))
        doors = ("--northbound", self.northbound, "--southbound", southbound)
        self.controller = Server("northbound on", "controller", *doors, *state)
        self.places = [f"127.0.0.1:{free_port()}" for _ in range(size)]
        common = ("--insecure", "--peer", ",".join(self.places), "--controller", f"http://{southbound}")
        self.nodes = [
            Server(
                "listening", "start", "--listen", place, "--node-id", f"slim/{number}", *common,
                "--shared-secret", SECRET,
            )
            for number, place in enumerate(self.places)
        ]  # fmt: skip

    async def __aenter__(self) -> Network:
        await self.controller.start()
        await asyncio.gather(*(node.start() for node in self.nodes))
        async with client(self.northbound) as stub:
            await connected(stub, *(f"slim/{number}" for number in range(len(self.nodes))))
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in (self.controller, *self.nodes):
            await server.kill()

    async def ask(self, method: str, request: Any) -> Any:
        """A call, again while the controller or a node is not there yet."""
        async with asyncio.timeout(LIMIT), client(self.northbound) as stub:
            while True:
                try:
                    return await getattr(stub, method)(request, LIMIT)
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                await asyncio.sleep(0.1)

    async def gather(self, alice: Slim) -> Session:
        """The controller has alice lead the group."""
        from controller.v1 import controller_pb2
        from controlplane.v1 import controlplane_pb2

        request = controlplane_pb2.CreateChannelRequest(moderators=["org/kills/alice"], channel_name=CHANNEL)
        await self.ask("CreateChannel", request)
        for name in ("bob", "carol"):
            add = controller_pb2.AddParticipantRequest(
                channel_name=CHANNEL, participant_name=f"org/kills/{name}"
            )
            await self.ask("AddParticipant", add)
        return await alice.listen_for_session(LIMIT)


async def killed_in_turn(folder: Path, rounds: int, wait: float) -> list[str]:
    """Run the load, kill each in turn, `rounds` times; lines of figures."""
    from controller.v1 import controller_pb2

    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(Network(folder, 4))
        where = dict(
            zip(("alice", "bob", "dave", "carol"), (network.places[n] for n in (0, 1, 1, 2)), strict=True)
        )
        talk = await stack.enter_async_context(talking(where, network.gather))
        controller, nodes = network.controller, network.nodes
        kills = [
            Kill("the controller", controller.kill, controller.start),
            Kill("a node without applications", nodes[3].kill, nodes[3].start),
            Kill("carol's node", nodes[2].kill, nodes[2].start, "carol"),
            Kill("bob's and dave's node", nodes[1].kill, nodes[1].start),
        ]
        lines = await talk.through(kills, rounds=rounds, wait=wait)
        # The controller knows what it knew, and goes on ordering.
        listed = controller_pb2.ListParticipantsRequest(channel_name=CHANNEL)
        assert sorted((await network.ask("ListParticipants", listed)).participant_name) == [
            "org/kills/bob",
            "org/kills/carol",
        ]
        remove = controller_pb2.DeleteParticipantRequest(
            channel_name=CHANNEL, participant_name="org/kills/carol"
        )
        assert (await network.ask("DeleteParticipant", remove)).success
        assert len(talk.group.members) == 2
        return lines


@pytest.mark.long
async def test_nothing_acknowledged_is_lost_and_nothing_comes_twice(tmp_path: Path) -> None:
    await killed_in_turn(tmp_path, rounds=1, wait=0.6)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_ten_rounds_of_kills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = await killed_in_turn(tmp_path, rounds=10, wait=3.0)
    with capsys.disabled():
        print("", *lines, sep="\n")
