"""What is remembered does not change in the hands of those to whom it was handed out."""

from __future__ import annotations

import base64
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config import ClientConfig
from gateway.security.auth import client_auth
from identity.provider import IdentityVerifier
from identity.shared_secret import SharedSecretProvider
from identity.spiffe import AsyncJwtSource, AsyncX509Source, JwtBundle, SpireVerifier, TrustDomain
from identity.spiffe.jwt_svid import JwtSvid
from identity.spiffe.slim_claims import claims_audience
from tests.identity.spiffe.trust import Authority
from tests.identity.spiffe.workload_server import PATIENCE, WorkloadServer

NESTED = {"roles": ["reader"], "of": {"team": {"names": ["a"]}}}
OWN = TrustDomain("example.org")


@pytest.fixture
async def agent() -> AsyncIterator[WorkloadServer]:
    with tempfile.TemporaryDirectory(prefix="spiffe") as directory:
        async with WorkloadServer(Path(directory)) as running:
            yield running


def spoil(claims: dict[str, Any]) -> None:
    """Change everything that can be changed."""
    for value in claims.values():
        if isinstance(value, dict):
            spoil(value)
            value["admin"] = True
        elif isinstance(value, list):
            value.append("admin")
    claims["admin"] = True


async def test_claims_of_a_spire_token(agent: WorkloadServer) -> None:
    token = agent.authority.token(["slim", claims_audience(NESTED)])
    verifier = SpireVerifier(agent.path)
    try:
        first = await verifier.get_claims(token, time.time())
        assert first["custom_claims"] == NESTED
        spoil(first)
        again = verifier.try_get_claims(token, time.time())
        assert again["custom_claims"] == NESTED
        assert again["aud"] == ["slim"]
        assert "admin" not in again
    finally:
        await verifier.close()


async def test_claims_of_other_tokens() -> None:
    secret = "a secret that is long enough for everybody"
    provider = SharedSecretProvider("ann", secret)
    token = await provider.get_token_with_claims(NESTED, time.time())
    verifier = IdentityVerifier.SharedSecret("ben", secret)
    spoil(verifier.try_get_claims(token, time.time()))
    claims = verifier.try_get_claims(token, time.time())["custom_claims"]
    assert {name: claims[name] for name in NESTED} == NESTED


def test_claims_of_an_svid() -> None:
    authority = Authority()
    given = {"sub": "spiffe://example.org/web", "more": [{"a": 1}]}
    token = authority.token(["slim"], more=[{"a": 1}])
    svid = JwtSvid.parse_and_validate(token, JwtBundle.parse(OWN, authority.jwks()), {"slim"})
    spoil(svid.claims)
    svid.claims["more"][0]["a"] = 2
    assert svid.claims["more"] == given["more"]
    assert "admin" not in svid.claims


async def test_bundles_of_a_source(agent: WorkloadServer) -> None:
    rogue = Authority()
    async with await AsyncX509Source(socket_path=agent.path).start(PATIENCE) as source:
        context = source.get_x509_context()
        for bundle in (
            source.get_bundle_for_trust_domain(OWN),
            context.x509_bundle_set.get_bundle_for_trust_domain(OWN),
            next(iter(source.bundles)),
        ):
            assert bundle is not None
            bundle.add_authority(rogue.root)
        context.x509_bundle_set.put(next(iter(source.bundles)))
        kept = source.get_bundle_for_trust_domain(OWN)
        assert kept is not None
        assert kept.x509_authorities == {agent.authority.root}


async def test_jwt_bundles_of_a_source(agent: WorkloadServer) -> None:
    async with await AsyncJwtSource(socket_path=agent.path).start(PATIENCE) as source:
        source.get_jwt_bundles().put(JwtBundle.parse(OWN, Authority(kid="rogue").jwks()))
        kept = source.get_bundle_for_trust_domain(OWN)
        assert kept is not None
        assert list(kept.jwt_authorities) == ["k1"]


async def test_headers_of_a_link() -> None:
    config = {"endpoint": "http://x", "auth": {"type": "basic", "username": "u", "password": "p"}}
    auth = client_auth(ClientConfig.read(config).auth)
    assert auth is not None
    (await auth.headers()).append(("x", "y"))
    shown = "Basic " + base64.b64encode(b"u:p").decode()
    assert await auth.headers() == [("authorization", shown)]
