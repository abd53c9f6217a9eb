"""Our identities at originals and theirs at ours: who believes whom, and what we say of those we do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from loguru import logger

from actors.errors import HandshakeFailed
from actors.messages.routing import Status
from gateway.config import ServerConfig
from gateway.node.data_plane import DataPlane
from identity.jose.keys import Algorithm, Key, KeyData, KeyFormat
from identity.provider import IdentityProvider, IdentityVerifier
from tests.identity.key_samples import private_pem, public_pem, signing, verifying
from tests.interop import scenarios
from tests.interop.harness import Identity, Jwt, JwtKey, OriginalApp, requires_originals
from tests.interop.issuer import KEYS, Issuer
from tests.interop.ours import CallboardApp

pytestmark = [pytest.mark.originals, requires_originals]

AUDIENCE = ["callboard"]
ISSUER = "https://issuer.example"
ES256 = Algorithm.ES256
THEIR_NAMES = {Algorithm.EdDSA: "ED_DSA"}
"""Algorithms that originals call otherwise."""
Pair = tuple[IdentityProvider, IdentityVerifier]


@pytest.fixture
async def node() -> AsyncIterator[str]:
    """A node of ours in this process; its endpoint."""
    plane = DataPlane(strict=True)
    address = await plane.serve(ServerConfig.read({"endpoint": "127.0.0.1:0", "tls": {"insecure": True}}))
    yield f"http://{address}"
    await plane.close(0.5)


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What is logged while the test runs."""
    kept: list[str] = []
    sink = logger.add(kept.append, level="INFO", format="{message} {extra}")
    yield kept
    logger.remove(sink)


# Identities of originals, and their counterparts of ours


def theirs(algorithm: Algorithm = ES256, number: int = 0, **claims: object) -> Jwt:
    """An original that signs with key `number` and verifies with key 0."""
    options = {"issuer": ISSUER, "audience": AUDIENCE, "verify_audience": AUDIENCE, "verify_issuer": ISSUER}
    return Jwt(
        private=JwtKey(THEIR_NAMES.get(algorithm, algorithm.value), data=private_pem(algorithm, number)),
        public=JwtKey(THEIR_NAMES.get(algorithm, algorithm.value), data=public_pem(algorithm)),
        **{**options, **claims},  # type: ignore[arg-type]
    )


def ours(name: str, algorithm: Algorithm = ES256, audience: list[str] | None = None) -> Pair:
    return (
        IdentityProvider.Jwt(
            signing(algorithm), timedelta(hours=1), ISSUER, audience or AUDIENCE, f"org/test/{name}"
        ),
        strict_verifier(algorithm),
    )


def strict_verifier(algorithm: Algorithm = ES256) -> IdentityVerifier:
    return IdentityVerifier.Jwt(
        verifying(algorithm), issuer=ISSUER, audience=AUDIENCE, require_iss=True, require_aud=True
    )


async def talk(node: str, pair: Pair | None, other: Identity | None, *, ours_opens: bool = True) -> None:
    """Ours and an original open a session and hear each other."""
    async with (
        CallboardApp("ours", node, identity=pair) as mine,
        OriginalApp("theirs", node, identity=other) as original,
    ):
        ends = await scenarios.pair(*((mine, original) if ours_opens else (original, mine)))
        await scenarios.flood(ends[0], [ends[1]], 3, "opener")
        await scenarios.flood(ends[1], [ends[0]], 3, "other")


@pytest.mark.parametrize("ours_opens", [True, False], ids=["ours-opens", "theirs-opens"])
async def test_shared_secret(node: str, ours_opens: bool) -> None:
    await talk(node, None, None, ours_opens=ours_opens)


@pytest.mark.parametrize(
    ("algorithm", "ours_opens"),
    [
        (Algorithm.RS256, True),
        (Algorithm.ES256, False),
        (Algorithm.ES384, True),
        (Algorithm.EdDSA, False),
    ],
    ids=lambda value: value.value if isinstance(value, Algorithm) else "",
)
async def test_signed_tokens(node: str, algorithm: Algorithm, ours_opens: bool) -> None:
    await talk(node, ours("ours", algorithm), theirs(algorithm), ours_opens=ours_opens)


