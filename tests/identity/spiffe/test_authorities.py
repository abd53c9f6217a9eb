"""Which keys may sign JWT-SVIDs."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from identity.spiffe.authorities import authority_from_jwk, authority_of
from tests.identity.spiffe.trust import Authority, jwk

HOME = Authority()
RSA = rsa.generate_private_key(65537, 2048)


def test_unfit_keys_are_no_authorities() -> None:
    weak = rsa.generate_private_key(65537, 1024).public_key()
    for key in (weak, ed25519.Ed25519PrivateKey.generate().public_key()):
        with pytest.raises(ValueError):
            authority_of(key)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="does not fit"):
        authority_of(RSA.public_key(), "ES256")


good = jwk(HOME.jwt_key.public_key(), "k1")


@pytest.mark.parametrize(
    "change",
    [
        {"x": "AAAA"},
        {"x": 5},
        {"x": good["y"]},
        {"crv": "secp256k1"},
        {"crv": ["P-256"]},
        {"kty": "oct", "k": "AAAA"},
        {"kty": None},
        {"alg": "HS256"},
        {"alg": 5},
        {"d": "AAAA"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA", "n": "A" * 5000, "e": "AQAB"},
    ],
)
def test_broken_keys_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        authority_from_jwk({**good, **change})
