"""Who may open a stream: basic authentication and bearer tokens, over both transports."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from actors.errors import ConnectionLost
from gateway.config import AuthConfig, ClientConfig, Section, ServerConfig
from gateway.security.auth import client_auth, server_auth
from identity.errors import AuthError, ConfigError, InvalidToken
from identity.jose.keys import Algorithm
from tests.gateway.planes import TRANSPORTS, plane, serving
from tests.identity.issuer import issuer
from tests.identity.key_samples import encode, jwk, private_pem, public_pem
from tests.identity.spiffe.workload_server import WorkloadServer

INSECURE = {"insecure": True}
CLAIMS = {"issuer": "https://issuer.example", "audience": ["node"], "subject": "link"}


def key(role: str, algorithm: Algorithm, number: int = 0) -> dict[str, Any]:
    text = (private_pem if role == "encoding" else public_pem)(algorithm, number)
    return {"type": role, "algorithm": algorithm.value, "format": "pem", "key": {"data": text}}


def jwt(role: str, algorithm: Algorithm = Algorithm.ES256, number: int = 0, **claims: Any) -> dict[str, Any]:
    return {"type": "jwt", "claims": {**CLAIMS, **claims}, "key": key(role, algorithm, number)}


def signing(**key_members: Any) -> dict[str, Any]:
    """A link's configuration with some members of its key replaced."""
    return {"type": "jwt", "key": {**key("encoding", Algorithm.ES256), **key_members}}


@pytest.fixture
async def agent() -> AsyncIterator[WorkloadServer]:
    with tempfile.TemporaryDirectory(prefix="spiffe") as directory:
        async with WorkloadServer(Path(directory)) as running:
            yield running


async def let_in(server: dict[str, Any], client: dict[str, Any], transport: str = "fast") -> bool:
    """Whether a listener with one `auth` takes a link with the other."""
    async with serving(INSECURE, transport=transport, auth=server) as at, plane() as dialling:
        try:
            await at.dial(dialling, INSECURE, auth=client)
        except ConnectionLost as refused:
            if "UNAUTHENTICATED" not in str(refused):
                raise
            return False
        return True


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_basic(transport: str) -> None:
    good = {"type": "basic", "username": "ann", "password": "secret"}
    assert await let_in(good, good, transport)
    assert not await let_in(good, {**good, "password": "other"}, transport)
    assert not await let_in(good, {"type": "none"}, transport)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_signed_tokens(transport: str) -> None:
    assert await let_in(jwt("decoding"), jwt("encoding"), transport)
    assert not await let_in(jwt("decoding"), jwt("encoding", number=1), transport)


@pytest.mark.parametrize("algorithm", [Algorithm.HS256, Algorithm.RS256, Algorithm.ES384, Algorithm.EdDSA])
async def test_algorithms(algorithm: Algorithm) -> None:
    assert await let_in(jwt("decoding", algorithm), jwt("encoding", algorithm))


@pytest.mark.parametrize(
    "claims",
    [{"audience": ["other"]}, {"issuer": "https://other.example"}, {"subject": "other"}, {"audience": None}],
    ids=["audience", "issuer", "subject", "no audience"],
)
async def test_a_claim_that_does_not_fit(claims: dict[str, Any]) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, level="INFO", format="{message} {extra}")
    try:
        assert not await let_in(jwt("decoding"), jwt("encoding", **claims))
    finally:
        logger.remove(sink)
    (reason,) = [line for line in lines if "refused at the door" in line]
    assert next(iter(claims))[:3] in reason


async def test_custom_claims_travel() -> None:
    config = read(jwt("encoding", custom_claims={"team": "stage"}))
    auth = client_auth(config)
    assert auth is not None
    await auth.start()
    ((name, value),) = await auth.headers()
    assert name == "authorization"
    check = server_auth(read(jwt("decoding")))
    assert check is not None
    await check.check({name: value})
    await check.check({name: value.replace("Bearer", "bearer")})
    for bad in (value.replace("Bearer ", ""), "Bearer", "Basic YTpi", "", value[:-9] + "AAAAAAAAA"):
        with pytest.raises(InvalidToken):
            await check.check({name: bad})
    await auth.close()


async def test_a_static_token_is_followed_in_its_file(tmp_path: Path) -> None:
    claims = {"iss": CLAIMS["issuer"], "aud": CLAIMS["audience"], "sub": CLAIMS["subject"]}
    file = tmp_path / "token"
    file.write_text(encode({**claims, "exp": int(time.time()) + 60}, Algorithm.ES256) + "\n")
    static = {"type": "static_jwt", "file": str(file), "duration": 3600}
    assert await let_in(jwt("decoding"), static)
    file.write_text(encode({**claims, "exp": int(time.time()) - 600}, Algorithm.ES256))
    async with serving(INSECURE, transport="fast") as at, plane() as dialling:
        with pytest.raises(AuthError, match="has expired; renew it"):
            await at.dial(dialling, INSECURE, auth=static)


