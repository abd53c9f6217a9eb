"""Signatures: ours against PyJWT's, and keys too weak to use."""

from __future__ import annotations

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey

from identity.encoding import Malformed
from identity.jose.key_material import (
    _ROCA_PRIMES,
    SigningKey,
    VerificationKey,
    algorithms_for,
    check_rsa,
    min_hmac_bytes,
)
from identity.jose.keys import Algorithm
from tests.identity.key_samples import ASYMMETRIC, HMAC_TEXT, private, private_for

MESSAGE = b"header.payload"


def pair(algorithm: Algorithm) -> tuple[SigningKey, VerificationKey]:
    if algorithm.symmetric:
        secret = HMAC_TEXT.encode()
        return SigningKey(secret, algorithm), VerificationKey(secret, frozenset({algorithm}))
    key = private_for(algorithm)
    return SigningKey(key, algorithm), VerificationKey(key.public_key(), frozenset({algorithm}))


@pytest.mark.parametrize("algorithm", Algorithm)
def test_what_a_key_signs_its_other_half_accepts(algorithm: Algorithm) -> None:
    signer, verifier = pair(algorithm)
    signature = signer.sign(MESSAGE)
    assert verifier.fits(algorithm, MESSAGE, signature)
    assert not verifier.fits(algorithm, MESSAGE + b"x", signature)
    assert not verifier.fits(algorithm, MESSAGE, signature[:-1] + bytes([signature[-1] ^ 1]))
    assert not verifier.fits(algorithm, MESSAGE, b"")


@pytest.mark.parametrize("algorithm", Algorithm)
def test_agrees_with_pyjwt_both_ways(algorithm: Algorithm) -> None:
    signer, verifier = pair(algorithm)
    tool = pyjwt.get_algorithm_by_name(algorithm.value)
    secret = HMAC_TEXT.encode() if algorithm.symmetric else private_for(algorithm)
    public = secret if algorithm.symmetric else secret.public_key()
    assert tool.verify(MESSAGE, public, signer.sign(MESSAGE))
    assert verifier.fits(algorithm, MESSAGE, tool.sign(MESSAGE, secret))


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_key_is_used_with_no_other_algorithm(algorithm: Algorithm) -> None:
    signer, verifier = pair(algorithm)
    signature = signer.sign(MESSAGE)
    assert not any(verifier.fits(other, MESSAGE, signature) for other in Algorithm if other is not algorithm)


def test_ecdsa_takes_the_two_numbers_and_nothing_else() -> None:
    signer, verifier = pair(Algorithm.ES256)
    signature = signer.sign(MESSAGE)
    key = private("ES256")
    assert len(signature) == 64
    der = key.sign(MESSAGE, ec.ECDSA(hashes.SHA256()))
    for wrong in (der, bytes(64), signature[:32] + bytes(32), bytes(32) + signature[32:], b"\0" + signature):
        assert not verifier.fits(Algorithm.ES256, MESSAGE, wrong)


def test_algorithms_follow_type_and_curve() -> None:
    families = {
        kind: {a.value for a in algorithms_for(private(kind).public_key())} for kind in ("ES256", "ES384")
    }
    assert families == {"ES256": {"ES256"}, "ES384": {"ES384"}}
    assert {a.value[:2] for a in algorithms_for(private("RS").public_key())} == {"RS", "PS"}
    for other in (ec.generate_private_key(ec.SECP521R1()), Ed448PrivateKey.generate()):
        with pytest.raises(Malformed):
            algorithms_for(other.public_key())  # type: ignore[arg-type]


def test_weak_and_monstrous_rsa_keys() -> None:
    with pytest.raises(Malformed, match="1024 bits"):
        check_rsa(rsa.generate_private_key(65537, 1024).public_key())
    with pytest.raises(Malformed, match="8200 bits"):
        check_rsa(rsa.RSAPublicNumbers(65537, (1 << 8199) + 1).public_key())
    with pytest.raises(Malformed, match="exponent"):
        check_rsa(rsa.RSAPublicNumbers((1 << 64) + 1, (1 << 2047) + 1).public_key())


def test_moduli_of_the_roca_generator() -> None:
    """A number that is 1 = 65537^0 modulo all the primes has the fingerprint."""
    product = 1
    for prime in _ROCA_PRIMES:
        product *= prime
    modulus = ((1 << 2047) // product + 1) * product * 2 + 1
    with pytest.raises(Malformed, match="ROCA"):
        check_rsa(rsa.RSAPublicNumbers(65537, modulus).public_key())
    check_rsa(private("RS").public_key())


def test_hmac_keys_should_be_as_long_as_the_hash() -> None:
    assert [min_hmac_bytes(a) for a in Algorithm if a.symmetric] == [32, 48, 64]


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_no_repr_shows_a_key(algorithm: Algorithm) -> None:
    assert len(repr(pair(algorithm))) < 120
    assert HMAC_TEXT not in repr(pair(Algorithm.HS256))
