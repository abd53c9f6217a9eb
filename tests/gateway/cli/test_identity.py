"""The identity flags: which pair they describe, and what is said about those that describe none."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from actors.names import Name
from gateway.cli.environment import add_environment
from gateway.cli.identity import add_identity, identity
from identity.errors import ConfigError
from identity.jose.keys import Algorithm
from identity.provider import IdentityProvider, IdentityVerifier
from tests.identity.key_samples import encode, jwk, jwks

NAME = Name("agntcy", "demo", "receiver")
SECRET = "a-shared-secret-of-more-than-32-bytes"


@pytest.fixture
def svids(tmp_path: Path) -> Path:
    """What spiffe-helper leaves."""
    (tmp_path / "jwt_svid.token").write_text(
        encode({"sub": "spiffe://example.org/a", "exp": 2**33}, Algorithm.ES256)
    )
    (tmp_path / "key.jwt").write_text(jwks(jwk(Algorithm.ES256, kid="one")))
    return tmp_path


def pair(*argv: str, environ: dict[str, str] | None = None) -> tuple[IdentityProvider, IdentityVerifier]:
    parser = argparse.ArgumentParser()
    parser.add_argument("--enable-mls", action="store_true")
    add_identity(parser)
    add_environment(parser, environ or {})
    return identity(parser.parse_args(argv), NAME)


def test_a_shared_secret() -> None:
    match pair("--shared-secret", SECRET):
        case IdentityProvider.SharedSecret(identity=name), IdentityVerifier.SharedSecret():
            assert name == "agntcy/demo/receiver"
        case other:
            pytest.fail(repr(other))


def test_files_of_spiffe_helper(svids: Path) -> None:
    flags = ["--jwt", f"{svids}/jwt_svid.token", "--spire-trust-bundle", f"{svids}/key.jwt"]
    provider, verifier = pair(*flags, "--audience", "slim-demo, other", "--shared-secret", SECRET)
    assert isinstance(provider, IdentityProvider.StaticJwt)
    assert isinstance(verifier, IdentityVerifier.Jwt)
    assert verifier.audience == ["slim-demo", "other"]
    assert verifier.require_aud


def test_keys_of_an_issuer(svids: Path) -> None:
    _, verifier = pair("--jwt", f"{svids}/jwt_svid.token", "--issuer", "https://issuer.example")
    assert isinstance(verifier, IdentityVerifier.Jwt)
    assert (verifier.autoresolve, verifier.issuer) == (True, "https://issuer.example")


def test_an_agent() -> None:
    flags = ["--spire-socket-path", "/run/agent.sock", "--spire-target-spiffe-id", "spiffe://example.org/a"]
    provider, verifier = pair(*flags, "--spire-jwt-audience", "x", "--spire-jwt-audience", "y")
    assert isinstance(provider, IdentityProvider.Spire)
    assert isinstance(verifier, IdentityVerifier.Spire)
    assert provider.target_spiffe_id == "spiffe://example.org/a"
    assert verifier.target_spiffe_id is None
    assert verifier.jwt_audiences == ["x", "y"]


def test_every_option_comes_from_the_environment(svids: Path) -> None:
    environ = {
        "SLIM_JWT": f"{svids}/jwt_svid.token",
        "SLIM_JWKS": f"{svids}/key.jwt",
        "SLIM_ISSUER": "https://issuer.example",
        "SLIM_AUDIENCE": "a",
    }
    _, verifier = pair(environ=environ)
    assert isinstance(verifier, IdentityVerifier.Jwt)
    assert (verifier.autoresolve, verifier.issuer, verifier.audience) == (
        False,
        "https://issuer.example",
        ["a"],
    )
    environ = {
        "SLIM_SPIRE_SOCKET_PATH": "/run/agent.sock",
        "SLIM_SPIRE_TARGET_SPIFFE_ID": "spiffe://example.org/a",
        "SLIM_SPIRE_JWT_AUDIENCE": "x y,z",
        "SLIM_SHARED_SECRET": SECRET,
    }
    provider, _ = pair("--spire-socket-path", "/other.sock", environ=environ)
    assert isinstance(provider, IdentityProvider.Spire)
    assert (provider.socket_path, provider.jwt_audiences) == ("/other.sock", ["x", "y", "z"])


def test_mls_is_refused_with_a_static_token(svids: Path) -> None:
    flags = ["--jwt", f"{svids}/jwt_svid.token", "--jwks", f"{svids}/key.jwt"]
    with pytest.raises(ConfigError, match="cannot carry the MLS public key") as refused:
        pair(*flags, environ={"SLIM_ENABLE_MLS": "true"})
    assert "--shared-secret" in str(refused.value)
    assert "--spire-socket-path" in str(refused.value)
    assert pair(*flags, environ={"SLIM_ENABLE_MLS": "0"})


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ([], "say who you are"),
        (["--jwt", "/absent"], "needs a way to verify"),
        (["--jwt", "/absent", "--issuer", "https://i"], "/absent"),
        (["--jwt", "x", "--jwks", "/absent"], "cannot read the keys in /absent"),
        (["--jwt", "x", "--jwks", "a", "--spire-trust-bundle", "b"], "give one of them"),
    ],
)
def test_what_describes_no_pair(argv: list[str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        pair(*argv)
