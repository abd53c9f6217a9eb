"""Whose messages are let in when keys change, clocks move, and strangers borrow names."""

from __future__ import annotations

import asyncio
import secrets
import time
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from actors.app.admission import PARKED, PLACE, Admission, TokenVerified
from actors.app.effects import Released
from actors.app.turn import AppTurn
from actors.messages.codec import Unread
from actors.messages.wire import Frame, MessageType, Payload, SessionKind, SessionMessage
from actors.names import Name
from gateway import Slim
from identity.errors import InvalidToken, SlimError
from identity.jose.keys import Algorithm, Key, KeyData, KeyFormat
from identity.protocols import KeysMissing, Verifier
from identity.provider import IdentityProvider, IdentityVerifier
from identity.shared_secret import SharedSecretProvider, SharedSecretVerifier
from tests.gateway.app_stage import name
from tests.identity.issuer import after, issuer, reply
from tests.identity.spiffe.trust import jwk

SECRET, SUCCESSOR = "a secret of the admission's tests, 32 bytes", "another secret for the same tests, 32 b"
ME, BOB = Name("o", "n", "me", 1), Name("o", "n", "bob", 2)
NOW = 1_800_000_000.0
PATIENCE = 20.0


def message(token: str, *, source: Name = BOB, connection: int = 1, id: int = 1) -> SessionMessage:
    kind = SessionKind.POINT_TO_POINT
    return SessionMessage(
        source, ME, kind, MessageType.MSG, 5, id, Payload(), identity=token, connection=connection
    )


class Door:
    """An Admission with the turns of its own."""

    def __init__(self, verifier: Any, **options: Any) -> None:
        self.core = Admission(verifier, **options)

    def admits(self, message: SessionMessage, now: float) -> bool:
        return self.core.admits(message, AppTurn(wall=now))

    def fetched(self, token: str, error: SlimError | None, now: float) -> list[int]:
        turn = AppTurn(wall=now)
        self.core.handle(TokenVerified(token, error), turn)
        return [effect.message.message_id for effect in turn.effects if isinstance(effect, Released)]

    @property
    def figures(self) -> tuple[int, int, int]:
        counts = self.core.counts
        return self.core.parked, counts.parking_overflowed, counts.unverified


def test_a_token_is_not_trusted_after_its_secret_was_replaced() -> None:
    verifier = SharedSecretVerifier("me", SECRET)
    door = Door(verifier)
    token = SharedSecretProvider("bob", SECRET).get_token(NOW)
    assert door.admits(message(token), NOW)
    verifier.replace_secret(SUCCESSOR, now=NOW)
    assert not door.admits(message(token), NOW)
    assert door.admits(message(SharedSecretProvider("bob", SUCCESSOR).get_token(NOW)), NOW)


def test_a_token_is_not_trusted_for_the_time_by_which_a_clock_is_set_back() -> None:
    door = Door(SharedSecretVerifier("me", SECRET))
    token = SharedSecretProvider("bob", SECRET).get_token(NOW)
    assert door.admits(message(token), NOW)
    assert not door.admits(message(token), NOW - 60)


def test_a_token_is_used_once_where_a_replay_cache_says_so() -> None:
    door = Door(SharedSecretVerifier("me", SECRET, replay_cache=10))
    provider = SharedSecretProvider("bob", SECRET, token_reuse=0)
    first, second = provider.get_token(NOW), provider.get_token(NOW)
    assert door.admits(message(first), NOW)
    assert door.admits(message(second), NOW)
    assert not door.admits(message(first), NOW)
    assert not door.admits(message(second), NOW)


class Changing(SharedSecretVerifier):
    """A verifier that finds its keys changed while it verifies, as one that follows a file does."""

    generation = 0

    def __init__(self) -> None:
        super().__init__("me", SECRET)
        self.found: list[int] = []
        self.refused: set[str] = set()

    def try_verify(self, token: str, now: float) -> None:
        if self.found:
            self.generation = self.found.pop()
        if token in self.refused:
            raise InvalidToken("signed with a key of before", rule="unknown_key")


def test_keys_found_changed_by_one_token_count_for_all() -> None:
    verifier = Changing()
    door = Door(verifier)
    assert door.admits(message("old"), NOW)
    verifier.found, verifier.refused = [1], {"old"}
    assert door.admits(message("new"), NOW)
    assert not door.admits(message("old"), NOW)


class Lacking:
    """A verifier without keys for some tokens."""

    def __init__(self) -> None:
        self.known = {"good"}

    def try_verify(self, token: str, now: float) -> None:
        if token not in self.known:
            raise KeysMissing


def lacking(**options: Any) -> tuple[Door, Lacking]:
    verifier: Any = Lacking()
    return Door(verifier, **options), verifier


