"""What the published tests of the original package pin (`api.md` 8), on our API."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from actors.errors import (
    HandshakeFailed,
    NotModerator,
    ParticipantExists,
    ParticipantNotFound,
    SessionClosed,
    SlimTimeout,
)
from gateway import AppSettings, ConfigError, Session, SessionConfiguration, SessionType, Slim
from tests.gateway.app_stage import AppStage, name

RELIABLE = SessionConfiguration.PointToPoint(timedelta(seconds=1), 5)


async def pair(
    stage: AppStage, config: SessionConfiguration = RELIABLE
) -> tuple[Slim, Slim, Session, Session]:
    """alice, bob, and both ends of a session that alice opened."""
    alice, bob = await stage.app("alice"), await stage.app("bob")
    await stage.route(alice, "bob")
    here, established = await alice.create_session(name("bob"), config)
    await established
    return alice, bob, here, await bob.listen_for_session(5)


async def group(stage: AppStage, *members: str) -> tuple[Slim, Session, list[Session]]:
    """The moderator `mo` with its end of a group, and the members' ends."""
    mo = await stage.app("mo")
    apps = [await stage.app(member) for member in members]
    await stage.route(mo, *members)
    session, established = await mo.create_session(
        name("channel"), SessionConfiguration.Group(timedelta(seconds=1), 5)
    )
    await established
    for member in members:
        await (await session.invite(name(member)))
    return mo, session, [await app.listen_for_session(5) for app in apps]


async def test_round_trip(stage: AppStage) -> None:
    alice, bob, here, there = await pair(stage)
    assert here.id == there.id
    assert (here.src, there.src) == (alice.local_name, bob.local_name)
    assert here.dst.equal_without_id(name("bob"))
    assert there.dst == alice.local_name
    assert here.session_type is there.session_type is SessionType.PointToPoint
    handle = await here.publish([1, 2, 3], "numbers", {"k": "v"})
    context, payload = await there.get_message(5)
    assert payload == b"\1\2\3"
    assert (context.payload_type, context.metadata) == ("numbers", {"k": "v"})
    assert context.source_name == alice.local_name
    await handle
    reply = await there.publish_to(context, payload)
    context, payload = await here.get_message(timedelta(seconds=5))
    assert (payload, context.payload_type) == (b"\1\2\3", "msg")
    await reply


async def test_handles_may_be_awaited_often_and_by_several(stage: AppStage) -> None:
    _, _, here, there = await pair(stage)
    handle = await here.publish(b"x")
    await asyncio.gather(handle.wait(), handle.wait(), handle.wait_for(5))
    assert await handle is None
    assert await handle is None
    await here.established
    await here.established
    context, _ = await there.get_message(5)
    answer = await there.publish_to(context, b"y")
    await answer
    await answer


async def test_nothing_goes_on_after_delete(stage: AppStage) -> None:
    alice, _, here, there = await pair(stage)
    await (await alice.delete_session(here))
    with pytest.raises(SessionClosed, match="session closed"):
        await here.publish(b"x")
    with pytest.raises(SessionClosed, match="session closed: Session already closed"):
        await alice.delete_session(here)
    with pytest.raises(SessionClosed, match="session closed"):
        _ = here.id
    with pytest.raises(SessionClosed, match="session closed"):
        await there.get_message(5)
    with pytest.raises(SessionClosed, match="session closed"):
        await there.publish(b"x")


async def test_publishing_while_a_session_drains_says_so(process: AppStage) -> None:
    _, _, here, _ = await pair(process)
    closing = here.close()
    with pytest.raises(SessionClosed, match="drain"):
        await here.publish(b"x")
    await closing


