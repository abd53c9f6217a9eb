"""Cloud tokens for SLIM applications: obtained, handed out, renewed, given up."""

from __future__ import annotations

import asyncio
import time

import jwt
import pytest

from identity.cloud import CloudProvider, GCPClient, JWTType, get_jwt_database
from identity.cloud.errors import JwtRequestFailed
from identity.cloud.slim import IssuedToken
from identity.errors import AuthError, ConfigError, InvalidToken
from identity.protocols import Provider
from tests.identity.cloud.fake_clouds import EMAIL, SUBJECT, FakeClouds, text

HMAC_KEY = "k" * 32


def token(subject: str = "app", life: float = 3600.0, **claims: object) -> str:
    return jwt.encode({"sub": subject, "exp": time.time() + life, **claims}, HMAC_KEY, "HS256")


class Issuer:
    """Issues what a test puts in: tokens, or exceptions to raise. The last entry is repeated."""

    def __init__(self, *replies: str | Exception) -> None:
        self.replies = list(replies)
        self.calls = 0
        self.called = asyncio.Event()

    async def __call__(self) -> str:
        reply = self.replies[min(self.calls, len(self.replies) - 1)]
        self.calls += 1
        if self.calls >= len(self.replies):
            self.called.set()
        if isinstance(reply, Exception):
            raise reply
        return reply


async def test_against_the_world(clouds: FakeClouds, bare: pytest.MonkeyPatch) -> None:
    """Real exchange, tokens of half a second: the renewed one arrives before the first has ended."""
    gcp = GCPClient(environ={}, metadata_endpoint=clouds.url)
    await gcp.detect()
    issued: list[str] = []
    renewed = asyncio.Event()

    async def fetch() -> str:
        clouds.token_lifetime = 3600.0 if issued else 0.5
        issued.append(await get_jwt_database(server_url=clouds.url, allow_http=True, provider=gcp))
        if len(issued) == 2:
            renewed.set()
        return issued[-1]

    provider = CloudProvider(fetch=fetch)
    assert isinstance(provider, Provider)
    await provider.initialize()
    await provider.initialize()
    assert provider.get_id() == EMAIL
    assert provider.get_token(time.time()) == issued[0]
    await asyncio.wait_for(renewed.wait(), 10)
    assert provider.get_token(time.time()) == issued[1]
    await provider.close()


async def test_options_are_those_of_get_jwt(clouds: FakeClouds, bare: pytest.MonkeyPatch) -> None:
    gcp = GCPClient(environ={}, metadata_endpoint=clouds.url)
    await gcp.detect()
    provider = CloudProvider(
        JWTType.API_GATEWAY_ACCESS,
        server_url=clouds.url,
        allow_http=True,
        provider=gcp,
        identity_format_preference="gcp-sa-unique-id",
    )
    await provider.initialize()
    assert provider.get_id() == SUBJECT
    assert clouds.count("/auth/iam/api") == 1
    await provider.close()


async def test_renewed_before_the_end() -> None:
    issuer = Issuer(token(life=0.3), token(life=3600))
    provider = CloudProvider(fetch=issuer)
    await provider.initialize()
    await asyncio.wait_for(issuer.called.wait(), 10)
    await asyncio.sleep(0)
    assert provider.get_token(time.time()) == issuer.replies[1]
    await provider.close()


async def test_failures_are_survived(clouds: FakeClouds) -> None:
    issuer = Issuer(token(life=0.4), JwtRequestFailed(500, "oops"), RuntimeError("secret"), token(life=3600))
    provider = CloudProvider(fetch=issuer)
    await provider.initialize()
    await asyncio.wait_for(issuer.called.wait(), 20)
    await asyncio.sleep(0)
    assert provider.get_token(time.time()) == issuer.replies[3]
    await provider.close()


async def test_token_of_somebody_else_is_not_taken() -> None:
    issuer = Issuer(token(life=0.3), token("somebody else"))
    provider = CloudProvider(fetch=issuer)
    await provider.initialize()
    await asyncio.wait_for(issuer.called.wait(), 10)
    await asyncio.sleep(0)
    assert provider.get_id() == "app"
    await provider.close()


async def test_expired_token_is_never_handed_out() -> None:
    provider = CloudProvider(fetch=Issuer(token()))
    await provider.initialize()
    await provider.close()
    assert provider.get_token(time.time())
    with pytest.raises(InvalidToken, match="has expired and could not be renewed") as caught:
        provider.get_token(time.time() + 3601)
    assert caught.value.rule == "expired"


async def test_before_initialize() -> None:
    provider = CloudProvider(fetch=Issuer(token()))
    for call in (provider.get_id, lambda: provider.get_token(0.0)):
        with pytest.raises(AuthError, match=r"await initialize\(\) first"):
            call()
    await provider.close()
    assert "Cloud" in repr(provider)


async def test_claims_cannot_be_added() -> None:
    provider = CloudProvider(fetch=Issuer(token()))
    with pytest.raises(ConfigError, match="cannot add claims"):
        await provider.get_token_with_claims({"pubkey": "x"}, 0.0)


async def test_failing_start_leaves_nothing_behind() -> None:
    issuer = Issuer(JwtRequestFailed(401, "no"), token())
    provider = CloudProvider(fetch=issuer)
    before = asyncio.all_tasks()
    with pytest.raises(JwtRequestFailed):
        await provider.initialize()
    assert asyncio.all_tasks() == before
    await provider.initialize()
    await provider.close()
    assert asyncio.all_tasks() == before


async def test_two_starts_at_once_are_one() -> None:
    issuer = Issuer(token())
    provider = CloudProvider(fetch=issuer)
    before = asyncio.all_tasks()
    await asyncio.gather(provider.initialize(), provider.initialize())
    assert issuer.calls == 1
    await provider.close()
    assert asyncio.all_tasks() == before


async def test_close_and_open_again() -> None:
    provider = CloudProvider(fetch=Issuer(token()))
    await provider.initialize()
    await provider.close()
    await provider.close()
    await provider.initialize()
    await provider.close()


@pytest.mark.parametrize(
    "issued",
    [
        "",
        "a.b.c",
        "no token",
        token(""),
        token(life=-10),
        jwt.encode({"sub": "app"}, HMAC_KEY),
        jwt.encode({"sub": "app", "exp": "soon"}, HMAC_KEY),
    ],
)
async def test_unusable_tokens_are_refused(issued: str) -> None:
    with pytest.raises(InvalidToken) as caught:
        await CloudProvider(fetch=Issuer(issued)).initialize()
    assert not issued or issued not in str(caught.value)


def test_repr_shows_no_token() -> None:
    text_of = token()
    assert text_of not in repr(IssuedToken.read(text_of))
    assert text_of not in f"{IssuedToken.read(text_of)}"


async def test_refusal_at_start(clouds: FakeClouds, bare: pytest.MonkeyPatch) -> None:
    gcp = GCPClient(environ={}, metadata_endpoint=clouds.url)
    await gcp.detect()
    clouds.fail("/auth/iam/database", text("no", 401))
    with pytest.raises(AuthError, match="answered 401"):
        await CloudProvider(server_url=clouds.url, allow_http=True, provider=gcp).initialize()
