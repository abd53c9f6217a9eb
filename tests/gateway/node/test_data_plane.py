"""DataPlane: its observers, and its end."""

from __future__ import annotations

import asyncio

import pytest

from actors.errors import NotConnected
from actors.messages.routing import ConnectionState
from gateway.node.data_plane import DataPlane
from tests.gateway.node.test_dialling import ENDPOINT, Far, config
from tests.gateway.node.test_listening import listening
from tests.gateway.stage import BOB, Local


async def test_observers_hear_of_every_change_until_they_leave(plane: DataPlane) -> None:
    far, heard = Far(), list[ConnectionState]()
    plane.observe(heard.append)
    index = await plane.connect(config(), dial=far)
    far.peers[0].stream.close()
    async with asyncio.timeout(5):
        while not heard or heard[-1].state != "negotiated" or len(heard) < 5:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert [state.state for state in heard] == ["attached", "negotiated", "lost", "restored", "negotiated"]
    assert {state.connection for state in heard} == {index}
    plane.unobserve(heard.append)
    plane.unobserve(heard.append)
    await plane.disconnect(ENDPOINT)
    assert len(heard) == 5


async def test_a_closed_one_says_so(plane: DataPlane) -> None:
    await plane.close(1.0)
    await plane.close(1.0)
    assert plane.closed
    with pytest.raises(NotConnected, match="the data plane is closed"):
        await plane.connect(config(), dial=Far())
    with pytest.raises(NotConnected, match="the data plane is closed"):
        await plane.serve(listening())


async def test_closing_twice_at_once_waits_for_the_same_end(plane: DataPlane) -> None:
    far = Far()
    await plane.connect(config(), dial=far)
    await asyncio.gather(plane.close(1.0), plane.close(1.0))
    await far.peers[0].ended()


async def test_closing_that_is_cancelled_ends_everything_all_the_same() -> None:
    plane, far = DataPlane(strict=True), Far()
    await plane.connect(config(), dial=far)
    closing = asyncio.ensure_future(plane.close(1.0))
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await far.peers[0].ended()
    await plane.close(1.0)
    assert plane.system.system_status().actors == 0


async def test_figures_come_though_a_connection_ends_meanwhile(plane: DataPlane) -> None:
    far = Far()
    await plane.connect(config(), dial=far)
    asking = asyncio.ensure_future(plane.status())
    far.peers[0].stream.close()
    local = Local(plane)
    disconnecting = asyncio.ensure_future(plane.disconnect(ENDPOINT))
    assert (await asking)["routes"]["connections"] >= 1
    await disconnecting
    assert (await local.order(BOB)).success
