"""`callboard token inspect | mint | verify`: what a token says, a new one, and whether one is good."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.cli.environment import add_environment
from gateway.cli.identity import (
    add_agent,
    add_keys,
    agent_provider,
    agent_verifier,
    comma_list,
    keys_verifier,
    wants_agent,
)
from gateway.config import duration
from identity import token_tool
from identity.errors import ConfigError, InvalidToken
from identity.jose.jws import MAX_TOKEN_CHARACTERS
from identity.jose.keys import Algorithm, Key, KeyData, KeyFormat
from identity.provider import IdentityProvider, IdentityVerifier
from identity.token_tool import TokenParts

_SOURCE = 'the token itself, a file that holds it, or "-" for standard input'


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    token = commands.add_parser("token", help="look at, make and check identity tokens")
    verbs = token.add_subparsers(metavar="VERB", required=True)

    inspect = verbs.add_parser(
        "inspect",
        help="show what a token says",
        description="Show what a token says about itself. Nothing is verified, no signature is shown.",
    )
    inspect.add_argument("token", help=_SOURCE)
    inspect.add_argument("--json", action="store_true", help="for programs")
    inspect.set_defaults(run=_inspect)

    mint = verbs.add_parser(
        "mint",
        help="make a token",
        description="Make a token with --shared-secret, --key or --spire-socket-path.",
    )
    mint.add_argument("--shared-secret", metavar="TEXT", help="make a shared secret token")
    mint.add_argument("--key", metavar="FILE", help="sign a JWT with this private key (PEM)")
    mint.add_argument("--algorithm", default="ES256", metavar="ALG", help="of --key (default: ES256)")
    mint.add_argument("--key-id", metavar="KID", help="name the key in the token's header")
    mint.add_argument("--subject", metavar="TEXT", help="who the token is of")
    mint.add_argument("--issuer", metavar="URL", help="who says so")
    mint.add_argument("--audience", metavar="A,B", help="whom the token is for (comma list)")
    mint.add_argument("--duration", default="1h", metavar="DURATION", help="how long it lives (default: 1h)")
    mint.add_argument(
        "--claim", action="append", metavar="NAME=VALUE", help="repeatable; VALUE is JSON or a text"
    )
    add_agent(mint)
    mint.set_defaults(run=_mint)

    verify = verbs.add_parser(
        "verify",
        help="check a token",
        description="Show the claims of a good token, or in one line why it is refused.",
    )
    verify.add_argument("token", help=_SOURCE)
    verify.add_argument("--shared-secret", metavar="TEXT", help="check a shared secret token")
    verify.add_argument("--public-key", metavar="FILE", help="check with this public key (PEM)")
    verify.add_argument(
        "--algorithm", default="ES256", metavar="ALG", help="of --public-key (default: ES256)"
    )
    verify.add_argument("--subject", metavar="TEXT", help="the token must be of this subject")
    add_keys(verify)
    add_agent(verify)
    verify.set_defaults(run=_verify)

    for command in (mint, verify):
        add_environment(command)


def _inspect(arguments: argparse.Namespace) -> int:
    now = time.time()
    token = _token(arguments.token)
    if not ("." in token or ":" in token):
        raise InvalidToken("this is neither a token nor a file that can be read", rule="format")
    parts = token_tool.inspect(token)
    if arguments.json:
        print(json.dumps(_fields(parts, now)))
    else:
        print(describe(parts, now))
    return 0


def _mint(arguments: argparse.Namespace) -> int:
    claims = dict(map(_claim, arguments.claim or ()))
    print(asyncio.run(token_tool.mint(_provider(arguments), claims, time.time())))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    token = _token(arguments.token)
    try:
        claims = asyncio.run(token_tool.verify(_verifier(arguments), token, time.time()))
    except InvalidToken as refusal:
        print(f"refused ({refusal.rule}): {refusal}")
        return 1
    print(_json(claims))
    return 0


def describe(parts: TokenParts, now: float) -> str:
    """A token's parts for the terminal, one a line, as of `now` (Unix seconds)."""
    rows = {
        "kind": parts.kind,
        "subject": parts.subject or "-",
        "issued": _moment(parts.issued, now),
        "expires": _moment(parts.expires, now),
        "state": f"{parts.state(now)} (not verified)",
    }
    if parts.header:
        rows["header"] = _json(parts.header)
    rows["claims"] = _json(parts.claims)
    return "\n".join(f"{name:8} {_plain(text)}" for name, text in rows.items())


