"""Keys that check and make signatures, each tied to its algorithms (`identity.md` 3.2, 3.5).

A key never learns its algorithm from a token: the token's `alg` must be one that the key is already tied to.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from identity.encoding import Malformed
from identity.jose.keys import Algorithm, SignatureAlgorithm, SvidAlgorithm

MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192
"""Larger moduli are not safer in practice, but make every check slow: a stranger's key set must not."""

PublicKey = RSAPublicKey | ec.EllipticCurvePublicKey | Ed25519PublicKey
PrivateKey = RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
_CURVES: dict[str, tuple[SignatureAlgorithm, int]] = {
    "secp256r1": (Algorithm.ES256, 32),
    "secp384r1": (Algorithm.ES384, 48),
    "secp521r1": (SvidAlgorithm.ES512, 66),
}
"""By curve: the algorithm, and the bytes of each of the two numbers of its signatures."""

CONFIGURABLE: frozenset[SignatureAlgorithm] = frozenset(Algorithm)

# The fingerprint of CVE-2017-15361 (ROCA): the moduli of that generator are powers of 65537 modulo each of
# these primes. Per prime the residues that such a modulus can have.
_ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
_ROCA_RESIDUES = {p: {pow(65537, power, p) for power in range(p)} for p in _ROCA_PRIMES}


class VerificationKey:
    """A key that checks signatures made with one of `algorithms`; `kid` is its name in a key set, if any."""

    __slots__ = ("_material", "algorithms", "kid")

    def __init__(
        self, material: PublicKey | bytes, algorithms: frozenset[SignatureAlgorithm], kid: str | None = None
    ) -> None:
        self._material = material
        self.algorithms = algorithms
        self.kid = kid

    @property
    def public_key(self) -> PublicKey:
        """The key itself, for keys that are not symmetric."""
        assert not isinstance(self._material, bytes)
        return self._material

    def fits(self, algorithm: SignatureAlgorithm, signed: bytes, signature: bytes) -> bool:
        """Whether `signature` over `signed` was made with the other half of this key. Raises nothing."""
        if algorithm not in self.algorithms:
            return False
        material = self._material
        if isinstance(material, bytes):
            return hmac.compare_digest(_hmac(algorithm, material, signed), signature)
        try:
            if isinstance(material, RSAPublicKey):
                material.verify(signature, signed, _rsa_padding(algorithm), _hash(algorithm))
            elif isinstance(material, Ed25519PublicKey):
                material.verify(signature, signed)
            else:
                material.verify(_ecdsa_der(material, signature), signed, ec.ECDSA(_hash(algorithm)))
        except (InvalidSignature, Malformed):
            return False
        return True

    def tied_to(self, algorithm: Algorithm) -> VerificationKey:
        """The same key for `algorithm` alone. Raises Malformed when it does not fit."""
        if algorithm not in self.algorithms:
            raise Malformed(f"a key that cannot be used with {algorithm.value}")
        return VerificationKey(self._material, frozenset({algorithm}), self.kid)

    def same_material(self, other: VerificationKey) -> bool:
        """Whether both are the same key, whatever they are called."""
        return self._material == other._material

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, VerificationKey):
            return NotImplemented
        return (self.kid, self.algorithms) == (other.kid, other.algorithms) and self.same_material(other)

    def __hash__(self) -> int:
        return hash((self.kid, self.algorithms))

    def __repr__(self) -> str:
        names = "/".join(sorted(a.value for a in self.algorithms))
        return f"VerificationKey(kid={self.kid!r}, {names})"


class SigningKey:
    """A key that makes signatures with one algorithm."""

    __slots__ = ("_sign", "algorithm")

    def __init__(self, material: PrivateKey | bytes, algorithm: Algorithm) -> None:
        self.algorithm = algorithm
        self._sign = _signer(material, algorithm)

    def sign(self, signed: bytes) -> bytes:
        """The signature as a token carries it (ECDSA: the two numbers, RFC 7518 section 3.4)."""
        return self._sign(signed)

    def __repr__(self) -> str:
        return f"SigningKey({self.algorithm.value})"


