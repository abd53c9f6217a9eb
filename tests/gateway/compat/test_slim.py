"""Programs of 0.3.6 to 0.6, in their own spelling."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from actors.errors import (
    AlreadyConnected,
    MessageUndelivered,
    NotConnected,
    SessionClosed,
    SessionError,
    SlimTimeout,
)
from gateway import ConfigError, SessionConfiguration
from gateway import compat as slim_bindings
from gateway.compat.slim import OlderSession, Slim, older
from gateway.node.data_plane import DataPlane
from tests.gateway.app_stage import AppStage, identity, name

FireAndForget = slim_bindings.PySessionConfiguration.FireAndForget
Streaming = slim_bindings.PySessionConfiguration.Streaming
BOTH = slim_bindings.PySessionDirection.BIDIRECTIONAL
RELIABLE = FireAndForget(timeout=timedelta(seconds=1), max_retries=5)


async def apps(stage: AppStage, *names: str) -> list[Slim]:
    return [await stage.app(app, kind=Slim) for app in names]


def within(awaitable: Any, seconds: float = 5.0) -> Any:
    return asyncio.wait_for(awaitable, seconds)


# 0.3.6 to 0.5


async def test_fire_and_forget(stage: AppStage) -> None:
    slim1, slim2 = await apps(stage, "slim1", "slim2")
    await stage.route(slim2, "slim1")
    info = await slim2.create_session(RELIABLE)
    async with slim1, slim2:
        await slim2.publish(info, [1, 2, 3], name("slim1"), "numbers", {"k": "v"})
        inbound, first = await within(slim1.receive())
        assert first == b"\1\2\3"
        # What told of the session comes again, in the session.
        inbound, payload = await within(slim1.receive(session=inbound.id))
        assert payload == b"\1\2\3"
        assert inbound.id == info.id
        assert inbound.source_name == slim2.local_name
        assert inbound.destination_name.equal_without_id(name("slim1"))
        assert (inbound.payload_type, inbound.metadata) == ("numbers", {"k": "v"})
        await slim1.publish_to(inbound, payload)
        _, payload = await within(slim2.receive(session=info.id))
        assert payload == b"\1\2\3"
        await slim1.publish(inbound, b"by name", slim2.local_name)
        assert (await within(slim2.receive(session=info.id)))[1] == b"by name"
    await slim1.delete_session(info.id)
    await slim2.delete_session(info.id)
    with pytest.raises(SessionError, match="session not found"):
        await slim1.publish(inbound, b"x", name("slim2"))
    with pytest.raises(ValueError, match=r"^session not found: 123456789$"):
        await slim1.delete_session(123456789)


async def test_request_and_reply(stage: AppStage) -> None:
    client, server = await apps(stage, "client", "server")
    await stage.route(client, "server")

    async def serve() -> None:
        info, _ = await server.receive()
        info, request = await server.receive(session=info.id)
        await server.publish_to(info, request.upper())

    async with client, server:
        serving = asyncio.create_task(serve())
        info = await client.create_session(RELIABLE)
        answered, reply = await client.request_reply(info, b"hello", name("server"), timedelta(seconds=5))
        assert (answered.id, reply) == (info.id, b"HELLO")
        await serving
        with pytest.raises(asyncio.TimeoutError):
            await client.request_reply(info, b"again", name("server"), timeout=timedelta(seconds=0.05))


async def test_one_session_publishes_to_several(process: AppStage) -> None:
    alice, bob, carol = await apps(process, "alice", "bob", "carol")
    async with alice, bob, carol:
        info = await alice.create_session(RELIABLE)
        provisional = info.id
        for peer, app in (("bob", bob), ("carol", carol)):
            await alice.publish(info, peer.encode(), name(peer))
            inbound, payload = await within(app.receive())
            assert payload == peer.encode()
            await app.publish_to(inbound, b"I am " + payload)
        assert {(await within(alice.receive(provisional)))[1] for _ in range(2)} == {
            b"I am bob",
            b"I am carol",
        }
        assert provisional != info.id < 2**32
        await within(await alice.delete_session(info))
        for id in (provisional, info.id):
            with pytest.raises(ValueError, match="session not found"):
                await alice.get_session_config(id)


async def test_a_channel_with_a_moderator(stage: AppStage) -> None:
    mo, m0, m1 = await apps(stage, "mo", "m0", "m1")
    await stage.route(mo, "m0", "m1")
    config = Streaming(BOTH, topic=name("chat"), moderator=True, max_retries=5, timeout=timedelta(seconds=1))
    info = await mo.create_session(config, queue_size=16)
    assert await mo.get_session_config(info.id) is config
    for member in ("m0", "m1"):
        await mo.invite(info, name(member))
    async with mo, m0, m1:
        await mo.publish(info, b"hello all", name("chat"))
        for member in (m0, m1):
            inbound, _ = await within(member.receive())
            assert inbound.id == info.id
            assert (await within(member.receive(session=inbound.id)))[1] == b"hello all"
        await m0.publish(inbound, b"from m0", name("chat"))
        for app in (mo, m1):
            assert (await within(app.receive(session=info.id)))[1] == b"from m0"
        await mo.remove(info, name("m1"))
        with pytest.raises(SessionClosed):
            await within(m1.receive(session=info.id))
        with pytest.raises(SessionClosed):
            await within(m1.receive(session=info.id))
        await within(await mo.delete_session(info.id))
        with pytest.raises(SessionClosed):
            await within(m0.receive(session=info.id))


async def test_publish_and_subscribe_without_members_is_refused(process: AppStage) -> None:
    (app,) = await apps(process, "app")
    with pytest.raises(ConfigError, match="invite the others"):
        await app.create_session(Streaming(slim_bindings.PySessionDirection.SENDER, name("chat")))


async def test_nothing_is_received_outside_the_block(process: AppStage) -> None:
    alice, bob = await apps(process, "alice", "bob")
    info = await alice.create_session(RELIABLE)
    await alice.publish(info, b"one", name("bob"))
    with pytest.raises(TimeoutError):
        await within(bob.receive(), 0.05)
    async with bob:
        inbound, first = await within(bob.receive())
        assert first == b"one"
        await within(bob.receive(inbound.id))
    await alice.publish(info, b"two", name("bob"))
    with pytest.raises(TimeoutError):
        await within(bob.receive(inbound.id), 0.05)
    async with bob:
        assert (await within(bob.receive(inbound.id)))[1] == b"two"


async def test_a_queue_of_one_loses_nothing(process: AppStage) -> None:
    alice, bob = await apps(process, "alice", "bob")
    info = await alice.create_session(RELIABLE, 1)
    async with alice, bob:
        await alice.publish(info, b"start", name("bob"))
        inbound, _ = await within(bob.receive())
        for number in range(100):
            await bob.publish_to(inbound, b"%d" % number)
        received = [(await within(alice.receive(info.id)))[1] for _ in range(100)]
        assert received == [b"%d" % number for number in range(100)]


async def test_unknown_sessions(process: AppStage) -> None:
    (app,) = await apps(process, "app")
    with pytest.raises(SessionError, match="Session ID not found: 5"):
        await app.receive(session=5)
    with pytest.raises(ValueError, match=r"^session not found: 5$"):
        await app.get_session_config(5)
    with pytest.raises(ValueError, match=r"^session not found: 5$"):
        await app.set_session_config(5, FireAndForget())
    with pytest.raises(SessionError, match="session not found: 5"):
        await app.publish(slim_bindings.PySessionInfo(5), b"x", name("bob"))


async def test_a_session_without_message_answers_nobody(process: AppStage) -> None:
    (app,) = await apps(process, "app")
    info = await app.create_session(FireAndForget())
    with pytest.raises(SessionError, match="nothing was received"):
        await app.publish_to(info, b"x")
    with pytest.raises(SessionError, match="nothing was received"):
        _ = info.source_name
    with pytest.raises(SessionError, match="only a channel has members"):
        await app.invite(info, name("bob"))
    assert str(info.id) in repr(info)


def test_what_nobody_acknowledged_is_a_timeout() -> None:
    error = older(MessageUndelivered(7))
    assert isinstance(error, slim_bindings.SLIMTimeoutError)
    assert error.message_id == 7
    assert older(SessionClosed("gone")).args == ("session closed: gone",)


async def test_configurations_of_sessions(process: AppStage) -> None:
    alice, bob = await apps(process, "alice", "bob")
    async with alice, bob:
        info = await alice.create_session(RELIABLE)
        assert await alice.get_session_config(info.id) == RELIABLE
        await alice.publish(info, b"x", name("bob"))
        changed = FireAndForget(timedelta(seconds=2), 3)
        for call in ({"session": info.id}, {"session": info}, {"session_id": info.id}):
            await alice.set_session_config(**call, session_config=RELIABLE)
            assert await alice.get_session_config(info.id) is RELIABLE
            await alice.set_session_config(**call, session_config=changed)
            assert await alice.get_session_config(info.id) is changed
        today = await alice.create_session(name("bob"), SessionConfiguration.PointToPoint(1.0, 5))
        await alice.set_session_config(today.id, SessionConfiguration.PointToPoint(0.5, 3))
        assert today.session_config.max_retries == 3
        inbound, _ = await within(bob.receive())
        assert (await bob.get_session_config(inbound.id)).max_retries == 5


async def test_default_configurations_are_kept(process: AppStage) -> None:
    (app,) = await apps(process, "app")
    types = slim_bindings.PySessionType
    assert isinstance(await app.get_default_session_config(types.FIRE_AND_FORGET), FireAndForget)
    app.set_default_session_config(RELIABLE)
    assert await app.get_default_session_config(types.FIRE_AND_FORGET) is RELIABLE
    receiving = Streaming(slim_bindings.PySessionDirection.RECEIVER, name("chat"), False, 12345)
    await app.set_default_session_config(receiving)
    assert await app.get_default_session_config(types.STREAMING) == receiving
    with pytest.raises(ConfigError, match="cannot change session direction"):
        app.set_default_session_config(Streaming(slim_bindings.PySessionDirection.SENDER, name("chat")))


async def test_made_by_new(process: AppStage) -> None:
    app = await slim_bindings.Slim.new(slim_bindings.PyName("org", "default", "new"), *identity("new"))
    assert app.get_id() == app.id == app.local_name.id
    await app.close()


async def test_applications_of_one_process_connect_to_one_node() -> None:
    stage = AppStage("server")
    await stage.start()
    plane = DataPlane(strict=True)
    slims = [Slim(name(app), *identity(app), data_plane=plane) for app in ("slim1", "slim2")]
    slim1, slim2 = slims
    try:
        ids = await asyncio.gather(*(slim.connect(stage.client_config) for slim in slims))
        assert ids[0] == ids[1]
        with pytest.raises(AlreadyConnected):
            await slim1.connect(stage.client_config)
        outside = await stage.app("outside")
        await stage.route(outside, "slim1", "slim2")
        for peer, slim in (("slim1", slim1), ("slim2", slim2)):
            async with outside.session(name(peer)):
                assert (await slim.listen_for_session(5)).dst == outside.local_name
        endpoint = stage.client_config["endpoint"]
        await slim1.disconnect(endpoint)
        session = await outside.create_session(name("slim1"), RELIABLE)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.established, 0.1)
        async with outside.session(name("slim2")):
            pass
        await slim2.disconnect(ids[1])
        for slim in slims:
            with pytest.raises(NotConnected):
                await slim.disconnect(endpoint)
        await slim1.connect(stage.client_config)
    finally:
        for slim in slims:
            await slim.close(0.5)
        await plane.close(0.5)
        await stage.close()


def test_a_conversation_chooses_the_session_by_peer() -> None:
    conversation = OlderSession(1, RELIABLE)
    assert conversation.open_session(name("bob")) is None
    assert not conversation.over


# 0.6


async def test_a_session_of_0_6(stage: AppStage) -> None:
    alice, bob = await apps(stage, "alice", "bob")
    await stage.route(alice, "bob")
    config = slim_bindings.PySessionConfiguration.PointToPoint(
        peer_name=name("bob"), max_retries=5, timeout=timedelta(seconds=1), metadata={"a": "b"}
    )
    session = await alice.create_session(config)
    assert isinstance(session, slim_bindings.PySession)
    await session.publish(b"hello")
    there = await bob.listen_for_session(timeout=timedelta(seconds=5))
    assert there.metadata == {"a": "b"}
    context, payload = await within(there.recv())
    await there.publish_to(context, payload.upper())
    assert (await within(session.get_message()))[1] == b"HELLO"
    await session.delete()
    with pytest.raises(SessionClosed, match="session closed"):
        await within(there.recv())


async def test_a_group_of_0_6(stage: AppStage) -> None:
    mo, member = await apps(stage, "mo", "m0")
    await stage.route(mo, "m0")
    config = slim_bindings.PySessionConfiguration.Group(
        channel_name=name("chat"), max_retries=5, timeout=timedelta(seconds=1)
    )
    session = await mo.create_session(config)
    await session.invite(name("m0"))
    there = await member.listen_for_session(timeout=timedelta(seconds=5))
    await session.remove(name("m0"))
    with pytest.raises(SessionClosed):
        await within(there.get_message())
    await mo.delete_session(session)


async def test_a_timed_out_wait_leaves_messages_alone(process: AppStage) -> None:
    alice, bob = await apps(process, "alice", "bob")
    session = await alice.create_session(name("bob"), slim_bindings.SessionConfiguration.PointToPoint())
    there = await bob.listen_for_session(5)
    with pytest.raises(SlimTimeout):
        await there.get_message(0.02)
    await session.publish(b"x")
    assert (await there.get_message(5)).payload == b"x"
