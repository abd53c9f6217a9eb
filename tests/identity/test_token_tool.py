"""What the token commands show, make and say."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from identity import token_tool
from identity.errors import ConfigError, InvalidToken
from identity.jose.keys import Algorithm
from identity.provider import IdentityProvider, IdentityVerifier
from tests.identity.key_samples import encode, signing, verifying

SECRET = "a shared secret of more than 32 bytes"
NOW = 1_800_000_000
ES256 = Algorithm.ES256


def secret_provider() -> Any:
    return IdentityProvider.SharedSecret("svc", SECRET)


def jwt_provider() -> Any:
    return IdentityProvider.Jwt(signing(ES256), timedelta(hours=1), "issuer", ["peer"], "app")


def test_inspect_shared_secret_token() -> None:
    parts = token_tool.inspect(f" {secret_provider().get_token(NOW)}\n")
    assert (parts.kind, parts.issued, parts.expires) == ("shared secret", NOW, None)
    assert parts.subject is not None
    assert parts.subject.startswith("svc_")
    assert list(parts.claims) == ["pubkey"]
    assert parts.state(NOW) == "undated"
    assert parts.state(NOW - 1) == "not yet valid"


def test_inspect_jwt() -> None:
    parts = token_tool.inspect(jwt_provider().get_token(NOW))
    assert (parts.kind, parts.subject, parts.issued, parts.expires) == ("jwt", "app", NOW, NOW + 3600)
    assert parts.header == {"typ": "JWT", "alg": "ES256"}
    assert parts.claims["aud"] == ["peer"]
    assert [parts.state(NOW + age) for age in (-1, 0, 3600)] == ["not yet valid", "valid", "expired"]


def test_inspect_shows_odd_claims_as_they_are() -> None:
    parts = token_tool.inspect(encode({"exp": 1, "nbf": 0, "iat": 0, "x": None}, Algorithm.HS256))
    assert parts.claims["x"] is None
    assert parts.subject is None


def test_inspect_shows_nothing_that_makes_a_token() -> None:
    for provider in (secret_provider(), jwt_provider()):
        made = provider.get_token(NOW)
        proof = made.replace(".", ":").split(":")[-1]
        assert proof not in repr(token_tool.inspect(made))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "a.b",
        "a.b.c",
        "a:b",
        "a:b:c:d:e",
        "a:1:n:***:m",
        "a:1:n:W10:m",
        "x" * 70_000,
        ":" * 70_000,
        "é.é.é",
        "a:١:::",
    ],
)
def test_inspect_refuses_what_is_no_token(text: str) -> None:
    with pytest.raises(InvalidToken):
        token_tool.inspect(text)


@pytest.mark.parametrize("make", [secret_provider, jwt_provider])
async def test_mint_with_and_without_claims(make: Any) -> None:
    plain = token_tool.inspect(await token_tool.mint(make(), {}, NOW))
    assert "role" not in plain.claims
    assert token_tool.inspect(await token_tool.mint(make(), {"role": "x"}, NOW)).claims["role"] == "x"
    with pytest.raises(ConfigError):
        await token_tool.mint(make(), {"role": {1}}, NOW)


async def test_verify_returns_claims_or_one_line_that_says_why() -> None:
    verifier = IdentityVerifier.Jwt(verifying(ES256), issuer="issuer", audience=["peer"])
    made = jwt_provider().get_token(NOW)
    assert (await token_tool.verify(verifier, made + "\n", NOW))["sub"] == "app"
    reasons = {}
    for text, now in ((made, NOW + 9999), (made[:-8] + "AAAAAAAA", NOW), ("x", NOW)):
        with pytest.raises(InvalidToken) as caught:
            await token_tool.verify(verifier, text, now)
        reasons[caught.value.rule] = str(caught.value)
    assert list(reasons) == ["expired", "signature", "format"]
    assert all("\n" not in reason and len(reason) < 100 for reason in reasons.values())
