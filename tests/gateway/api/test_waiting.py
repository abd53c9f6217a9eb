"""Nobody waits for what cannot come: applications hear of lost connections and of oversized messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from loguru import logger

from actors.errors import ConnectionLost, MessageLost, MessageTooLarge, SlimTimeout
from gateway import Name, Slim
from gateway.config import ServerConfig
from gateway.node.data_plane import DataPlane
from identity.shared_secret import SharedSecretProvider, SharedSecretVerifier

SECRET = "a secret of thirty-two characters"
ALICE, BOB = Name("org", "ns", "alice"), Name("org", "ns", "bob")


@asynccontextmanager
async def application(name: Name) -> AsyncIterator[Slim]:
    provider, verifier = (
        SharedSecretProvider("/".join(name.strings), SECRET),
        SharedSecretVerifier("app", SECRET),
    )
    app = Slim(name, provider, verifier, local_service=True)
    try:
        yield app
    finally:
        await app.close(0.2)


@asynccontextmanager
async def node(**options: object) -> AsyncIterator[tuple[DataPlane, dict[str, object]]]:
    """A node, and how to connect to it with little patience."""
    plane = DataPlane(strict=True)
    listening = {"endpoint": "127.0.0.1:0", "tls": {"insecure": True}, **options}
    address = await plane.serve(ServerConfig.read(listening))
    backoff = {"type": "fixed", "interval": 0.01, "max_attempts": 2}
    try:
        yield plane, {"endpoint": f"http://{address}", "tls": {"insecure": True}, "backoff": backoff}
    finally:
        await plane.close(0.5)


async def test_sessions_and_listeners_hear_of_a_connection_lost_for_good() -> None:
    async with node() as (plane, config), application(ALICE) as alice, application(BOB) as bob:
        await bob.connect(config)
        await alice.connect(config)
        await alice.set_route(BOB)
        mine = await alice.session(BOB, timeout=30.0)
        theirs = await bob.listen_for_session(10.0)
        await mine.publish(b"one")
        assert (await theirs.get_message(10.0))[1] == b"one"
        await plane.close(0.5)
        for session in (mine, theirs):
            with pytest.raises(ConnectionLost, match="gave up after 2 attempts"):
                await session.get_message(10.0)
        # Later there is nothing to wait for that is not known already.
        with pytest.raises(SlimTimeout):
            await bob.listen_for_session(0.01)


async def test_a_listener_hears_of_the_last_connection() -> None:
    async with node() as (plane, config), application(BOB) as bob:
        await bob.connect(config)
        await plane.stop_server("127.0.0.1:0")
        with pytest.raises(ConnectionLost, match="gave up after 2 attempts"):
            await bob.listen_for_session(10.0)


async def test_unacknowledged_messages_fail_with_the_connection() -> None:
    async with node() as (plane, config), application(ALICE) as alice, application(BOB) as bob:
        await bob.connect(config)
        await alice.connect(config)
        await alice.set_route(BOB)
        session = await alice.session(BOB, timeout=30.0)
        await plane.stop_server("127.0.0.1:0")
        handle = await session.publish(b"nobody will acknowledge this")
        with pytest.raises(ConnectionLost):
            await handle


@pytest.mark.parametrize("timeout", [0.2, None])
async def test_an_oversized_message_fails_where_it_was_published(timeout: float | None) -> None:
    async with node() as (_, config), application(ALICE) as alice, application(BOB) as bob:
        await bob.connect(config)
        await alice.connect(config | {"max_message_size": 100_000})
        await alice.set_route(BOB)
        session = await alice.session(BOB, timeout=timeout)
        theirs = await bob.listen_for_session(10.0)
        handle = await session.publish(b"x" * 100_000)
        if timeout is not None:
            with pytest.raises(MessageTooLarge, match="max_message_size") as refused:
                await handle
            assert refused.value.limit == 100_000 < refused.value.size
        with pytest.raises(MessageTooLarge):
            await session.get_message(10.0)
        await session.publish(b"small")
        if timeout is not None:
            with pytest.raises(MessageLost):
                await theirs.get_message(10.0)
        assert (await theirs.get_message(10.0))[1] == b"small"


async def test_a_message_that_is_too_large_for_the_node_alone_is_a_warning_with_its_limit() -> None:
    """The node ends the stream, and nobody knows which message of it was meant."""
    told: asyncio.Queue[str] = asyncio.Queue()
    sink = logger.add(told.put_nowait, level="WARNING", format="{message} {extra}")
    async with (
        node(max_message_size=100_000) as (_, config),
        application(ALICE) as alice,
        application(BOB) as bob,
    ):
        await bob.connect(config)
        await alice.connect(config)
        await alice.set_route(BOB)
        session = await alice.session(BOB, timeout=None)
        await session.publish(b"x" * 100_000)
        line = await asyncio.wait_for(told.get(), 10)
    logger.remove(sink)
    assert line.startswith("connection lost")
    assert "the limit is 100000" in line