def algorithms_for(
    public: PublicKey, allowed: frozenset[SignatureAlgorithm] = CONFIGURABLE
) -> frozenset[SignatureAlgorithm]:
    """Every algorithm among `allowed` that fits the key's type and curve.

    Raises Malformed for keys that none of them can use, and for those too weak to trust.
    """
    fitting: frozenset[SignatureAlgorithm] = frozenset()
    if isinstance(public, RSAPublicKey):
        check_rsa(public)
        fitting = frozenset(a for a in Algorithm if a.value[:2] in ("RS", "PS"))
    elif isinstance(public, Ed25519PublicKey):
        fitting = frozenset({Algorithm.EdDSA})
    elif isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in _CURVES:
        fitting = frozenset({_CURVES[public.curve.name][0]})
    if not fitting & allowed:
        raise Malformed("a key of a type or curve that no supported algorithm uses")
    return fitting & allowed


def check_rsa(public: RSAPublicKey) -> None:
    """Raise Malformed unless an RSA key is strong enough, and small enough to be checked in bounded time."""
    if not MIN_RSA_BITS <= public.key_size <= MAX_RSA_BITS:
        raise Malformed(
            f"an RSA key of {public.key_size} bits; {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted"
        )
    numbers = public.public_numbers()
    if numbers.e % 2 == 0 or not 3 <= numbers.e < 1 << 64:
        raise Malformed("an RSA key with an unusable exponent")
    if all(numbers.n % prime in residues for prime, residues in _ROCA_RESIDUES.items()):
        raise Malformed("an RSA key of the broken ROCA generator (CVE-2017-15361)")


def min_hmac_bytes(algorithm: Algorithm) -> int:
    """The length of the hash, which an HMAC key should have at least (RFC 7518 section 3.2)."""
    return int(algorithm.value[2:]) // 8


def _signer(material: PrivateKey | bytes, algorithm: Algorithm) -> Callable[[bytes], bytes]:
    if isinstance(material, bytes):
        return lambda signed: _hmac(algorithm, material, signed)
    if isinstance(material, RSAPrivateKey):
        return lambda signed: material.sign(signed, _rsa_padding(algorithm), _hash(algorithm))
    if isinstance(material, Ed25519PrivateKey):
        return material.sign
    size = _CURVES[material.curve.name][1]

    def sign(signed: bytes) -> bytes:
        r, s = decode_dss_signature(material.sign(signed, ec.ECDSA(_hash(algorithm))))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    return sign


def _hmac(algorithm: SignatureAlgorithm, key: bytes, signed: bytes) -> bytes:
    return hmac.digest(key, signed, f"sha{algorithm.value[2:]}")


def _hash(algorithm: SignatureAlgorithm) -> hashes.HashAlgorithm:
    return _HASHES[algorithm.value[2:]]


def _rsa_padding(algorithm: SignatureAlgorithm) -> padding.AsymmetricPadding:
    if algorithm.value.startswith("RS"):
        return padding.PKCS1v15()
    # RFC 7518 section 3.5: the salt is as long as the hash, no other length is accepted.
    return padding.PSS(mgf=padding.MGF1(_hash(algorithm)), salt_length=padding.PSS.DIGEST_LENGTH)


def _ecdsa_der(public: ec.EllipticCurvePublicKey, signature: bytes) -> bytes:
    """The two numbers of a signature in the form the library takes: exact length, no zero (RFC 7518 3.4)."""
    size = _CURVES[public.curve.name][1]
    if len(signature) != 2 * size:
        raise Malformed("an ECDSA signature of a wrong length")
    r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
    if not r or not s:
        raise Malformed("an ECDSA signature with a zero")
    return encode_dss_signature(r, s)
