"""Who may talk to whom among originals: shared secrets, signed tokens, token files, published keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.interop import scenarios
from tests.interop.harness import (
    Identity,
    Jwt,
    OriginalApp,
    OriginalNode,
    PeerError,
    Secret,
    requires_originals,
)
from tests.interop.issuer import KEYS, Issuer

pytestmark = [pytest.mark.originals, requires_originals]

AUDIENCE = ["callboard"]


@asynccontextmanager
async def people(alice: Identity, bob: Identity) -> AsyncIterator[tuple[OriginalApp, OriginalApp]]:
    """Alice and bob on a node of their own."""
    async with (
        OriginalNode() as node,
        OriginalApp("bob", node.endpoint, identity=bob) as receiver,
        OriginalApp("alice", node.endpoint, identity=alice) as sender,
    ):
        yield sender, receiver


async def talk(alice: Identity, bob: Identity, *, mls: bool = False) -> None:
    """Alice opens a session with bob and each hears the other."""
    async with people(alice, bob) as (sender, receiver):
        ends = await scenarios.pair(sender, receiver, mls=mls)
        await scenarios.flood(ends[0], [ends[1]], 3, "alice")
        await scenarios.flood(ends[1], [ends[0]], 3, "bob")


async def refused(alice: Identity, bob: Identity) -> None:
    """Bob sees no session of alice's."""
    async with people(alice, bob) as (sender, receiver):
        await sender.set_route("bob")
        opening = asyncio.create_task(sender.create_session("bob", interval=0.1, max_retries=3))
        with pytest.raises(PeerError, match="timed out"):
            await receiver.listen(timeout=0.6)
        with pytest.raises(PeerError):
            await opening


async def test_another_secret_is_refused() -> None:
    await refused(Secret(), Secret("another-secret-of-more-than-32-bytes"))


@pytest.mark.parametrize("mls", [False, True], ids=["plain", "mls"])
async def test_signed_tokens(mls: bool) -> None:
    issuer = Issuer()
    identity = Jwt(
        private=issuer.private,
        public=issuer.public,
        issuer="https://issuer.example",
        audience=AUDIENCE,
        verify_audience=AUDIENCE,
        verify_issuer="https://issuer.example",
    )
    await talk(identity, identity, mls=mls)


async def test_a_token_for_another_audience_is_refused() -> None:
    issuer = Issuer()

    def identity(audience: list[str], expected: list[str]) -> Jwt:
        return Jwt(private=issuer.private, public=issuer.public, audience=audience, verify_audience=expected)

    await refused(identity(["elsewhere"], AUDIENCE), identity(AUDIENCE, AUDIENCE))


async def test_keys_are_found_by_the_issuer() -> None:
    async with Issuer() as issuer:
        identity = Jwt(private=issuer.private, issuer=issuer.url, audience=AUDIENCE, verify_audience=AUDIENCE)
        await talk(identity, identity)
    assert KEYS in issuer.asked


async def test_tokens_from_a_file(tmp_path: Path) -> None:
    async with Issuer() as issuer:

        def identity(name: str) -> Jwt:
            file = tmp_path / name
            file.write_text(issuer.token(name, AUDIENCE))
            return Jwt(token_file=str(file), public=issuer.public, verify_audience=AUDIENCE)

        await talk(identity("alice"), identity("bob"))
