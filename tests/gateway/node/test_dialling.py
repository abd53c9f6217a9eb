"""Dialling: what a data plane keeps of the connections that it opens, and what it forgets."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from actors.errors import AlreadyConnected, ConnectionLost, NotConnected
from gateway.config import ClientConfig
from gateway.links.memory import MemoryStream, pair
from gateway.links.stream import Stream
from gateway.node.data_plane import DataPlane
from identity.errors import ConfigError
from tests.gateway.stage import Peer, States, negotiation

ENDPOINT = "http://node:1"


class Far:
    """The far end of dialled memory streams; `refuse` and `hold` shape the next dial."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.refuse = False
        self.hold: asyncio.Event | None = None
        self.dials = 0

    async def __call__(self) -> Stream:
        self.dials += 1
        if self.hold is not None:
            await self.hold.wait()
        if self.refuse:
            raise ConnectionLost(ENDPOINT, "refused")
        near, far = pair(asyncio.get_running_loop())
        self.peers.append(Answering(far))
        return near


class Answering(Peer):
    """Answers the link negotiation, so that `connect` need not wait for it in vain."""

    def stream_messages(self, messages: Any) -> None:
        super().stream_messages(messages)
        for one in self.got:
            if one.HasField("link") and not one.link.link_negotiation.is_reply:
                self.send(negotiation(one.link.link_negotiation.link_id, reply=True))


def config(**options: Any) -> ClientConfig:
    backoff = {"type": "fixed", "interval": 0.01}
    return ClientConfig.read({"endpoint": ENDPOINT, "backoff": backoff, **options})


async def forgot(plane: DataPlane) -> None:
    """Nothing of any connection is left."""
    async with asyncio.timeout(5):
        while plane._dialling._by_index or plane.links:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert plane.dialled() == {}
    status = await plane.status()
    assert status["connections"] == {}
    assert status["routes"]["connections"] == 0


async def test_a_connection_is_known_by_endpoint_and_index(plane: DataPlane) -> None:
    far = Far()
    index = await plane.connect(config(), dial=far)
    assert plane.dialled() == {ENDPOINT: index}
    with pytest.raises(AlreadyConnected, match="client already connected"):
        await plane.connect(config(), dial=far)
    assert far.dials == 1
    await plane.disconnect(ENDPOINT)
    assert far.peers[0].closed is not None or await far.peers[0].ended()
    await forgot(plane)
    assert await plane.connect(config(), dial=far) > index


async def test_why_nobody_answers_is_told_in_the_words_of_the_system(plane: DataPlane) -> None:
    with socket.socket() as taken:
        # Bound, and nobody listens: no other process gets it meanwhile.
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        made = ClientConfig.read({"endpoint": endpoint, "tls": {"insecure": True}})
        with pytest.raises(ConnectionLost) as refused:
            await plane.connect(made)
    assert str(refused.value) == f"cannot connect to {endpoint}: Connection refused"


async def test_a_refused_dial_leaves_nothing_behind(plane: DataPlane) -> None:
    far = Far()
    far.refuse = True
    with pytest.raises(ConnectionLost, match="refused"):
        await plane.connect(config(), dial=far)
    await forgot(plane)
    far.refuse = False
    await plane.connect(config(), dial=far)


async def test_connecting_can_be_cancelled_at_any_time(plane: DataPlane) -> None:
    """One turn of the loop later each time, until it succeeds."""
    for turns in range(100):
        far = Far()
        connecting = asyncio.ensure_future(plane.connect(config(), dial=far))
        for _ in range(turns):
            await asyncio.sleep(0)
        if connecting.done():
            break
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await forgot(plane)
        for peer in far.peers:
            await peer.ended()
    assert turns > 3
    assert plane.dialled() == {ENDPOINT: connecting.result()}


async def test_while_it_dials_there_is_nothing_to_disconnect_and_no_second_dial(plane: DataPlane) -> None:
    far = Far()
    far.hold = asyncio.Event()
    connecting = asyncio.ensure_future(plane.connect(config(), dial=far))
    await asyncio.sleep(0)
    with pytest.raises(AlreadyConnected):
        await plane.connect(config(), dial=far)
    with pytest.raises(NotConnected, match="not connected to http://node:1"):
        await plane.disconnect(ENDPOINT)
    assert plane.dialled() == {}
    far.hold.set()
    index = await connecting
    assert plane.dialled() == {ENDPOINT: index}


async def test_a_stream_that_ends_while_it_is_attached_is_a_lost_one(plane: DataPlane) -> None:
    far = Far()

    async def brief() -> Stream:
        stream = await far()
        if far.dials == 1:
            assert isinstance(stream, MemoryStream)
            stream.other.close()
        return stream

    states = States(plane)
    await plane.connect(config(), dial=brief)
    await states.until(lambda: "restored" in [state.state for state in states.seen])


async def test_a_connection_that_gives_up_while_connecting_raises(plane: DataPlane) -> None:
    far = Far()

    async def once() -> Stream:
        stream = await far()
        far.refuse = True
        assert isinstance(stream, MemoryStream)
        stream.other.close()
        return stream

    attempts = {"type": "fixed", "interval": 0.001, "max_attempts": 1}
    with pytest.raises(ConnectionLost, match="gave up after 1 attempts"):
        await plane.connect(config(backoff=attempts), dial=once)
    await forgot(plane)


async def test_an_older_peer_without_negotiation_is_connected_all_the_same(plane: DataPlane) -> None:
    async def silent() -> Stream:
        near, far = pair(asyncio.get_running_loop())
        Peer(far)
        return near

    index = await plane.connect(config(), dial=silent)
    assert (await plane.status())["connections"][str(index)]["version"] == "unknown"


async def test_closing_wakes_up_who_dials(plane: DataPlane) -> None:
    far = Far()
    far.hold = asyncio.Event()
    connecting = asyncio.ensure_future(plane.connect(config(), dial=far))
    await asyncio.sleep(0)
    await plane.close(1.0)
    with pytest.raises(ConnectionLost, match="the data plane is closed"):
        await connecting


async def test_a_client_config_that_cannot_work_is_refused_before_dialling(plane: DataPlane) -> None:
    with pytest.raises(ConfigError):
        await plane.connect(ClientConfig.read({"endpoint": "https://node:1", "tls": {"ca_file": "/nowhere"}}))
    await forgot(plane)
