"""What is known about a refused identity stands in error and log, on both sides where both are ours."""

from __future__ import annotations

import json
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from actors.errors import CannotConnect, HandshakeFailed
from gateway.api.slim import Slim
from identity.errors import ConfigError, InvalidToken
from identity.jose.keys import Algorithm, Key, KeyData, KeyFormat
from identity.provider import IdentityProvider, IdentityVerifier
from tests.faults.test_known_reasons import listening
from tests.gateway.planes import TRANSPORTS, plane, serving
from tests.identity.issuer import DISCOVERY, issuer, reply
from tests.identity.key_samples import encode, jwk, signing, verifying

ES256 = Algorithm.ES256
INSECURE = {"insecure": True}
BOB = "org/demo/bob"


def signer(name: str, issuer: str = "issuer") -> Any:
    lifetime = timedelta(hours=1)
    return IdentityProvider.Jwt(signing(ES256), lifetime, issuer, ["peers"], name, key_id="a")


def key_set(*keys: dict[str, Any]) -> Key:
    return Key(ES256, KeyFormat.Jwks, KeyData.Content(json.dumps({"keys": keys})))


def of_set_with_a_broken_key() -> Any:
    broken = {**jwk(ES256, kid="a"), "x": "AAAA"}
    return IdentityVerifier.Jwt(key_set(broken, jwk(ES256, 1, kid="b")), audience=["peers"], issuer="issuer")


def of_issuer_with_a_slash() -> Any:
    return IdentityVerifier.Jwt(verifying(ES256), audience=["peers"], issuer="issuer/")


CASES = {
    "a key that was left out": (
        of_set_with_a_broken_key,
        "our token is signed with a key that it does not know",
        "the key of the token's kid is left out of the set: not a usable RSA, EC or Ed25519 key: an EC",
    ),
    "an issuer but for a slash": (
        of_issuer_with_a_slash,
        "our token is of another issuer",
        r"issued by somebody else than 'issuer/' \(they differ by a slash at the end\)",
    ),
    "discovery answered 403": (
        None,
        "cannot judge our token: its issuer's keys cannot be had there",
        "the issuer's keys cannot be had at present: discovery: .*403",
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_the_refusing_side_logs_it_and_the_refused_side_raises_it(case: str) -> None:
    trusts, raised, logged = CASES[case]
    async with AsyncExitStack() as held:
        served = await held.enter_async_context(issuer())
        served.routes[DISCOVERY] = reply(403, b"")
        where = served.url if trusts is None else "issuer"
        theirs = (
            trusts() if trusts else IdentityVerifier.Jwt(autoresolve=True, issuer=where, audience=["peers"])
        )
        node = await held.enter_async_context(plane())
        ours = IdentityVerifier.Jwt(verifying(ES256), audience=["peers"])
        alice = await held.enter_async_context(
            Slim("org/demo/alice", signer("alice", where), ours, data_plane=node)
        )
        bob = await held.enter_async_context(Slim(BOB, signer("bob", where), theirs, data_plane=node))
        await bob.status()
        with listening() as said:
            with pytest.raises(HandshakeFailed, match=raised):
                await alice.session(BOB, timeout=0.1, max_retries=3)._open()
            await said.until(logged)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_token_too_large_for_a_header(transport: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(encode({"sub": "app", "exp": int(time.time()) + 60, "groups": ["g" * 24_000]}, ES256))
    shown = {"type": "static_jwt", "file": str(file)}
    async with serving(INSECURE, transport=transport) as at, plane() as dialling:
        with pytest.raises(
            CannotConnect, match=r"the token shown has 3\d{4} bytes: a node takes 16384 bytes"
        ):
            await at.dial(dialling, INSECURE, auth=shown)


def test_a_subject_that_is_a_number(tmp_path: Path) -> None:
    """Where it is sent, and where it is judged."""
    token = encode({"sub": 17, "exp": int(time.time()) + 60}, ES256)
    (tmp_path / "token").write_text(token)
    with pytest.raises(ConfigError, match=r"missing subject claim .*its sub is a number"):
        IdentityProvider.StaticJwt(str(tmp_path / "token"))
    with pytest.raises(InvalidToken, match="sub is not a usable text: it is a number"):
        IdentityVerifier.Jwt(verifying(ES256)).try_verify(token, time.time())


def test_a_set_of_which_nothing_is_left_says_why() -> None:
    with pytest.raises(ConfigError, match=r"without any usable key \(1 left out of it: 'a' is .*another use"):
        IdentityVerifier.Jwt(key_set({**jwk(ES256, kid="a"), "use": "enc"}))