@pytest.mark.parametrize("whole", [True, False], ids=["read", "unread"])
def test_what_waits_for_keys_is_bounded_in_bytes(whole: bool) -> None:
    """However few and large the messages are."""
    door, _ = lacking()
    blob = bytes(4 * 2**20)
    large = message("none")._replace(content=Payload("msg", blob))
    frame = Frame(BOB.key, BOB.instance, 1, False, b"", len(blob), blob)
    for number in range(100):
        token = f"none {number % 10}"
        unread = Unread(BOB, token, MessageType.GROUP_CLOSE, number, frame)
        one = large._replace(identity=token, connection=number) if whole else unread
        assert not door.core.admits(one, AppTurn(wall=NOW))
    waiting, dropped, _ = door.figures
    assert 1 <= waiting <= 2 * PARKED * PLACE // len(blob)
    assert waiting + dropped == 100
    for number in range(10):
        if f"none {number}" in door.core._parked:
            door.fetched(f"none {number}", InvalidToken("no such key"), NOW)
    assert door.figures[0] == 0
    # All places are free again.
    assert not door.admits(message("later"), NOW)
    assert door.figures[0] == 1


def test_a_borrowed_name_holds_up_nobody() -> None:
    door, _ = lacking()
    assert not door.admits(message("forged", source=BOB), NOW)
    assert door.admits(message("good", source=BOB), NOW)
    assert door.fetched("forged", InvalidToken("no such key"), NOW) == []
    assert door.figures == (0, 0, 1)


def test_one_connection_does_not_take_all_places() -> None:
    door, verifier = lacking(parked=100)
    for number in range(1000):
        door.admits(message(f"forged {number}", connection=7, source=Name("o", "n", "x", number)), NOW)
    assert door.core.parked == 50
    for id in range(10):
        door.admits(message("far", connection=8, id=id), NOW)
    assert door.figures[:2] == (60, 950)
    verifier.known.add("far")
    assert door.fetched("far", None, NOW) == list(range(10))
    for number in range(50):
        door.fetched(f"forged {number}", InvalidToken("no such key"), NOW)
    assert door.core.parked == 0
    assert not door.core._of_connections


def test_one_token_does_not_take_all_places() -> None:
    door, _ = lacking(parked=100)
    for number in range(1000):
        door.admits(message("captured", connection=number), NOW)
    assert door.core.parked == 50
    door.admits(message("other", connection=5000), NOW)
    assert door.core.parked == 51


@pytest.mark.parametrize("kind", ["secret", "jwt"])
def test_verifiers_of_this_project_tell_when_they_rotate(kind: str) -> None:
    made: dict[str, Verifier] = {
        "secret": SharedSecretVerifier("me", SECRET),
        "jwt": IdentityVerifier.Jwt(autoresolve=True, issuer="https://issuer.test"),
    }
    assert Admission(made[kind])._rotating is made[kind]


async def test_forged_tokens_in_the_name_of_a_peer_while_keys_are_fetched() -> None:
    """The issuer is slow, a stranger sends in Bob's name with a key nobody knows, and Bob is heard."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    async with issuer() as keys:
        keys.serve_keys(jwk(key.public_key(), "k", use="sig"))

        def pair(who: str) -> tuple[Any, Any]:
            signer = Key(Algorithm.ES256, KeyFormat.Pem, KeyData.Content(pem))
            return (
                IdentityProvider.Jwt(signer, timedelta(minutes=5), keys.url, None, who, key_id="k"),
                IdentityVerifier.Jwt(autoresolve=True, issuer=keys.url),
            )

        async with (
            Slim(name("ann"), *pair("ann")) as ann,
            Slim(name("bob"), *pair("bob")) as bob,
            bob.session(name("ann")) as session,
        ):
            await (await session.publish(b"before"))
            end = await ann.listen_for_session(PATIENCE)
            assert (await end.get_message(PATIENCE)).payload == b"before"
            gate = asyncio.Event()
            keys.routes["/keys"] = after(gate, reply(200, {"keys": [jwk(key.public_key(), "k", use="sig")]}))
            asked = keys.requests["/keys"]
            stranger = Stranger(keys.url)
            async with Slim(name("bob"), stranger, pair("x")[1]) as liar:
                calling = asyncio.create_task(call(liar))
                await keys.asked("/keys", asked + 1)  # Ann, held up by the stranger's key
                async with asyncio.timeout(PATIENCE / 2):
                    await (await session.publish(b"meanwhile"))
                    assert (await end.get_message(PATIENCE)).payload == b"meanwhile"
                assert not gate.is_set()
                gate.set()
                calling.cancel()
                await asyncio.gather(calling, return_exceptions=True)


async def call(app: Slim) -> None:
    async with app.session(name("ann")) as session:
        await session.publish(b"forged")


class Stranger:
    """A provider of tokens whose key no issuer has, in the name of Bob."""

    def __init__(self, url: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._url = url

    async def initialize(self) -> None: ...

    async def close(self) -> None: ...

    def get_id(self) -> str:
        return "bob"

    def get_token(self, now: float) -> str:
        claims = {"iss": self._url, "sub": "bob", "exp": int(time.time()) + 60, "jti": secrets.token_hex(4)}
        return jwt.encode(claims, self._key, "ES256", headers={"kid": "unknown"})

    async def get_token_with_claims(self, claims: Any, now: float) -> str:
        return self.get_token(now)
