"""The variants as applications see them: names, arguments, mistakes, and that they really work."""

from __future__ import annotations

import inspect
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from identity.errors import ConfigError, InvalidToken
from identity.jose.keys import Algorithm
from identity.protocols import Provider, Verifier
from identity.provider import IdentityProvider, IdentityVerifier
from tests.identity.issuer import issuer
from tests.identity.key_samples import encode, jwk, public_pem, signing, verifying

SECRET = "a shared secret of more than 32 bytes"
HOUR = timedelta(hours=1)
ES256 = Algorithm.ES256


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text(encode({"sub": "a", "exp": 4_000_000_000}, ES256))
    return str(path)


def variants(token_file: str) -> dict[str, Any]:
    return {
        "p.SharedSecret": IdentityProvider.SharedSecret("a", SECRET),
        "p.StaticJwt": IdentityProvider.StaticJwt(token_file),
        "p.Jwt": IdentityProvider.Jwt(signing(ES256), HOUR, "issuer", ["peer"], "sub"),
        "v.SharedSecret": IdentityVerifier.SharedSecret("a", SECRET),
        "v.Jwt": IdentityVerifier.Jwt(verifying(ES256), False, "issuer", ["peer"], None, True, True, True),
    }


def test_each_variant_is_its_base_and_fulfils_the_protocol(token_file: str) -> None:
    for name, made in variants(token_file).items():
        base, protocol = (
            (IdentityProvider, Provider) if name.startswith("p.") else (IdentityVerifier, Verifier)
        )
        assert isinstance(made, base)
        assert isinstance(made, protocol)
        assert type(made).__qualname__ == f"{base.__name__}.{name[2:]}"


@pytest.mark.parametrize(
    ("variant", "names"),
    [
        (IdentityProvider.SharedSecret, "identity shared_secret"),
        (IdentityProvider.StaticJwt, "path"),
        (IdentityProvider.Jwt, "private_key duration issuer audience subject"),
        (IdentityProvider.Spire, "socket_path target_spiffe_id jwt_audiences"),
        (IdentityProvider.Cloud, "jwt_type workspace_group_id server_url"),
        (IdentityVerifier.SharedSecret, "identity shared_secret"),
        (
            IdentityVerifier.Jwt,
            "public_key autoresolve issuer audience subject require_iss require_aud require_sub",
        ),
        (IdentityVerifier.Spire, "socket_path target_spiffe_id jwt_audiences"),
    ],
)
def test_positional_arguments_and_match_args_are_those_of_the_original(variant: Any, names: str) -> None:
    parameters = list(inspect.signature(variant).parameters.values())
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == names.split()
    assert variant.__match_args__ == tuple(positional)


def test_every_argument_is_an_attribute_that_cannot_be_set(token_file: str) -> None:
    for made in variants(token_file).values():
        for name in inspect.signature(type(made)).parameters:
            value = getattr(made, name)
            with pytest.raises(AttributeError, match="read-only"):
                setattr(made, name, value)


def test_variants_can_be_matched(token_file: str) -> None:
    made = variants(token_file)
    match made["p.Jwt"]:
        case IdentityProvider.SharedSecret():
            pytest.fail("another variant")
        case IdentityProvider.Jwt(private_key=key, issuer="issuer", audience=["peer"]):
            assert key.algorithm is ES256
    match made["v.SharedSecret"]:
        case IdentityVerifier.SharedSecret(identity, secret):
            assert (identity, secret) == ("a", SECRET)


def test_bases_cannot_be_made() -> None:
    for base in (IdentityProvider, IdentityVerifier):
        with pytest.raises(TypeError):
            base()  # type: ignore[abstract]


def test_no_repr_shows_a_secret(token_file: str) -> None:
    for made in variants(token_file).values():
        assert SECRET not in repr(made)
        assert "PRIVATE" not in repr(made)
    assert repr(variants(token_file)["p.SharedSecret"]).startswith(
        "IdentityProvider.SharedSecret(identity='a', shared_secret=<hidden>"
    )


async def test_shared_secret_pair_with_options() -> None:
    provider = IdentityProvider.SharedSecret("a", SECRET, strict=True, token_reuse=0, clock_skew=9)
    verifier = IdentityVerifier.SharedSecret(
        "b", SECRET, strict=True, validity_window=10, clock_skew=1, replay_cache=4
    )
    made = provider.get_token(100)
    await verifier.verify(made, 110)
    with pytest.raises(InvalidToken, match="used before"):
        await verifier.verify(made, 110)
    provider.replace_secret(SECRET + "2")
    verifier.replace_secret(SECRET + "2", now=110)
    assert provider.shared_secret == verifier.shared_secret == SECRET + "2"
    assert verifier.try_get_claims(provider.get_token(110), 110)["sub"] == provider.get_id()


