"""App and SessionContext as programs of 0.7 use them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from actors.errors import NotConnected, SessionClosed, SessionError, SlimTimeout
from gateway import App, CompletionHandle, Session, SessionConfiguration, SessionContext, SessionType, Slim
from gateway.compat.lower import OneTimeHandle
from tests.gateway.app_stage import AppStage, identity, name

RELIABLE = SessionConfiguration.PointToPoint(timedelta(seconds=1), 5)


async def pair(stage: AppStage) -> tuple[App, App, SessionContext, SessionContext]:
    alice, bob = await stage.lower("alice"), await stage.lower("bob")
    if stage.networked:
        connection = alice.slim.data_plane.dialled()[f"http://{stage.endpoint}"]
        await alice.set_route(name("bob"), connection)
    here, established = await alice.create_session(name("bob"), RELIABLE)
    await established
    return alice, bob, here, await bob.listen_for_session(timedelta(seconds=5))


async def test_round_trip_with_positional_fanout(stage: AppStage) -> None:
    alice, bob, here, there = await pair(stage)
    assert here.id == there.id
    assert (alice.id, alice.name) == (alice.slim.id, alice.slim.local_name)
    assert (here.src, there.dst, there.src) == (alice.name, alice.name, bob.name)
    assert here.session_type is SessionType.PointToPoint
    assert there.session_config == here.session_config == RELIABLE
    assert here.metadata == {}
    handle = await here.publish(1, [1, 2, 3], name=name("bob"))
    context, payload = await there.get_message(5)
    assert payload == b"\1\2\3"
    await handle
    reply = await there.publish(1, payload, message_ctx=context, name=name("elsewhere"))
    assert (await here.get_message(5))[1] == b"\1\2\3"
    await reply
    second = await there.publish_to(context, b"again", "kind", {"k": "v"})
    context, payload = await here.get_message(5)
    assert (payload, context.payload_type, context.metadata) == (b"again", "kind", {"k": "v"})
    await second


async def test_a_name_does_not_change_the_bound_peer(stage: AppStage) -> None:
    _, _, here, there = await pair(stage)
    await here.publish(1, b"x", name=name("nobody"))
    assert (await there.get_message(5))[1] == b"x"


async def test_a_handle_of_this_layer_is_awaited_once(stage: AppStage) -> None:
    _, _, here, there = await pair(stage)
    handle = await here.publish(1, b"x")
    await there.get_message(5)
    await handle
    assert handle.done()
    with pytest.raises(SessionError, match=r"^No future found\. Did you call await twice\?$"):
        await handle


async def test_closed_sessions_say_so(stage: AppStage) -> None:
    alice, _, here, there = await pair(stage)
    await (await alice.delete_session(here))
    with pytest.raises(SessionClosed, match="session closed"):
        await here.publish(1, b"x", name=name("bob"))
    with pytest.raises(SessionClosed, match="session closed"):
        await alice.delete_session(here)
    with pytest.raises(SessionClosed, match="session closed"):
        await there.get_message(5)


async def test_a_group_in_this_layer(process: AppStage) -> None:
    mo, member = await process.lower("mo"), await process.lower("m0")
    context, established = await mo.create_session(name("channel"), SessionConfiguration.Group(1.0, 3))
    await established
    await (await context.invite(name("m0")))
    there = await member.listen_for_session(5)
    assert there.dst == name("channel")
    await (await context.remove(name("m0")))
    with pytest.raises(SessionClosed):
        await there.get_message(5)


async def test_connecting_subscribes_nothing() -> None:
    stage = AppStage("server")
    await stage.start()
    try:
        alice, bob = await stage.lower("alice"), App(name("bob"), *identity("bob"), True)
        to_node = await alice.slim.data_plane.connect(_other(stage))
        connection = await bob.connect(stage.client_config)
        await alice.set_route(name("bob"), to_node)
        context, established = await alice.create_session(name("bob"), SessionConfiguration.PointToPoint())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(established, 0.2)
        await alice.delete_session(context)
        await bob.subscribe(bob.name, connection)
        context, established = await alice.create_session(name("bob"), RELIABLE)
        await established.wait_for(5)
        await (await alice.delete_session(context))
        await bob.unsubscribe(bob.name, connection)
        await alice.remove_route(name("bob"), to_node)
        await bob.disconnect(connection)
        with pytest.raises(NotConnected):
            await bob.disconnect(connection)
        await bob.slim.close(0.5)
    finally:
        await stage.close()


def _other(stage: AppStage) -> object:
    """A second connection to the same node: another spelling of its endpoint."""
    from gateway.config import ClientConfig

    return ClientConfig.read({**stage.client_config, "endpoint": f"http://{stage.endpoint}/"})


async def test_timeouts_are_those_of_sessions(process: AppStage) -> None:
    alice = await process.lower("alice")
    with pytest.raises(SlimTimeout, match="timed out"):
        await alice.listen_for_session(timedelta(milliseconds=20))


async def test_servers() -> None:
    app = App(name("server"), *identity("server"), True)
    endpoint = await app.run_server({"endpoint": "127.0.0.1:0", "tls": {"insecure": True}})
    assert endpoint.startswith("127.0.0.1:")
    with pytest.raises(NotConnected, match="server not found"):
        await app.stop_server("127.0.0.1:1")
    await app.stop_server("127.0.0.1:0")
    await app.slim.close()


async def test_both_layers_share_their_objects(process: AppStage) -> None:
    alice = await process.lower("alice")
    context, _ = await alice.create_session(name("bob"), SessionConfiguration.PointToPoint())
    assert isinstance(alice.slim, Slim)
    assert isinstance(context.session, Session)
    assert context.id == context.session.id
    assert repr(context.session) in repr(context)
    assert str(alice.name) in repr(alice)


async def test_a_one_time_handle_passes_on_its_outcome() -> None:
    inner = CompletionHandle()
    handle = OneTimeHandle(inner)
    assert not handle.done()
    handle.finish(ValueError("no"))
    assert inner.done()
    with pytest.raises(ValueError, match="no"):
        await handle.wait_for(1)
    assert "OneTimeHandle" in repr(handle)
