"""One guest that does not come costs nobody else the group."""

from __future__ import annotations

import asyncio

import pytest

from actors.errors import HandshakeFailed, ParticipantExists, SessionClosed
from tests.gateway.app_stage import AppStage, name

GUESTS = ["org/default/m0", "org/default/nobody", "org/default/m1"]


async def test_the_group_stands_and_says_who_came(stage: AppStage) -> None:
    mo, m0, m1 = [await stage.app(app) for app in ("mo", "m0", "m1")]
    await stage.route(mo, "m0", "nobody", "m1")
    group = mo.group("org/default/channel", GUESTS, timeout=0.05, max_retries=2)
    async with group as session:
        outcomes = session.invited
        assert list(outcomes) == [name("m0"), name("nobody"), name("m1")]
        assert (outcomes[name("m0")], outcomes[name("m1")]) == (None, None)
        assert isinstance(outcomes[name("nobody")], HandshakeFailed)
        ends = [await app.listen_for_session(5) for app in (m0, m1)]
        await (await session.publish(b"to who is there"))
        assert [(await end.get_message(5)).payload for end in ends] == [b"to who is there"] * 2


async def test_all_or_nothing(process: AppStage) -> None:
    mo, m0, _ = [await process.app(app) for app in ("mo", "m0", "m1")]
    joining = asyncio.create_task(m0.listen_for_session(5))
    with pytest.raises(HandshakeFailed):
        async with mo.group("org/default/channel", GUESTS, timeout=0.05, max_retries=2, all_or_nothing=True):
            raise AssertionError("the group stands")
    there = await joining
    assert [message async for message in there] == []
    assert isinstance(there.closed_because, SessionClosed)


async def test_a_guest_invited_twice_is_in_once(process: AppStage) -> None:
    mo, _ = [await process.app(app) for app in ("mo", "m0")]
    async with mo.group("org/default/channel", ["org/default/m0", "org/default/m0"]) as session:
        assert isinstance(session.invited[name("m0")], ParticipantExists)
        assert len(session.members) == 2