async def test_tokens_from_files(node: str, tmp_path: Path) -> None:
    async with Issuer() as issuer:
        files = {name: tmp_path / name for name in ("ours", "theirs")}
        for name, file in files.items():
            file.write_text(issuer.token(name, AUDIENCE))
        public = Key(ES256, KeyFormat.Pem, KeyData.Content(issuer.public.data or ""))
        pair = IdentityProvider.StaticJwt(str(files["ours"])), IdentityVerifier.Jwt(public, audience=AUDIENCE)
        original = Jwt(token_file=str(files["theirs"]), public=issuer.public, verify_audience=AUDIENCE)
        await talk(node, pair, original)


async def test_keys_are_found_by_the_issuer(node: str) -> None:
    """Neither side has the other's key: both fetch it from the issuer that the tokens name."""
    async with Issuer() as issuer:
        key = Key(ES256, KeyFormat.Pem, KeyData.Content(issuer.private.data or ""))
        pair = (
            IdentityProvider.Jwt(
                key, timedelta(hours=1), issuer.url, AUDIENCE, "org/test/ours", key_id="only"
            ),
            IdentityVerifier.Jwt(autoresolve=True, issuer=issuer.url, audience=AUDIENCE, require_aud=True),
        )
        original = Jwt(private=issuer.private, issuer=issuer.url, audience=AUDIENCE, verify_audience=AUDIENCE)
        await talk(node, pair, original, ours_opens=False)
        assert issuer.asked.count(KEYS) == 2


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"audience": ["elsewhere"]}, "aud"),
        ({"issuer": "https://other.example"}, "iss"),
        ({"number": 1}, "signature"),
        ({"issuer": None}, "iss"),
    ],
    ids=["audience", "issuer", "key", "missing claim"],
)
async def test_a_stranger_is_refused_and_we_say_why(
    node: str, lines: list[str], claims: dict[str, object], reason: str
) -> None:
    async with OriginalApp("theirs", node, identity=theirs(**claims)) as original:  # type: ignore[arg-type]
        await refused(node, original, lines, reason)


async def test_an_expired_token_is_refused_and_we_say_why(
    node: str, lines: list[str], tmp_path: Path
) -> None:
    issuer = Issuer()
    issuer.url = ISSUER
    token = tmp_path / "token"
    token.write_text(issuer.token("theirs", AUDIENCE, lifetime=-120.0))
    public = Key(ES256, KeyFormat.Pem, KeyData.Content(issuer.public.data or ""))
    pair = ours("ours")[0], IdentityVerifier.Jwt(public, issuer=ISSUER, audience=AUDIENCE)
    identity = Jwt(token_file=str(token), public=issuer.public, verify_audience=AUDIENCE)
    async with OriginalApp("theirs", node, identity=identity) as original:
        await refused(node, original, lines, "expired", pair)


async def refused(
    node: str, original: OriginalApp, lines: list[str], reason: str, pair: Pair | None = None
) -> None:
    """The original opens no session with ours, which counts and names the reason."""
    async with CallboardApp("ours", node, identity=pair or ours("ours")) as mine:
        await original.set_route("ours")
        opening = asyncio.create_task(original.create_session("ours", interval=0.1, max_retries=2))
        with pytest.raises(Exception, match=r"handshake|retries|failed|time"):
            await opening
        plane = mine.slim.data_plane
        report = await plane.system.ask(mine.slim.actor, Status(), 5.0)
        assert report.figures["unverified"] >= 1
        assert report.figures["sessions"] == 0
    told = [line for line in lines if "DISCOVERY_REQUEST of org/test/theirs" in line]
    assert told
    assert reason in told[0]
    assert "eyJ" not in "".join(lines)


async def test_originals_refuse_ours_with_another_audience(node: str) -> None:
    async with (
        OriginalApp("theirs", node, identity=theirs()),
        CallboardApp("ours", node, identity=ours("ours", audience=["elsewhere"])) as mine,
    ):
        await mine.set_route("theirs")
        with pytest.raises(HandshakeFailed):
            await mine.create_session("theirs", interval=0.1, max_retries=2)