async def test_sessions_outlive_a_restart_of_the_node() -> None:
    stage = AppStage("server")
    await stage.start()
    try:
        alice, bob, here, there = await pair(stage)
        await (await here.publish(b"before"))
        states = [alice.connection_states(), bob.connection_states()]
        waits = [asyncio.ensure_future(anext(state)) for state in states]
        await asyncio.sleep(0)
        # The port was 0: the node must come back where its applications look for it.
        await stage.node.stop_server("127.0.0.1:0", 0.1)
        for wait in waits:
            assert (await asyncio.wait_for(wait, 5)).state == "lost"
        await stage.node.serve(AppStage.server_config(stage.endpoint))
        handle = await here.publish(b"after")
        assert [(await there.get_message(20)).payload for _ in range(2)] == [b"before", b"after"]
        await handle.wait_for(20)
        for state in states:
            await state.aclose()
    finally:
        await stage.close()


async def test_a_session_with_nobody_does_not_stand(stage: AppStage) -> None:
    alice = await stage.app("alice")
    await stage.route(alice, "nobody")
    session, established = await alice.create_session(name("nobody"), SessionConfiguration.PointToPoint())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(established, 0.3)
    with pytest.raises(SlimTimeout, match="timed out"):
        await established.wait_for(timedelta(milliseconds=50))
    await (await alice.delete_session(session))


async def test_a_handshake_without_answer_fails(process: AppStage) -> None:
    alice = await process.app("alice")
    session = await alice.create_session(name("nobody"), SessionConfiguration.PointToPoint(0.05, 2))
    with pytest.raises(HandshakeFailed, match="session handshake failed"):
        await session.established.wait_for(5)


async def test_timeouts_are_honoured(stage: AppStage) -> None:
    loop = asyncio.get_running_loop()
    _, bob, here, _ = await pair(stage)
    before = loop.time()
    with pytest.raises(SlimTimeout, match="timed out"):
        await bob.listen_for_session(timedelta(milliseconds=100))
    with pytest.raises(TimeoutError, match="timeout waiting for message"):
        await here.get_message(0.1)
    assert loop.time() - before >= 0.19
    for wait in (bob.listen_for_session(None), here.get_message(None)):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(wait, 0.05)


