"""The shared SPIFFE vectors: one test per case."""

from __future__ import annotations

import base64
import datetime
import json
from typing import Any

import pytest
from cryptography import x509

from identity.spiffe.certificates import parse_der_certificates
from identity.spiffe.errors import PySpiffeError
from identity.spiffe.jwt_bundle import JwtBundle, JwtBundleSet
from identity.spiffe.jwt_svid import JwtSvid
from identity.spiffe.slim_claims import split_audience
from identity.spiffe.spiffe_bundle import SpiffeBundle
from identity.spiffe.spiffe_id import SpiffeId, TrustDomain
from identity.spiffe.x509_bundle import X509Bundle, X509BundleSet
from identity.spiffe.x509_svid import X509Svid, verify_x509_svid
from tests.identity.vectors import Case, document, each_case

MOMENT = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC).timestamp()
ANY_OUTCOME = ("either", "choice")


def outcome_is(expected: object, accepted: bool) -> bool:
    return expected in ANY_OUTCOME or accepted is expected


def accepted(action: Any, *arguments: Any) -> tuple[bool, Any]:
    """Whether the action took its input, and its result; only our own errors count as a refusal."""
    try:
        return True, action(*arguments)
    except PySpiffeError:
        return False, None


# SPIFFE IDs


def spiffe_id_is_right(case: Case) -> bool:
    match case["kind"]:
        case "id":
            taken, parsed = accepted(SpiffeId, case["input"])
            if not taken or not outcome_is(case["valid"], True):
                return outcome_is(case["valid"], taken)
            return (parsed.trust_domain.name, parsed.path, str(parsed)) == (
                case["trust_domain"],
                case["path"],
                case["input"],
            )
        case "td":
            taken, parsed = accepted(TrustDomain, case["input"])
            if not taken or not outcome_is(case["valid"], True):
                return outcome_is(case["valid"], taken)
            return parsed.name == case["trust_domain"]
        case "equal":
            taken, pair = accepted(lambda: (SpiffeId(case["input"]), SpiffeId(case["other"])))
            return outcome_is(case["valid"], taken and pair[0] == pair[1])
        case "member_of":
            taken, member = accepted(lambda: SpiffeId(case["input"]).is_member_of(TrustDomain(case["other"])))
            return outcome_is(case["valid"], taken and member)
    raise AssertionError(f"unknown kind {case['kind']}")


@each_case("spiffe_id.json")
def test_spiffe_id(case: Case) -> None:
    assert spiffe_id_is_right(case)


# X.509 SVIDs


X509 = document("x509_svid.json")


def x509_bundles() -> X509BundleSet:
    return X509BundleSet.of(
        X509Bundle(
            TrustDomain(name), [x509.load_der_x509_certificate(base64.b64decode(root)) for root in roots]
        )
        for name, roots in X509["bundles"].items()
    )


def x509_svid_is_right(case: Case) -> bool:
    chain = b"".join(base64.b64decode(der) for der in case["chain"])
    key = base64.b64decode(X509["leaf_key_pkcs8"])
    parsed, svid = accepted(X509Svid.parse_raw, chain, key)
    if not outcome_is(case["parse"], parsed):
        return False
    trusted, spiffe_id = accepted(
        lambda: verify_x509_svid(parse_der_certificates(chain, limit=16), x509_bundles(), MOMENT)
    )
    named = [str(one) for one in (svid.spiffe_id if parsed else None, spiffe_id) if one is not None]
    return outcome_is(case["accept"], trusted) and all(name == case["spiffe_id"] for name in named)


@each_case("x509_svid.json")
def test_x509_svid(case: Case) -> None:
    assert x509_svid_is_right(case)


@each_case("x509_svid.json")
def test_x509_svid_refuses_the_key_of_another(case: Case) -> None:
    chain = b"".join(base64.b64decode(der) for der in case["chain"])
    other = base64.b64decode(X509["other_key_pkcs8"])
    with pytest.raises(PySpiffeError):
        X509Svid.parse_raw(chain, other)


# JWT-SVIDs


def jwt_bundles() -> JwtBundleSet:
    documents = document("jwt_svid.json")["bundles"].items()
    return JwtBundleSet.of(
        JwtBundle.parse(TrustDomain(name), json.dumps(jwks).encode()) for name, jwks in documents
    )


def jwt_svid_is_right(case: Case) -> bool:
    taken, svid = accepted(JwtSvid.parse_and_validate, case["token"], jwt_bundles(), set(case["audience"]))
    if not taken:
        return outcome_is(case["accept"], False)
    split = split_audience(svid.audience_list)
    return (
        outcome_is(case["accept"], True)
        and case.get("spiffe_id") in (None, str(svid.spiffe_id))
        and ("custom_claims" not in case or (case["custom_claims"] or {}) == split.custom_claims)
        and case.get("audience_out", split.audience) == split.audience
    )


@each_case("jwt_svid.json")
def test_jwt_svid(case: Case) -> None:
    assert jwt_svid_is_right(case)


# Bundles


def is_bundle(case: Case) -> bool:
    """The files of spiffe-helper among these cases are read by `identity.jose.key_set`."""
    return case["class"] != "spiffe-helper"


def bundle_is_right(case: Case) -> bool:
    taken, bundle = accepted(SpiffeBundle.parse, TrustDomain("example.org"), case["document"].encode())
    if not taken:
        return outcome_is(case["accept"], False)
    return (
        outcome_is(case["accept"], True)
        and case["jwt_kids"] in (None, list(bundle.jwt_bundle.jwt_authorities))
        and case["x509_entries"] == len(bundle.x509_entries)
    )


def jwks_is_right(case: Case) -> bool:
    """The Workload API has the same documents, where entries without `use` count as well."""
    taken, bundle = accepted(JwtBundle.parse, TrustDomain("example.org"), case["document"].encode())
    return outcome_is(case["accept"], taken) and (
        not taken or set(case["jwt_kids"] or ()) <= bundle.jwt_authorities.keys()
    )


@each_case("jwks_bundles.json", is_bundle)
def test_bundle(case: Case) -> None:
    assert bundle_is_right(case)
    assert jwks_is_right(case)
