"""Encrypted sessions with spiffe-helper's files: the SVID signs the key, and nothing is unbound."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actors.errors import HandshakeFailed
from gateway import SessionConfiguration, Slim
from gateway.config import ServerConfig
from gateway.node.data_plane import DataPlane
from tests.gateway.app_stage import PLAIN
from tests.gateway.planes import plane
from tests.identity.spiffe.helper_files import HelperFolder
from tests.identity.spiffe.trust import Authority

ALICE, BOB, CHANNEL = "org/demo/alice", "org/demo/bob", "org/demo/channel"


@contextlib.asynccontextmanager
async def over_a_node() -> AsyncIterator[tuple[DataPlane, DataPlane, str]]:
    """The data planes of two applications, and where their node listens."""
    async with plane() as node, plane() as first, plane() as second:
        where = await node.serve(ServerConfig.read({"endpoint": "127.0.0.1:0", "tls": PLAIN}))
        yield first, second, f"http://{where}"


def folders(tmp_path: Path) -> tuple[HelperFolder, HelperFolder]:
    domain = Authority()
    alice, bob = (HelperFolder(tmp_path / who, domain, f"/{who}") for who in ("alice", "bob"))
    return alice, bob


async def both(
    held: contextlib.AsyncExitStack,
    alice: tuple[HelperFolder, DataPlane],
    bob: tuple[HelperFolder, DataPlane],
    where: str,
) -> tuple[Slim, Slim]:
    """The two applications, connected; the first has a route to the second."""
    asking, answering = (
        Slim(name, folder.provider(), folder.verifier(), data_plane=plane)
        for name, (folder, plane) in ((ALICE, alice), (BOB, bob))
    )
    for app in (asking, answering):
        await held.enter_async_context(app)
        await app.connect(where)
    await asking.set_route(BOB)
    return asking, answering


async def test_two_applications_over_a_node(tmp_path: Path) -> None:
    alice, bob = folders(tmp_path)
    async with over_a_node() as (first, second, where), contextlib.AsyncExitStack() as held:
        held.enter_context(warnings.catch_warnings(action="error"))
        asking, answering = await both(held, (alice, first), (bob, second), where)
        answering.require(mls=True)
        async with asking.group(CHANNEL, [BOB], mls=True) as led:
            joined = await answering.listen_for_session(5)
            await (await led.publish(b"good evening"))
            assert (await joined.get_message(5)).payload == b"good evening"
            assert joined.fingerprint == led.fingerprint != ""
            # Both files are replaced: the next session is of the new key.
            bob.renew()
            alice.renew()
        async with asking.session(BOB, mls=True) as session:
            await (await session.publish(b"again"))


async def test_an_svid_of_somebody_else_opens_nothing(tmp_path: Path) -> None:
    alice, bob = folders(tmp_path)
    alice.write_svid("/alice", Authority())
    async with over_a_node() as (first, second, where), contextlib.AsyncExitStack() as held:
        asking, _ = await both(held, (alice, first), (bob, second), where)
        config = SessionConfiguration.PointToPoint(0.1, 3, mls_enabled=True)
        session = await asking.create_session(BOB, config)
        with pytest.raises(HandshakeFailed):
            await session.established
