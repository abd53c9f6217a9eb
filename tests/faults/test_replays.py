"""Whoever read along at a node says again what was said: nobody takes it for new."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from gateway import Session, Slim, http2
from gateway.links.link import AcceptedLink
from gateway.links.stream import METHOD_PATH
from identity.errors import SlimError
from tests.gateway.app_stage import AppStage, name

WAIT = 15.0
SAID = 5


class Tapped(AppStage):
    """A node at which all that applications say is written down."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__("server")
        self.heard: list[bytes] = []
        take = AcceptedLink.stream_messages

        def tap(link: AcceptedLink, messages: Sequence[bytes]) -> None:
            if link.listener:
                self.heard += messages
            take(link, messages)

        monkeypatch.setattr(AcceptedLink, "stream_messages", tap)

    async def say_again(self, said: list[bytes]) -> None:
        """As a stranger, on a stream of its own; returns when the node has read it."""
        before = len(self.heard)
        stream = await http2.connect(self.client_config["endpoint"], METHOD_PATH)
        stream.start(on_messages=lambda batch: None, on_closed=lambda cause: None)
        stream.send(said)
        async with asyncio.timeout(WAIT):
            while len(self.heard) < before + len(said):  # noqa: ASYNC110 - the node is in this process
                await asyncio.sleep(0)
        await self.node.system.idle()
        stream.cancel()

    async def talk(self, mls: bool) -> tuple[Slim, Slim, Session, Session]:
        alice, bob = await self.app("alice"), await self.app("bob")
        await self.route(alice, "bob")
        mine = await alice.session(name("bob"), mls=mls)
        yours = await bob.listen_for_session(WAIT)
        async with asyncio.timeout(WAIT):
            for number in range(SAID):
                handle = await mine.publish(b"%d" % number)
                assert (await yours.get_message()).payload == b"%d" % number
                await handle
        return alice, bob, mine, yours


@pytest.fixture
async def tapped(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Tapped]:
    stage = Tapped(monkeypatch)
    await stage.start()
    yield stage
    await stage.close()


@pytest.mark.parametrize("mls", [False, True], ids=["clear", "mls"])
async def test_in_a_session_nothing_is_delivered_again(tapped: Tapped, mls: bool) -> None:
    _, _, mine, yours = await tapped.talk(mls)
    await tapped.say_again(list(tapped.heard))
    async with asyncio.timeout(WAIT):
        handle = await mine.publish(b"last")
        assert (await yours.get_message()).payload == b"last"
        await handle


@pytest.mark.parametrize("mls", [False, True], ids=["clear", "mls"])
async def test_a_session_that_is_over_does_not_begin_again(tapped: Tapped, mls: bool) -> None:
    _, bob, mine, yours = await tapped.talk(mls)
    await mine.close()
    async with asyncio.timeout(WAIT):
        with pytest.raises(SlimError):
            await yours.get_message()
    await tapped.say_again(list(tapped.heard))
    with pytest.raises(SlimError, match="timed out"):
        await bob.listen_for_session(0.3)
