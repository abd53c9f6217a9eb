"""Keys found by discovery, against a real HTTP issuer that also misbehaves (`identity.md` 3.3, 9)."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from identity.claims import ClaimRules
from identity.errors import AuthError, ConfigError, InvalidToken
from identity.jose.keys import Algorithm
from identity.jwks import FetchLimits, IssuerKeys
from identity.jwt import JwtVerifier
from identity.key_cache import RefreshPolicy
from identity.protocols import KeysMissing
from tests.identity.issuer import (
    DISCOVERY,
    JWKS,
    Issuer,
    after,
    drip,
    endless,
    gzip_bomb,
    hang,
    issuer,
    redirect,
    reply,
)
from tests.identity.key_samples import encode, jwk, private, private_pem

ES256 = Algorithm.ES256
QUICK = FetchLimits(connect=0.5, total=0.5, max_bytes=64 * 1024)


def token(served: Issuer, number: int = 0, *, kid: str | None = "a", **claims: Any) -> str:
    content = {"iss": served.url, "aud": ["peer"], "sub": "app", "exp": int(time.time()) + 600, **claims}
    return encode(content, ES256, number, **({"kid": kid} if kid else {}))


@asynccontextmanager
async def verifier(served: Issuer, **options: Any) -> AsyncIterator[JwtVerifier]:
    keys = IssuerKeys(served.url, **options)
    made = JwtVerifier(keys, ClaimRules(issuer=served.url, audience=("peer",), require_iss=True))
    await made.initialize()
    try:
        yield made
    finally:
        await made.close()


async def rule(made: JwtVerifier, text: str) -> str:
    with pytest.raises(InvalidToken) as caught:
        await made.verify(text, time.time())
    return caught.value.rule


async def refused_for_lack_of_keys(made: JwtVerifier, text: str) -> bool:
    try:
        await made.verify(text, time.time())
    except InvalidToken as refusal:
        return refusal.rule == "keys_unavailable"
    return False


# Discovery


async def test_keys_where_discovery_says() -> None:
    async with issuer() as served:
        served.serve_keys(jwk(ES256, kid="a"))
        async with verifier(served) as made:
            claims = await made.get_claims(token(served), time.time())
            assert claims["sub"] == "app"
        assert dict(served.requests) == {DISCOVERY: 1, "/keys": 1}


@pytest.mark.parametrize(
    "discovery",
    [
        None,
        reply(404, b""),
        reply(500, b"{}"),
        redirect("/other"),
        reply(200, b"no json"),
        reply(200, b"[]"),
        reply(200, {"issuer": "x"}),
        reply(200, {"jwks_uri": 5}),
        reply(200, b'{"a":' + b"[" * 5000),
        reply(200, b" " * 70_000),
    ],
)
async def test_keys_in_the_usual_place_when_discovery_says_nothing(discovery: Any) -> None:
    async with issuer() as served:
        if discovery is not None:
            served.routes[DISCOVERY] = discovery
        served.serve(JWKS, {"keys": [jwk(ES256, kid="a")]})
        async with verifier(served, limits=QUICK) as made:
            await made.verify(token(served), time.time())
        assert served.requests[JWKS] == 1


async def test_path_of_the_issuer_is_kept() -> None:
    async with issuer() as served:
        root, served.url = served.url, served.url + "/realms/one/"
        served.serve("/realms/one" + DISCOVERY, {"issuer": served.url[:-1], "jwks_uri": root + "/keys"})
        served.serve("/keys", {"keys": [jwk(ES256, kid="a")]})
        async with verifier(served) as made:
            await made.verify(token(served), time.time())


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://somebody.else"},
        {"issuer": 5},
        {"jwks_uri": "https://somebody.else/keys"},
        {"jwks_uri": "http://169.254.169.254/latest/meta-data"},
        {"jwks_uri": "http://localhost:1/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "/keys"},
        {"jwks_uri": "//127.0.0.1/keys"},
        {"jwks_uri": ""},
    ],
)
async def test_discovery_that_points_elsewhere_is_an_error_without_fallback(changes: dict[str, Any]) -> None:
    async with issuer() as served:
        served.serve(DISCOVERY, {"issuer": served.url, "jwks_uri": served.url + "/keys", **changes})
        served.serve(JWKS, {"keys": [jwk(ES256, kid="a")]})
        async with verifier(served) as made:
            assert await rule(made, token(served)) == "keys_unavailable"
        assert dict(served.requests) == {DISCOVERY: 1}


async def test_keys_on_another_server_that_is_allowed() -> None:
    async with issuer() as served, issuer() as other:
        served.serve(DISCOVERY, {"issuer": served.url, "jwks_uri": other.url + "/keys"})
        other.serve("/keys", {"keys": [jwk(ES256, kid="a")]})
        async with verifier(served) as made:
            assert await rule(made, token(served)) == "keys_unavailable"
        assert not other.requests
        async with verifier(served, jwks_hosts=[other.url.removeprefix("http://")]) as made:
            await made.verify(token(served), time.time())


async def test_redirected_key_set_is_not_followed() -> None:
    async with issuer() as served, issuer() as other:
        other.serve("/keys", {"keys": [jwk(ES256, kid="a")]})
        served.routes[JWKS] = redirect(other.url + "/keys")
        async with verifier(served) as made:
            assert await rule(made, token(served)) == "keys_unavailable"
        assert not other.requests


# Nothing is fetched for strangers


async def test_the_issuer_of_a_token_is_never_fetched_from() -> None:
    async with issuer() as served, issuer() as other:
        served.serve_keys(jwk(ES256, kid="a"))
        other.serve_keys(jwk(ES256, 1, kid="a"))
        async with verifier(served) as made:
            await made.verify(token(served), time.time())
            for iss in (other.url, served.url + "/", served.url + ".evil.test", [served.url], 5):
                forged = token(served, 1, kid="new", iss=iss) if isinstance(iss, str) else None
                if forged is not None:
                    assert await rule(made, forged) == "iss"
            without = encode({"exp": int(time.time()) + 600}, ES256, kid="a")
            assert await rule(made, without) == "iss"
        assert not other.requests
        assert served.requests["/keys"] == 1


async def test_headers_that_point_to_keys_are_ignored() -> None:
    async with issuer() as served, issuer() as other:
        served.serve_keys(jwk(ES256, kid="a"))
        other.serve_keys(jwk(ES256, 1, kid="a"))
        pointers = {
            "jku": other.url + "/keys",
            "x5u": other.url + "/keys",
            "jwk": jwk(ES256, 1),
            "x5c": ["AA=="],
        }
        content = {"iss": served.url, "aud": "peer", "exp": int(time.time()) + 600}
        async with verifier(served) as made:
            assert await rule(made, encode(content, ES256, 1, kid="a", **pointers)) == "signature"
            await made.verify(encode(content, ES256, 0, kid="a", **pointers), time.time())
        assert not other.requests


# Hostile issuers


@pytest.mark.parametrize(
    "answer",
    [
        reply(404, b""),
        reply(200, b"no json"),
        reply(200, b"\xff\xfe"),
        reply(200, {"keys": 5}),
        reply(200, {"no": "keys"}),
        reply(200, b'{"keys":[' + b"[" * 20_000),
        reply(200, {"keys": [{}] * 257}),
        reply(200, b" " * 70_000),
        endless(),
        endless(b"[" * 65536),
        gzip_bomb(16),
        hang(),
        drip(),
    ],
)
async def test_key_sets_that_are_none(answer: Any) -> None:
    async with issuer() as served:
        served.routes[JWKS] = answer
        async with verifier(served, limits=QUICK) as made:
            assert await rule(made, token(served)) == "keys_unavailable"


async def test_slow_discovery_does_not_outlast_the_limit() -> None:
    async with issuer() as served:
        served.routes[DISCOVERY] = drip()
        async with verifier(served, limits=QUICK) as made, asyncio.timeout(5):
            assert await rule(made, token(served)) == "keys_unavailable"


async def test_one_bad_key_does_not_spoil_the_set() -> None:
    async with issuer() as served:
        bad: list[Any] = [5, {}, {"kty": "AKP"}, {"kty": "oct", "k": "AAAA", "kid": "a", "alg": "HS256"}]
        served.serve_keys(*bad, jwk(ES256, 1, kid="e", use="enc"), jwk(ES256, kid="a"))
        async with verifier(served) as made:
            await made.verify(token(served), time.time())
            assert await rule(made, token(served, 1, kid="e")) == "unknown_key"


# Waiting, and not


async def test_try_forms_never_wait() -> None:
    async with issuer() as served:
        gate = asyncio.Event()
        served.serve_keys(jwk(ES256, kid="a"))
        served.routes[DISCOVERY] = after(gate, served.routes[DISCOVERY])
        async with verifier(served) as made:
            with pytest.raises(KeysMissing):
                made.try_verify(token(served), time.time())
            waiting = asyncio.create_task(made.verify(token(served), time.time()))
            gate.set()
            await waiting
            made.try_verify(token(served), time.time())
            assert made.try_get_claims(token(served), time.time())["sub"] == "app"


async def test_one_fetch_serves_all_who_wait() -> None:
    async with issuer() as served:
        gate = asyncio.Event()
        served.serve_keys(jwk(ES256, kid="a"))
        served.routes["/keys"] = after(gate, served.routes["/keys"])
        async with verifier(served) as made:
            waiting = [asyncio.create_task(made.verify(token(served), time.time())) for _ in range(50)]
            await served.asked("/keys", 1)
            waiting[0].cancel()
            gate.set()
            results = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(result) for result in results] == [asyncio.CancelledError] + [type(None)] * 49
        assert served.requests["/keys"] == 1


async def test_closing_frees_those_who_wait() -> None:
    async with issuer() as served:
        served.routes[DISCOVERY] = hang()
        async with verifier(served) as made:
            waiting = asyncio.create_task(made.verify(token(served), time.time()))
            await served.asked(DISCOVERY, 1)
            await made.close()
            with pytest.raises(InvalidToken):
                await waiting
            with pytest.raises(AuthError, match="initialize"):
                await made.verify(token(served), time.time())


async def test_life_cycle_is_idempotent() -> None:
    async with issuer() as served:
        served.serve_keys(jwk(ES256, kid="a"))
        async with verifier(served) as made:
            await made.initialize()
            await made.verify(token(served), time.time())
            await made.close()
            await made.close()
            await made.initialize()
            await made.verify(token(served), time.time())
    assert not [t for t in asyncio.all_tasks() if t.get_name().startswith("jwks")]


async def test_failure_is_not_repeated_for_each_message() -> None:
    async with issuer() as served:
        async with verifier(served) as made:
            assert await rule(made, token(served)) == "keys_unavailable"
            for _ in range(20):
                assert await rule(made, token(served)) == "keys_unavailable"
            with pytest.raises(InvalidToken):
                made.try_verify(token(served), time.time())
        assert served.requests[JWKS] == 1


# Rotation


async def test_a_new_kid_is_fetched_and_unknown_ones_only_once() -> None:
    async with issuer() as served:
        served.serve_keys(jwk(ES256, 0, kid="a"))
        async with verifier(served) as made:
            await made.verify(token(served), time.time())
            served.serve_keys(jwk(ES256, 1, kid="b"))
            with pytest.raises(KeysMissing):
                made.try_verify(token(served, 1, kid="b"), time.time())
            await made.verify(token(served, 1, kid="b"), time.time())
            assert await rule(made, token(served)) == "unknown_key"
            for number in range(20):
                assert await rule(made, token(served, kid=f"guess{number}")) == "unknown_key"
            with pytest.raises(InvalidToken):
                made.try_verify(token(served, kid="guess"), time.time())
        assert served.requests["/keys"] == 2


async def test_a_kid_nobody_has_is_refused_though_another_key_would_fit() -> None:
    async with issuer() as served:
        served.serve_keys(jwk(ES256, 0, kid="a"))
        async with verifier(served) as made:
            assert await rule(made, token(served, kid="z")) == "unknown_key"


async def test_without_kid_each_fitting_key_is_tried() -> None:
    async with issuer() as served:
        served.serve_keys(jwk(ES256, 0, kid="a"), jwk(ES256, 1))
        async with verifier(served) as made:
            await made.verify(token(served, 1, kid=None), time.time())
            assert await rule(made, token(served, 2, kid=None)) == "signature"


async def test_keys_are_refreshed_in_the_background_and_verified_tokens_forgotten() -> None:
    policy = RefreshPolicy(lifetime=0.2, min_lifetime=0.2)
    async with issuer() as served:
        served.serve_keys(jwk(ES256, 0, kid="a"))
        async with verifier(served, policy=policy) as made:
            await made.verify(token(served), time.time())
            served.serve_keys(jwk(ES256, 1, kid="b"))
            before = served.requests["/keys"]
            await served.asked("/keys", before + 2)
            await made.verify(token(served, 1, kid="b"), time.time())
            assert await rule(made, token(served)) == "unknown_key"


async def test_keys_withdrawn_by_an_empty_set() -> None:
    policy = RefreshPolicy(lifetime=0.2, min_lifetime=0.2)
    async with issuer() as served:
        served.serve_keys(jwk(ES256, 0, kid="a"))
        async with verifier(served, policy=policy) as made:
            await made.verify(token(served), time.time())
            served.serve_keys()
            await served.asked("/keys", served.requests["/keys"] + 2)
            assert await rule(made, token(served)) == "unknown_key"


async def test_stale_keys_serve_one_more_life_and_no_longer() -> None:
    policy = RefreshPolicy(lifetime=0.3, min_lifetime=0.3, first_retry=0.05, last_retry=0.05)
    async with issuer() as served:
        served.serve_keys(jwk(ES256, 0, kid="a"))
        async with verifier(served, policy=policy) as made:
            await made.verify(token(served), time.time())
            served.routes.clear()
            while not await refused_for_lack_of_keys(made, token(served)):
                await served.asked(JWKS, served.requests[JWKS] + 1)
            assert served.requests[JWKS] > 1
            served.serve_keys(jwk(ES256, 0, kid="a"))
            await served.asked("/keys", served.requests["/keys"] + 1)
            await made.verify(token(served), time.time())


# Configuration


@pytest.mark.parametrize(
    "name",
    [
        "",
        "test-issuer",
        "http://issuer.test",
        "https://u:p@issuer.test",
        "https://issuer.test?a=b",
        "file:///x",
    ],
)
def test_issuers_that_cannot_be_resolved(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        IssuerKeys(name)
    assert caught.value.field == "issuer"


def test_unusable_ca_file() -> None:
    with pytest.raises(ConfigError) as caught:
        IssuerKeys("https://issuer.test", ca_file="/does/not/exist")
    assert caught.value.field == "ca_file"


# Sharing


async def test_verifiers_of_one_issuer_share_one_fetch() -> None:
    async with issuer() as served:
        served.serve_keys(jwk(ES256, kid="a"))
        async with verifier(served) as one, verifier(served) as two:
            await one.verify(token(served), time.time())
            two.try_verify(token(served), time.time())
            await one.close()
            two.try_verify(token(served), time.time())
            with pytest.raises(KeysMissing):
                one.try_verify(token(served), time.time())
        assert served.requests["/keys"] == 1
        async with verifier(served) as third:
            await third.verify(token(served), time.time())
        assert served.requests["/keys"] == 2


async def test_verifiers_with_other_arguments_do_not_share() -> None:
    async with issuer() as served:
        served.serve_keys(jwk(ES256, kid="a"))
        async with verifier(served) as one, verifier(served, jwks_hosts=["a"]) as two:
            await one.verify(token(served), time.time())
            await two.verify(token(served), time.time())
        assert served.requests["/keys"] == 2


# TLS


async def test_https_with_a_private_authority(tmp_path: Path) -> None:
    certificate, server = certified("127.0.0.1", tmp_path)
    async with issuer(server) as served:
        served.serve_keys(jwk(ES256, kid="a"))
        async with verifier(served, ca_file=str(certificate)) as made:
            await made.verify(token(served), time.time())
        async with verifier(served) as made:
            assert await rule(made, token(served)) == "keys_unavailable"


async def test_https_of_another_name(tmp_path: Path) -> None:
    certificate, server = certified("127.0.0.2", tmp_path)
    async with issuer(server) as served:
        served.serve_keys(jwk(ES256, kid="a"))
        async with verifier(served, ca_file=str(certificate)) as made:
            assert await rule(made, token(served)) == "keys_unavailable"


def certified(address: str, folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for an address, as a file, and a server's context that shows it."""
    key = private("ES256")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    begin = datetime.now(UTC) - timedelta(hours=1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "ca.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    secret.write_text(private_pem(ES256))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, secret)
    return certificate, context
