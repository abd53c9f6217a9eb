"""The `pubkey` claim of message tokens (`identity.md` 1.1).

Peers from 1.3 on put a public key into every token. In message tokens it is the provider's own key, made
once per provider object; receivers compare it with nothing. The private half has no use on wire
version 1 and is not kept. (An MLS credential carries the key of its leaf instead, given by the caller.)
"""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from identity.randomness import RandomBytes, ambient

PUBKEY_CLAIM = "pubkey"


def new_pubkey(random: RandomBytes | None = None) -> str:
    """A fresh Ed25519 public key as the claim carries it: standard base64 with padding."""
    public = Ed25519PrivateKey.from_private_bytes((random or ambient())(32)).public_key()
    return base64.b64encode(public.public_bytes_raw()).decode("ascii")
