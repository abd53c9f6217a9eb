"""What must never be read anywhere: secrets, private keys and tokens, in logs, errors and reprs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from identity.errors import AuthError, ConfigError
from identity.jose.keys import Algorithm, Key, KeyData, KeyFormat
from identity.protocols import KeysMissing
from identity.provider import IdentityProvider, IdentityVerifier
from tests.identity.issuer import issuer
from tests.identity.key_samples import HMAC_TEXT, encode, jwk, private_pem, signing, verifying

SECRET = "do-not-show-this-secret"
ES256, HS256 = Algorithm.ES256, Algorithm.HS256


class Heard:
    """Everything that was logged, raised or represented."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, message: str) -> None:
        self.text += message

    def attempt(self, work: Any, *arguments: Any) -> Any:
        try:
            made = work(*arguments)
        except (AuthError, ConfigError, KeysMissing) as error:
            self.text += f"{error!r} {error} {vars(error)} {error.__cause__!r} {error.__context__!r}"
            return None
        self.text += "" if isinstance(made, str) else repr(made)
        return made


@pytest.fixture
def heard() -> Iterator[Heard]:
    listener = Heard()
    sink = logger.add(listener.write, level="TRACE", format="{message} {exception}", diagnose=False)
    yield listener
    logger.remove(sink)


def parts(token: str) -> list[str]:
    """The parts of a token that must not be shown, whole or in halves."""
    long = [part for part in token.replace(".", ":").split(":") if len(part) > 12]
    return [half for part in long for half in (part[: len(part) // 2], part[len(part) // 2 :])]


def broken(token: str) -> list[str]:
    return [
        token[:-6] + "AAAAAA",
        token[:-1],
        token + "=",
        token + "\n",
        token[1:],
        token.replace("e", "é", 1),
    ]


def test_shared_secret(heard: Heard) -> None:
    provider = heard.attempt(IdentityProvider.SharedSecret, "svc", SECRET)
    verifier = heard.attempt(IdentityVerifier.SharedSecret, "svc", SECRET)
    heard.attempt(lambda: IdentityProvider.SharedSecret("svc", SECRET, strict=True))
    token = provider.get_token(1000)
    for text in (token, *broken(token)):
        for now in (0, 1000, 9999):
            heard.attempt(verifier.try_get_claims, text, now)
    heard.attempt(lambda: verifier.replace_secret(SECRET + "2", now=1000, overlap=5))
    heard.text += repr(verifier)
    for hidden in (SECRET, *parts(token)):
        assert hidden not in heard.text
    assert "made with another secret" in heard.text


def test_signed_tokens_and_keys(heard: Heard, tmp_path: Path) -> None:
    made = heard.attempt(IdentityProvider.Jwt, signing(ES256), timedelta(hours=1), "issuer", ["peer"], "app")
    token = made.get_token(1000)
    verifier = heard.attempt(IdentityVerifier.Jwt, verifying(ES256), False, "other issuer")
    for text in (token, *broken(token), encode({"exp": 1}, ES256), encode({"iss": "x"}, ES256)):
        heard.attempt(verifier.try_get_claims, text, 1000)
    path = tmp_path / "key"
    for content in (private_pem(ES256), private_pem(ES256)[:-40], HMAC_TEXT + "\n", token):
        path.write_text(content)
        for algorithm in (ES256, HS256, Algorithm.RS256):
            for format in KeyFormat:
                for data in (KeyData.File(path), KeyData.Content(content)):
                    key = Key(algorithm, format, data)
                    heard.attempt(IdentityVerifier.Jwt, key)
                    heard.attempt(IdentityProvider.Jwt, key, timedelta(hours=1), None, None, "a")
    heard.attempt(IdentityProvider.StaticJwt, str(path))
    hidden = [*private_pem(ES256).splitlines()[1:-1], HMAC_TEXT, HMAC_TEXT[:20], *parts(token)]
    assert not [text for text in hidden if text in heard.text]
    assert "newline at the end" in heard.text


async def test_fetched_keys(heard: Heard) -> None:
    async with issuer() as served:
        served.serve_keys(jwk(ES256, kid="a"))
        verifier = heard.attempt(lambda: IdentityVerifier.Jwt(autoresolve=True, issuer=served.url))
        token = encode({"iss": served.url, "exp": int(time.time()) + 99}, ES256, kid="unknown")
        heard.attempt(verifier.try_verify, token, time.time())
        await verifier.initialize()
        with pytest.raises(AuthError) as caught:
            await verifier.verify(token, time.time())
        heard.text += repr(caught.value)
        await verifier.close()
    assert not [text for text in parts(token) if text in heard.text]
