"""The Spire provider and verifier: schedule, claims as audience, rotation, revocation, refusals."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from loguru import logger

from identity import renewal
from identity.errors import AuthError, ConfigError, InvalidToken
from identity.protocols import KeysMissing, Provider, Verifier
from identity.spiffe.errors import FetchJwtSvidError
from identity.spiffe.proto import workload_pb2 as pb
from identity.spiffe.slim import SpireProvider, SpireVerifier
from tests.identity.spiffe.trust import Authority
from tests.identity.spiffe.workload_server import PATIENCE, WorkloadServer

LEAF_KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
async def provider(server: WorkloadServer) -> AsyncIterator[SpireProvider]:
    provider = SpireProvider(server.path)
    await provider.initialize()
    yield provider
    await provider.close()


@pytest.fixture
async def verifier(server: WorkloadServer) -> AsyncIterator[SpireVerifier]:
    verifier = SpireVerifier(server.path)
    await verifier.initialize()
    yield verifier
    await verifier.close()


# The provider


def test_they_play_their_roles(server: WorkloadServer) -> None:
    assert isinstance(SpireProvider(server.path), Provider)
    assert isinstance(SpireVerifier(server.path), Verifier)


async def test_every_token_carries_a_public_key_as_audience(
    server: WorkloadServer, provider: SpireProvider, verifier: SpireVerifier
) -> None:
    assert provider.get_id() == "spiffe://example.org/web"
    now = time.time()
    claims = await verifier.get_claims(provider.get_token(now), now)
    assert claims["sub"] == "spiffe://example.org/web"
    assert claims["aud"] == ["slim"]
    assert isinstance(claims["exp"], int)
    assert len(base64.b64decode(claims["custom_claims"]["pubkey"])) == 32
    assert server.audiences[0][0] == "slim"
    assert server.audiences[0][1].startswith("slim-claims:")


async def test_an_mls_credential_carries_the_key_of_its_leaf(
    provider: SpireProvider, verifier: SpireVerifier
) -> None:
    now = time.time()
    credential = await provider.get_token_with_claims({"pubkey": LEAF_KEY, "role": "x"}, now)
    assert (await verifier.get_claims(credential, now))["custom_claims"] == {"pubkey": LEAF_KEY, "role": "x"}
    assert provider.get_token(now) != credential


async def test_claims_that_are_no_json_are_a_configuration_error(provider: SpireProvider) -> None:
    with pytest.raises(ConfigError):
        await provider.get_token_with_claims({"key": b"bytes"}, time.time())
    with pytest.raises(ConfigError):
        await provider.get_token_with_claims({"key": "x" * 20_000}, time.time())


async def test_a_target_chooses_the_identity(server: WorkloadServer) -> None:
    server.paths = ["/web", "/batch"]
    provider = SpireProvider(server.path, "spiffe://example.org/batch", ["one", "two"])
    assert provider.get_id() == "spiffe://example.org/batch"
    await provider.initialize()
    assert server.audiences[0][:2] == ["one", "two"]
    assert provider.get_id() == "spiffe://example.org/batch"
    await provider.close()


async def test_short_lived_tokens_are_replaced_before_they_end(server: WorkloadServer) -> None:
    server.token_ttl = 2.0
    provider = SpireProvider(server.path)
    await provider.initialize()
    first = provider.get_token(time.time())
    await server.until(lambda server: server.calls["FetchJWTSVID"] >= 3)
    assert provider.get_token(time.time()) != first
    await provider.close()


async def test_the_identity_stays_the_one_it_started_with(server: WorkloadServer) -> None:
    server.token_ttl = 2.0
    provider = SpireProvider(server.path)
    await provider.initialize()
    server.paths = ["/other", "/web"]
    await server.until(lambda server: server.calls["FetchJWTSVID"] >= 2)
    credential = await provider.get_token_with_claims({}, time.time())
    assert "/web" in base64.urlsafe_b64decode(credential.split(".")[1] + "===").decode()
    await provider.close()


async def test_a_slow_agent_is_waited_for(server: WorkloadServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "FIRST_PAUSE", 0.02)
    server.deny()
    provider = SpireProvider(server.path)
    starting = asyncio.create_task(provider.initialize())
    await server.until(lambda server: server.calls["FetchJWTSVID"] >= 2)
    server.denied = None
    await asyncio.wait_for(starting, PATIENCE)
    assert provider.get_token(time.time())
    await provider.initialize()
    await provider.close()


async def test_a_start_that_fails_says_why(server: WorkloadServer) -> None:
    server.deny()
    provider = SpireProvider(server.path, start_timeout=0.2)
    with pytest.raises(FetchJwtSvidError) as caught:
        await provider.initialize()
    assert caught.value.code == "PERMISSION_DENIED"
    with pytest.raises(AuthError, match=r"could not start .*no identity issued"):
        provider.get_token(time.time())
    with pytest.raises(AuthError):
        provider.get_id()
    server.denied = None
    await provider.initialize()
    assert provider.get_token(time.time())
    await provider.close()


async def test_a_final_refusal_is_not_repeated(server: WorkloadServer) -> None:
    server.deny(grpc.StatusCode.INVALID_ARGUMENT)
    with pytest.raises(FetchJwtSvidError):
        await SpireProvider(server.path).initialize()
    assert server.calls["FetchJWTSVID"] == 1


async def test_a_revoked_identity_is_not_used_any_longer(server: WorkloadServer) -> None:
    server.token_ttl = 1.6
    provider = SpireProvider(server.path)
    await provider.initialize()
    server.token_ttl = 3600.0
    provider.get_token(time.time())
    server.deny()
    await server.until(lambda server: server.calls["FetchJWTSVID"] >= 2)
    assert "PERMISSION_DENIED" in str(await refusal(lambda: provider.get_token(0.0)))
    await provider.close()


async def test_an_expired_token_is_never_handed_out(provider: SpireProvider) -> None:
    with pytest.raises(AuthError, match="expired"):
        provider.get_token(time.time() + 7200.0)
    await provider.close()
    with pytest.raises(AuthError, match="closed"):
        provider.get_token(time.time())
    with pytest.raises(AuthError, match="closed"):
        await provider.get_token_with_claims({}, time.time())


# The verifier


async def test_the_try_forms_never_wait(server: WorkloadServer) -> None:
    verifier = SpireVerifier(server.path)
    token = server.authority.token()
    with pytest.raises(KeysMissing):
        verifier.try_verify(token, time.time())
    with pytest.raises(KeysMissing):
        verifier.try_get_claims(token, time.time())
    await verifier.verify(token, time.time())
    verifier.try_verify(token, time.time())
    await verifier.close()


async def test_all_who_wait_for_the_keys_share_one_attempt(server: WorkloadServer) -> None:
    server.ready.clear()
    verifier = SpireVerifier(server.path)
    token = server.authority.token()
    waiting = [asyncio.create_task(verifier.verify(token, time.time())) for _ in range(20)]
    await server.until(lambda server: server.calls["FetchJWTBundles"] == 1)
    waiting.pop().cancel()
    server.ready.set()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*waiting)
    assert server.calls["FetchJWTBundles"] == 1
    await verifier.close()


async def test_a_verifier_can_be_closed_while_it_starts(server: WorkloadServer) -> None:
    server.ready.clear()
    verifier = SpireVerifier(server.path)
    starting = asyncio.create_task(verifier.initialize())
    await server.until(lambda server: server.calls["FetchJWTBundles"] == 1)
    await verifier.close()
    with pytest.raises(AuthError, match="closed"):
        await starting
    with pytest.raises(KeysMissing):
        verifier.try_verify("a.b.c", time.time())


async def test_an_agent_of_another_user_gives_nothing(server: WorkloadServer) -> None:
    stranger = os.getuid() + 1
    provider = SpireProvider(server.path, agent_uid=stranger, start_timeout=0.1)
    with pytest.raises(FetchJwtSvidError) as caught:
        await provider.initialize()
    assert caught.value.code == "UNTRUSTED_AGENT"
    with pytest.raises(InvalidToken):
        await SpireVerifier(server.path, agent_uid=stranger, start_timeout=0.1).verify("a.b.c", time.time())
    assert not server.calls


async def test_without_agent_a_token_is_refused(server: WorkloadServer) -> None:
    server.deny(grpc.StatusCode.INVALID_ARGUMENT)
    verifier = SpireVerifier(server.path)
    with pytest.raises(InvalidToken) as caught:
        await verifier.verify(server.authority.token(), time.time())
    assert caught.value.rule == "keys_unavailable"


async def test_refusals_name_their_rule(server: WorkloadServer, verifier: SpireVerifier) -> None:
    good, rival = server.authority, Authority()
    refused = {
        "aud": good.token(["other"]),
        "expired": good.token(ttl=-60),
        "sub": good.token(path="/"),
        "signature": rival.token(),
        "trust_domain": Authority("partner.test").token(),
        "unknown_key": good.token(headers={"kid": "other"}),
        "format": "a.b",
        "size": "a" * 70_000,
        "header": good.token(headers={"crit": ["x"]}),
    }
    for rule, token in refused.items():
        with pytest.raises(InvalidToken) as caught:
            verifier.try_verify(token, time.time())
        assert (rule, caught.value.rule) == (rule, rule)
        assert token not in str(caught.value)


async def test_the_expected_peer_is_compared_as_a_whole(server: WorkloadServer) -> None:
    verifier = SpireVerifier(server.path, "spiffe://example.org/web")
    await verifier.initialize()
    verifier.try_verify(server.authority.token(), time.time())
    for path in ("/web/admin", "/we", "/WEB", ""):
        with pytest.raises(InvalidToken) as caught:
            verifier.try_verify(server.authority.token(path=path), time.time())
        assert caught.value.rule == "sub"
    await verifier.close()


async def test_what_was_verified_is_forgotten_when_keys_change(
    server: WorkloadServer, verifier: SpireVerifier
) -> None:
    token = server.authority.token()
    claims = verifier.try_get_claims(token, time.time())
    claims["aud"].append("mine")
    assert verifier.try_get_claims(token, time.time())["aud"] == ["slim"]
    # A bundle without keys takes the trust away from a token that was good before.
    empty = pb.JWTBundlesResponse(bundles={"spiffe://example.org": b'{"keys": []}'})
    server.send("FetchJWTBundles", empty.SerializeToString())
    error = await refusal(lambda: verifier.try_verify(token, time.time()))
    assert isinstance(error, InvalidToken)
    assert error.rule == "unknown_key"


async def test_what_was_verified_is_forgotten_on_revocation(
    server: WorkloadServer, verifier: SpireVerifier
) -> None:
    token = server.authority.token()
    verifier.try_verify(token, time.time())
    server.deny()
    error = await refusal(lambda: verifier.try_verify(token, time.time()))
    assert isinstance(error, InvalidToken)
    assert error.rule == "keys_unavailable"


async def refusal(action: Callable[[], object]) -> AuthError:
    """What `action` raises as soon as it does: the client needs a moment to hear what the server did."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                action()
            except AuthError as exc:
                return exc
            await asyncio.sleep(0.005)


