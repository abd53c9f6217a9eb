"""The Procfile of the repository, run as the README says: a controller, two nodes, a moderator."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway import IdentityProvider, IdentityVerifier, Slim
from tests.gateway.cli.processes import Command, free_addresses, playing

SECRET = "a shared secret of at least thirty-two bytes"
PLACES = ("NORTHBOUND", "SOUTHBOUND", "NODE_0", "NODE_1")


def application(name: str) -> Slim:
    pair = (kind.SharedSecret(name, SECRET) for kind in (IdentityProvider, IdentityVerifier))
    return Slim(name, *pair)


async def listed(northbound: str) -> str:
    """What `callboard ctl node list` says once two nodes are there."""
    async with asyncio.timeout(20):
        while True:
            command = await asyncio.to_thread(ended, Command("ctl", "-s", northbound, "node", "list"))
            if "slim/0" in command.out and "slim/1" in command.out:
                return command.out
            await asyncio.sleep(0.2)


def ended(command: Command) -> Command:
    command.end()
    return command


async def test_two_nodes_a_controller_and_a_moderator_that_lets_in_who_knocks(tmp_path: Path) -> None:
    places = dict(zip(PLACES, free_addresses(len(PLACES)), strict=True))
    database = str(tmp_path / "state.db")
    with playing("up", SLIM_SHARED_SECRET=SECRET, DATABASE=database, **places) as network:
        await asyncio.to_thread(network.until, r"moderator\s*\| .*agncty/namespace/memory")
        assert "connected" in (await listed(places["NORTHBOUND"])).lower()
        async with application("org/demo/ann") as ann, application("org/demo/ben") as ben:
            groups = []
            for app, node in ((ann, "NODE_0"), (ben, "NODE_1")):
                await app.connect(f"http://{places[node]}", wait=20)
                await app.set_route("agncty/namespace/moderator")
                async with app.session("agncty/namespace/moderator") as knock:
                    await (await knock.publish(b"let me in"))
                    groups.append(await app.listen_for_session(20))
                if app is ann:
                    await (await groups[0].publish(b"first"))
            async with asyncio.timeout(20):
                async for message in groups[1]:
                    if message.payload == b"earlier, ann: first":
                        break
        network.process.terminate()
        assert await asyncio.to_thread(network.end) == 0
