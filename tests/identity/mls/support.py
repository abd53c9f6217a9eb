"""Where the vectors are, and how they are counted."""

from __future__ import annotations

import base64
import gzip
import hmac
import json
import os
from pathlib import Path
from typing import Any

import pytest

from identity.errors import InvalidToken
from identity.mls.cipher_suite import SUITES, suite
from identity.mls.framing import KeyPackage, decode_message
from identity.mls.welcome import KeyPackageBundle

ELSEWHERE = os.environ.get("CALLBOARD_VECTORS")
ROOT = Path(ELSEWHERE or Path(__file__).parents[2] / "vectors") / "mls"

Case = dict[str, Any]


def cases(family: str) -> list[Case]:
    """The cases of one vector file whose suite we support, one at least.

    A test whose file $CALLBOARD_VECTORS does not have is skipped.
    """
    path = ROOT / f"{family}.json.gz"
    if ELSEWHERE and not path.exists():
        pytest.skip(f"{path} is not there")
    read: list[Case] = json.loads(gzip.decompress(path.read_bytes()))
    found = [case for case in read if case.get("cipher_suite", 1) in SUITES]
    assert found, f"{family}: no case of a suite that we have"
    return found


def unhex(value: str | None) -> bytes:
    return bytes.fromhex(value or "")


def bundle_of(case: Case) -> KeyPackageBundle:
    """The key package of a passive client with the private keys that the vector gives."""
    use = suite(case["cipher_suite"])
    package = decode_message(unhex(case["key_package"]))
    assert isinstance(package, KeyPackage)
    return KeyPackageBundle(
        package,
        use.hpke.load_key_pair(unhex(case["init_priv"])),
        use.hpke.load_key_pair(unhex(case["encryption_priv"])),
        use.scheme.load_private(unhex(case["signature_priv"])),
    )


WINDOW = 3600


class TokenBook:
    """Makes and checks shared secret tokens, as small as a fake can be."""

    def __init__(self, secret: str = "a secret that all members of the group know") -> None:
        self._key = secret.encode()
        self.checked = 0

    def token(self, subject: str, public: bytes, now: float) -> str:
        claims = _unpadded(json.dumps({"pubkey": base64.b64encode(public).decode()}).encode())
        signed = f"{subject}:{int(now)}:{_unpadded(os.urandom(12))}:{claims}"
        return f"{signed}:{_unpadded(hmac.digest(self._key, signed.encode(), 'sha256'))}"

    def try_get_claims(self, token: str, now: float) -> dict[str, Any]:
        self.checked += 1
        signed, _, mac = token.rpartition(":")
        if mac != _unpadded(hmac.digest(self._key, signed.encode(), "sha256")):
            raise InvalidToken("wrong MAC", rule="mac")
        subject, issued, _, claims = signed.split(":")
        if not int(issued) - 5 <= now <= int(issued) + WINDOW:
            raise InvalidToken("expired", rule="expired")
        return {"sub": subject, "custom_claims": json.loads(base64.urlsafe_b64decode(claims + "=="))}


def _unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
