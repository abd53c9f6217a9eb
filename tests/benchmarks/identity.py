"""How many tokens one core verifies per second, by algorithm: seen for the first time, and seen before.

A receiver verifies every message, and a sender hands out one token for up to five seconds: so what messages
cost is the second figure, and the first only matters for the many peers of one node.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

# By their public names, which trees of every age have.
from gateway import Algorithm, IdentityProvider, IdentityVerifier, Key, KeyData, KeyFormat
from identity.protocols import Provider, Verifier

SECRET = "only a benchmark uses this text as a secret; it has 64 bytes ..."
DIFFERENT = 3000
"""Tokens to verify once each: one for each second, all within the hour that a token lives."""


class Row(NamedTuple):
    """One algorithm's figures, in operations per second on one core."""

    name: str
    signed: float
    cold: float
    """Tokens verified that were not seen before."""
    cached: float
    """Tokens verified that were."""

    @property
    def cached_microseconds(self) -> float:
        """What verifying costs for each message of a peer."""
        return 1e6 / self.cached


def measure(seconds: float = 0.2) -> list[Row]:
    """Measure the shared secret and every JWT algorithm, each figure for about `seconds`."""
    pairs = [("shared secret", *_shared_secret()), *((a.value, *_jwt(a)) for a in Algorithm)]
    return [_row(name, provider, verifier, seconds) for name, provider, verifier in pairs]


def table(rows: Sequence[Row]) -> str:
    """The rows as text, for a terminal."""
    head = f"{'':13} {'signed/s':>10} {'cold/s':>10} {'cached/s':>10} {'cached us':>10}"
    lines = (
        f"{row.name:13} {row.signed:10,.0f} {row.cold:10,.0f} {row.cached:10,.0f} "
        f"{row.cached_microseconds:10.2f}"
        for row in rows
    )
    return "\n".join((head, *lines))


def _row(name: str, provider: Provider, verifier: Verifier, seconds: float) -> Row:
    """Tokens of different seconds are different; all of the last `DIFFERENT` seconds are still good."""
    now = time.time()
    tokens: list[str] = []
    signed = _rate(lambda turn: tokens.append(provider.get_token(now - turn % DIFFERENT)), seconds)
    fresh = min(len(tokens), DIFFERENT)
    cold = _rate(lambda turn: verifier.try_verify(tokens[turn], now), seconds, limit=fresh)
    verifier.try_verify(tokens[0], now)
    cached = _rate(lambda _turn: verifier.try_verify(tokens[0], now), seconds)
    return Row(name, signed, cold, cached)


def _rate(work: Callable[[int], None], seconds: float, limit: int = 1 << 30) -> float:
    """Calls of `work` per second; it gets 0, 1, 2... and is called `limit` times at most."""
    turn, batch = 0, 16
    began = time.perf_counter()
    while time.perf_counter() - began < seconds and turn < limit:
        end = min(turn + batch, limit)
        for number in range(turn, end):
            work(number)
        turn = end
        batch = min(2 * batch, 1024)
    return turn / (time.perf_counter() - began)


def _shared_secret() -> tuple[Provider, Verifier]:
    return (
        IdentityProvider.SharedSecret("org/ns/app", SECRET, token_reuse=0),
        IdentityVerifier.SharedSecret("org/ns/app", SECRET),
    )


def _jwt(algorithm: Algorithm) -> tuple[Provider, Verifier]:
    private, public = _pems(algorithm)

    def key(text: str) -> Key:
        return Key(algorithm, KeyFormat.Pem, KeyData.Content(text))

    return (
        IdentityProvider.Jwt(
            key(private), timedelta(hours=1), "https://issuer.test", ["slim"], "org/ns/app", token_reuse=0
        ),
        IdentityVerifier.Jwt(key(public), issuer="https://issuer.test", audience=["slim"]),
    )


def _pems(algorithm: Algorithm) -> tuple[str, str]:
    """A fresh key pair; for HMAC the one secret twice."""
    if algorithm.symmetric:
        return SECRET, SECRET
    if algorithm is Algorithm.EdDSA:
        private: Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = (
            Ed25519PrivateKey.generate()
        )
    elif algorithm in (Algorithm.ES256, Algorithm.ES384):
        private = ec.generate_private_key(ec.SECP256R1() if algorithm is Algorithm.ES256 else ec.SECP384R1())
    else:
        private = rsa.generate_private_key(65537, 2048)
    return (
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    )
