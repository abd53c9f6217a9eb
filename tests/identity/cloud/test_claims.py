"""Reading tokens without verifying them."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cloud.claims import expiry_claim, text_claim, unverified_claims


def compact(payload: bytes) -> str:
    return f"e30.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}.sig"


@given(
    st.dictionaries(st.text(max_size=8), st.integers() | st.text() | st.booleans() | st.none(), max_size=5)
)
def test_claims_are_read_back(claims: dict[str, object]) -> None:
    assert unverified_claims(compact(json.dumps(claims).encode())) == claims


@given(st.text() | st.binary().map(compact))
def test_any_text_is_claims_or_none(token: str) -> None:
    claims = unverified_claims(token)
    assert claims is None or isinstance(claims, dict)


@pytest.mark.parametrize("payload", [b"[]", b"NaN", b'{"exp":NaN}', b"[" * 20_000, b"", b"\xff"])
def test_payload_that_is_no_object(payload: bytes) -> None:
    assert unverified_claims(compact(payload)) is None


@pytest.mark.parametrize("exp", [None, "1", True, 0, -1, 1e300, 10**400, [], {}])
def test_senseless_expiry(exp: object) -> None:
    assert expiry_claim({"exp": exp}) is None


def test_sensible_claims() -> None:
    assert expiry_claim({"exp": 2_000_000_000}) == expiry_claim({"exp": 2e9}) == 2e9
    assert expiry_claim({}) is None
    assert text_claim({"sub": "a"}, "sub") == "a"
    assert text_claim({"sub": 7}, "sub") == text_claim({}, "sub") == ""
