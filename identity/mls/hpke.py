"""Hybrid public-key encryption (RFC 9180, base mode) over the KEMs of the supported suites.

Sealing and opening are the `cryptography` library's. What it does not offer stands here: DeriveKeyPair (RFC
9180, 7.1.3) and the export of a secret without a message, which external commits need (RFC 9420, 8.3). The
ephemeral key of a seal is the library's own where the randomness handed in is the system's: that is faster.
Every other key comes from bytes handed in.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from functools import lru_cache
from os import urandom
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from identity.mls.errors import ValidationError, VerificationError
from identity.mls.secret import Secret

_VERSION = b"HPKE-v1"
_MODE_BASE = b"\0"

Random = Callable[[int], bytes]
PrivateKey = x25519.X25519PrivateKey | ec.EllipticCurvePrivateKey
PublicKey = x25519.X25519PublicKey | ec.EllipticCurvePublicKey


def hkdf_expand(hash_name: str, key: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand (RFC 5869). One block is all MLS ever needs, but for the scalars of P-521."""
    block = hmac.digest(key, info + b"\1", hash_name)
    out = block
    count = 1
    while len(out) < length:
        count += 1
        block = hmac.digest(key, block + info + bytes([count]), hash_name)
        out += block
    return out[:length]


class HpkeKeyPair:
    """A private key, loaded once, with the encoding of its public key. Shows only the latter's length."""

    __slots__ = ("_encode", "key", "public")

    def __init__(self, key: PrivateKey, public: bytes, encode: Callable[[PrivateKey], bytes]) -> None:
        self.key = key
        self.public = public
        self._encode = encode

    def __repr__(self) -> str:
        return f"HpkeKeyPair(public key of {len(self.public)} bytes)"

    def private_bytes(self) -> Secret:
        """The private key as RFC 9180 serialises it."""
        return Secret(self._encode(self.key))


class Kem(Protocol):
    """A Diffie-Hellman KEM of RFC 9180, section 4.1."""

    kem_id: int
    hash_name: str
    enc_length: int
    """Length of an encapsulated key, and of a public key."""
    private_length: int

    def derive_private(self, prk: bytes, suite_id: bytes) -> PrivateKey:
        """The last step of DeriveKeyPair, which differs between curves."""

    def load_private(self, data: bytes) -> PrivateKey:
        """Raises ValidationError when `data` is no private key."""

    def load_public(self, data: bytes) -> PublicKey:
        """Raises ValidationError when `data` is no public key."""

    def encode_private(self, key: PrivateKey) -> bytes: ...

    def encode_public(self, key: PrivateKey) -> bytes: ...

    def exchange(self, private: PrivateKey, public: PublicKey) -> bytes:
        """The Diffie-Hellman secret. Raises ValidationError for a point of low order."""


_P25519 = (1 << 255) - 19
_LOW_ORDER = frozenset(
    (u | high << 255).to_bytes(32, "little")
    for point in (
        0,
        1,
        _P25519 - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    )
    for u in (point, point + _P25519)
    if u < 1 << 255
    for high in (0, 1)
)
"""All 32 bytes that stand for a point of low order: with these X25519 gives zero for any private key."""


class X25519Kem:
    """DHKEM(X25519, HKDF-SHA256)."""

    kem_id = 0x0020
    hash_name = "sha256"
    enc_length = 32
    private_length = 32

    def derive_private(self, prk: bytes, suite_id: bytes) -> PrivateKey:
        info = b"\x00\x20" + _VERSION + suite_id + b"sk"
        return x25519.X25519PrivateKey.from_private_bytes(hkdf_expand("sha256", prk, info, 32))

    def load_private(self, data: bytes) -> PrivateKey:
        try:
            return x25519.X25519PrivateKey.from_private_bytes(data)
        except ValueError:
            raise ValidationError("private_key", "not an X25519 private key") from None

    def load_public(self, data: bytes) -> PublicKey:
        if data in _LOW_ORDER:
            raise ValidationError("public_key", "an X25519 public key of low order")
        try:
            return x25519.X25519PublicKey.from_public_bytes(data)
        except ValueError:
            raise ValidationError("public_key", "not an X25519 public key") from None

    def encode_private(self, key: PrivateKey) -> bytes:
        assert isinstance(key, x25519.X25519PrivateKey)
        return key.private_bytes_raw()

    def encode_public(self, key: PrivateKey) -> bytes:
        assert isinstance(key, x25519.X25519PrivateKey)
        return key.public_key().public_bytes_raw()

    def exchange(self, private: PrivateKey, public: PublicKey) -> bytes:
        assert isinstance(private, x25519.X25519PrivateKey)
        assert isinstance(public, x25519.X25519PublicKey)
        try:
            return private.exchange(public)
        except ValueError:
            raise ValidationError("public_key", "an X25519 public key of low order") from None