async def test_all_messages_reach_one_of_ten_receivers(stage: AppStage) -> None:
    receivers = [await stage.app("many") for _ in range(10)]
    assert len({app.id for app in receivers}) == 10
    alice = await stage.app("alice")
    await stage.route(alice, "many")
    here = await alice.create_session(name("many"), RELIABLE)
    handles = [await here.publish(b"%d" % number) for number in range(1000)]
    waits = {asyncio.ensure_future(app.listen_for_session()): app for app in receivers}
    done, pending = await asyncio.wait(waits, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    for wait in pending:
        wait.cancel()
    (chosen,) = done
    there = chosen.result()
    got = [(await there.get_message(5)).payload for _ in range(1000)]
    assert got == [b"%d" % number for number in range(1000)]
    for handle in handles:
        await handle.wait_for(5)
    others = [app for wait, app in waits.items() if wait is not chosen]
    for app in others:
        with pytest.raises(SlimTimeout):
            await app.listen_for_session(0.01)


@pytest.mark.parametrize("mls", [False, True])
async def test_a_token_goes_round_in_a_group(stage: AppStage, mls: bool) -> None:
    members = [f"m{number}" for number in range(5)]
    mo = await stage.app("mo")
    apps = [await stage.app(member) for member in members]
    await stage.route(mo, *members)
    config = SessionConfiguration.Group(timedelta(seconds=1), 5, mls_enabled=mls)
    session, established = await mo.create_session(name("channel"), config)
    await established
    for member in members:
        await (await session.invite(name(member)))

    async def take_part(app: Slim, index: int) -> int:
        mine = await app.listen_for_session(10)
        assert mine.session_type is SessionType.Group
        assert mine.dst == name("channel")
        assert mine.src == app.local_name
        seen = 0
        async for message in mine:
            seen += 1
            if message.payload == b"go %d" % index:
                await mine.publish(b"go %d" % (index + 1))
        return seen

    tasks = [asyncio.create_task(take_part(app, index)) for index, app in enumerate(apps)]
    await session.publish(b"go 0")
    for index in range(len(members)):
        assert (await session.get_message(10)).payload == b"go %d" % (index + 1)
    await (await mo.delete_session(session))
    # Each saw what all the others sent: the first call and those of its four fellows.
    assert await asyncio.gather(*tasks) == [5] * 5


async def test_members_end_when_the_moderator_deletes(stage: AppStage) -> None:
    mo, session, ends = await group(stage, "m0", "m1")
    waits = [asyncio.ensure_future(end.get_message()) for end in ends]
    await (await mo.delete_session(session))
    for wait in waits:
        with pytest.raises(SessionClosed, match=r"^session closed: session channel closed"):
            await asyncio.wait_for(wait, 5)


async def test_errors_of_membership(stage: AppStage) -> None:
    _, session, (first, second) = await group(stage, "m0", "m1")
    with pytest.raises(ParticipantExists, match="participant already in group"):
        await (await session.invite(name("m0")))
    with pytest.raises(ParticipantNotFound, match="participant not found"):
        await (await session.remove(name("stranger")))
    with pytest.raises(NotModerator, match="cannot invite participant to"):
        await first.invite(name("stranger"))
    await (await session.remove(name("m0")))
    with pytest.raises(SessionClosed, match="session closed"):
        await first.get_message(5)
    await session.publish(b"still here")
    assert (await second.get_message(5)).payload == b"still here"


async def test_an_invitation_to_nobody_fails(process: AppStage) -> None:
    mo = await process.app("mo")
    session = await mo.create_session(name("channel"), SessionConfiguration.Group(0.05, 2))
    handle = await session.invite(name("nobody"))
    with pytest.raises(HandshakeFailed, match="failed to add a participant to the group"):
        await handle.wait_for(5)


async def test_session_metadata_comes_along(stage: AppStage) -> None:
    config = SessionConfiguration.PointToPoint(1.0, 5, metadata={"a": "1", "b": "2"})
    _, _, here, there = await pair(stage, config)
    assert here.metadata == there.metadata == {"a": "1", "b": "2"}
    assert there.session_config.timeout == timedelta(seconds=1)
    assert there.session_config.max_retries == 5


async def test_another_shared_secret_never_gets_a_session(stage: AppStage) -> None:
    alice = await stage.app("alice")
    bob = await stage.app("bob", secret="quite another secret, as long as needed")
    await stage.route(alice, "bob")
    session = await alice.create_session(name("bob"), SessionConfiguration.PointToPoint(0.05, 2))
    with pytest.raises(HandshakeFailed):
        await session.established.wait_for(5)
    with pytest.raises(SlimTimeout):
        await bob.listen_for_session(0.05)


async def test_one_result_satisfies_both_spellings(process: AppStage) -> None:
    alice, bob = await process.app("alice"), await process.app("bob")
    direct = await alice.create_session(dest_name=name("bob"), session_config=RELIABLE)
    session, established = await alice.create_session(name("bob"), RELIABLE)
    with pytest.warns(DeprecationWarning, match="spelling before 0.7"):
        named = await alice.create_session(SessionConfiguration.PointToPoint(peer_name=name("bob")))
    with pytest.warns(DeprecationWarning, match="config is called session_config"):
        former = await alice.create_session(name("bob"), config=RELIABLE)
    await established
    for one in (direct, session, named, former):
        await one.established
        assert isinstance(one, Session)
        assert tuple(one) == (one, one.established)
    ids = {(await bob.listen_for_session(5)).id for _ in range(4)}
    assert ids == {direct.id, session.id, named.id, former.id}


async def test_other_timers_for_a_running_session(process: AppStage) -> None:
    _, _, here, there = await pair(process)
    here.set_session_config(SessionConfiguration.PointToPoint(0.5, 3, metadata={"here": "only"}))
    assert here.session_config.max_retries == 3
    assert (here.metadata, there.metadata) == ({"here": "only"}, {})
    handle = await here.publish(b"x")
    await there.get_message(5)
    await handle.wait_for(5)
    with pytest.raises(ConfigError, match="session_type"):
        here.set_session_config(SessionConfiguration.Group(0.5, 3))
    with pytest.raises(ConfigError, match="mls_enabled"):
        here.set_session_config(SessionConfiguration.PointToPoint(0.5, 3, mls_enabled=True))


async def test_a_best_effort_session_stays_one(process: AppStage) -> None:
    _, _, here, _ = await pair(process, SessionConfiguration.PointToPoint())
    with pytest.raises(ConfigError, match="cannot become reliable"):
        here.set_session_config(RELIABLE)


async def test_blocks_close_what_they_open(stage: AppStage) -> None:
    alice, bob = await stage.app("alice"), await stage.app("bob")
    await stage.route(alice, "bob")
    async with alice, bob:
        async with await alice.create_session(name("bob"), RELIABLE) as session:
            await session.publish(b"one")
            there = await bob.listen_for_session(5)
        assert session.closed
        assert [message.payload async for message in there] == [b"one"]
        async with alice.session(name("bob")) as session:
            async for inbound in bob.sessions():
                assert inbound.id == session.id
                break
    with pytest.raises(SessionClosed, match="the application is closed"):
        await alice.create_session(name("bob"), RELIABLE)


async def test_requests_and_replies(stage: AppStage) -> None:
    alice, bob = await stage.app("alice"), await stage.app("bob")
    await stage.route(alice, "bob")

    async def serve() -> None:
        async for message in await bob.listen_for_session(5):
            await message.reply(message.payload[::-1])

    server = asyncio.create_task(serve())
    async with alice.session(name("bob")) as session:
        answers = await asyncio.gather(*(session.request(b"%d0" % number, 5) for number in range(1, 9)))
        assert [answer.payload for answer in answers] == [b"0%d" % number for number in range(1, 9)]
    await server


async def test_a_request_without_answer_times_out(process: AppStage) -> None:
    _, _, here, _ = await pair(process)
    with pytest.raises(SlimTimeout, match="timed out"):
        await here.request(b"anybody?", 0.05)


async def test_a_group_by_the_short_spelling(stage: AppStage) -> None:
    mo = await stage.app("mo")
    members = [await stage.app(member) for member in ("m0", "m1")]
    await stage.route(mo, "m0", "m1")
    async with mo.group(name("channel"), [name("m0"), name("m1")]) as channel:
        assert len(channel.members) == 3
        ends = [await member.listen_for_session(5) for member in members]
        await channel.publish(b"hello")
        for end in ends:
            message = await end.get_message(5)
            await message.reply(b"hello you")
        assert [(await channel.get_message(5)).payload for _ in ends] == [b"hello you"] * 2
        for end in ends:
            with pytest.raises(SlimTimeout):
                await end.get_message(0.02)


async def test_ten_thousand_publishes_without_awaiting_a_handle(process: AppStage) -> None:
    _, _, here, there = await pair(process)

    async def publish() -> None:
        for number in range(10_000):
            await here.publish(b"%d" % number)

    publishing = asyncio.create_task(publish())
    for number in range(10_000):
        assert (await there.get_message(10)).payload == b"%d" % number
    await publishing


async def test_an_inbox_for_a_single_message_is_enough(process: AppStage) -> None:
    alice, bob = await process.app("alice"), await process.app("bob", settings=AppSettings(inbox=1))
    here = await alice.create_session(name("bob"), RELIABLE)
    await here.established
    there = await bob.listen_for_session(5)
    handles = [await here.publish(b"%d" % number) for number in range(200)]
    assert [(await there.get_message(5)).payload for _ in range(200)] == [b"%d" % n for n in range(200)]
    for handle in handles:
        await handle.wait_for(5)


async def test_a_receiver_that_does_not_take_holds_the_publisher(process: AppStage) -> None:
    """Flow control reaches from end to end: what nobody takes is not piled up."""
    alice, bob = await process.app("alice"), await process.app("bob", settings=AppSettings(inbox=64))
    here = await alice.create_session(name("bob"), RELIABLE)
    await here.established
    there = await bob.listen_for_session(5)
    published = 0
    with pytest.raises(TimeoutError):
        while True:
            await asyncio.wait_for(here.publish(b"x"), 0.2)
            published += 1
    assert 512 <= published <= 512 + 64 + 64
    here.close(0.0)
    there.close(0.0)
