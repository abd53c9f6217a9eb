from __future__ import annotations

import os

import pytest

from identity.mls.cipher_suite import SUITES, CipherSuite, suite
from identity.mls.errors import ValidationError, VerificationError
from tests.identity.mls.support import cases, unhex

every_suite = pytest.mark.parametrize("algorithms", SUITES.values(), ids=lambda s: f"suite{s.id}")


@pytest.mark.vectors
def test_crypto_basics_vectors() -> None:
    found = cases("crypto-basics")
    for case in found:
        use = suite(case["cipher_suite"])
        given = case["ref_hash"]
        assert use.ref_hash(given["label"].encode(), unhex(given["value"])) == unhex(given["out"])

        given = case["expand_with_label"]
        out = use.expand_with_label(
            unhex(given["secret"]), given["label"].encode(), unhex(given["context"]), given["length"]
        )
        assert out == unhex(given["out"])

        given = case["derive_secret"]
        assert use.derive_secret(unhex(given["secret"]), given["label"].encode()) == unhex(given["out"])

        given = case["derive_tree_secret"]
        generation = given["generation"].to_bytes(4, "big")  # DeriveTreeSecret is this (section 9)
        out = use.expand_with_label(
            unhex(given["secret"]), given["label"].encode(), generation, given["length"]
        )
        assert out == unhex(given["out"])

        given = case["sign_with_label"]
        label, content = given["label"].encode(), unhex(given["content"])
        assert use.verify_with_label(unhex(given["pub"]), label, content, unhex(given["signature"]))
        key = use.scheme.load_private(unhex(given["priv"]))
        assert key.public == unhex(given["pub"])
        assert use.verify_with_label(key.public, label, content, use.sign_with_label(key, label, content))

        given = case["encrypt_with_label"]
        label, context = given["label"].encode(), unhex(given["context"])
        pair = use.hpke.load_key_pair(unhex(given["priv"]))
        assert pair.public == unhex(given["pub"])
        sealed = unhex(given["kem_output"]), unhex(given["ciphertext"])
        assert use.decrypt_with_label(pair, label, context, *sealed) == unhex(given["plaintext"])
        sealed = use.encrypt_with_label(pair.public, label, context, unhex(given["plaintext"]))
        assert use.decrypt_with_label(pair, label, context, *sealed) == unhex(given["plaintext"])
    print(f"crypto-basics: {len(found)} passed")


@every_suite
def test_signature_fits_its_content_label_and_key_only(algorithms: CipherSuite) -> None:
    key, other = (algorithms.generate_signature_key(os.urandom) for _ in range(2))
    signature = algorithms.sign_with_label(key, b"Label", b"content")
    verify = algorithms.verify_with_label
    assert verify(key.public, b"Label", b"content", signature)
    assert not verify(key.public, b"Label", b"contents", signature)
    assert not verify(key.public, b"Lable", b"content", signature)
    assert not verify(other.public, b"Label", b"content", signature)
    assert not verify(key.public, b"Label", b"content", b"")


@every_suite
def test_private_keys_are_loaded_again(algorithms: CipherSuite) -> None:
    key = algorithms.generate_signature_key(os.urandom)
    assert algorithms.scheme.load_private(key.private_bytes()).public == key.public
    pair = algorithms.generate_key_pair(os.urandom)
    assert algorithms.hpke.load_key_pair(pair.private_bytes()).public == pair.public


@every_suite
def test_sealed_secret_opens_with_its_key_and_context_only(algorithms: CipherSuite) -> None:
    pair, other = (algorithms.generate_key_pair(os.urandom) for _ in range(2))
    sealed = algorithms.encrypt_with_label(pair.public, b"Label", b"context", b"secret")
    assert algorithms.decrypt_with_label(pair, b"Label", b"context", *sealed) == b"secret"
    kem_output, ciphertext = sealed
    for attempt in (
        (other, b"context", kem_output, ciphertext),
        (pair, b"Context", kem_output, ciphertext),
        (pair, b"context", kem_output, ciphertext[:-1]),
        (pair, b"context", kem_output[:-1], ciphertext),
        (pair, b"context", bytes(len(kem_output)), ciphertext),
        (pair, b"context", b"", b""),
    ):
        with pytest.raises(VerificationError):
            algorithms.decrypt_with_label(attempt[0], b"Label", *attempt[1:])


@every_suite
def test_what_is_sealed_with_given_randomness_is_the_same_each_time_and_opens(
    algorithms: CipherSuite,
) -> None:
    pair = algorithms.generate_key_pair(os.urandom)

    def sealed(fill: int) -> tuple[bytes, bytes]:
        random = bytes([fill]).__mul__
        return algorithms.encrypt_with_label(pair.public, b"Label", b"context", b"secret", random)

    assert sealed(1) == sealed(1) != sealed(2)
    assert algorithms.decrypt_with_label(pair, b"Label", b"context", *sealed(1)) == b"secret"


@every_suite
def test_exported_secret_is_the_same_on_both_sides(algorithms: CipherSuite) -> None:
    hpke = algorithms.hpke
    pair, ephemeral = (algorithms.generate_key_pair(os.urandom) for _ in range(2))
    kem_output, secret = hpke.setup_export_sender(pair.public, ephemeral, b"exported")
    assert hpke.setup_export_receiver(pair, kem_output, b"exported") == secret
    assert hpke.setup_export_receiver(pair, kem_output, b"other") != secret


@every_suite
@pytest.mark.parametrize("data", [b"", b"\x04", bytes(32), bytes(65), b"\xff" * 133, b"\x02" + b"\x01" * 32])
def test_bad_public_keys_are_refused_by_type(algorithms: CipherSuite, data: bytes) -> None:
    with pytest.raises(ValidationError, match=r"the key of leaf 3 is (an|not an) "):
        algorithms.hpke.check_public(data, "the key of leaf 3")
    with pytest.raises(ValidationError):
        algorithms.verify_with_label(data, b"", b"", b"")


@every_suite
def test_keys_show_no_private_bytes(algorithms: CipherSuite) -> None:
    key = algorithms.generate_signature_key(os.urandom)
    pair = algorithms.generate_key_pair(os.urandom)
    shown = f"{key!r} {pair!r} {key.private_bytes()!r} {pair.private_bytes()!r}"
    assert key.private_bytes().hex() not in shown
    assert "public key of" in shown


def test_unknown_suite_is_refused() -> None:
    with pytest.raises(ValidationError, match="cipher suite 4 is not supported"):
        suite(4)


def test_derive_key_pair_of_p521_is_that_of_rfc_9180() -> None:
    """The receiver's key of RFC 9180, appendix A.6.1: the one curve whose scalars take two blocks."""
    ikm = unhex(
        "2ad954bbe39b7122529f7dde780bff626cd97f850d0784a432784e69d86eccaa"
        "de43b6c10a8ffdb94bf943c6da479db137914ec835a7e715e36e45e29b587bab3bf1"
    )
    private = unhex(
        "01462680369ae375e4b3791070a7458ed527842f6a98a79ff5e0d4cbde83c271"
        "96a3916956655523a6a2556a7af62c5cadabe2ef9da3760bb21e005202f7b2462847"
    )
    assert suite(5).hpke.derive_key_pair(ikm).private_bytes() == private