class NistKem:
    """DHKEM over a NIST curve: P-256, P-384 or P-521."""

    def __init__(
        self, kem_id: int, curve: ec.EllipticCurve, hash_name: str, scalar_length: int, mask: int
    ) -> None:
        self.kem_id = kem_id
        self.hash_name = hash_name
        self.private_length = scalar_length
        self.enc_length = 1 + 2 * scalar_length
        self._curve = curve
        self._mask = mask

    def derive_private(self, prk: bytes, suite_id: bytes) -> PrivateKey:
        size = self.private_length
        for counter in range(256):
            info = size.to_bytes(2, "big") + _VERSION + suite_id + b"candidate" + bytes([counter])
            candidate = hkdf_expand(self.hash_name, prk, info, size)
            scalar = int.from_bytes(bytes([candidate[0] & self._mask]) + candidate[1:], "big")
            try:
                return ec.derive_private_key(scalar, self._curve)
            except ValueError:
                continue  # zero or not below the order of the curve
        raise ValidationError("private_key", "256 candidates in a row were no private key")

    def load_private(self, data: bytes) -> PrivateKey:
        try:
            return ec.derive_private_key(int.from_bytes(data, "big"), self._curve)
        except ValueError:
            raise ValidationError("private_key", f"not a private key of {self._curve.name}") from None

    def load_public(self, data: bytes) -> PublicKey:
        # RFC 9180 knows only uncompressed points, the library would take the other forms too.
        try:
            if len(data) != self.enc_length:
                raise ValueError
            return ec.EllipticCurvePublicKey.from_encoded_point(self._curve, data)
        except ValueError:
            raise ValidationError("public_key", f"not an uncompressed point of {self._curve.name}") from None

    def encode_private(self, key: PrivateKey) -> bytes:
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key.private_numbers().private_value.to_bytes(self.private_length, "big")

    def encode_public(self, key: PrivateKey) -> bytes:
        return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def exchange(self, private: PrivateKey, public: PublicKey) -> bytes:
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        assert isinstance(public, ec.EllipticCurvePublicKey)
        return private.exchange(ec.ECDH(), public)


X25519 = X25519Kem()
P256 = NistKem(0x0010, ec.SECP256R1(), "sha256", 32, 0xFF)
P384 = NistKem(0x0011, ec.SECP384R1(), "sha384", 48, 0xFF)
P521 = NistKem(0x0012, ec.SECP521R1(), "sha512", 66, 0x01)

_LIBRARY_KEM = {0x0020: KEM.X25519, 0x0010: KEM.P256, 0x0011: KEM.P384, 0x0012: KEM.P521}
_LIBRARY_KDF = {"sha256": KDF.HKDF_SHA256, "sha384": KDF.HKDF_SHA384, "sha512": KDF.HKDF_SHA512}
_KDF_ID = {"sha256": 1, "sha384": 2, "sha512": 3}
_AEAD: dict[int, tuple[type[AESGCM] | type[ChaCha20Poly1305], int]] = {
    1: (AESGCM, 16),
    2: (AESGCM, 32),
    3: (ChaCha20Poly1305, 32),
}
"""And the lengths of their keys."""
_NONCE = 12
_LIBRARY_AEAD = {1: AEAD.AES_128_GCM, 2: AEAD.AES_256_GCM, 3: AEAD.CHACHA20_POLY1305}


