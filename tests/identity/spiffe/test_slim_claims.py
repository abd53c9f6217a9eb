"""Claims that travel as an audience."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.encoding import Malformed
from identity.spiffe.slim_claims import PREFIX, SplitAudience, claims_audience, split_audience

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
claim_maps = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), values, max_size=4)


@given(claim_maps, st.lists(st.sampled_from(["slim", "other", "slim-claims"]), max_size=3))
def test_putting_in_and_taking_out_are_inverse(claims: dict[str, Any], audience: list[str]) -> None:
    assert split_audience([*audience, claims_audience(claims)]) == SplitAudience(audience, claims)


def test_the_form_on_the_wire() -> None:
    assert (
        claims_audience({"pubkey": "AAECAw=="})
        == PREFIX + base64.b64encode(b'{"pubkey":"AAECAw=="}').decode()
    )


def test_entries_merge_in_order() -> None:
    entries = [claims_audience({"a": 1, "b": 1}), "slim", claims_audience({"b": 2})]
    assert split_audience(entries) == SplitAudience(["slim"], {"a": 1, "b": 2})


@pytest.mark.parametrize("rest", ["", "%%%", "e30", "W10=", "bnVsbA==", "eyJhIjoxLCJhIjoyfQ==", "e30 ="])
def test_what_is_no_object_stays_an_audience(rest: str) -> None:
    assert split_audience([PREFIX + rest]) == SplitAudience([PREFIX + rest], {})


@pytest.mark.parametrize("claims", [{"a": b"bytes"}, {"a": float("nan")}, {"a": "x" * 17_000}])
def test_claims_without_a_small_json_form_are_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        claims_audience(claims)