async def test_a_remembered_token_still_expires(server: WorkloadServer, verifier: SpireVerifier) -> None:
    token, now = server.authority.token(ttl=100), time.time()
    verifier.try_verify(token, now)
    verifier.try_verify(token, now + 100)
    with pytest.raises(InvalidToken) as caught:
        verifier.try_verify(token, now + 106)
    assert caught.value.rule == "expired"


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"socket_path": "http://agent"}, "socket_path"),
        ({"target_spiffe_id": "example.org/web"}, "target_spiffe_id"),
        ({"jwt_audiences": []}, "jwt_audiences"),
        ({"jwt_audiences": "slim"}, "jwt_audiences"),
        ({"jwt_audiences": [""]}, "jwt_audiences"),
    ],
)
@pytest.mark.parametrize("kind", [SpireProvider, SpireVerifier])
def test_an_unusable_configuration_names_its_field(kind: Any, arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        kind(**{"socket_path": "/run/agent.sock", **arguments})
    assert caught.value.field == field


async def test_no_token_is_logged_or_shown(server: WorkloadServer) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, level="TRACE")
    try:
        provider, verifier = SpireProvider(server.path), SpireVerifier(server.path)
        await provider.initialize()
        token = provider.get_token(time.time())
        await verifier.verify(token, time.time())
        server.deny()
        with pytest.raises(AuthError):
            await provider.get_token_with_claims({}, time.time())
        shown = "".join([*lines, repr(provider), repr(verifier), json.dumps(str(vars(verifier)["_source"]))])
        assert token not in shown
        await provider.close()
        await verifier.close()
    finally:
        logger.remove(sink)
