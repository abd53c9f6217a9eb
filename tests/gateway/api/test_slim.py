"""Slim: what is not about sessions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway import (
    AlreadyConnected,
    ConfigError,
    ConnectionLost,
    DataPlane,
    NotConnected,
    SessionClosed,
    SessionConfiguration,
    Slim,
    SlimError,
)
from tests.gateway.app_stage import AppStage, identity, name

PLAIN = {"tls": {"insecure": True}}


async def test_who_it_is(process: AppStage) -> None:
    app = await process.app("app")
    assert app.local_name == name("app").with_id(app.id)
    assert app.id_str == f"org/default/app/{app.id}"
    assert str(app.local_name) in repr(app)
    assert "secret" not in repr(app)


async def test_equal_names_are_different_instances(process: AppStage) -> None:
    first, second = await process.app("app"), await process.app("app")
    assert first.id != second.id


async def test_provider_and_verifier_are_told_apart() -> None:
    provider, _ = identity("app")
    with pytest.raises(ConfigError, match="provider: expected an IdentityProvider, got str"):
        Slim(name("app"), "secret", provider)  # type: ignore[arg-type]


async def test_connecting_twice_and_nowhere() -> None:
    stage = AppStage("server")
    await stage.start()
    try:
        app = await stage.app("app")
        with pytest.raises(AlreadyConnected, match="client already connected"):
            await app.connect(stage.client_config)
        await app.disconnect(stage.client_config["endpoint"])
        with pytest.raises(NotConnected):
            await app.disconnect(stage.client_config["endpoint"])
        with pytest.raises(NotConnected, match="no connection with id 99"):
            await app.disconnect(99)
        await stage.node.stop_server("127.0.0.1:0", 0.1)
        with pytest.raises(ConnectionLost):
            await app.connect(stage.client_config)
        with pytest.raises(ConfigError, match='did you mean "tls"'):
            await app.connect({"endpoint": "http://127.0.0.1:1", "tsl": {}})
    finally:
        await stage.close()


async def test_servers_of_an_application() -> None:
    async with Slim(name("app"), *identity("app"), True) as app:
        await app.stop_server("127.0.0.1:1")  # Nothing was ever run: said in the log only.
        address = await app.run_server({"endpoint": "127.0.0.1:0", **PLAIN})
        async with Slim(name("client"), *identity("client"), True) as client:
            assert await client.connect({"endpoint": f"http://{address}", **PLAIN}) > 0
        with pytest.raises(NotConnected, match="server not found"):
            await app.stop_server("127.0.0.1:1")
        await app.stop_server("127.0.0.1:0")


async def test_routes_without_connection() -> None:
    async with Slim(name("own"), *identity("own"), True) as own:
        with pytest.raises(RuntimeError, match=r"No active connection\. Please connect first\."):
            await own.set_route(name("peer"))
        with pytest.raises(NotConnected):
            await own.remove_route(name("peer"))
    async with Slim(name("shared"), *identity("shared")) as shared:
        await shared.set_route(name("peer"))
        await shared.remove_route(name("peer"))


async def test_a_route_set_before_the_connection_holds_after_it() -> None:
    stage = AppStage("server")
    await stage.start()
    try:
        bob = await stage.app("bob")
        alice = Slim(name("alice"), *identity("alice"))
        await alice.set_route(name("bob"))
        await alice.connect(stage.client_config)
        async with alice.session(name("bob")):
            assert (await bob.listen_for_session(5)).dst == alice.local_name
        await alice.remove_route(name("bob"))
        await alice.close()
    finally:
        await stage.close()


async def test_further_names(stage: AppStage) -> None:
    alice, bob = await stage.app("alice"), await stage.app("bob")
    await bob.subscribe(name("robert"))
    await stage.route(alice, "robert")
    async with alice.session(name("robert")):
        assert (await bob.listen_for_session(5)).src == name("robert").with_id(bob.id)
    await bob.unsubscribe(name("robert"))
    with pytest.raises(SlimError, match="not subscribed"):
        await bob.unsubscribe(name("robert"))


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((), "session_config"),
        ((name("bob"),), "session_config"),
        ((SessionConfiguration.Group(),), "destination"),
    ],
)
async def test_sessions_need_a_kind_and_a_peer(
    process: AppStage, arguments: tuple[Any, ...], field: str
) -> None:
    app = await process.app("app")
    with pytest.raises(ConfigError) as caught:
        await app.create_session(*arguments)
    assert caught.value.field == field


async def test_closing_answers_who_listens(process: AppStage) -> None:
    app = await process.app("app")
    waiting = asyncio.create_task(app.listen_for_session())
    following = asyncio.create_task(_all(app))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await app.close()
    with pytest.raises(SessionClosed, match="the application is closed"):
        await waiting
    assert await following == []
    await app.close()


async def _all(app: Slim) -> list[Any]:
    return [session async for session in app.sessions()]


async def test_a_closed_data_plane_is_said() -> None:
    plane = DataPlane(strict=True)
    app = Slim(name("app"), *identity("app"), data_plane=plane)
    await plane.close(0.1)
    with pytest.raises(SessionClosed, match="data plane"):
        await app.create_session(name("bob"), SessionConfiguration.PointToPoint())
    await asyncio.wait_for(app.close(), 1)


async def test_states_of_connections() -> None:
    stage = AppStage("server")
    await stage.start()
    try:
        app = await stage.app("app", connect=False)
        states = app.connection_states()
        first = asyncio.ensure_future(anext(states))
        await asyncio.sleep(0)
        connection = await app.connect(stage.client_config)
        state = await first
        assert state.connection == connection
        await states.aclose()
    finally:
        await stage.close()
