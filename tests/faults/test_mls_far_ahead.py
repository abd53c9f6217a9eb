"""A broken message that claims to be far ahead is refused at about the price of a good one."""

from __future__ import annotations

import pytest

from identity.mls.cipher_suite import CipherSuite, suite
from identity.mls.errors import KeyUnavailable, MlsError
from identity.mls.framing import PrivateMessage, decode_message, encode_message
from identity.mls.private_message import sender_data_key_and_nonce
from identity.mls.secret import Secret
from identity.mls.secret_tree import MAX_FORWARD, STRIDE, Ratchet
from tests.identity.mls.members import grow


class Counting:
    """A suite that counts the steps of a ratchet."""

    def __init__(self, use: CipherSuite) -> None:
        self._use = use
        self.steps = 0
        self.keys = 0

    def next_generation(self, secret: bytes, generation: int) -> Secret:
        self.steps += 1
        return self._use.next_generation(secret, generation)

    def derive_generation(self, secret: bytes, generation: int) -> tuple[bytes, bytes]:
        self.keys += 1
        return self._use.derive_generation(secret, generation)


def test_looking_far_ahead_costs_one_step_a_generation_and_only_once() -> None:
    counting = Counting(suite(1))
    ratchet = Ratchet(Secret(bytes(32)))
    ratchet.find(counting, MAX_FORWARD)  # type: ignore[arg-type]
    assert (counting.steps, counting.keys) == (MAX_FORWARD, 1)
    for generation in range(MAX_FORWARD, 0, -1):
        counting.steps = 0
        ratchet.find(counting, generation)  # type: ignore[arg-type]
        assert counting.steps < STRIDE
    assert len(ratchet._ahead) <= MAX_FORWARD // STRIDE + 1


@pytest.mark.parametrize("base", [0, 1, 63, 64, 65, 1000])
def test_keys_found_from_marks_are_the_right_ones_and_marks_go_with_use(base: int) -> None:
    use = suite(1)
    straight, looked = (Ratchet(Secret(bytes(32))) for _ in range(2))
    straight.use(use, straight.find(use, base))
    looked.use(use, looked.find(use, base))
    looked.find(use, base + MAX_FORWARD)
    for ahead in (1, STRIDE - 1, STRIDE, STRIDE + 1, 500):
        generation = base + ahead
        found = looked.find(use, generation)
        while straight.generation < generation:
            straight.use(use, straight.find(use, straight.generation))
        expected = straight.find(use, generation)
        assert (found.key, found.nonce) == (expected.key, expected.nonce)
    looked.use(use, found)
    straight.use(use, expected)
    assert looked.secret == straight.secret
    assert all(mark > generation for mark in looked._ahead)


def ahead(message: bytes, reader_keys: object, generation: int) -> bytes:
    """The message with another generation in its sender data, as every member can write it."""
    decoded = decode_message(message)
    assert isinstance(decoded, PrivateMessage)
    use, keys = suite(1), reader_keys
    key, nonce = sender_data_key_and_nonce(use, keys.sender_data_secret, decoded.ciphertext)  # type: ignore[attr-defined]
    header = keys._headers[decoded.content_type]  # type: ignore[attr-defined]
    data = use.open(key, nonce, decoded.encrypted_sender_data, header, "sender data")
    changed = data[:4] + generation.to_bytes(4, "big") + data[8:]
    sealed = use.seal(key, nonce, changed, header)
    return encode_message(
        PrivateMessage(
            decoded.group_id,
            decoded.epoch,
            decoded.content_type,
            decoded.authenticated_data,
            sealed,
            decoded.ciphertext,
        )
    )


def test_broken_message_far_ahead_changes_nothing() -> None:
    alice, bob, _ = grow(3)
    message = alice.encrypt(b"good")
    broken = ahead(message, bob._state.keys, MAX_FORWARD)
    before = None
    for _ in range(3):
        with pytest.raises(MlsError, match="message content"):
            bob.decrypt(broken)
        before = before or bob.snapshot()
        assert bob.snapshot() == before
    with pytest.raises(KeyUnavailable, match="more than 1024 ahead"):
        bob.decrypt(ahead(message, bob._state.keys, MAX_FORWARD + 1))
    assert bob.decrypt(message).plaintext == b"good"
