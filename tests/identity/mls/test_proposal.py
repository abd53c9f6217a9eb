from __future__ import annotations

import pytest

from identity.mls.cipher_suite import suite
from identity.mls.codec import Reader, decode_whole
from identity.mls.errors import DecodeError
from identity.mls.framing import KeyPackage, decode_message
from identity.mls.proposal import (
    PreSharedKeyId,
    decode_proposal,
    decode_proposal_or_ref,
)
from tests.identity.mls.support import cases, unhex


@pytest.mark.vectors
@pytest.mark.parametrize(
    ("family", "label"),
    [
        ("mls-rs-key-package-ref", b"MLS 1.0 KeyPackage Reference"),
        ("mls-rs-proposal-ref", b"MLS 1.0 Proposal Reference"),
    ],
)
def test_reference_vectors(family: str, label: bytes) -> None:
    found = cases(family)
    for case in found:
        use = suite(case["cipher_suite"])
        assert use.ref_hash(label, unhex(case["input"])) == unhex(case["output"])
    print(f"{family}: {len(found)} passed")


@pytest.mark.vectors
def test_key_package_reference_is_the_one_in_the_welcome() -> None:
    for case in cases("welcome"):
        package = decode_message(unhex(case["key_package"]))
        assert isinstance(package, KeyPackage)
        assert package.signature_fits(suite(case["cipher_suite"]))


def test_unknown_numbers_are_refused() -> None:
    for decode, data in (
        (decode_proposal, b"\x00\x08"),
        (decode_proposal_or_ref, b"\x03"),
        (PreSharedKeyId.decode, b"\x03"),
        (PreSharedKeyId.decode, b"\x02\x04"),
    ):
        with pytest.raises(DecodeError, match="is unknown at byte"):
            decode_whole(data, lambda reader, d=decode: d(reader))  # type: ignore[misc]
    with pytest.raises(DecodeError):
        decode_proposal(Reader(b""))
