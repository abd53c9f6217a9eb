"""Certificates that stand one behind the other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.spiffe.certificates import split_der
from identity.spiffe.errors import (
    ParseCertificateError,
)
from tests.identity.spiffe.trust import Authority

HOME = Authority()
PARTNER = Authority("partner.test")


def test_certificates_are_cut_apart_and_counted() -> None:
    der = HOME.root_der
    assert split_der(der * 3, limit=3) == [der] * 3
    with pytest.raises(ParseCertificateError, match="more than 2"):
        split_der(der * 3, limit=2)
    for bad in (
        der[:-1],
        der + b"\x30",
        b"\x31\x00",
        b"\x30\x80",
        b"\x30\x85\0\0\0\0\1",
        b"\x30\x84\xff\xff\xff\xff",
    ):
        with pytest.raises(ParseCertificateError):
            split_der(bad, limit=3)


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_cutting_apart_is_the_inverse_of_joining(bodies: list[bytes]) -> None:
    parts = [
        b"\x30" + (bytes([len(b)]) if len(b) < 128 else b"\x82" + len(b).to_bytes(2)) + b for b in bodies
    ]
    assert split_der(b"".join(parts), limit=5) == parts
