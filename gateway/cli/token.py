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
from gateway.cli.identity import add_flags, chosen, comma_list, made
from gateway.config import duration
from identity import token_tool
from identity.encoding import Malformed
from identity.errors import ConfigError, InvalidToken
from identity.files import read_file
from identity.jose.jws import MAX_TOKEN_CHARACTERS
from identity.jose.keys import Algorithm, Key, KeyData, KeyFormat
from identity.provider import IdentityProvider, IdentityVerifier
from identity.text import harmless
from identity.token_tool import TokenParts

_SOURCE = 'the token itself, a file that holds it, or "-" for standard input'


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    token = commands.add_parser("token")
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
        description="Make a token with a private key, or with the flags of one identity provider.",
    )
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
    add_flags(mint, *IdentityProvider.lines())
    mint.set_defaults(run=_mint)

    verify = verbs.add_parser(
        "verify",
        help="check a token",
        description="Show the claims of a good token, or in one line why it is refused.",
    )
    verify.add_argument("token", help=_SOURCE)
    verify.add_argument("--public-key", metavar="FILE", help="check with this public key (PEM)")
    verify.add_argument(
        "--algorithm", default="ES256", metavar="ALG", help="of --public-key (default: ES256)"
    )
    verify.add_argument("--subject", metavar="TEXT", help="the token must be of this subject")
    add_flags(verify, *IdentityVerifier.lines())
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
        print(harmless(f"refused ({refusal.rule}): {refusal}"))
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
    return "\n".join(f"{name:8} {harmless(text)}" for name, text in rows.items())


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


def _token(source: str) -> str:
    """The token that an argument names. Raises ConfigError."""
    if source == "-":
        return sys.stdin.read(MAX_TOKEN_CHARACTERS + 1).strip()
    # Asking about a path that is a token may fail: it is longer than any.
    there = False
    with contextlib.suppress(OSError, ValueError):
        there = bool(source) and Path(source).exists()
    if not there:
        return source
    try:
        content = read_file(source, max_bytes=MAX_TOKEN_CHARACTERS + 2).data
    except Malformed as error:
        raise ConfigError(f"cannot take a token from {source}: {error}", field="token") from None
    return content.decode("ascii", errors="replace").strip()


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
    line = chosen(arguments, IdentityProvider)
    if line is None:
        raise ConfigError(
            "say what to make the token with: --shared-secret TEXT, --key FILE or --spire-socket-path PATH",
            field="key",
        )
    who = {"identity": _needed(arguments.subject)} if line.option("identity") else {}
    provider: IdentityProvider = made(arguments, IdentityProvider, line, **who)
    return provider


def _verifier(arguments: argparse.Namespace) -> IdentityVerifier:
    if arguments.public_key:
        line = IdentityVerifier.of_kind("jwt")
    else:
        line = chosen(arguments, IdentityVerifier)
    if line is None:
        raise ConfigError(
            "say what to check the token with: --shared-secret TEXT, --public-key FILE, --jwks FILE, "
            "--spire-trust-bundle FILE, --issuer URL or --spire-socket-path PATH",
            field="public_key",
        )
    more = {"subject": arguments.subject, "identity": "callboard"}
    if arguments.public_key:
        more["public_key"] = _key(arguments.algorithm, arguments.public_key)
    verifier: IdentityVerifier = made(arguments, IdentityVerifier, line, **more)
    return verifier


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
