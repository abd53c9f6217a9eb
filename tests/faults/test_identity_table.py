"""Each row of the README's identity table with encryption from end to end: both roles, and groups.

Verifiers are for others. Where one expects a certain peer, or knows another key, audience or issuer than its
application's own, our own credential is none of its business.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
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
from identity.errors import ConfigError, SlimError
from identity.jose.keys import Algorithm, Key, KeyData, KeyFormat
from identity.provider import IdentityProvider, IdentityVerifier
from tests.gateway.app_stage import SECRET, AppStage, name
from tests.identity.issuer import issuer
from tests.identity.spiffe.trust import Authority, jwk
from tests.identity.spiffe.workload_server import WorkloadServer

PATIENCE = 20.0
NAMES = ("ann", "ben", "cleo")

Pair = tuple[Any, Any]
Pairs = dict[str, Pair]


class KeyPair:
    """A key pair of one application."""

    def __init__(self, kid: str) -> None:
        self.kid = kid
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def private(self) -> Key:
        text = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return Key(Algorithm.ES256, KeyFormat.Pem, KeyData.Content(text))

    @property
    def public(self) -> Key:
        text = self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        return Key(Algorithm.ES256, KeyFormat.Pem, KeyData.Content(text))

    @property
    def jwk(self) -> dict[str, Any]:
        return jwk(self._key.public_key(), self.kid, use="sig")


KEYS = {who: KeyPair(who) for who in NAMES}


def signer(who: str, **options: Any) -> Any:
    return IdentityProvider.Jwt(KEYS[who].private, timedelta(minutes=10), subject=who, key_id=who, **options)


def keys_of(*who: str) -> Key:
    text = json.dumps({"keys": [KEYS[one].jwk for one in who]})
    return Key(Algorithm.ES256, KeyFormat.Jwks, KeyData.Content(text))


def others(who: str) -> list[str]:
    return [one for one in NAMES if one != who]


@pytest.fixture
async def agent() -> AsyncIterator[WorkloadServer]:
    with tempfile.TemporaryDirectory(prefix="spiffe") as directory:
        async with WorkloadServer(Path(directory)) as running:
            yield running


@pytest.fixture(params=["in one process", "server"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[AppStage]:
    made = AppStage(request.param)
    await made.start()
    yield made
    await made.close()


# The rows. Of two, each expects the other; of three, each knows the two others and not itself.


@asynccontextmanager
async def shared_secret() -> AsyncIterator[Pairs]:
    yield {
        who: (IdentityProvider.SharedSecret(who, SECRET), IdentityVerifier.SharedSecret(who, SECRET))
        for who in NAMES
    }


@asynccontextmanager
async def own_key_pairs() -> AsyncIterator[Pairs]:
    """Each with the public keys of the others."""
    yield {who: (signer(who), IdentityVerifier.Jwt(keys_of(*others(who)))) for who in NAMES}


@asynccontextmanager
async def own_audiences() -> AsyncIterator[Pairs]:
    """Tokens are for the two others, and each takes only what is for itself."""
    yield {
        who: (
            signer(who, audience=others(who)),
            IdentityVerifier.Jwt(keys_of(*NAMES), audience=[who], require_aud=True),
        )
        for who in NAMES
    }


@asynccontextmanager
async def expected_peers() -> AsyncIterator[Pairs]:
    pairs = {}
    for who, peer in (("ann", "ben"), ("ben", "ann")):
        verifier = IdentityVerifier.Jwt(KEYS[peer].public, subject=peer, require_sub=True)
        pairs[who] = (signer(who), verifier)
    yield pairs


@asynccontextmanager
async def own_issuers() -> AsyncIterator[Pairs]:
    """Each has an issuer of its own, and takes the tokens of the other's."""
    async with AsyncExitStack() as held:
        urls = {}
        for who in ("ann", "ben"):
            running = await held.enter_async_context(issuer())
            running.serve_keys(KEYS[who].jwk)
            urls[who] = running.url
        yield {
            who: (
                signer(who, issuer=urls[who]),
                IdentityVerifier.Jwt(autoresolve=True, issuer=urls[peer], subject=peer),
            )
            for who, peer in (("ann", "ben"), ("ben", "ann"))
        }


@asynccontextmanager
async def an_issuers_keys() -> AsyncIterator[Pairs]:
    async with issuer() as running:
        running.serve_keys(*(KEYS[who].jwk for who in NAMES))
        yield {
            who: (
                signer(who, issuer=running.url, audience=["demo"]),
                IdentityVerifier.Jwt(autoresolve=True, issuer=running.url, audience=["demo"]),
            )
            for who in NAMES
        }


def spire(agent: WorkloadServer, **verifier: Any) -> Callable[[], Any]:
    agent.paths = [f"/{who}" for who in NAMES]

    @asynccontextmanager
    async def row() -> AsyncIterator[Pairs]:
        expected = {"ann": "ben", "ben": "ann"} if verifier.pop("peer", False) else {}
        yield {
            who: (
                IdentityProvider.Spire(agent.path, f"spiffe://example.org/{who}", **audiences(who)),
                IdentityVerifier.Spire(
                    agent.path,
                    f"spiffe://example.org/{expected[who]}" if expected else None,
                    [who] if verifier else None,
                ),
            )
            for who in (expected or NAMES)
        }

    def audiences(who: str) -> dict[str, Any]:
        return {"jwt_audiences": others(who)} if verifier else {}

    return row


ROWS = (shared_secret, own_key_pairs, own_audiences, expected_peers, own_issuers, an_issuers_keys)
SPIRE = ("spire", "spire with audiences", "spire with expected peers")


