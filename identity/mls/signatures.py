"""The signature schemes of the supported cipher suites (RFC 9420, 5.1.1): Ed25519 and ECDSA."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from identity.mls.errors import ValidationError
from identity.mls.secret import Secret

Sign = Callable[[bytes], bytes]
Verify = Callable[[bytes, bytes], bool]

KEY_CACHE = 2048
"""How many loaded verification keys are kept: enough for the members of two large groups."""


class SignatureKey:
    """A member's signature key pair, loaded once. Shows nothing of the private half."""

    __slots__ = ("_private", "public", "sign")

    def __init__(self, private: Secret, public: bytes, sign: Sign) -> None:
        self._private = private
        self.public = public
        self.sign = sign

    def __repr__(self) -> str:
        return f"SignatureKey(public key of {len(self.public)} bytes)"

    def private_bytes(self) -> Secret:
        """The private key: the seed of Ed25519, the scalar of ECDSA."""
        return self._private


class SignatureScheme(Protocol):
    """Makes and loads signature keys."""

    private_length: int

    def generate(self, random: Callable[[int], bytes]) -> SignatureKey:
        """A fresh key from `random(length)`."""

    def load_private(self, data: bytes) -> SignatureKey:
        """Raises ValidationError when `data` is no private key."""

    def load_public(self, data: bytes) -> Verify:
        """A function (signature, content) -> bool. Raises ValidationError when `data` is no public key."""


_P25519 = (1 << 255) - 19
_Y_OF_ORDER_8 = 55188659117513257062467267217118295137698188065244968500265048394206261417927
_LOW_ORDER = frozenset(
    (y | sign << 255).to_bytes(32, "little")
    for point in (0, 1, _P25519 - 1, _Y_OF_ORDER_8, _P25519 - _Y_OF_ORDER_8)
    for y in (point, point + _P25519)
    if y < 1 << 255
    for sign in (0, 1)
)
"""All encodings of Ed25519 points of low order: anybody can sign for such a key."""


class Ed25519:
    """Ed25519 (RFC 8032); public keys are 32 bytes."""

    private_length = 32

    def __init__(self) -> None:
        self.load_public = lru_cache(maxsize=KEY_CACHE)(self._load_public)

    def generate(self, random: Callable[[int], bytes]) -> SignatureKey:
        return self.load_private(random(32))

    def load_private(self, data: bytes) -> SignatureKey:
        # Some libraries, the peers' among them, store the seed with the public key behind it.
        seed, given = data[:32], data[32:]
        try:
            key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        except ValueError:
            raise ValidationError("private_key", "not an Ed25519 private key") from None
        public = key.public_key().public_bytes_raw()
        if given not in (b"", public):
            raise ValidationError("private_key", "an Ed25519 key whose two halves do not belong together")
        return SignatureKey(Secret(seed), public, key.sign)

    @staticmethod
    def _load_public(data: bytes) -> Verify:
        if data in _LOW_ORDER:
            raise ValidationError("public_key", "an Ed25519 public key of low order")
        try:
            verify = ed25519.Ed25519PublicKey.from_public_bytes(data).verify
        except ValueError:
            raise ValidationError("public_key", "not an Ed25519 public key") from None

        def check(signature: bytes, content: bytes) -> bool:
            try:
                verify(signature, content)
            except InvalidSignature:
                return False
            return True

        return check


class Ecdsa:
    """ECDSA with uncompressed points as public keys and DER signatures."""

    def __init__(self, curve: ec.EllipticCurve, scalar_length: int, algorithm: hashes.HashAlgorithm) -> None:
        self.private_length = scalar_length
        self._curve = curve
        self._ecdsa = ec.ECDSA(algorithm)
        self.load_public = lru_cache(maxsize=KEY_CACHE)(self._load_public)

    def generate(self, random: Callable[[int], bytes]) -> SignatureKey:
        excess = 8 * self.private_length - self._curve.key_size
        while True:
            candidate = int.from_bytes(random(self.private_length), "big") >> excess
            try:
                return self.load_private(candidate.to_bytes(self.private_length, "big"))
            except ValidationError:
                continue  # zero or not below the order: draw again (FIPS 186-5, A.2.2)

    def load_private(self, data: bytes) -> SignatureKey:
        try:
            key = ec.derive_private_key(int.from_bytes(data, "big"), self._curve)
        except ValueError:
            raise ValidationError("private_key", f"not a private key of {self._curve.name}") from None
        public = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        ecdsa = self._ecdsa

        def sign(content: bytes) -> bytes:
            return key.sign(content, ecdsa)

        return SignatureKey(Secret(data), public, sign)

    def _load_public(self, data: bytes) -> Verify:
        try:
            if len(data) != 1 + 2 * self.private_length:
                raise ValueError
            verify = ec.EllipticCurvePublicKey.from_encoded_point(self._curve, data).verify
        except ValueError:
            raise ValidationError("public_key", f"not an uncompressed point of {self._curve.name}") from None
        ecdsa = self._ecdsa

        def check(signature: bytes, content: bytes) -> bool:
            try:
                verify(signature, content, ecdsa)
            except InvalidSignature:
                return False
            return True

        return check


ED25519 = Ed25519()
ECDSA_P256 = Ecdsa(ec.SECP256R1(), 32, hashes.SHA256())
ECDSA_P384 = Ecdsa(ec.SECP384R1(), 48, hashes.SHA384())
ECDSA_P521 = Ecdsa(ec.SECP521R1(), 66, hashes.SHA512())
