"""SPIFFE IDs and trust domains: what the grammar allows, and how near misses are refused."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.errors import AuthError
from identity.spiffe.errors import SpiffeIdError, TrustDomainError
from identity.spiffe.spiffe_id import SpiffeId, TrustDomain

names = st.text(string.ascii_lowercase + string.digits + "._-", min_size=1, max_size=255)
segments = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=20).filter(
    lambda segment: segment not in (".", "..")
)
paths = st.lists(segments, max_size=6).map(lambda parts: "".join(f"/{part}" for part in parts))


@given(names, paths)
def test_parts_and_whole_are_inverse(name: str, path: str) -> None:
    spiffe_id = SpiffeId(f"spiffe://{name}{path}")
    assert (spiffe_id.trust_domain.name, spiffe_id.path) == (name, path)
    assert SpiffeId(str(spiffe_id)) == spiffe_id
    assert hash(SpiffeId(str(spiffe_id))) == hash(spiffe_id)
    assert spiffe_id.is_member_of(TrustDomain(name))
    assert TrustDomain(str(spiffe_id)) == TrustDomain(name)


@given(st.text())
def test_any_text_is_an_id_or_refused(text: str) -> None:
    for candidate in (text, f"spiffe://{text}", f"spiffe://td/{text}"):
        try:
            assert str(SpiffeId(candidate)) == candidate
        except SpiffeIdError:
            pass


@pytest.mark.parametrize("strange", [None, 5, b"spiffe://td/p", ["spiffe://td/p"], ""])
def test_what_is_no_text_is_refused(strange: object) -> None:
    with pytest.raises(SpiffeIdError):
        SpiffeId(strange)  # type: ignore[arg-type]
    with pytest.raises(TrustDomainError):
        TrustDomain(strange)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "near",
    [
        "spiffe://td/p\n",
        "spiffe://td\n/p",
        "spiffe://td/p\x00",
        "SPIFFE://td/p",
        "spiffe://TD/p",
        "spiffe://td/p/",
        "spiffe://td/%70",
        "spiffe://td:1/p",
        "spiffe://user@td/p",
        "spiffe://td/../p",
        "spiffe://tԁ/p",
    ],
)
def test_near_misses_are_refused_without_being_quoted(near: str) -> None:
    with pytest.raises(SpiffeIdError) as caught:
        SpiffeId(near)
    assert near not in str(caught.value)
    assert isinstance(caught.value, AuthError)


def test_lengths_are_limited() -> None:
    assert SpiffeId("spiffe://td/" + "a" * (2048 - 12)).path
    with pytest.raises(SpiffeIdError, match="2049 bytes is longer than 2048"):
        SpiffeId("spiffe://td/" + "a" * (2049 - 12))
    with pytest.raises(TrustDomainError, match="256 bytes is longer than 255"):
        TrustDomain("a" * 256)


def test_comparison_is_exact_and_typed() -> None:
    assert SpiffeId("spiffe://td/a") != SpiffeId("spiffe://td/A")
    assert SpiffeId("spiffe://td/a") != "spiffe://td/a"
    assert TrustDomain("td") != "td"
    assert not SpiffeId("spiffe://td.evil/a").is_member_of(TrustDomain("td"))
    assert TrustDomain("td").as_spiffe_id() == "spiffe://td"
    assert (str(TrustDomain("td")), repr(TrustDomain("td"))) == ("td", "TrustDomain('td')")
    assert repr(SpiffeId("spiffe://td/a")) == "SpiffeId('spiffe://td/a')"