@pytest.fixture(params=[*(row.__name__ for row in ROWS), *SPIRE])
async def pairs(request: pytest.FixtureRequest, agent: WorkloadServer) -> AsyncIterator[Pairs]:
    rows: dict[str, Callable[[], Any]] = {row.__name__: row for row in ROWS}
    match request.param:
        case "spire":
            row = spire(agent)
        case "spire with audiences":
            row = spire(agent, audiences=True)
        case "spire with expected peers":
            row = spire(agent, peer=True)
        case other:
            row = rows[other]
    async with row() as made:
        yield made


async def application(stage: AppStage, who: str, pair: Pair) -> Slim:
    plane = stage._plane() if stage.networked else stage.node
    await pair[0].initialize()  # it may have to learn its id
    made = await Slim(name(who), *pair, data_plane=plane).__aenter__()
    stage._apps.append(made)
    if stage.networked:
        await made.connect(stage.client_config)
    return made


async def test_two_talk_whoever_begins(stage: AppStage, pairs: Pairs) -> None:
    ann, ben = [await application(stage, who, pairs[who]) for who in ("ann", "ben")]
    await stage.route(ann, "ben")
    await stage.route(ben, "ann")
    for first, second in ((ann, ben), (ben, ann)):
        async with first.session(second.local_name.without_id(), mls=True) as session:
            await session.publish(b"who is there?")
            other = await second.listen_for_session(PATIENCE)
            context, question = await other.get_message(PATIENCE)
            assert question == b"who is there?"
            await other.publish_to(context, b"me")
            assert (await session.get_message(PATIENCE)).payload == b"me"
            assert session.epoch == other.epoch == 1


async def test_three_talk_in_a_group(stage: AppStage, pairs: Pairs) -> None:
    if len(pairs) < 3:
        pytest.skip("each of these expects one certain peer: they make no group")
    apps = [await application(stage, who, pairs[who]) for who in NAMES]
    await stage.route(apps[0], "ben", "cleo")
    async with asyncio.timeout(2 * PATIENCE):
        async with apps[0].group(name("channel"), invite=[name("ben"), name("cleo")], mls=True) as mo:
            ends = [mo, *[await app.listen_for_session(PATIENCE) for app in apps[1:]]]
            for speaker in ends:
                await (await speaker.publish(b"hello"))
                for hearer in ends:
                    if hearer is not speaker:
                        assert (await hearer.get_message(PATIENCE)).payload == b"hello"


async def test_an_expected_peer_may_be_a_group_of_two(stage: AppStage) -> None:
    async with expected_peers() as pairs:
        ann, ben = [await application(stage, who, pairs[who]) for who in ("ann", "ben")]
        await stage.route(ann, "ben")
        async with ann.group(name("channel"), invite=[name("ben")], mls=True) as mo:
            end = await ben.listen_for_session(PATIENCE)
            await (await end.publish(b"hello"))
            assert (await mo.get_message(PATIENCE)).payload == b"hello"


async def test_who_is_refused_is_named_with_the_reason(stage: AppStage) -> None:
    """Ann knows Ben's key and Cleo's, and wants tokens for herself: Cleo's are for others."""
    ann = await application(
        stage,
        "ann",
        (signer("ann"), IdentityVerifier.Jwt(keys_of("ben"), subject="ben")),
    )
    told = IdentityVerifier.Jwt(keys_of(*NAMES))
    ben = await application(stage, "ben", (Chameleon("ben", "cleo"), told))
    await stage.route(ann, "ben")
    with pytest.raises(SlimError, match=r"the token of 'cleo' is refused: .*kid"):
        async with ann.session(ben.local_name.without_id(), mls=True) as session:
            await session.publish(b"who is there?")
            await asyncio.wait_for(session.get_message(), PATIENCE)


class Chameleon:
    """Says one name in its messages, and another in its MLS credential."""

    def __init__(self, shown: str, credential: str) -> None:
        self._shown, self._credential = signer(shown), signer(credential)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._shown, attribute)

    async def initialize(self) -> None: ...

    async def close(self) -> None: ...

    def get_id(self) -> str:
        return str(self._shown.get_id())

    def get_token(self, now: float) -> str:
        return str(self._shown.get_token(now))

    async def get_token_with_claims(self, claims: Any, now: float) -> str:
        return str(await self._credential.get_token_with_claims(claims, now))


@pytest.fixture(params=["file", "cloud"])
def unfit(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Pair, str]:
    """A provider that cannot carry an MLS key: somebody else signs its tokens."""
    authority = Authority()
    file = tmp_path / "token"
    file.write_text(authority.token(["demo"], path="/ann"))
    keys = Key(Algorithm.ES256, KeyFormat.Jwks, KeyData.Content(authority.jwks().decode()))
    verifier = IdentityVerifier.Jwt(keys, audience=["demo"])
    if request.param == "file":
        return (IdentityProvider.StaticJwt(str(file)), verifier), "StaticJwt cannot carry the MLS key"

    async def issued() -> str:
        return file.read_text()

    return (IdentityProvider.Cloud(fetch=issued), verifier), "tokens of Cloud cannot carry the MLS key"


async def test_the_rows_that_say_no_say_so(stage: AppStage, unfit: tuple[Pair, str]) -> None:
    pair, why = unfit
    ann, ben = await application(stage, "ann", pair), await application(stage, "ben", pair)
    await stage.route(ann, "ben")
    with pytest.raises((ConfigError, SessionError), match=why):
        async with ann.session(ben.local_name.without_id(), mls=True) as session:
            await (await session.publish(b"x"))
