"""A secret that all applications share: the simplest pair, for one team on machines it trusts.

    python examples/identity/shared_secret.py

Rotate it by replacing it: verifiers first (they take the old one for a while), then providers.
"""

from __future__ import annotations

import secrets
import time

from conversation import converse, run

from gateway import IdentityProvider, IdentityVerifier


async def main() -> None:
    secret, successor = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    alice = IdentityProvider.SharedSecret("alice", secret), IdentityVerifier.SharedSecret("alice", secret)
    bob = IdentityProvider.SharedSecret("bob", secret), IdentityVerifier.SharedSecret("bob", secret)
    await converse(alice, bob)
    for _, verifier in (alice, bob):
        verifier.replace_secret(successor, now=time.time(), overlap=3600.0)
    for provider, _ in (alice, bob):
        provider.replace_secret(successor)
    await converse(alice, bob)


if __name__ == "__main__":
    run(main)
