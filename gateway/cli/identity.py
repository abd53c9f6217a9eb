"""Who an application of the command line is, and whom it believes: flags, and the pair they describe.

The flags are those of the published examples (`api.md` 3.2), and `--issuer` and `--jwks`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from actors.names import Name
from identity.errors import ConfigError
from identity.jose.keys import Algorithm, Key, KeyData, KeyFormat
from identity.provider import IdentityProvider, IdentityVerifier


def add_identity(parser: argparse.ArgumentParser, *, default_secret: str | None = None) -> None:
    """The flags of provider and verifier. A `default_secret` is what counts when none is given."""
    group = parser.add_argument_group(
        "identity", "One of: a shared secret; --jwt with a way to verify; --spire-socket-path."
    )
    group.add_argument(
        "--shared-secret", default=default_secret, metavar="TEXT", help="a secret that all sides know"
    )
    group.add_argument("--jwt", metavar="FILE", help="a file with our token, which somebody else renews")
    add_keys(group)
    add_agent(group)


def add_keys(group: Any) -> None:
    """How the tokens of others are verified, when they are JWTs."""
    group.add_argument(
        "--spire-trust-bundle",
        metavar="FILE",
        help="keys to verify tokens by: what spiffe-helper writes, or a JWKS",
    )
    group.add_argument("--jwks", metavar="FILE", help="the same, as a plain JWKS")
    group.add_argument(
        "--issuer",
        metavar="URL",
        help="tokens must name this issuer; without a file of keys, it is asked for them",
    )
    group.add_argument("--audience", metavar="A,B", help="tokens must be for one of these (comma list)")


def add_agent(group: Any) -> None:
    """Where a SPIFFE agent is, and what is asked of it."""
    group.add_argument("--spire-socket-path", metavar="PATH", help="the Workload API of a SPIFFE agent")
    group.add_argument("--spire-target-spiffe-id", metavar="ID", help="which of our identities to use")
    group.add_argument(
        "--spire-jwt-audience", action="append", metavar="A", help="repeatable (default: slim)"
    )


def identity(arguments: argparse.Namespace, name: Name) -> tuple[IdentityProvider, IdentityVerifier]:
    """Provider and verifier from the flags. Raises ConfigError in a sentence that names what to give."""
    if arguments.jwt:
        verifier = keys_verifier(arguments)
        if verifier is None:
            raise ConfigError(
                "--jwt needs a way to verify the tokens of others: --spire-trust-bundle FILE, --jwks FILE "
                "or --issuer URL",
                field="jwt",
            )
        if getattr(arguments, "enable_mls", False):
            raise ConfigError(
                "--enable-mls does not go with --jwt: a static token cannot carry the MLS public key; "
                "use --shared-secret on both sides, or --spire-socket-path on both sides",
                field="enable_mls",
            )
        return IdentityProvider.StaticJwt(arguments.jwt), verifier
    if wants_agent(arguments):
        return agent_provider(arguments), agent_verifier(arguments)
    if arguments.shared_secret:
        who = "/".join(name.strings)
        return (
            IdentityProvider.SharedSecret(who, arguments.shared_secret),
            IdentityVerifier.SharedSecret(who, arguments.shared_secret),
        )
    raise ConfigError(
        "say who you are: --shared-secret TEXT, --jwt FILE with --spire-trust-bundle, --jwks or --issuer, "
        "or --spire-socket-path PATH",
        field="identity",
    )


def keys_verifier(arguments: argparse.Namespace, subject: str | None = None) -> IdentityVerifier | None:
    """A verifier with the keys that the flags of `add_keys` name; None when they name none.

    With `subject`, tokens must be of it. Raises ConfigError.
    """
    if arguments.spire_trust_bundle and arguments.jwks:
        raise ConfigError("--spire-trust-bundle and --jwks say the same: give one of them", field="jwks")
    keys = arguments.spire_trust_bundle or arguments.jwks
    if keys is None and not arguments.issuer:
        return None
    if keys is not None and not Path(keys).is_file():
        raise ConfigError(f"cannot read the keys in {keys}: no such file", field="jwks")
    audience = comma_list(arguments.audience)
    return IdentityVerifier.Jwt(
        # The keys of a set say themselves which algorithm they are for.
        public_key=Key(Algorithm.RS256, KeyFormat.Jwks, KeyData.File(keys)) if keys else None,
        autoresolve=keys is None,
        issuer=arguments.issuer,
        audience=audience,
        subject=subject,
        require_iss=arguments.issuer is not None,
        require_aud=audience is not None,
        require_sub=subject is not None,
    )


def wants_agent(arguments: argparse.Namespace) -> bool:
    """Whether the flags of `add_agent` choose a SPIFFE agent; its address may stand in the environment."""
    return bool(
        arguments.spire_socket_path or arguments.spire_target_spiffe_id or arguments.spire_jwt_audience
    )


def agent_provider(arguments: argparse.Namespace) -> IdentityProvider:
    """The provider that the flags of `add_agent` describe. Raises ConfigError."""
    return IdentityProvider.Spire(
        arguments.spire_socket_path, arguments.spire_target_spiffe_id, arguments.spire_jwt_audience
    )


def agent_verifier(arguments: argparse.Namespace) -> IdentityVerifier:
    """The verifier that goes with it: of whoever the agent's trust domains vouch for. Raises ConfigError."""
    return IdentityVerifier.Spire(arguments.spire_socket_path, None, arguments.spire_jwt_audience)


def comma_list(text: str | None) -> list[str] | None:
    """The parts of a comma list; None when there are none."""
    return [part.strip() for part in (text or "").split(",") if part.strip()] or None
