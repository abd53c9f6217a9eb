"""Who plays many scenarios in one process checks no signature that the same process has made.

What was signed here fits its key: to find that out again, for every member that hears it, takes a tenth of a
scenario. Whatever else claims to be a signature is checked as ever.
"""

from __future__ import annotations

from collections.abc import Callable

from identity.mls.cipher_suite import SUITES
from identity.mls.signatures import SignatureKey, SignatureScheme, Verify

KEPT = 20_000
"""Signatures that are known; then all are forgotten, and checked again."""


class Remembered:
    """Knows what it has signed. Implements `identity.mls.signatures.SignatureScheme`."""

    def __init__(self, scheme: SignatureScheme) -> None:
        self.private_length = scheme.private_length
        self._scheme = scheme
        self._made: dict[bytes, tuple[bytes, bytes]] = {}
        """By signature: whose it is, and of what."""

    def generate(self, random: Callable[[int], bytes]) -> SignatureKey:
        return self._noting(self._scheme.generate(random))

    def load_private(self, data: bytes) -> SignatureKey:
        return self._noting(self._scheme.load_private(data))

    def _noting(self, key: SignatureKey) -> SignatureKey:
        made, public, sign_really = self._made, key.public, key.sign

        def sign(content: bytes) -> bytes:
            signature = sign_really(content)
            if len(made) >= KEPT:
                made.clear()
            made[signature] = (public, content)
            return signature

        return SignatureKey(key.private_bytes(), public, sign)

    def load_public(self, data: bytes) -> Verify:
        made, check_really = self._made, self._scheme.load_public(data)

        def check(signature: bytes, content: bytes) -> bool:
            return made.get(signature) == (data, content) or check_really(signature, content)

        return check


def remember_signatures() -> None:
    """From now on, in this process."""
    for suite in SUITES.values():
        if not isinstance(suite.scheme, Remembered):
            suite.scheme = Remembered(suite.scheme)
