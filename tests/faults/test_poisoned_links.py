"""A link that we dialled, over which something comes that breaks: it is dialled again, later and later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from actors.messages.routing import ConnectionState
from actors.messages.wire import Subscription
from gateway import Session, http2
from gateway.codec.inbound import InboundParser
from gateway.config import ClientConfig
from gateway.http2.headers import Headers
from gateway.links.stream import METHOD_PATH
from gateway.node.data_plane import DataPlane
from tests.faults.test_supervision import POISON
from tests.gateway.app_stage import AppStage, name

WAIT = 20.0
BREAKS = b"this breaks whoever reads it"
BASE, FACTOR = 0.01, 4.0


class Node:
    """Answers the first calls with what is not of this protocol. The others it leaves in peace."""

    def __init__(self, broken: int) -> None:
        self._broken = broken
        self.begun: list[float] = []
        self.well = asyncio.Event()

    def stream_opened(self, stream: http2.ServerStream, headers: Headers) -> None:
        self.begun.append(asyncio.get_running_loop().time())
        stream.start(on_messages=lambda batch: None, on_closed=lambda cause: None)
        if len(self.begun) <= self._broken:
            stream.send([b"\xff\xff"])
        else:
            self.well.set()


async def test_a_node_that_sends_what_breaks_is_dialled_again_later_and_later() -> None:
    node, states = Node(4), []
    plane = DataPlane()
    plane.observe(lambda state: states.append(state.state))
    async with await http2.serve(node, METHOD_PATH) as server:
        backoff = {"base": 1000 * BASE, "factor": FACTOR, "max_delay": "2s", "jitter": False}
        where = {"endpoint": f"http://127.0.0.1:{server.port}", "tls": {"insecure": True}, "backoff": backoff}
        try:
            await plane.connect(ClientConfig.read(where))
            async with asyncio.timeout(WAIT):
                await node.well.wait()
        finally:
            await plane.close()
    waits = [later - earlier for earlier, later in zip(node.begun, node.begun[1:], strict=False)]
    assert len(waits) == 4
    for number, wait in enumerate(waits):
        assert wait >= BASE * FACTOR**number
    assert states.count("lost") == states.count("restored") == 4


class Stage(AppStage):
    """A node of its own, alice and bob at it, and a session between them."""

    async def begin(self) -> tuple[Session, Session]:
        await self.start()
        self.alice, self.bob = await self.app("alice"), await self.app("bob")
        await self.route(self.alice, "bob")
        session = await self.alice.session(name("bob"))
        return session, await self.bob.listen_for_session(WAIT)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage("server")
    yield stage
    await stage.close()


@contextmanager
def breaking(times: int, monkeypatch: pytest.MonkeyPatch, made: list[Any]) -> Iterator[None]:
    """A message that says so is one that breaks the route table, so many times."""
    parse = InboundParser.parse

    def parsed(self: InboundParser, data: bytes) -> Any:
        if BREAKS in data and self in made and parsed.left:  # type: ignore[attr-defined]
            parsed.left -= 1  # type: ignore[attr-defined]
            return POISON
        return parse(self, data)

    parsed.left = times  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr(InboundParser, "parse", parsed)
        yield
    assert not parsed.left  # type: ignore[attr-defined]


async def test_a_session_outlives_a_message_of_its_node_that_breaks(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, yours = await stage.begin()
    (link,) = stage.bob.data_plane.links.values()
    states: list[ConnectionState] = []
    stage.bob.data_plane.observe(states.append)
    assert isinstance(POISON, Subscription)
    with breaking(2, monkeypatch, [link._parser]):
        async with asyncio.timeout(WAIT):
            handle = await mine.publish(BREAKS)
            assert (await yours.get_message()).payload == BREAKS
            await handle
    assert [one.state for one in states].count("restored") == 2
    assert "closed" not in [one.state for one in states]
    async with asyncio.timeout(WAIT):
        handle = await yours.publish(b"and back")
        assert (await mine.get_message()).payload == b"and back"
        await handle
