"""Encrypted sessions as applications see them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from actors.messages.session import EpochChanged
from actors.session import mls_session
from gateway import (
    Algorithm,
    ConfigError,
    HandshakeFailed,
    IdentityProvider,
    IdentityVerifier,
    Key,
    KeyData,
    KeyFormat,
    Session,
    SessionConfiguration,
    Slim,
)
from identity.mls_key import warn_of_unbound
from identity.protocols import Claims, KeysMissing
from tests.gateway.app_stage import AppStage, identity, name
from tests.identity.key_samples import encode, public_pem

GROUP = SessionConfiguration.Group(1.0, 5, mls_enabled=True)
P2P = SessionConfiguration.PointToPoint(1.0, 5, mls_enabled=True)


async def meet(moderator: Slim, *others: Slim) -> list[Session]:
    """An encrypted group of these; all ends, the moderator's first."""
    ends = [await moderator.create_session(name("channel"), GROUP)]
    for other in others:
        await (await ends[0].invite(other.local_name.without_id()))
        ends.append(await other.listen_for_session(10))
    return ends


async def settled(*ends: Session) -> None:
    """Wait until all of them are told of the moderator's epoch."""
    async with asyncio.timeout(10):
        while len({(end.epoch, end.fingerprint) for end in ends}) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_epoch_and_fingerprint_are_those_of_all_members(stage: AppStage) -> None:
    apps = [await stage.app(app) for app in ("mo", "ann", "ben")]
    await stage.route(apps[0], "ann", "ben")
    mo, ann, ben = await meet(*apps)
    await settled(mo, ann, ben)
    assert mo.epoch == 2
    assert len(mo.fingerprint.split()) == 8
    before = mo.fingerprint
    await (await mo.remove(name("ben")))
    await settled(mo, ann)
    assert mo.epoch == 3
    assert mo.fingerprint != before
    await (await mo.publish(b"hello"))
    assert (await ann.get_message(5)).payload == b"hello"


async def test_a_session_without_encryption_has_neither(process: AppStage) -> None:
    mo = await process.app("mo")
    session = await mo.create_session(name("channel"), SessionConfiguration.Group(1.0, 5))
    assert (session.epoch, session.fingerprint) == (None, "")


async def test_epochs_are_events(process: AppStage) -> None:
    apps = [await process.app(app) for app in ("mo", "ann", "ben")]
    mo, ann = await meet(*apps[:2])
    heard: list[EpochChanged] = []

    async def watch() -> None:
        async for event in ann.events():
            if isinstance(event, EpochChanged):
                heard.append(event)
                return

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    await (await mo.invite(name("ben")))
    await asyncio.wait_for(watching, 5)
    assert heard[0].epoch == 2
    assert {member.strings[2] for member in heard[0].members} == {"mo", "ann", "ben"}
    assert heard[0].cause == "commit 2"


async def test_what_is_published_before_anybody_joined_arrives(stage: AppStage) -> None:
    mo, ann = await stage.app("mo"), await stage.app("ann")
    await stage.route(mo, "ann")
    session = await mo.create_session(name("ann"), P2P)
    early = await session.publish(b"early")
    end = await ann.listen_for_session(10)
    assert (await end.get_message(5)).payload == b"early"
    await early


async def test_large_groups_compute_in_threads(process: AppStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mls_session, "LARGE", 2)
    monkeypatch.setattr(mls_session, "LARGE_WELCOME", 1)
    apps = [await process.app(app) for app in ("mo", "ann", "ben", "cleo")]
    mo, ann, ben, _ = await meet(*apps)
    talking = asyncio.gather(*[await mo.publish(b"%d" % number) for number in range(20)])
    await (await mo.remove(name("cleo")))
    await talking
    for end in (ann, ben):
        assert [(await end.get_message(5)).payload for _ in range(20)] == [b"%d" % n for n in range(20)]
    await settled(mo, ann, ben)
    assert mo.epoch == 4


class Static:
    """A provider whose tokens are good, and to which nobody can add a claim."""

    _unbound = False

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._inner, attribute)

    async def initialize(self) -> None: ...

    async def close(self) -> None: ...

    def get_id(self) -> str:
        return str(self._inner.get_id())

    def get_token(self, now: float) -> str:
        return str(self._inner.get_token(now))

    async def get_token_with_claims(self, claims: Mapping[str, Any], now: float) -> str:
        raise ConfigError("no claims fit into this token: use SharedSecret, Jwt or Spire", field="path")


