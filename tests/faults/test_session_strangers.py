"""What strangers may do to an application: over sockets, with a peer that says whatever it likes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from loguru import logger

from actors.messages.session import AppSettings
from actors.messages.wire import DiscoveryReply, JoinRequest, MessageType, Payload, TimerSettings
from actors.names import Name
from actors.session.bounds import MOST_RETRIES, REQUESTS_A_SECOND, SHORTEST_INTERVAL, WIDEST_GAP
from gateway import Slim
from identity.shared_secret import make_token
from tests.faults.forger import Forger
from tests.gateway.app_stage import SECRET, AppStage, identity, name

K = MessageType
QUICK = AppSettings(ping_interval=0.2)


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[AppStage]:
    made = AppStage("server")
    await made.start()
    yield made
    await made.close()


def forger(stage: AppStage, who: str = "mallory", id: int = 666) -> Forger:
    provider, _ = identity(who)
    return Forger(stage.endpoint, name(who).with_id(id), lambda: provider.get_token(world_time()))


def old_forger(stage: AppStage) -> Forger:
    """As a program of 0.7: nothing in its token tells that it pings, and it never does."""
    token = make_token(SECRET.encode(), "mallory_old", int(time.time()), b"n" * 12, {})
    return Forger(stage.endpoint, name("mallory").with_id(667), lambda: token)


def world_time() -> float:
    return time.time()


async def figures(app: Slim) -> dict[str, Any]:
    found: dict[str, Any] = (await app.status())["application"]
    return found


async def accepting(app: Slim, found: list[Any]) -> None:
    async for session in app.sessions():
        found.append(session)


# What an invitation may set


async def test_an_interval_of_nothing_ends_no_accepting_loop(stage: AppStage) -> None:
    bob, alice = await stage.app("bob"), await stage.app("alice")
    await stage.route(alice, "bob")
    sessions: list[Any] = []
    accept = asyncio.create_task(accepting(bob, sessions))
    async with forger(stage) as mallory:
        request = JoinRequest(False, TimerSettings(0.0, 5))
        await mallory.say(mallory.says(bob.local_name, K.JOIN_REQUEST, request))
        await mallory.say(mallory.says(bob.local_name, K.JOIN_REQUEST, request, session_id=6))
        async with asyncio.timeout(10.0), alice.session(name("bob")) as session:
            await (await session.publish(b"on we go"))
            assert (await figures(bob))["refused"] == 2
            assert mallory.of_kind(K.JOIN_REPLY) == []
            assert not accept.done()
            assert len(sessions) == 1
    accept.cancel()


async def test_timers_of_strangers_are_brought_within_bounds(stage: AppStage) -> None:
    bob = await stage.app("bob")
    async with forger(stage) as mallory:
        await mallory.join(bob.local_name, JoinRequest(False, TimerSettings(0.001, 2**32 - 1)))
        session = await bob.listen_for_session(10.0)
        config = session.session_config
        assert config.timeout is not None
        assert (config.timeout.total_seconds(), config.max_retries) == (SHORTEST_INTERVAL, MOST_RETRIES)
        # A gap that is as wide as may be: each message of it is asked for once, then at a bounded pace.
        for number in (1, WIDEST_GAP):
            message = mallory.says(bob.local_name, K.MSG, Payload("msg", b"x"), message_id=number)
            await mallory.say(message)
        await mallory.until(K.RTX_REQUEST, WIDEST_GAP - 2)
        begun = len(mallory.of_kind(K.RTX_REQUEST))
        await asyncio.sleep(1.0)
        asked = len(mallory.of_kind(K.RTX_REQUEST)) - begun
        assert asked <= 2 * REQUESTS_A_SECOND


async def test_unfinished_invitations_keep_nobody_out(stage: AppStage) -> None:
    bob = await stage.app("bob", settings=AppSettings(backlog=16))
    alice = await stage.app("alice")
    await stage.route(alice, "bob")
    async with forger(stage) as mallory:
        for number in range(64):
            message = mallory.says(
                bob.local_name, K.JOIN_REQUEST, JoinRequest(False), session_id=100 + number, message_id=number
            )
            await mallory.say(message)
        await mallory.until(K.JOIN_REPLY, 64)
        async with asyncio.timeout(5.0), alice.session(name("bob"), timeout=0.3) as session:
            accepted = await bob.listen_for_session(5.0)
            assert accepted.id == session.id
            assert (await figures(bob))["sessions"] <= 17


# A running session


async def test_an_encrypted_session_is_not_replaced_by_a_clear_one(stage: AppStage) -> None:
    bob, alice = await stage.app("bob"), await stage.app("alice")
    await stage.route(alice, "bob")
    provider, _ = identity("alice")
    captured = provider.get_token(world_time())
    async with forger(stage) as mallory, alice.session(name("bob"), mls=True) as session:
        session_id = session.id
        accepted = await bob.listen_for_session(10.0)

        async def invite_in_clear() -> None:
            request = mallory.says(
                bob.local_name,
                K.JOIN_REQUEST,
                JoinRequest(False, TimerSettings(1.0, 5)),
                source=alice.local_name,
                session_id=session_id,
            )
            for number in (21, 22):
                await mallory.say(request._replace(message_id=number), token=captured)
            await mallory.settled()

        await invite_in_clear()
        await (await session.publish(b"still secret"))
        message = await accepted.get_message(10.0)
        assert message.payload == b"still secret"
        assert not accepted.closed
        with pytest.raises(TimeoutError):
            await bob.listen_for_session(0.1)
    # Nor after its end.
    refused = (await figures(bob))["refused"]
    async with forger(stage) as mallory:
        request = mallory.says(
            bob.local_name, K.JOIN_REQUEST, JoinRequest(False), source=alice.local_name, session_id=session_id
        )
        await mallory.say(request, token=captured)
        async with asyncio.timeout(5.0):
            while (await figures(bob))["refused"] != refused + 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


# Whoever began it is gone


@pytest.mark.parametrize("who", [forger, old_forger], ids=["of 1.3", "of 0.7"])
@pytest.mark.parametrize("ending", ["vanishes", "stays, and says nothing"])
async def test_a_session_ends_when_its_initiator_died_before_its_first_ping(
    stage: AppStage, ending: str, who: Callable[[AppStage], Forger]
) -> None:
    bob = await stage.app("bob", settings=QUICK)
    async with who(stage) as mallory:
        await mallory.join(bob.local_name, JoinRequest(False, TimerSettings(0.2, 5)))
        session = await bob.listen_for_session(10.0)
        if ending == "stays, and says nothing":
            asked = await mallory.until(K.DISCOVERY_REQUEST, 1 if who is forger else 3)
            assert (asked.destination, asked.content.destination) == (mallory.name, None)  # type: ignore[union-attr]
            assert asked.session_id != session.id
            with pytest.raises(Exception, match="fell silent"):
                await session.get_message(10.0)
            return
    with pytest.raises(Exception, match=r"fell silent|closed"):
        await session.get_message(10.0)


async def test_a_quiet_initiator_that_says_that_it_is_there_keeps_its_sessions(stage: AppStage) -> None:
    bob = await stage.app("bob", settings=QUICK)
    async with old_forger(stage) as mallory:
        for session_id in (5, 6, 7):
            mallory.received.clear()
            await mallory.join(bob.local_name, JoinRequest(False), session_id=session_id)
        sessions = [await bob.listen_for_session(10.0) for _ in range(3)]
        mallory.received.clear()
        answered = 0
        for _ in range(3):
            asked = await mallory.until(K.DISCOVERY_REQUEST, answered + 1)
            answered = len(mallory.of_kind(K.DISCOVERY_REQUEST))
            # An answer in another name does not count, whoever gives it.
            for source in (mallory.name.with_id(668), mallory.name):
                reply = mallory.says(bob.local_name, K.DISCOVERY_REPLY, DiscoveryReply(), source=source)
                await mallory.say(reply._replace(session_id=asked.session_id, message_id=asked.message_id))
        assert answered <= 6, "one question serves all sessions with a peer"
        assert not any(session.closed for session in sessions)


# Entering


async def test_an_application_that_is_cancelled_while_entering_leaves_nothing(stage: AppStage) -> None:
    provider, verifier = identity("slow")
    opening = asyncio.Event()

    async def slow() -> None:
        opening.set()
        await asyncio.Event().wait()

    provider.initialize = slow
    made = Slim(name("slow"), provider, verifier, data_plane=stage.node)

    async def enter() -> None:
        async with made:
            raise AssertionError("it never opens")

    entering = asyncio.create_task(enter())
    await opening.wait()
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    async with asyncio.timeout(5.0):
        alice = await stage.app("alice")
        with pytest.raises(Exception, match="handshake"):
            await alice.session(Name("org", "default", "slow"), timeout=0.1, max_retries=1)


# The log


async def test_whoever_is_refused_does_not_fill_the_log(stage: AppStage) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, level="WARNING", format="{message} {extra}", filter="actors.session")
    try:
        bob, alice = await stage.app("bob"), await stage.app("alice")
        await stage.route(alice, "bob")
        async with forger(stage) as mallory, alice.session(name("bob"), mls=True) as session:
            await bob.listen_for_session(10.0)
            request = mallory.says(
                bob.local_name,
                K.JOIN_REQUEST,
                JoinRequest(False),
                source=alice.local_name,
                session_id=session.id,
            )
            for number in range(50):
                await mallory.say(request._replace(message_id=number))
            await (await session.publish(b"behind them"))
        assert len([line for line in lines if "asks for clear text" in line]) == 1
    finally:
        logger.remove(sink)
