"""Clocks that differ: what tokens tolerate, encryption tolerates, in both roles and in groups."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from actors.errors import SessionError
from gateway import Slim
from gateway.node.data_plane import DataPlane
from identity.claims import LEEWAY
from identity.jose.keys import Algorithm, Key, KeyData, KeyFormat
from identity.provider import IdentityProvider, IdentityVerifier
from identity.shared_secret import CLOCK_SKEW
from tests.gateway.app_stage import SECRET, AppStage, name

PATIENCE = 20.0
KEY = ec.generate_private_key(ec.SECP256R1())


def pem(text: bytes) -> Key:
    return Key(Algorithm.ES256, KeyFormat.Pem, KeyData.Content(text.decode()))


PRIVATE = pem(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
PUBLIC = pem(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def signed(who: str) -> tuple[Any, Any]:
    return IdentityProvider.Jwt(PRIVATE, timedelta(minutes=10), subject=who), IdentityVerifier.Jwt(PUBLIC)


def secret(who: str) -> tuple[Any, Any]:
    return IdentityProvider.SharedSecret(who, SECRET), IdentityVerifier.SharedSecret(who, SECRET)


KINDS: dict[str, tuple[Callable[[str], tuple[Any, Any]], float]] = {
    "signed tokens": (signed, LEEWAY - 2),
    "a shared secret": (secret, CLOCK_SKEW - 2),
}


class Clocks:
    """Applications of one node, each with a clock of its own."""

    def __init__(self, stage: AppStage) -> None:
        self._stage = stage

    async def app(self, who: str, pair: tuple[Any, Any], ahead: float) -> Slim:
        plane = DataPlane(strict=True, wall=lambda: time.time() + ahead)
        self._stage._planes.append(plane)
        made = await Slim(name(who), *pair, data_plane=plane).__aenter__()
        self._stage._apps.append(made)
        await made.connect(self._stage.client_config)
        return made


@pytest.fixture
async def clocks(request: pytest.FixtureRequest) -> Any:
    stage = AppStage("server")
    await stage.start()
    yield Clocks(stage)
    await stage.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [1.0, -1.0, 0.02])
async def test_what_tokens_tolerate_encryption_tolerates(clocks: Clocks, kind: str, share: float) -> None:
    make, most = KINDS[kind]
    ann = await clocks.app("ann", make("ann"), most * share)
    ben = await clocks.app("ben", make("ben"), 0.0)
    cleo = await clocks.app("cleo", make("cleo"), most * share / 2)
    for one, other in ((ann, ben), (ben, ann)):
        await one.set_route(other.local_name.without_id())
        async with one.session(other.local_name.without_id(), mls=True) as session:
            await (await session.publish(b"hello"))
            end = await other.listen_for_session(PATIENCE)
            assert (await end.get_message(PATIENCE)).payload == b"hello"
    await ben.set_route(name("cleo"))
    async with asyncio.timeout(PATIENCE):
        async with ben.group(name("channel"), invite=[name("ann"), name("cleo")], mls=True) as mo:
            ends = [await app.listen_for_session(PATIENCE) for app in (ann, cleo)]
            await (await ends[0].publish(b"all"))
            assert (await mo.get_message(PATIENCE)).payload == b"all"
            assert (await ends[1].get_message(PATIENCE)).payload == b"all"


async def test_beyond_it_both_refuse_alike(clocks: Clocks) -> None:
    ann = await clocks.app("ann", signed("ann"), LEEWAY + 30)
    await clocks.app("ben", signed("ben"), 0.0)
    await ann.set_route(name("ben"))
    for mls in (False, True):
        with pytest.raises(SessionError):
            async with asyncio.timeout(PATIENCE):
                async with ann.session(name("ben"), mls=mls, max_retries=1, timeout=0.2) as session:
                    await (await session.publish(b"hello"))