def _fields(parts: TokenParts, now: float) -> dict[str, Any]:
    return {
        "kind": parts.kind,
        "subject": parts.subject,
        "issued": parts.issued,
        "expires": parts.expires,
        "state": parts.state(now),
        "header": parts.header,
        "claims": parts.claims,
    }


def _moment(at: float | None, now: float) -> str:
    if at is None:
        return "-"
    try:
        shown = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{at:g} (out of range)"
    ago = timedelta(seconds=round(abs(now - at)))
    return f"{shown} ({ago} ago)" if at <= now else f"{shown} (in {ago})"


def _json(value: Mapping[str, Any]) -> str:
    # ASCII only: nothing in a token moves the cursor.
    return json.dumps(value)


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _token(source: str) -> str:
    """The token that an argument names. Raises ConfigError."""
    if source == "-":
        return sys.stdin.read(MAX_TOKEN_CHARACTERS + 1).strip()
    # Asking about a path that is a token may fail: it is longer than any.
    with contextlib.suppress(OSError, ValueError):
        if Path(source).is_file():
            with open(source, encoding="ascii", errors="replace") as file:
                return file.read(MAX_TOKEN_CHARACTERS + 1).strip()
    return source


def _claim(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise ConfigError(f"--claim wants NAME=VALUE, got {text!r}", field="claim")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _provider(arguments: argparse.Namespace) -> IdentityProvider:
    if arguments.key:
        return IdentityProvider.Jwt(
            _key(arguments.algorithm, arguments.key),
            timedelta(seconds=duration(arguments.duration, "--duration")),
            arguments.issuer,
            comma_list(arguments.audience),
            _needed(arguments.subject),
            key_id=arguments.key_id,
        )
    if wants_agent(arguments):
        return agent_provider(arguments)
    if arguments.shared_secret:
        return IdentityProvider.SharedSecret(_needed(arguments.subject), arguments.shared_secret)
    raise ConfigError(
        "say what to make the token with: --shared-secret TEXT, --key FILE or --spire-socket-path PATH",
        field="key",
    )


def _verifier(arguments: argparse.Namespace) -> IdentityVerifier:
    if arguments.public_key:
        audience = comma_list(arguments.audience)
        return IdentityVerifier.Jwt(
            _key(arguments.algorithm, arguments.public_key),
            issuer=arguments.issuer,
            audience=audience,
            subject=arguments.subject,
            require_iss=arguments.issuer is not None,
            require_aud=audience is not None,
            require_sub=arguments.subject is not None,
        )
    verifier = keys_verifier(arguments, arguments.subject)
    if verifier is not None:
        return verifier
    if wants_agent(arguments):
        return agent_verifier(arguments)
    if arguments.shared_secret:
        return IdentityVerifier.SharedSecret("callboard", arguments.shared_secret)
    raise ConfigError(
        "say what to check the token with: --shared-secret TEXT, --public-key FILE, --jwks FILE, "
        "--spire-trust-bundle FILE, --issuer URL or --spire-socket-path PATH",
        field="public_key",
    )


def _key(algorithm: str, path: str) -> Key:
    found = next((one for one in Algorithm if one.value == algorithm), None)
    if found is None:
        known = ", ".join(one.value for one in Algorithm)
        raise ConfigError(f"--algorithm: one of {known}, got {algorithm!r}", field="algorithm")
    return Key(found, KeyFormat.Pem, KeyData.File(path))


def _needed(subject: str | None) -> str:
    if not subject:
        raise ConfigError("--subject: say who the token is of", field="subject")
    return subject
