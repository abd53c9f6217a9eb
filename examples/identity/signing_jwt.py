"""Each application signs its own tokens; the others have its public key.

    python examples/identity/signing_jwt.py

Key files are followed while they change, and a set of keys (KeyFormat.Jwks) lets old and new ones overlap.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

from conversation import converse, run
from stand_ins import SigningKey

from gateway import Algorithm, IdentityProvider, IdentityVerifier, Key, KeyData, KeyFormat


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        alice, bob = (keys_of(name, Path(directory)) for name in ("alice", "bob"))
        await converse(
            (signer("alice", alice[0]), verifier("bob", bob[1])),
            (signer("bob", bob[0]), verifier("alice", alice[1])),
        )


def keys_of(name: str, directory: Path) -> tuple[Path, Path]:
    """Files with a new private key and its public half, as `openssl genpkey` and `openssl pkey` make them."""
    key = SigningKey()
    private, public = directory / f"{name}.pem", directory / f"{name}.pub"
    private.write_text(key.private_pem())
    public.write_text(key.public_pem())
    return private, public


def signer(name: str, file: Path) -> IdentityProvider:
    key = Key(Algorithm.ES256, KeyFormat.Pem, KeyData.File(file))
    return IdentityProvider.Jwt(key, timedelta(minutes=10), subject=name, audience=["demo"])


def verifier(peer: str, file: Path) -> IdentityVerifier:
    key = Key(Algorithm.ES256, KeyFormat.Pem, KeyData.File(file))
    return IdentityVerifier.Jwt(key, audience=["demo"], subject=peer, require_aud=True, require_sub=True)


if __name__ == "__main__":
    run(main)
