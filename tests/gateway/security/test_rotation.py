"""Identities are replaced while sessions run: nothing reconnects, nothing is lost."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from actors.messages.session import IdentityRotated
from actors.names import Name
from gateway.api.session import Session
from gateway.api.slim import Slim
from gateway.node.data_plane import DataPlane
from identity.jose.keys import Algorithm, Key, KeyData, KeyFormat
from identity.provider import IdentityProvider, IdentityVerifier
from tests.identity.key_samples import encode, jwk, jwks, private_pem
from tests.identity.spiffe.trust import Authority
from tests.identity.spiffe.trust import jwk as spiffe_jwk
from tests.identity.spiffe.workload_server import WorkloadServer

ALICE, BOB = Name("org", "ns", "alice"), Name("org", "ns", "bob")
SECRETS = ("a-shared-secret-of-more-than-32-bytes", "its-successor-has-more-than-32-bytes")
PAIR = tuple[IdentityProvider, IdentityVerifier]


@asynccontextmanager
async def talking(alice: PAIR, bob: PAIR) -> AsyncIterator[tuple[Session, Session]]:
    """A session between two applications, each on a data plane of its own, over a socket."""
    planes = DataPlane(strict=True), DataPlane(strict=True)
    try:
        async with (
            Slim(ALICE, *alice, data_plane=planes[0]) as one,
            Slim(BOB, *bob, data_plane=planes[1]) as two,
        ):
            address = await two.run_server({"endpoint": "127.0.0.1:0", "tls": {"insecure": True}})
            await one.connect({"endpoint": f"http://{address}", "tls": {"insecure": True}})
            await one.set_route(BOB)
            async with one.session(BOB, timeout=0.5) as session:
                yield session, await two.listen_for_session(10)
    finally:
        await asyncio.gather(*(plane.close(1.0) for plane in planes))


class Dialogue:
    """Messages one after the other from alice to bob, each answered, until told to stop."""

    def __init__(self, alice: Session, bob: Session) -> None:
        self._alice, self._bob = alice, bob
        self._stopped = False
        self.sent = 0
        self.heard: list[bytes] = []
        self.answered: list[bytes] = []
        self._news = asyncio.Condition()
        self.rotations = 0

    def stop(self) -> None:
        self._stopped = True

    async def run(self) -> None:
        """Talk; then check that everything arrived once and in order, on both sides."""
        async with asyncio.TaskGroup() as group:
            echo = group.create_task(self._echo())
            watch = group.create_task(self._watch())
            while not self._stopped:
                handle = await self._alice.publish(b"%d" % self.sent)
                self.sent += 1
                await handle
                _, payload = await self._alice.get_message(10.0)
                self.answered.append(payload)
                async with self._news:
                    self._news.notify_all()
                await asyncio.sleep(0.002)
            echo.cancel()
            watch.cancel()
        expected = [b"%d" % number for number in range(self.sent)]
        assert self.heard == expected
        assert self.answered == expected

    async def answers(self, more: int) -> None:
        """Wait for so many more answers."""
        wanted = len(self.answered) + more
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(lambda: len(self.answered) >= wanted)

    async def rotated(self, times: int) -> None:
        """Wait until the session was told so often that its identity was replaced."""
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(lambda: self.rotations >= times)

    async def _echo(self) -> None:
        async for message in self._bob:
            self.heard.append(message.payload)
            await message.reply(message.payload)

    async def _watch(self) -> None:
        async for event in self._alice.events():
            if isinstance(event, IdentityRotated):
                self.rotations += 1
                async with self._news:
                    self._news.notify_all()


class Successor(Authority):
    """An authority with a new signing key that still publishes those before, as SPIRE does for a while."""

    def __init__(self, predecessor: Authority, number: int) -> None:
        super().__init__(predecessor.name, kid=f"k{number}")
        before = predecessor.published if isinstance(predecessor, Successor) else [predecessor]
        self.published: list[Authority] = [*before[-10:], self]

    def jwks(self) -> bytes:
        return jwks(*(spiffe_jwk(one.jwt_key.public_key(), one.kid) for one in self.published)).encode()


@pytest.mark.parametrize(
    ("times", "period", "life"),
    [(8, 0.2, 1.5), pytest.param(60, 1.0, 5.0, marks=pytest.mark.long)],
    ids=["eight times", "for a minute"],
)
async def test_the_agent_rotates_all_the_time(times: int, period: float, life: float) -> None:
    """Every `period` seconds its keys change; its tokens live for `life` seconds."""
    with tempfile.TemporaryDirectory(prefix="spiffe") as directory:
        async with WorkloadServer(Path(directory)) as agent:
            agent.token_ttl = life
            providers = [IdentityProvider.Spire(agent.path) for _ in range(2)]
            for provider in providers:
                await provider.initialize()
            verifiers = [IdentityVerifier.Spire(agent.path) for _ in range(2)]
            async with talking(*zip(providers, verifiers, strict=True)) as (one, two):
                talk = Dialogue(one, two)
                running = asyncio.create_task(talk.run())
                for number in range(times):
                    await asyncio.sleep(period)
                    agent.rotate(Successor(agent.authority, number + 2))
                # A token is replaced after two thirds of its life.
                await talk.rotated(2)
                talk.stop()
                await running
            assert talk.sent > 10 * times * period
            assert agent.calls["FetchJWTBundles"] == 2
            print(f"{talk.sent} messages each way, {talk.rotations} rotations, none lost")


async def test_a_replaced_secret() -> None:
    pairs = [
        (
            IdentityProvider.SharedSecret(name, SECRETS[0], token_reuse=0.05),
            IdentityVerifier.SharedSecret(name, SECRETS[0]),
        )
        for name in ("alice", "bob")
    ]
    await through_a_rotation(pairs, lambda: replace_secrets(pairs))


def replace_secrets(pairs: list[tuple[object, object]]) -> None:
    for provider, verifier in pairs:
        verifier.replace_secret(SECRETS[1], now=time.time(), overlap=60.0)  # type: ignore[attr-defined]
        provider.replace_secret(SECRETS[1])  # type: ignore[attr-defined]


async def test_a_replaced_signing_key(tmp_path: Path) -> None:
    algorithm = Algorithm.ES256
    file = tmp_path / "key.pem"
    file.write_text(private_pem(algorithm, 0))
    keys = jwks(*(jwk(algorithm, number, alg="ES256") for number in range(2)))
    key = Key(algorithm, KeyFormat.Pem, KeyData.File(file))
    public = Key(algorithm, KeyFormat.Jwks, KeyData.Content(keys))
    pairs = [
        (
            IdentityProvider.Jwt(key, timedelta(hours=1), subject=name, token_reuse=0.05),
            IdentityVerifier.Jwt(public),
        )
        for name in ("alice", "bob")
    ]
    await through_a_rotation(pairs, lambda: file.write_text(private_pem(algorithm, 1)))


async def test_a_replaced_token_file(tmp_path: Path) -> None:
    algorithm = Algorithm.ES256
    file = tmp_path / "token"

    def write(number: int) -> None:
        file.write_text(encode({"sub": "app", "exp": int(time.time()) + 600 + number}, algorithm))

    write(0)
    public = Key(algorithm, KeyFormat.Jwks, KeyData.Content(jwks(jwk(algorithm, alg="ES256"))))
    pairs = [(IdentityProvider.StaticJwt(str(file)), IdentityVerifier.Jwt(public)) for _ in range(2)]
    await through_a_rotation(pairs, lambda: write(1))


async def through_a_rotation(pairs: list[PAIR], rotate: Callable[[], object]) -> None:
    """A conversation goes on while identities are replaced, and its session hears of it."""
    async with talking(*pairs) as (one, two):
        talk = Dialogue(one, two)
        running = asyncio.create_task(talk.run())
        await talk.answers(5)
        rotate()
        await talk.rotated(1)
        await talk.answers(5)
        talk.stop()
        await running
