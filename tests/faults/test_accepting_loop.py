"""Nothing that a stranger sends comes out of the loop that accepts sessions."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from actors.errors import SessionClosed, SlimTimeout
from actors.messages.session import SessionAnnounced, SessionConfig
from actors.messages.wire import SessionKind
from gateway import Session, SessionConfiguration
from gateway.api import observing
from gateway.api.session_config import of_record
from tests.gateway.app_stage import AppStage, name

BOB = name("bob")


async def accepted(stage: AppStage) -> tuple[Any, Any]:
    alice, bob = await stage.app("alice"), await stage.app("bob")
    await stage.route(alice, "bob")
    return alice, bob


@pytest.mark.parametrize(
    ("interval", "retries"), [(0.0, 0), (0.0, 2**32 - 1), (4_294_967.295, 5), (1.0, None), (None, 5)]
)
def test_whatever_an_invitation_says_can_be_shown(interval: float | None, retries: int | None) -> None:
    config = of_record(SessionConfig(SessionKind.POINT_TO_POINT, interval, retries, False, {"a": ""}))
    assert config.timeout == (None if interval is None else timedelta(seconds=interval))
    assert (config.max_retries, config.metadata) == (retries, {"a": ""})
    repr(config)


async def test_a_session_that_cannot_be_used_is_turned_away(
    process: AppStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails while it is taken up: the next one comes, and the inviter is told."""
    alice, bob = await accepted(process)
    known: list[int] = []

    class Broken:
        def accepted(self, session_id: int, kind: str, destination: Any, metadata: Any) -> None:
            known.append(session_id)
            if len(known) == 1:
                raise ValueError("of no use")

        def __getattr__(self, attribute: str) -> Any:
            raise AssertionError(attribute)

    first = await alice.session(BOB)
    second = await alice.session(BOB)
    monkeypatch.setattr(observing, "current", Broken())
    there = await bob.listen_for_session(5)
    monkeypatch.setattr(observing, "current", None)
    assert known == [first.id, second.id]
    assert there.id == second.id
    assert [message async for message in first] == []
    assert first.closed_because is not None


async def test_a_session_that_ended_meanwhile_is_not_handed_out(stage: AppStage) -> None:
    alice, bob = await accepted(stage)
    async with alice.session(BOB):
        pass
    with pytest.raises(SlimTimeout):
        await bob.listen_for_session(0.1)
    async with alice.session(BOB) as open_one:
        assert (await bob.listen_for_session(5)).id == open_one.id


async def test_one_that_ended_with_messages_is_handed_out_and_can_be_read(stage: AppStage) -> None:
    """They are acknowledged: they are not lost because nobody listened yet."""
    alice, bob = await accepted(stage)
    async with alice.session(BOB, metadata={"a": "b"}) as session:
        await (await session.publish(b"hello"))
        known = session.id
    there = await bob.listen_for_session(5)
    assert [message.payload async for message in there] == [b"hello"]
    assert there.over
    assert isinstance(there.closed_because, SessionClosed)
    assert (there.id, there.src, there.dst) == (known, bob.local_name, alice.local_name)
    assert (there.metadata, there.epoch, there.fingerprint) == ({"a": "b"}, None, "")
    assert there.session_config == SessionConfiguration.PointToPoint(1.0, 10, False, {"a": "b"})
    with pytest.raises(SlimTimeout):
        await bob.listen_for_session(0.05)


async def test_a_loop_that_looks_at_each_session_lives_on(stage: AppStage) -> None:
    """Clients that come and go while sessions are accepted slowly."""
    alice, bob = await accepted(stage)
    seen: asyncio.Queue[int] = asyncio.Queue()

    async def serve() -> None:
        async for session in bob.sessions():
            await asyncio.sleep(0.02)
            seen.put_nowait(session.id)
            assert session.dst == alice.local_name

    serving = asyncio.create_task(serve())
    for _ in range(5):
        await (await alice.session(BOB)).close()
    async with alice.session(BOB) as last:
        async with asyncio.timeout(5):
            while await seen.get() != last.id:
                pass
    assert not serving.done()
    serving.cancel()


async def test_a_listener_that_gives_up_loses_no_session(process: AppStage) -> None:
    alice, bob = await accepted(process)
    for round in range(20):
        listening = asyncio.create_task(bob.listen_for_session())
        opening = asyncio.ensure_future(alice.session(BOB))
        for _ in range(round):
            await asyncio.sleep(0)
        listening.cancel()
        made = await opening
        (got,) = await asyncio.gather(listening, return_exceptions=True)
        there = got if isinstance(got, Session) else await bob.listen_for_session(5)
        assert there.id == made.id
        await made.close()


async def test_what_is_announced_of_nobody_does_no_harm(process: AppStage) -> None:
    """The actor of an announced session is gone before it is taken up."""
    alice, bob = await accepted(process)
    config = SessionConfig(SessionKind.POINT_TO_POINT, 0.0, 0)
    system = bob.data_plane.system
    gone = system.inbox(lambda message, sender: None)
    system.close_inbox(gone)
    place = bob._life.placed()
    system.tell(
        place.inbox, SessionAnnounced(7, gone, bob.local_name, alice.local_name, config, 512), place.inbox
    )
    with pytest.raises(SlimTimeout):
        await bob.listen_for_session(0.05)
    async with alice.session(BOB) as session:
        assert (await bob.listen_for_session(5)).id == session.id


@pytest.mark.parametrize(("interval", "retries"), [(0.0, 3), (0.0004, 2), (4_000_000.0, 2**32 - 1)])
async def test_odd_timers_of_an_inviter_do_not_end_it(stage: AppStage, interval: float, retries: int) -> None:
    alice, bob = await accepted(stage)
    odd = of_record(SessionConfig(SessionKind.POINT_TO_POINT, interval, retries))
    stranger = await alice.create_session(BOB, odd)
    loop = bob.sessions()
    async with alice.session(BOB) as session:
        async with asyncio.timeout(5):
            async for there in loop:
                if there.id == session.id:
                    break
        await (await session.publish(b"hello"))
        assert (await there.get_message(5)).payload == b"hello"
    if not stranger.closed:
        stranger.close(0.0)