async def test_keys_are_found_by_the_issuer() -> None:
    async with issuer() as published:
        published.serve_keys(jwk(Algorithm.ES256, kid="one", alg="ES256"))
        claims = {"issuer": published.url, "audience": ["node"]}
        server = {"type": "jwt", "claims": claims, "key": {"type": "autoresolve"}}
        client = {"type": "jwt", "claims": claims, "key": key("encoding", Algorithm.ES256)}
        assert await let_in(server, client)
        assert not await let_in(server, {**client, "key": key("encoding", Algorithm.ES256, 1)})


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_spire(agent: WorkloadServer, transport: str) -> None:
    spire = {"type": "spire", "socket_path": agent.path, "jwt_audiences": ["node"]}
    assert await let_in(spire, spire, transport)
    assert not await let_in({**spire, "jwt_audiences": ["other"]}, spire, transport)
    assert not await let_in({**spire, "target_spiffe_id": "spiffe://example.org/other"}, spire, transport)
    # Nothing is left open: neither by the links nor by the listeners.
    await agent.until(lambda server: not server.open_streams("FetchJWTBundles"))


async def test_a_link_without_identity_does_not_dial(agent: WorkloadServer) -> None:
    agent.deny()
    spire = {"type": "spire", "socket_path": agent.path}
    async with serving(INSECURE, transport="fast") as at, plane() as dialling:
        # An agent that knows nobody is asked again for a while: the first attempt is enough here.
        attempt = asyncio.ensure_future(at.dial(dialling, INSECURE, auth=spire))
        await agent.until(lambda server: server.calls["FetchJWTSVID"] >= 1)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        assert dialling.dialled() == {}


@pytest.mark.parametrize(
    ("section", "field"),
    [
        ({"type": "what"}, "auth.type"),
        ({"type": "basic", "username": "ann"}, "auth.password"),
        ({"type": "static_jwt"}, "auth.file"),
        ({"type": "static_jwt", "file": "/absent"}, "auth.file"),
        ({"type": "jwt"}, "auth.key"),
        (signing(type="what"), "auth.key.type"),
        ({"type": "jwt", "key": {"type": "autoresolve"}}, "auth.key.type"),
        (signing(algorithm=None), "auth.key.algorithm"),
        (signing(algorithm="none"), "auth.key.algorithm"),
        (signing(format="jwks"), "auth.key.format"),
        (signing(key=None), "auth.key.key"),
        (signing(key={"data": "x"}), "auth.key"),
        ({**signing(), "duration": "soon"}, "auth.duration"),
        ({**signing(), "claims": {"audiense": []}}, "auth.claims.audiense"),
        ({"type": "spire", "socket_path": "tcp:nonsense"}, "auth.socket_path"),
        ({"type": "spire", "socket_path": "/a", "target_spiffe_id": "x"}, "auth.target_spiffe_id"),
        ({"type": "spire", "socket_path": "/a", "jwt_audiences": [1]}, "auth.jwt_audiences"),
    ],
)
def test_an_unusable_link_configuration_names_the_key(section: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as refused:
        client_auth(ClientConfig.read({"endpoint": "http://127.0.0.1:1", "auth": section}).auth)
    assert refused.value.field == field
    assert field in str(refused.value)


@pytest.mark.parametrize(
    ("section", "field"),
    [
        ({"type": "static_jwt", "file": "/x"}, "auth"),
        (jwt("encoding"), "auth"),
        ({"type": "jwt", "key": {"type": "autoresolve"}}, "auth.claims.issuer"),
        (
            {"type": "jwt", "key": {"type": "decoding", "algorithm": "ES256", "key": {"file": "/absent"}}},
            "auth.key",
        ),
    ],
)
def test_an_unusable_listener_configuration_names_the_key(section: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as refused:
        server_auth(ServerConfig.read({"endpoint": "127.0.0.1:1", "tls": INSECURE, "auth": section}).auth)
    assert refused.value.field == field


def test_no_secret_in_a_repr() -> None:
    config = read(jwt("encoding"))
    assert private_pem(Algorithm.ES256).splitlines()[1] not in repr(config)
    assert "secret" not in repr(read({"type": "basic", "username": "ann", "password": "secret"}))


def read(section: dict[str, Any]) -> AuthConfig:
    return AuthConfig.read(Section(section, "auth"))
