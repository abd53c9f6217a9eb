"""Verifiers fetch the keys of an OpenID issuer: nobody distributes keys, and the issuer rotates them.

    python examples/identity/jwks_issuer.py

The program starts an issuer of its own on the loopback interface. With a real one, each application has a
token of it, or a key that the issuer publishes, and only `issuer` changes below (https, off the loopback).
"""

from __future__ import annotations

from datetime import timedelta

from conversation import converse, run
from stand_ins import Issuer

from gateway import Algorithm, IdentityProvider, IdentityVerifier, Key, KeyData, KeyFormat


async def main() -> None:
    async with Issuer() as issuer:
        key = Key(Algorithm.ES256, KeyFormat.Pem, KeyData.Content(issuer.key.private_pem()))

        def pair(name: str) -> tuple[IdentityProvider, IdentityVerifier]:
            return (
                IdentityProvider.Jwt(
                    key, timedelta(minutes=10), issuer.url, ["demo"], name, key_id=issuer.key.kid
                ),
                IdentityVerifier.Jwt(
                    autoresolve=True, issuer=issuer.url, audience=["demo"], require_aud=True
                ),
            )

        await converse(pair("alice"), pair("bob"))


if __name__ == "__main__":
    run(main)
