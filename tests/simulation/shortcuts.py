"""What who plays many scenarios in one process need not work out: nobody there forges or guesses anything.

- A signature is a hash of its key and of what was signed: to sign really, and to check that for every member
  that hears it, takes a tenth of a scenario. What is no such hash is refused, as what is no signature.
- The keys of a message are worked out by whoever says it, and known when the others hear it.

So bytes differ from those of the same seed elsewhere, as signatures do; their sizes, moments and outcomes do
not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from hashlib import blake2b
from hmac import compare_digest
from typing import Any

from identity.mls.cipher_suite import SUITES, CipherSuite
from identity.mls.signatures import SignatureKey, SignatureScheme, Verify

KEPT = 2048
"""Keys of messages that are known, of each sort."""


class Hashing:
    """Signs by a hash, with a real scheme's keys. Implements `identity.mls.signatures.SignatureScheme`."""

    def __init__(self, scheme: SignatureScheme) -> None:
        self.private_length = scheme.private_length
        self._scheme = scheme

    def generate(self, random: Callable[[int], bytes]) -> SignatureKey:
        return _hashing(self._scheme.generate(random))

    def load_private(self, data: bytes) -> SignatureKey:
        return _hashing(self._scheme.load_private(data))

    def load_public(self, data: bytes) -> Verify:
        self._scheme.load_public(data)  # raises for what is no key
        sign = _by(data)
        return lambda signature, content: compare_digest(signature, sign(content))


def _hashing(key: SignatureKey) -> SignatureKey:
    return SignatureKey(key.private_bytes(), key.public, _by(key.public))


def _by(public: bytes) -> Callable[[bytes], bytes]:
    """Signs with the key pair that this is half of."""
    begun = blake2b(public)

    def sign(content: bytes) -> bytes:
        whole = begun.copy()
        whole.update(content)
        return whole.digest()

    return sign


def _known(derive: Callable[..., Any]) -> Callable[..., Any]:
    """A derivation from a secret that knows what it returned. Secrets themselves are no keys of tables."""

    @lru_cache(maxsize=KEPT)
    def first(suite: CipherSuite, secret: bytes, rest: Any) -> Any:
        return derive(suite, secret, rest)

    return lambda suite, secret, rest: first(suite, bytes(secret), rest)


@contextmanager
def shortcuts() -> Iterator[None]:
    """Within the block, for all that this process plays."""
    schemes = {suite: suite.scheme for suite in SUITES.values()}
    names = ("derive_generation", "next_generation", "expand_key_and_nonce")
    derivations = {name: getattr(CipherSuite, name) for name in names}
    for suite, scheme in schemes.items():
        suite.scheme = Hashing(scheme)
    for name, derive in derivations.items():
        setattr(CipherSuite, name, _known(derive))
    try:
        yield
    finally:
        for suite, scheme in schemes.items():
            suite.scheme = scheme
        for name, derive in derivations.items():
            setattr(CipherSuite, name, derive)
