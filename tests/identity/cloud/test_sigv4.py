"""AWS Signature Version 4, against the published signing suite."""

from __future__ import annotations

import calendar
import time
from typing import Any

import pytest

from identity.cloud.sigv4 import AwsCredentials, Signer, SigningRequest, sign_headers
from tests.identity.vectors import Case, each_case


def parse(text: str) -> SigningRequest:
    """Read a raw request: request line, headers (folded lines belong to the one before), blank line, body."""
    head, _, body = text.partition("\n\n")
    first, *lines = head.strip("\n").split("\n")
    method, _, rest = first.partition(" ")
    headers: list[tuple[str, str]] = []
    for line in lines:
        if line[:1] in " \t":
            name, value = headers[-1]
            headers[-1] = (name, f"{value}\n{line}")
        else:
            name, _, value = line.partition(":")
            headers.append((name, value))
    return SigningRequest(method, rest.rpartition(" ")[0], tuple(headers), body.encode())


def signer(context: dict[str, Any]) -> Signer:
    given = context["credentials"]
    return Signer(
        AwsCredentials(given["access_key_id"], given["secret_access_key"], given.get("token")),
        context["region"],
        context["service"],
        calendar.timegm(time.strptime(context["timestamp"], "%Y-%m-%dT%H:%M:%SZ")),
        normalize=context["normalize"],
        sign_body=context["sign_body"],
        omit_session_token=context.get("omit_session_token", False),
    )


@each_case("aws_sigv4.json")
def test_header_form(case: Case) -> None:
    made = sign_headers(parse(case["request"]), signer(case["context"]))
    assert made.canonical_request == case["header_canonical_request"]
    assert made.string_to_sign == case["header_string_to_sign"]
    assert made.value == case["header_signature"]


KEY = AwsCredentials("AKIDEXAMPLE", "a-very-secret-key", "a-session-token")


def sts(**change: Any) -> Signer:
    return Signer(KEY, "eu-west-1", "sts", 1_440_938_160.0, **change)


def test_session_token_is_signed_and_added() -> None:
    made = sign_headers(SigningRequest("POST", "/", (("Host", "sts.example"),), b"x"), sts())
    assert dict(made.additions)["X-Amz-Security-Token"] == "a-session-token"
    assert "x-amz-security-token:a-session-token" in made.canonical_request
    assert "SignedHeaders=host;x-amz-date;x-amz-security-token" in dict(made.additions)["Authorization"]


def test_body_hash_is_signed_on_request() -> None:
    made = sign_headers(SigningRequest("POST", "/", (("Host", "h"),), b"Action=X"), sts(sign_body=True))
    digest = dict(made.additions)["x-amz-content-sha256"]
    assert made.canonical_request.endswith("\n" + digest)
    assert f"x-amz-content-sha256:{digest}" in made.canonical_request


def test_headers_that_proxies_change_are_not_signed() -> None:
    headers = (("Host", "h"), ("User-Agent", "x"), ("Connection", "close"))
    assert "user-agent" not in sign_headers(SigningRequest("GET", "/", headers), sts()).canonical_request


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("", "/"),
        ("/../..", "/"),
        ("/a/./b/..", "/a"),
        ("/a/b/../", "/a/"),
        ("/a//b", "/a/b"),
        ("/a%20b", "/a%2520b"),
        ("/a b/", "/a%20b/"),
    ],
)
def test_path_is_normalized_then_encoded_once_more(path: str, canonical: str) -> None:
    made = sign_headers(SigningRequest("GET", path, (("Host", "h"),)), sts())
    assert made.canonical_request.split("\n")[1] == canonical


def test_no_repr_shows_a_secret() -> None:
    made = sign_headers(SigningRequest("POST", "/", (("Host", "h"),)), sts())
    for text in (repr(KEY), repr(sts()), repr(made)):
        assert "very-secret" not in text
        assert "a-session-token" not in text
