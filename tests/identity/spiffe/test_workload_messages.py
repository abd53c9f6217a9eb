"""Messages of the agent as values: whatever the bytes, there is a value or a typed error."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from identity.spiffe.errors import (
    ArgumentError,
    FetchJwtSvidError,
    ValidateJwtSvidError,
    WorkloadApiError,
)
from identity.spiffe.proto import workload_pb2 as pb
from identity.spiffe.spiffe_id import SpiffeId
from identity.spiffe.workload_messages import (
    X509Context,
    jwt_bundle_set,
    jwt_svids,
    validated_jwt_svid,
    x509_bundle_set,
    x509_context,
)
from identity.spiffe.x509_bundle import X509BundleSet
from tests.identity.spiffe.trust import Authority

HOME = Authority()
TOKEN = HOME.token()

READERS: list[tuple[Any, Callable[[Any], object], bytes]] = [
    (
        pb.X509SVIDResponse,
        x509_context,
        pb.X509SVIDResponse(svids=[HOME.x509_message()]).SerializeToString(),
    ),
    (
        pb.X509BundlesResponse,
        x509_bundle_set,
        pb.X509BundlesResponse(bundles={HOME.id: HOME.root_der}).SerializeToString(),
    ),
    (
        pb.JWTBundlesResponse,
        jwt_bundle_set,
        pb.JWTBundlesResponse(bundles={HOME.id: HOME.jwks()}).SerializeToString(),
    ),
    (
        pb.JWTSVIDResponse,
        lambda message: jwt_svids(message, ["slim"], None, time.time()),
        pb.JWTSVIDResponse(
            svids=[pb.JWTSVID(spiffe_id="spiffe://example.org/web", svid=TOKEN)]
        ).SerializeToString(),
    ),
]


@pytest.mark.parametrize(("kind", "read", "good"), READERS)
@given(data=st.data())
def test_any_bytes_are_a_value_or_a_typed_error(
    kind: Any, read: Callable[[Any], object], good: bytes, data: st.DataObject
) -> None:
    position = data.draw(st.integers(0, len(good)))
    patch = data.draw(st.binary(max_size=4))
    for candidate in (good[:position], good[:position] + patch + good[position + len(patch) :]):
        try:
            read(kind.FromString(candidate))
        except (WorkloadApiError, DecodeError):
            pass


@pytest.mark.parametrize(("kind", "read", "good"), READERS)
def test_good_bytes_are_a_value(kind: Any, read: Callable[[Any], object], good: bytes) -> None:
    assert read(kind.FromString(good))


def answer(**fields: Any) -> pb.JWTSVIDResponse:
    return pb.JWTSVIDResponse(
        svids=[pb.JWTSVID(**{"spiffe_id": "spiffe://example.org/web", "svid": TOKEN, **fields})]
    )


@pytest.mark.parametrize(
    "response",
    [
        pb.JWTSVIDResponse(),
        answer(spiffe_id=""),
        answer(svid=""),
        answer(svid="a.b.c"),
        answer(spiffe_id="spiffe://example.org/other"),
        answer(spiffe_id="example.org"),
        answer(svid=HOME.token(["other"])),
        answer(svid=HOME.token(ttl=-60)),
        pb.JWTSVIDResponse(svids=[pb.JWTSVID(spiffe_id="spiffe://example.org/web", svid=TOKEN)] * 65),
    ],
)
def test_an_answer_with_a_wrong_token_is_refused(response: pb.JWTSVIDResponse) -> None:
    with pytest.raises(FetchJwtSvidError) as caught:
        jwt_svids(response, ["slim"], None, time.time())
    assert TOKEN not in str(caught.value)


def test_the_token_is_for_the_identity_asked_for() -> None:
    web, other = SpiffeId("spiffe://example.org/web"), SpiffeId("spiffe://example.org/other")
    assert jwt_svids(answer(), ["slim"], web, time.time())[0].spiffe_id == web
    with pytest.raises(FetchJwtSvidError, match="another SPIFFE ID than the one asked for"):
        jwt_svids(answer(), ["slim"], other, time.time())


def test_a_confirmation_is_about_the_token_asked_about() -> None:
    for spiffe_id in ("", "spiffe://example.org/other", "nonsense"):
        with pytest.raises(ValidateJwtSvidError):
            validated_jwt_svid(pb.ValidateJWTSVIDResponse(spiffe_id=spiffe_id), TOKEN, "slim", time.time())


def test_a_federated_entry_cannot_replace_the_own_authorities() -> None:
    response = pb.X509SVIDResponse(
        svids=[HOME.x509_message()], federated_bundles={HOME.id: Authority().root_der}
    )
    bundle = x509_context(response).x509_bundle_set.get_bundle_for_trust_domain(
        SpiffeId("spiffe://example.org/web").trust_domain
    )
    assert bundle is not None
    assert bundle.x509_authorities == {HOME.root}


def test_a_context_needs_an_identity() -> None:
    with pytest.raises(ArgumentError):
        X509Context([], X509BundleSet())
