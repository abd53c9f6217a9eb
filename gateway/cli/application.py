"""What every command that is an application has in common: its name, where it connects, who it is."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from actors.names import Name
from gateway.api.session_config import SessionConfiguration
from gateway.api.slim import Slim
from identity.errors import ConfigError
from identity.keys import Algorithm, Key, KeyData, KeyFormat
from identity.provider import IdentityProvider, IdentityVerifier

DEFAULT_ENDPOINT = "http://127.0.0.1:46357"


def add_identity(parser: argparse.ArgumentParser, *, default_secret: str | None = None) -> None:
    """The identity flags (those of the published examples, and `--issuer`, `--jwks`)."""
    identity = parser.add_argument_group(
        "identity", "One of: a shared secret; --jwt with a way to verify; --spire-socket-path."
    )
    secret = os.environ.get("SLIM_SHARED_SECRET", default_secret)
    identity.add_argument("--shared-secret", default=secret, metavar="TEXT", help="env SLIM_SHARED_SECRET")
    environ = os.environ.get
    identity.add_argument("--jwt", metavar="FILE", default=environ("SLIM_JWT"), help="a file with our token")
    identity.add_argument(
        "--spire-trust-bundle",
        metavar="FILE",
        default=environ("SLIM_SPIRE_TRUST_BUNDLE"),
        help="keys to verify others by: what spiffe-helper writes, or a JWKS",
    )
    identity.add_argument("--jwks", metavar="FILE", help="the same, as a plain JWKS")
    identity.add_argument(
        "--issuer", metavar="URL", help="fetch the keys from this issuer; tokens must name it"
    )
    identity.add_argument(
        "--audience", default=environ("SLIM_AUDIENCE"), metavar="A,B", help="audiences to accept (comma list)"
    )
    identity.add_argument(
        "--spire-socket-path", metavar="PATH", default=environ("SLIM_SPIRE_SOCKET_PATH"), help="Workload API"
    )
    identity.add_argument(
        "--spire-target-spiffe-id", metavar="ID", default=environ("SLIM_SPIRE_TARGET_SPIFFE_ID")
    )
    identity.add_argument("--spire-jwt-audience", action="append", metavar="A", help="repeatable")


def identity(arguments: argparse.Namespace, name: Name) -> tuple[IdentityProvider, IdentityVerifier]:
    """Provider and verifier from the flags. Raises ConfigError in a sentence that names what to give."""
    if arguments.jwt:
        return _jwt(arguments)
    if arguments.spire_socket_path:
        spire = (arguments.spire_socket_path, arguments.spire_target_spiffe_id, arguments.spire_jwt_audience)
        return IdentityProvider.Spire(*spire), IdentityVerifier.Spire(
            arguments.spire_socket_path, None, arguments.spire_jwt_audience
        )
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


def _jwt(arguments: argparse.Namespace) -> tuple[IdentityProvider, IdentityVerifier]:
    """A static token, and keys from a bundle, a JWKS or an issuer."""
    audience = [part.strip() for part in (arguments.audience or "").split(",") if part.strip()] or None
    keys = arguments.spire_trust_bundle or arguments.jwks
    if keys is None and not arguments.issuer:
        raise ConfigError(
            "--jwt needs a way to verify the tokens of others: --spire-trust-bundle FILE, --jwks FILE "
            "or --issuer URL",
            field="jwt",
        )
    if getattr(arguments, "enable_mls", False):
        raise ConfigError(
            "--enable-mls does not go with --jwt: a static token cannot carry the MLS public key; "
            "use --shared-secret or --spire-socket-path",
            field="enable_mls",
        )
    if keys is not None and not Path(keys).is_file():
        raise ConfigError(f"cannot read the keys in {keys}: no such file", field="jwks")
    verifier = IdentityVerifier.Jwt(
        public_key=Key(Algorithm.RS256, KeyFormat.Jwks, KeyData.File(keys)) if keys else None,
        autoresolve=keys is None,
        issuer=arguments.issuer,
        audience=audience,
        require_iss=arguments.issuer is not None,
        require_aud=audience is not None,
    )
    return IdentityProvider.StaticJwt(arguments.jwt), verifier


def add_connection(parser: argparse.ArgumentParser) -> None:
    """`--connect` and `--ca`."""
    parser.add_argument(
        "--connect",
        default=DEFAULT_ENDPOINT,
        metavar="URL",
        help=f"the node: http://HOST:PORT, or https:// for TLS (default: {DEFAULT_ENDPOINT})",
    )
    parser.add_argument("--ca", metavar="FILE", help="trust this authority for https")


def add_reliability(parser: argparse.ArgumentParser) -> None:
    """Timers of sessions, and MLS."""
    parser.add_argument("--timeout", type=float, default=1.0, metavar="SECONDS", help="between attempts (1)")
    parser.add_argument("--retries", type=int, default=10, metavar="N", help="re-sends before giving up (10)")
    parser.add_argument("--best-effort", action="store_true", help="no acknowledgements, no order")
    parser.add_argument("--enable-mls", action="store_true", help="end-to-end encryption")


def session_config(arguments: argparse.Namespace, *, group: bool = False) -> SessionConfiguration:
    """The session configuration that `add_reliability`'s flags say."""
    kind = SessionConfiguration.Group if group else SessionConfiguration.PointToPoint
    if arguments.best_effort:
        return kind(mls_enabled=arguments.enable_mls)
    return kind(timedelta(seconds=arguments.timeout), arguments.retries, arguments.enable_mls)


def client_config(arguments: argparse.Namespace) -> dict[str, Any]:
    """The connection's configuration dict."""
    url: str = arguments.connect
    if url.startswith("{"):
        return parse_json(url, "--connect")
    tls: dict[str, Any] = {"insecure": not url.startswith("https://")}
    if arguments.ca:
        tls["ca_source"] = {"type": "file", "path": arguments.ca}
    return {"endpoint": url, "tls": tls}


def parse_json(text: str, flag: str) -> dict[str, Any]:
    """A JSON object given as a flag. Raises ConfigError."""
    try:
        value = json.loads(text)
    except ValueError as exc:
        raise ConfigError(f"{flag}: not JSON: {exc}", field=flag) from exc
    if not isinstance(value, dict):
        raise ConfigError(f"{flag}: expected a JSON object", field=flag)
    return value


def parse_name(text: str, flag: str) -> Name:
    """A name given as a flag. Raises ConfigError."""
    try:
        return Name.parse(text)
    except ValueError as exc:
        raise ConfigError(f"{flag}: {exc}", field=flag) from exc


@asynccontextmanager
async def application(arguments: argparse.Namespace) -> AsyncIterator[Slim]:
    """The application that the flags describe, connected; closed when the block is left."""
    name = parse_name(arguments.name, "--name")
    provider, verifier = identity(arguments, name)
    await provider.initialize()
    await verifier.initialize()
    async with Slim(name, provider, verifier, local_service=True) as app:
        await app.connect(client_config(arguments))
        yield app
