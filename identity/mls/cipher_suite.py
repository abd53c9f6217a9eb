"""Cipher suites and the labelled functions that all of MLS is made of (RFC 9420, section 5 and 8).

Label bytes are prepared once per label: what remains for a call is one HMAC, one signature or one seal.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from functools import lru_cache
from os import urandom

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from identity.mls import hpke, signatures
from identity.mls.codec import length, opaque, u16
from identity.mls.errors import ValidationError, VerificationError
from identity.mls.hpke import Hpke, HpkeKeyPair, Kem, hkdf_expand
from identity.mls.secret import Secret
from identity.mls.signatures import SignatureKey, SignatureScheme

Random = Callable[[int], bytes]
"""Draws that many bytes, like `os.urandom`."""

NONCE_LENGTH = 12
"""AEAD.Nn of every suite."""

_Aead = type[AESGCM] | type[ChaCha20Poly1305]


@lru_cache(maxsize=256)
def _label(label: bytes) -> bytes:
    return opaque(b"MLS 1.0 " + label)


@lru_cache(maxsize=256)
def _kdf_label(label: bytes, length: int) -> bytes:
    """KDFLabel without its context (section 8)."""
    return u16(length) + _label(label)


def _labelled(label: bytes, *content: bytes) -> bytes:
    """SignContent and EncryptContext (section 5.1); the content may be a whole tree, so it is copied once."""
    return b"".join((_label(label), length(sum(map(len, content))), *content))


class CipherSuite:
    """The algorithms of one suite. `id` is its IANA number."""

    __slots__ = (
        "_aead",
        "_hash",
        "_tree_labels",
        "hash_length",
        "hash_name",
        "hpke",
        "id",
        "key_length",
        "name",
        "scheme",
    )

    def __init__(
        self,
        id: int,
        name: str,
        *,
        kem: Kem,
        hash_name: str,
        aead: _Aead,
        aead_id: int,
        key_length: int,
        scheme: SignatureScheme,
    ) -> None:
        self.id = id
        self.name = name
        self.hash_name = hash_name
        self.hash_length = hashlib.new(hash_name).digest_size
        self.key_length = key_length
        self.hpke = Hpke(kem, aead_id)
        self.scheme = scheme
        self._hash = getattr(hashlib, hash_name)
        self._aead = aead
        self._tree_labels = {
            label: _kdf_label(label, length) + b"\x04"
            for label, length in (
                (b"key", key_length),
                (b"nonce", NONCE_LENGTH),
                (b"secret", self.hash_length),
            )
        }

    def __repr__(self) -> str:
        return f"CipherSuite({self.id}, {self.name})"

    # Hash, MAC and references

    def hash(self, data: bytes) -> bytes:
        """Hash of the suite."""
        digest: bytes = self._hash(data).digest()
        return digest

    def mac(self, key: bytes, data: bytes) -> bytes:
        """HMAC with the suite's hash (section 5.1)."""
        return hmac.digest(key, data, self.hash_name)

    def verify_mac(self, key: bytes, data: bytes, tag: bytes, what: str) -> None:
        """Compare in constant time. Raises VerificationError naming `what`."""
        if not hmac.compare_digest(self.mac(key, data), tag):
            raise VerificationError(what)

    def ref_hash(self, label: bytes, value: bytes) -> bytes:
        """RefHash (section 5.2); `label` is used as it stands."""
        return self.hash(opaque(label) + opaque(value))

    # Key derivation (section 8)

    def extract(self, salt: bytes, ikm: bytes) -> Secret:
        """KDF.Extract."""
        return Secret(hmac.digest(salt, ikm, self.hash_name))

    def expand_with_label(self, secret: bytes, label: bytes, context: bytes, length: int) -> Secret:
        """ExpandWithLabel."""
        info = _kdf_label(label, length) + opaque(context)
        if length <= self.hash_length:
            return Secret(hmac.digest(secret, info + b"\1", self.hash_name)[:length])
        return Secret(hkdf_expand(self.hash_name, secret, info, length))

    def expand_key_and_nonce(self, secret: bytes, context: bytes) -> tuple[bytes, bytes]:
        """ExpandWithLabel twice with one context, for "key" and "nonce" (sections 6.3.2 and 12.4.3.1)."""
        end = opaque(context) + b"\1"
        name = self.hash_name
        key = hmac.digest(secret, _kdf_label(b"key", self.key_length) + end, name)[: self.key_length]
        return key, hmac.digest(secret, _kdf_label(b"nonce", NONCE_LENGTH) + end, name)[:NONCE_LENGTH]

    def derive_secret(self, secret: bytes, label: bytes) -> Secret:
        """DeriveSecret."""
        size = self.hash_length
        return Secret(hmac.digest(secret, _kdf_label(label, size) + b"\0\1", self.hash_name))

    def derive_generation(self, secret: bytes, generation: int) -> tuple[bytes, bytes]:
        """Key and nonce of one generation of a ratchet: DeriveTreeSecret twice (section 9.1)."""
        labels = self._tree_labels
        end = generation.to_bytes(4, "big") + b"\1"
        key = hmac.digest(secret, labels[b"key"] + end, self.hash_name)[: self.key_length]
        nonce = hmac.digest(secret, labels[b"nonce"] + end, self.hash_name)[:NONCE_LENGTH]
        return key, nonce

    def next_generation(self, secret: bytes, generation: int) -> Secret:
        """The ratchet secret that follows that of `generation` (section 9.1)."""
        info = self._tree_labels[b"secret"] + generation.to_bytes(4, "big") + b"\1"
        return Secret(hmac.digest(secret, info, self.hash_name))

    # Signatures (section 5.1.2)

    def generate_signature_key(self, random: Random) -> SignatureKey:
        """A fresh signature key pair."""
        return self.scheme.generate(random)

    def sign_with_label(self, key: SignatureKey, label: bytes, *content: bytes) -> bytes:
        """SignWithLabel; the content may come in pieces."""
        return key.sign(_labelled(label, *content))

    def verify_with_label(self, public: bytes, label: bytes, content: bytes, signature: bytes) -> bool:
        """VerifyWithLabel: whether the signature fits. Raises ValidationError when `public` is no key."""
        return self.scheme.load_public(public)(signature, _labelled(label, content))

    # Public-key encryption (section 5.1.3)

    def generate_key_pair(self, random: Random) -> HpkeKeyPair:
        """A fresh HPKE key pair."""
        return self.hpke.derive_key_pair(random(self.hash_length))

    def encrypt_with_label(
        self, public: bytes, label: bytes, context: bytes, plaintext: bytes, random: Random = urandom
    ) -> tuple[bytes, bytes]:
        """EncryptWithLabel: (kem_output, ciphertext). Raises ValidationError for a bad public key."""
        return self.hpke.seal(public, _labelled(label, context), plaintext, random)

    def decrypt_with_label(
        self, pair: HpkeKeyPair, label: bytes, context: bytes, kem_output: bytes, ciphertext: bytes
    ) -> Secret:
        """DecryptWithLabel. Raises VerificationError."""
        return self.hpke.open(pair, kem_output, _labelled(label, context), ciphertext)

    # AEAD

    def seal(self, key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """AEAD.Seal."""
        return self._aead(key).encrypt(nonce, plaintext, aad)

    def open(self, key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes, what: str) -> bytes:
        """AEAD.Open. Raises VerificationError naming `what`."""
        try:
            return self._aead(key).decrypt(nonce, ciphertext, aad)
        except InvalidTag:
            raise VerificationError(what) from None


SUITES = {
    suite.id: suite
    for suite in (
        CipherSuite(
            1, "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519", kem=hpke.X25519, hash_name="sha256",
            aead=AESGCM, aead_id=1, key_length=16, scheme=signatures.ED25519,
        ),
        CipherSuite(
            2, "MLS_128_DHKEMP256_AES128GCM_SHA256_P256", kem=hpke.P256, hash_name="sha256",
            aead=AESGCM, aead_id=1, key_length=16, scheme=signatures.ECDSA_P256,
        ),
        CipherSuite(
            3, "MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519", kem=hpke.X25519, hash_name="sha256",
            aead=ChaCha20Poly1305, aead_id=3, key_length=32, scheme=signatures.ED25519,
        ),
        CipherSuite(
            5, "MLS_256_DHKEMP521_AES256GCM_SHA512_P521", kem=hpke.P521, hash_name="sha512",
            aead=AESGCM, aead_id=2, key_length=32, scheme=signatures.ECDSA_P521,
        ),
        CipherSuite(
            7, "MLS_256_DHKEMP384_AES256GCM_SHA384_P384", kem=hpke.P384, hash_name="sha384",
            aead=AESGCM, aead_id=2, key_length=32, scheme=signatures.ECDSA_P384,
        ),
    )
}  # fmt: skip
"""The supported suites by number (section 17.1). Suites 4 and 6 need X448, which HPKE here has not."""


def suite(number: int) -> CipherSuite:
    """The suite with that IANA number. Raises ValidationError when it is not supported."""
    try:
        return SUITES[number]
    except KeyError:
        raise ValidationError("cipher_suite", f"cipher suite {number} is not supported") from None