class Hpke:
    """One KEM, KDF and AEAD, ready to use."""

    __slots__ = ("_aead", "_kem_suite_id", "_key_length", "_load_public", "_suite", "_suite_id", "kem")

    def __init__(self, kem: Kem, aead_id: int) -> None:
        self.kem = kem
        self._suite = Suite(_LIBRARY_KEM[kem.kem_id], _LIBRARY_KDF[kem.hash_name], _LIBRARY_AEAD[aead_id])
        self._aead, self._key_length = _AEAD[aead_id]
        kem_id = kem.kem_id.to_bytes(2, "big")
        kdf_id = _KDF_ID[kem.hash_name].to_bytes(2, "big")
        self._kem_suite_id = b"KEM" + kem_id
        self._suite_id = b"HPKE" + kem_id + kdf_id + aead_id.to_bytes(2, "big")
        self._load_public = lru_cache(maxsize=128)(kem.load_public)

    def load_key_pair(self, private: bytes) -> HpkeKeyPair:
        """Load a serialised private key. Raises ValidationError."""
        return self._key_pair(self.kem.load_private(private))

    def derive_key_pair(self, ikm: bytes) -> HpkeKeyPair:
        """DeriveKeyPair (RFC 9180, 7.1.3)."""
        prk = self._labeled_extract(b"", self._kem_suite_id, b"dkp_prk", ikm)
        return self._key_pair(self.kem.derive_private(prk, self._kem_suite_id))

    def check_public(self, public: bytes, name: str, number: int | None = None) -> None:
        """Raises ValidationError unless `public` can be sealed to; it names the key and its number."""
        try:
            self._load_public(public)
        except ValidationError as error:
            called = name if number is None else f"{name} {number}"
            raise ValidationError("public_key", f"{called} is {error.problem}") from None

    def seal(
        self, public: bytes, info: bytes, plaintext: bytes, random: Random = urandom
    ) -> tuple[bytes, bytes]:
        """SealBase: (encapsulated key, ciphertext). Raises ValidationError for a bad public key."""
        if random is not urandom:
            ephemeral = self.derive_key_pair(random(self.kem.private_length))
            return ephemeral.public, self._seal_with(ephemeral, public, info, plaintext)
        try:
            sealed = self._suite.encrypt(plaintext, self._load_public(public), info=info)
        except ValueError:
            raise ValidationError("public_key", "a public key that nothing can be sealed to") from None
        size = self.kem.enc_length
        return sealed[:size], sealed[size:]

    def _seal_with(self, ephemeral: HpkeKeyPair, public: bytes, info: bytes, plaintext: bytes) -> bytes:
        """SetupBaseS with that ephemeral key, then Seal (RFC 9180, 5.1 and 5.2)."""
        shared = self.kem.exchange(ephemeral.key, self._load_public(public))
        secret, context = self._schedule(shared, ephemeral.public + public, info)
        key = self._labeled_expand(secret, self._suite_id, b"key", context, self._key_length)
        nonce = self._labeled_expand(secret, self._suite_id, b"base_nonce", context, _NONCE)
        return self._aead(key).encrypt(nonce, plaintext, b"")

    def open(self, pair: HpkeKeyPair, kem_output: bytes, info: bytes, ciphertext: bytes) -> Secret:
        """OpenBase. Raises VerificationError."""
        if len(kem_output) != self.kem.enc_length:
            raise VerificationError("HPKE ciphertext")
        try:
            return Secret(self._suite.decrypt(kem_output + ciphertext, pair.key, info=info))
        except (InvalidTag, ValueError):
            raise VerificationError("HPKE ciphertext") from None

    def setup_export_sender(
        self, public: bytes, ephemeral: HpkeKeyPair, label: bytes
    ) -> tuple[bytes, Secret]:
        """SetupBaseS without info, then Export(label): (encapsulated key, secret). Raises ValidationError."""
        shared = self.kem.exchange(ephemeral.key, self._load_public(public))
        return ephemeral.public, self._export(shared, ephemeral.public + public, label)

    def setup_export_receiver(self, pair: HpkeKeyPair, kem_output: bytes, label: bytes) -> Secret:
        """SetupBaseR with empty info, then Export(label). Raises ValidationError."""
        shared = self.kem.exchange(pair.key, self._load_public(kem_output))
        return self._export(shared, kem_output + pair.public, label)

    def _key_pair(self, key: PrivateKey) -> HpkeKeyPair:
        return HpkeKeyPair(key, self.kem.encode_public(key), self.kem.encode_private)

    def _export(self, shared: bytes, kem_context: bytes, label: bytes) -> Secret:
        """Export (RFC 9180, 5.3) of a context without info."""
        secret, context = self._schedule(shared, kem_context, b"")
        size = (len(context) - 1) // 2
        exporter_secret = self._labeled_expand(secret, self._suite_id, b"exp", context, size)
        return Secret(self._labeled_expand(exporter_secret, self._suite_id, b"sec", label, size))

    def _schedule(self, shared: bytes, kem_context: bytes, info: bytes) -> tuple[bytes, bytes]:
        """ExtractAndExpand (4.1) and the key schedule (5.1) of RFC 9180: its secret and its context."""
        kem_id, suite_id = self._kem_suite_id, self._suite_id
        size = len(hmac.digest(b"", b"", self.kem.hash_name))
        prk = self._labeled_extract(b"", kem_id, b"eae_prk", shared)
        shared_secret = self._labeled_expand(prk, kem_id, b"shared_secret", kem_context, size)
        psk_id_hash = self._labeled_extract(b"", suite_id, b"psk_id_hash", b"")
        info_hash = self._labeled_extract(b"", suite_id, b"info_hash", info)
        secret = self._labeled_extract(shared_secret, suite_id, b"secret", b"")
        return secret, _MODE_BASE + psk_id_hash + info_hash

    def _labeled_extract(self, salt: bytes, suite_id: bytes, label: bytes, ikm: bytes) -> bytes:
        return hmac.digest(salt, _VERSION + suite_id + label + ikm, self.kem.hash_name)

    def _labeled_expand(self, prk: bytes, suite_id: bytes, label: bytes, info: bytes, length: int) -> bytes:
        full = length.to_bytes(2, "big") + _VERSION + suite_id + label + info
        return hkdf_expand(self.kem.hash_name, prk, full, length)
