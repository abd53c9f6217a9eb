"""Shared providers and verifiers, and ids that only an agent knows."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest

from actors.names import Name, instance_id
from gateway.api.slim import Slim
from gateway.node import identity_use
from identity.cloud import CloudProvider
from identity.errors import AuthError, SlimError
from identity.jose.jws import payload_of
from identity.provider import IdentityProvider, IdentityVerifier
from identity.spiffe import background
from identity.spiffe.errors import FetchJwtSvidError, JwtSourceError
from tests.identity.spiffe.trust import Authority
from tests.identity.spiffe.workload_server import WorkloadServer

NAME = Name("org", "ns", "app")
SECRET = "a-shared-secret-of-more-than-32-bytes"
ID = "spiffe://example.org/web"


@pytest.fixture
async def agent() -> AsyncIterator[WorkloadServer]:
    with tempfile.TemporaryDirectory(prefix="spiffe") as directory:
        async with WorkloadServer(Path(directory)) as running:
            yield running


@pytest.fixture
def distant() -> Iterator[WorkloadServer]:
    """An agent in another thread, which answers while this one is blocked."""
    with tempfile.TemporaryDirectory(prefix="spiffe") as directory:
        server = WorkloadServer(Path(directory))
        background.run(server.start())
        yield server
        background.run(server.stop())


class Counting:
    """A verifier that is good for nothing and counts."""

    def __init__(self, error: Exception | None = None) -> None:
        self.opened = self.closed = 0
        self.error = error

    async def initialize(self) -> None:
        self.opened += 1
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        self.closed += 1

    def get_id(self) -> str:
        raise AuthError("no id yet")

    def try_verify(self, token: str, now: float) -> None: ...

    def try_get_claims(self, token: str, now: float) -> dict[str, object]:
        return {}

    async def verify(self, token: str, now: float) -> None: ...

    async def get_claims(self, token: str, now: float) -> dict[str, object]:
        return {}

    def get_token(self, now: float) -> str:
        return "token"

    async def get_token_with_claims(self, claims: object, now: float) -> str:
        return "token"


def secret() -> IdentityProvider:
    return IdentityProvider.SharedSecret("org/ns/app", SECRET)


async def test_the_last_application_closes_a_shared_verifier() -> None:
    verifier = Counting()
    one, two = (Slim(NAME, secret(), verifier, True) for _ in range(2))
    async with two:
        async with one:
            pass
        assert verifier.closed == 0
    assert verifier.closed == 1


async def test_an_application_that_never_started_closes_nothing() -> None:
    verifier = Counting()
    async with Slim(NAME, secret(), verifier, True):
        await Slim(NAME, secret(), verifier, True).close()
        assert verifier.closed == 0


async def test_what_could_not_start_is_not_held() -> None:
    verifier = Counting(AuthError("no agent"))
    app = Slim(NAME, secret(), verifier, True)
    with pytest.raises(AuthError, match="no agent"):
        await app.set_route(NAME)
    assert verifier.closed == 1
    # It may work another time.
    verifier.error = None
    async with app:
        assert verifier.opened == 2
    assert verifier.closed == 2


async def test_a_shared_spire_verifier_goes_on(agent: WorkloadServer) -> None:
    provider = IdentityProvider.Spire(agent.path)
    verifier = IdentityVerifier.Spire(agent.path)
    one = await Slim.new(NAME, provider, verifier, True)
    two = await Slim.new(NAME, provider, verifier, True)
    assert one.id == two.id == instance_id(ID)
    await one.close()
    assert agent.open_streams("FetchJWTBundles") == 1
    await verifier.verify(agent.authority.token(), 0.0)
    await two.close()
    await agent.until(lambda server: not server.open_streams("FetchJWTBundles"))


def test_a_constructor_without_a_loop_learns_the_id(distant: WorkloadServer) -> None:
    app = Slim(NAME, IdentityProvider.Spire(distant.path), IdentityVerifier.Spire(distant.path))
    assert app.id == instance_id(ID)
    assert app.id_str.startswith("org/ns/app/")


async def test_a_constructor_within_a_loop_learns_the_id_and_works(distant: WorkloadServer) -> None:
    name = Name("org", "ns", "peer")
    async with (
        Slim(NAME, IdentityProvider.Spire(distant.path), IdentityVerifier.Spire(distant.path)) as app,
        Slim(name, IdentityProvider.Spire(distant.path), IdentityVerifier.Spire(distant.path)) as peer,
    ):
        async with app.session(name) as session:
            await session.publish(b"hello")
            message = await (await peer.listen_for_session(5)).get_message(5)
        assert message[1] == b"hello"
        assert payload_of(message[0].identity)["sub"] == ID


async def test_a_constructor_learns_the_id_of_a_cloud() -> None:
    token = Authority().token(sub="arn:aws:iam::1:role/app")
    provider = CloudProvider(fetch=lambda: asyncio.sleep(0, token))
    async with Slim(NAME, provider, Counting(), True) as app:
        assert app.id == instance_id("arn:aws:iam::1:role/app")
        assert provider.get_token(0.0) == token


def test_a_constructor_says_why_there_is_no_identity(distant: WorkloadServer) -> None:
    distant.denied = grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises((FetchJwtSvidError, JwtSourceError), match="no identity issued"):
        Slim(NAME, IdentityProvider.Spire(distant.path), IdentityVerifier.Spire(distant.path))


async def test_new_says_why_there_is_no_identity(agent: WorkloadServer) -> None:
    agent.denied = grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises((FetchJwtSvidError, JwtSourceError), match="no identity issued"):
        await Slim.new(NAME, IdentityProvider.Spire(agent.path), IdentityVerifier.Spire(agent.path))
    await agent.until(lambda server: not server.open_streams("FetchJWTBundles"))


@pytest.mark.parametrize(
    ("error", "text"),
    [(AuthError("the agent is away"), "the agent is away"), (OSError("SECRET"), "provider failed: OSError")],
)
def test_other_failures_are_one_sentence(error: Exception, text: str) -> None:
    provider = Counting(error)
    with pytest.raises(SlimError, match=text) as told:
        identity_use.identity_id(provider)
    assert "SECRET" not in str(told.value)
    assert provider.closed == 1


def test_a_provider_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(Counting):
        async def initialize(self) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(identity_use, "FIRST_TOKEN_WAIT", 0.05)
    with pytest.raises(AuthError, match=r"no token after 0\.05 s"):
        identity_use.identity_id(Silent())