async def test_a_token_that_cannot_carry_the_key_is_a_configuration_error(process: AppStage) -> None:
    provider, verifier = identity("mo")
    await process.app("ann")
    async with Slim(name("mo"), Static(provider), verifier, data_plane=process.node) as mo:
        session = await mo.create_session(name("ann"), P2P)
        with pytest.raises(ConfigError, match="use SharedSecret, Jwt or Spire"):
            await session.established
        group = await mo.create_session(name("channel"), GROUP)
        with pytest.raises(ConfigError, match="use SharedSecret, Jwt or Spire"):
            await (await group.invite(name("ann")))


@pytest.fixture
def issued(tmp_path: Path) -> Callable[..., tuple[Any, Any]]:
    """Provider and verifier of somebody whose tokens an issuer writes into files."""

    def pair(who: str, mls_key: str = "bound") -> tuple[Any, Any]:
        file = tmp_path / f"{who}.token"
        claims = {"sub": f"spiffe://example.org/{who}", "exp": int(time.time()) + 600}
        file.write_text(encode(claims, Algorithm.ES256))
        public = Key(Algorithm.ES256, KeyFormat.Pem, KeyData.Content(public_pem(Algorithm.ES256)))
        return (
            IdentityProvider.StaticJwt(str(file), mls_key=mls_key),
            IdentityVerifier.Jwt(public, mls_key=mls_key),
        )

    return pair


async def test_a_static_token_is_refused_by_the_call_itself(process: AppStage, issued: Any) -> None:
    async with Slim(name("mo"), *issued("mo"), data_plane=process.node) as mo:
        for config in (P2P, GROUP):
            with pytest.raises(ConfigError, match="tokens of StaticJwt cannot carry the MLS key"):
                await mo.create_session(name("ann"), config)


async def test_static_tokens_where_both_sides_take_unbound_keys(
    process: AppStage, issued: Any, recwarn: pytest.WarningsRecorder
) -> None:
    async with (
        Slim(name("mo"), *issued("mo", "unbound"), data_plane=process.node) as mo,
        Slim(name("ann"), *issued("ann", "unbound"), data_plane=process.node) as ann,
    ):
        warn_of_unbound.cache_clear()
        async with mo.group(name("channel"), [name("ann")], mls=True) as led:
            joined = await ann.listen_for_session(5)
            await (await led.publish(b"good evening"))
            assert (await joined.get_message(5)).payload == b"good evening"
            assert joined.fingerprint == led.fingerprint != ""
    assert sum("vouch for no MLS key" in str(one.message) for one in recwarn) == 1


async def test_a_static_token_is_no_credential_for_who_wants_a_bound_key(
    process: AppStage, issued: Any
) -> None:
    provider, _ = issued("ann", "unbound")
    _, strict = issued("mo")
    async with (
        Slim(name("mo"), issued("mo", "unbound")[0], strict, data_plane=process.node) as mo,
        Slim(name("ann"), provider, strict, data_plane=process.node),
    ):
        session = await mo.create_session(
            name("ann"), SessionConfiguration.PointToPoint(0.1, 3, mls_enabled=True)
        )
        with pytest.raises(HandshakeFailed):
            await session.established


class Slow:
    """A verifier that must fetch something for every new token, like one of an issuer's published keys."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._fetched: set[str] = set()

    async def initialize(self) -> None: ...

    async def close(self) -> None: ...

    def try_verify(self, token: str, now: float) -> None:
        self.try_get_claims(token, now)

    def try_get_claims(self, token: str, now: float) -> Claims:
        if token not in self._fetched:
            raise KeysMissing
        claims: Claims = self._inner.try_get_claims(token, now)
        return claims

    async def verify(self, token: str, now: float) -> None:
        await self.get_claims(token, now)

    async def get_claims(self, token: str, now: float) -> Claims:
        await asyncio.sleep(0)
        self._fetched.add(token)
        return self.try_get_claims(token, now)


async def test_keys_of_credentials_are_fetched_on_the_way(process: AppStage) -> None:
    apps = []
    for app in ("mo", "ann", "ben"):
        provider, verifier = identity(app)
        apps.append(Slim(name(app), provider, Slow(verifier), data_plane=process.node))
    ends = await meet(*apps)
    await settled(*ends)
    await (await ends[2].publish(b"hello"))
    assert [(await end.get_message(5)).payload for end in ends[:2]] == [b"hello", b"hello"]
    for app in apps:
        await app.close(0.5)
