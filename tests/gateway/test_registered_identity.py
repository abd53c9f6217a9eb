"""A provider is one module and one line: then API, configuration, command line and repr know it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest

from actors.names import Name
from gateway import IdentityProvider, IdentityVerifier
from gateway.cli.environment import add_environment
from gateway.cli.identity import add_identity, identity
from gateway.config import ClientConfig, ServerConfig
from gateway.security.auth import client_auth
from identity.errors import ConfigError
from identity.registry import Form, Option, Registered

LINE = Registered(
    "tests.gateway.paper_identity:PaperProvider",
    "paper",
    Option("name", ("name", "who"), ("--paper",), "NAME", "who we are", required=True),
    Option("signature", ("signature",), ("--paper-signature",), form=Form.SECRET, chooses=False),
    verified_by="jwt",
    carries_claims=False,
)


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    IdentityProvider.add("Paper", LINE)
    yield
    delattr(type(IdentityProvider), "Paper")


def test_api_and_repr() -> None:
    made = IdentityProvider.Paper("ann", "x y z")
    assert isinstance(made, IdentityProvider)
    assert (made.get_id(), made.name, made.signature) == ("ann", "ann", "x y z")
    assert repr(made) == "IdentityProvider.Paper(name='ann', signature=<hidden>)"
    match made:
        case IdentityProvider.Jwt():
            pytest.fail("another variant")
        case IdentityProvider.Paper(name):
            assert name == "ann"
    with pytest.raises(AttributeError, match="read-only"):
        made.name = "bob"
    with pytest.raises(AttributeError):
        made.Jwt  # noqa: B018  # variants are attributes of the role, not of its objects


@pytest.mark.parametrize("spelling", ["name", "who"])
async def test_configuration(spelling: str) -> None:
    section = {"type": "paper", spelling: "ann", "signature": "x"}
    config = ClientConfig.read({"endpoint": "http://127.0.0.1:1", "auth": section})
    shown = client_auth(config.auth)
    assert shown is not None
    await shown.start()
    assert await shown.headers() == [("authorization", "Bearer ann x")]
    with pytest.raises(ConfigError, match=r"auth\.name: required \(who we are\)"):
        ClientConfig.read({"endpoint": "http://127.0.0.1:1", "auth": {"type": "paper"}})
    with pytest.raises(ConfigError, match="a server verifies"):
        ServerConfig.read({"endpoint": "127.0.0.1:1", "tls": {"insecure": True}, "auth": section})
    with pytest.raises(ConfigError, match="paper"):
        ClientConfig.read({"endpoint": "http://127.0.0.1:1", "auth": {"type": "papyrus"}})


def pair(*argv: str, environ: dict[str, str] | None = None) -> tuple[IdentityProvider, IdentityVerifier]:
    parser = argparse.ArgumentParser()
    parser.add_argument("--enable-mls", action="store_true")
    add_identity(parser)
    add_environment(parser, environ or {})
    return identity(parser.parse_args(argv), Name("a", "b", "c"))


def test_command_line_and_environment() -> None:
    issuer = ("--issuer", "https://issuer.example")
    provider, verifier = pair("--paper", "ann", *issuer)
    assert isinstance(provider, IdentityProvider.Paper)
    assert isinstance(verifier, IdentityVerifier.Jwt)
    provider, _ = pair(*issuer, environ={"SLIM_PAPER": "ann", "SLIM_PAPER_SIGNATURE": "s"})
    assert provider.get_token(0) == "ann s"
    with pytest.raises(ConfigError, match="--paper needs a way to verify"):
        pair("--paper", "ann")
    with pytest.raises(ConfigError, match="does not go with --paper"):
        pair("--paper", "ann", "--enable-mls", *issuer)
    with pytest.raises(ConfigError, match="--paper NAME"):
        pair("--paper-signature", "s")


def test_cloud_is_a_variant_like_the_others() -> None:
    provider, verifier = pair(
        "--cloud", "api", "--cloud-server-url", "https://auth.example", "--issuer", "https://i"
    )
    assert repr(provider) == "IdentityProvider.Cloud(jwt_type=<JWTType.API_GATEWAY_ACCESS: 'api'>, " + (
        "server_url='https://auth.example')"
    )
    assert verifier.autoresolve
    section = {"type": "cloud", "workspace_group_id": "group"}
    assert client_auth(ClientConfig.read({"endpoint": "http://127.0.0.1:1", "auth": section}).auth)
    for wrong in ({"jwt_type": "other"}, {"jwt_types": "api"}):
        with pytest.raises(ConfigError, match=r"auth\.jwt_type"):
            client_auth(
                ClientConfig.read({"endpoint": "http://127.0.0.1:1", "auth": {"type": "cloud", **wrong}}).auth
            )


def test_every_line_can_be_loaded_and_names_arguments_that_exist() -> None:
    for role in (IdentityProvider, IdentityVerifier):
        for line in role.lines():
            variant = getattr(role, line.name)
            assert variant.__qualname__ == f"{role.__name__}.{line.name}"
            wanted = {option.argument for option in line.options}
            assert wanted <= variant._defaults.keys() | {"assume_role_identifier"}
            secret = {option.argument for option in line.options if option.form is Form.SECRET}
            assert secret <= variant._secrets
