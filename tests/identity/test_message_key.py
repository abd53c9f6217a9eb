"""The `pubkey` claim of message tokens."""

from __future__ import annotations

import base64

from identity.message_key import new_pubkey


def test_pubkey_is_a_fresh_ed25519_key_in_padded_base64() -> None:
    first, second = new_pubkey(), new_pubkey()
    assert first != second
    assert len(first) == 44
    assert len(base64.b64decode(first, validate=True)) == 32
