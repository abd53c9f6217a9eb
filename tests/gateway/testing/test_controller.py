"""A controller on a host: it joins nodes, has applications lead, and outlives what its disk outlives."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from actors.controller.turn import Save
from actors.messages.controller import (
    AddParticipant,
    CreateChannel,
    ListChannels,
    ListNodes,
    ListRoutes,
)
from actors.names import Name
from gateway import SessionConfiguration
from gateway.controller.calls import CallError
from gateway.testing import SimHost, World
from gateway.testing.controller import DiskStore
from gateway.testing.disk import SimDisk

CHANNEL = "org/demo/stage"


async def ask(boss: SimHost, question: Any) -> Any:
    assert boss.controller is not None
    return await boss.call(boss.controller.desk.change("test", "", question, 30.0))


async def test_nodes_of_one_controller_reach_each_other(world: World) -> None:
    one, two = await world.controller("boss", "one", "two")
    alice = await world.application("org/demo/alice", one)
    bob = await world.application("org/demo/bob", two)
    await asyncio.sleep(3.0)
    await alice.set_route(bob.local_name.without_id())
    session = await alice.create_session(Name("org", "demo", "bob"), SessionConfiguration.PointToPoint())
    await session.established
    await (await session.publish(b"hello"))
    heard = await bob.listen_for_session(5.0)
    assert (await heard.get_message()).payload == b"hello"
    await session.close(5.0)
    assert any("register_node_request" in line for line in world.trace.lines())


async def led(world: World) -> tuple[SimHost, Any, Any]:
    """A group that alice leads by order, and in which bob is. Returns the controller and their sessions."""
    one, two = await world.controller("boss", "one", "two")
    alice = await world.application("org/demo/alice", one)
    bob = await world.application("org/demo/bob", two)
    boss = world.host("boss")
    await asyncio.sleep(3.0)
    assert await ask(boss, CreateChannel(("org/demo/alice",), CHANNEL)) == CHANNEL
    await ask(boss, AddParticipant(CHANNEL, "org/demo/bob"))
    return boss, await alice.listen_for_session(5.0), await bob.listen_for_session(5.0)


async def test_a_group_is_led_by_order(world: World) -> None:
    _, lead, member = await led(world)
    await (await lead.publish(b"curtain up"))
    assert (await member.get_message()).payload == b"curtain up"
    await lead.close(5.0)


async def test_a_controller_that_was_killed_knows_what_it_answered(world: World) -> None:
    boss, lead, _ = await led(world)
    boss.kill()
    await asyncio.sleep(5.0)
    await boss.restart()
    await asyncio.sleep(15.0)
    (shown,) = await ask(boss, ListChannels())
    assert (shown.channel, shown.members) == (CHANNEL, ("org/demo/bob",))
    assert all(node.connected for node in await ask(boss, ListNodes()))
    assert [route.status for route in await ask(boss, ListRoutes())] == ["APPLIED"]
    with pytest.raises(CallError, match="is in org/demo/stage already"):
        await ask(boss, AddParticipant(CHANNEL, "org/demo/bob"))
    await lead.close(5.0)


async def test_after_a_power_cut_nodes_are_joined_as_before(world: World) -> None:
    one, two = await world.controller("boss", "one", "two")
    boss = world.host("boss")
    await asyncio.sleep(3.0)
    boss.cut_power()
    one.kill()
    await asyncio.sleep(5.0)
    await asyncio.gather(boss.restart(), one.restart())
    await asyncio.sleep(30.0)
    assert {node.id for node in await ask(boss, ListNodes()) if node.connected} == {"one", "two"}
    (route,) = await ask(boss, ListRoutes())
    assert route.endpoint in one.plane.dialled()
    assert two.up


def saved(store: DiskStore) -> list[Any]:
    return [entry.value for entry in store.load()]


def test_a_power_cut_takes_the_last_calls_and_never_part_of_one() -> None:
    lost = 0
    for seed in range(50):
        disk = SimDisk()
        store = DiskStore(disk)
        for number in range(10):
            store.save([Save("a", (str(number),), (number,)), Save("b", (str(number),), (number,))])
        left = saved(DiskStore(disk.after_power_cut(Random(seed))))
        whole = len(left) // 2
        assert left == [(number,) for number in range(whole)] * 2
        lost += 10 - whole
    assert lost


def test_what_was_synced_stays_and_writing_goes_on_behind_it() -> None:
    disk = SimDisk()
    DiskStore(disk, synced=True).save(
        [Save("node", ("one",), ((("one:1", False),), "")), Save("x", (), (1,))]
    )
    disk.append(b"torn off")
    store = DiskStore(disk)
    assert [entry.kind for entry in store.load()] == ["node", "x"]
    store.save([Save("x", (), None)])
    assert [entry.kind for entry in DiskStore(disk).load()] == ["node"]