async def test_jwt_pair_with_key() -> None:
    provider = IdentityProvider.Jwt(signing(ES256), HOUR, "issuer", ["peer"], "app")
    verifier = IdentityVerifier.Jwt(verifying(ES256), issuer="issuer", audience=["peer"], subject="app")
    assert verifier.try_get_claims(provider.get_token(1000), 1000)["sub"] == "app"
    other = IdentityProvider.Jwt(signing(ES256), HOUR, "issuer", ["peer"], "somebody")
    with pytest.raises(InvalidToken, match="subject"):
        verifier.try_verify(other.get_token(1000), 1000)


async def test_jwt_pair_with_autoresolve() -> None:
    async with issuer() as served:
        served.serve_keys(jwk(ES256, kid="k1"))
        provider = IdentityProvider.Jwt(signing(ES256), HOUR, served.url, ["peer"], "app", key_id="k1")
        verifier = IdentityVerifier.Jwt(autoresolve=True, issuer=served.url, audience=["peer"])
        await verifier.initialize()
        now = time.time()
        assert (await verifier.get_claims(provider.get_token(now), now))["sub"] == "app"
        without_issuer = IdentityProvider.Jwt(signing(ES256), HOUR, None, ["peer"], "app", key_id="k1")
        with pytest.raises(InvalidToken) as caught:
            await verifier.verify(without_issuer.get_token(now), now)
        assert caught.value.rule == "iss"
        await verifier.close()


def test_a_given_key_wins_over_autoresolve() -> None:
    verifier = IdentityVerifier.Jwt(verifying(ES256), autoresolve=True)
    verifier.try_verify(encode({"exp": 4_000_000_000}, ES256), 0)


def test_arguments_are_kept_as_they_were(token_file: str) -> None:
    audience = ["peer"]
    provider = IdentityProvider.Jwt(signing(ES256), HOUR, audience=audience, subject="app")
    audience.append("later")
    assert "later" not in provider.get_token(0)
    assert provider.duration == HOUR


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: IdentityProvider.SharedSecret("a:b", SECRET), "identity"),
        (lambda: IdentityProvider.SharedSecret("a", ""), "shared_secret"),
        (lambda: IdentityProvider.SharedSecret("a", "short", strict=True), "shared_secret"),
        (lambda: IdentityVerifier.SharedSecret("", SECRET), "identity"),
        (lambda: IdentityVerifier.SharedSecret("a", SECRET, replay_cache=-1), "replay_cache"),
        (lambda: IdentityProvider.StaticJwt("/does/not/exist"), "path"),
        (lambda: IdentityProvider.Jwt(signing(ES256), HOUR, subject=""), "subject"),
        (lambda: IdentityProvider.Jwt(verifying(ES256), HOUR, subject="a"), "private_key"),
        (lambda: IdentityProvider.Jwt(None, HOUR, subject="a"), "private_key"),  # type: ignore[arg-type]
        (lambda: IdentityVerifier.Jwt(), "public_key"),
        (lambda: IdentityVerifier.Jwt(autoresolve=True), "issuer"),
        (lambda: IdentityVerifier.Jwt(autoresolve=True, issuer="http://issuer.test"), "issuer"),
        (
            lambda: IdentityVerifier.Jwt(autoresolve=True, issuer="https://a.test", jwks_hosts="b"),
            "jwks_hosts",
        ),
        (lambda: IdentityVerifier.Jwt(autoresolve=True, issuer="https://a.test", ca_file="/no"), "ca_file"),
        (lambda: IdentityVerifier.Jwt(verifying(ES256), audience="peer"), "audience"),
        (lambda: IdentityVerifier.Jwt(verifying(ES256), subject=""), "subject"),
        (lambda: IdentityVerifier.Jwt(public_pem(ES256)), "public_key"),  # type: ignore[arg-type]
    ],
)
def test_mistakes_fail_at_construction_and_name_the_field(make: Any, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.field == field


async def test_spire_variants_fulfil_the_roles() -> None:
    provider = IdentityProvider.Spire("/run/agent.sock", None, ["slim"])
    verifier = IdentityVerifier.Spire("/run/agent.sock", jwt_audiences=["slim"])
    assert isinstance(provider, IdentityProvider)
    assert isinstance(verifier, IdentityVerifier)
    assert repr(provider) == "IdentityProvider.Spire(socket_path='/run/agent.sock', jwt_audiences=['slim'])"
    assert repr(verifier) == "IdentityVerifier.Spire(socket_path='/run/agent.sock', jwt_audiences=['slim'])"


def test_spire_is_not_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    for variant in (IdentityProvider.Spire, IdentityVerifier.Spire):
        with pytest.raises(ConfigError, match="Windows"):
            variant("/run/agent.sock")
