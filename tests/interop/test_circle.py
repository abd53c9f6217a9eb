"""A circle of routes by hand, made behind a controller's back at the nodes' own controller servers."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from actors.messages.wire import ALL
from actors.names import Name
from gateway.codec.family import FIRST
from gateway.proto import controller_pb2
from tests.gateway.node.test_controlled import Tool
from tests.interop.harness import CALLBOARD, READY, Process, free_port
from tests.interop.raw import RawPeer, publication

CHANNEL = Name("org", "raw", "ring")
WAIT = 20.0
ROUND = 3
LINKS = 9
"""How many node links a message crosses at most: one, and eight hops more."""


class ConfiguredNode(Process):
    """A node of ours that takes commands at a port of its own."""

    def __init__(self, folder: Path, number: int) -> None:
        self.address, self.control = (f"127.0.0.1:{free_port()}" for _ in range(2))
        plain = {"tls": {"insecure": True}}
        servers = {
            section: {"servers": [{"endpoint": endpoint, **plain}]}
            for section, endpoint in (("dataplane", self.address), ("controller", self.control))
        }
        file = folder / f"node{number}.yaml"
        # JSON is YAML.
        file.write_text(json.dumps({"services": {f"slim/{number}": servers}}))
        super().__init__(f"node {number}", str(CALLBOARD), "start", "--config", str(file))

    async def start(self) -> None:
        await self.launch()
        assert self.process.stdout is not None
        async with asyncio.timeout(WAIT):
            line = (await self.process.stdout.readline()).decode()
        assert line.startswith(READY), line

    async def end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
        await super().end()

    async def leads(self, other: ConfiguredNode) -> None:
        """Have it dial another one, and send there what is for the channel."""
        endpoint = f"http://{other.address}"
        config = json.dumps({"endpoint": endpoint, "tls": {"insecure": True}})
        message = controller_pb2.ControlMessage(message_id="1")
        message.config_command.connections_to_create.add(connection_id=endpoint, config_data=config)
        message.config_command.subscriptions_to_set.add(
            component_0="org", component_1="raw", component_2="ring", connection_id=endpoint
        )
        (answer,) = await Tool(self.control).ask(message)
        outcomes = (
            *answer.config_command_ack.connections_status,
            *answer.config_command_ack.subscriptions_status,
        )
        assert [one.success for one in outcomes] == [True, True], outcomes


@pytest.mark.long
async def test_a_message_in_a_circle_ends_after_a_bounded_count(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(ConfiguredNode(tmp_path, n)) for n in range(ROUND)]
        for number, one in enumerate(nodes):
            await one.leads(nodes[(number + 1) % ROUND])
        names = FIRST.names
        members = [await stack.enter_async_context(RawPeer(one.address)) for one in nodes]
        for number, member in enumerate(members):
            await member.subscribe(names.message(CHANNEL.with_id(number + 1)), number + 1)
            await member.subscribe(names.message(CHANNEL), 10 + number)
            await member.settled()
            member.received.clear()
        sender = await stack.enter_async_context(RawPeer(nodes[0].address))
        source = names.message(Name("org", "raw", "sender", 7))
        await sender.send(publication(source, names.message(CHANNEL), b"round", fanout=ALL))
        await sender.settled()
        await members[1].heard(1)
        counts = [0] * ROUND
        # It is over when nobody heard more while all nodes answered.
        async with asyncio.timeout(WAIT):
            while (now := [len(member.received) for member in members]) != counts:
                counts = now
                await asyncio.sleep(0.2)
                for member in members:
                    await member.settled()
        assert min(counts) >= 1
        # The first node hears it, and sends it both ways: to a peer with that name, and by hand.
        assert sum(counts) <= 1 + 2 * LINKS
