from __future__ import annotations

import os

import pytest

from identity.mls.errors import ValidationError
from identity.mls.signatures import ECDSA_P256, ED25519


def test_ed25519_key_with_its_public_half_behind_it_is_loaded() -> None:
    key = ED25519.generate(os.urandom)
    stored = key.private_bytes() + key.public
    assert ED25519.load_private(stored).public == key.public
    for wrong in (stored[:-1], key.private_bytes() + bytes(32), key.private_bytes()[:-1], b""):
        with pytest.raises(ValidationError, match="private_key"):
            ED25519.load_private(wrong)


def test_ecdsa_draws_again_when_a_draw_is_no_key() -> None:
    good = os.urandom(31).rjust(32, b"\1")
    draws = iter([bytes(32), b"\xff" * 32, good])
    assert ECDSA_P256.generate(lambda _: next(draws)).private_bytes() == good
    for wrong in (bytes(32), b"\xff" * 32, b""):
        with pytest.raises(ValidationError, match="private_key"):
            ECDSA_P256.load_private(wrong)


def test_ecdsa_signature_that_is_no_der_does_not_fit() -> None:
    key = ECDSA_P256.generate(os.urandom)
    verify = ECDSA_P256.load_public(key.public)
    assert verify(key.sign(b"x"), b"x")
    for signature in (b"", b"\x30", bytes(64), b"\x30\x06\x02\x01\x00\x02\x01\x00"):
        assert not verify(signature, b"x")
