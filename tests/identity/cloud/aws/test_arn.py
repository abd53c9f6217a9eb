"""Amazon resource names and the identities read from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cloud.aws.arn import Arn, Caller, identity_of


def test_assumed_role() -> None:
    arn = "arn:aws:sts::123456789012:assumed-role/admin/ann"
    identity = identity_of(Caller(arn, "123456789012", "AROAX:ann"))
    assert identity.identifier == arn
    assert identity.resource_type == "assumed-role"
    assert identity.candidates == [
        ("aws-arn", arn),
        ("aws-iam-role-arn", "arn:aws:iam::123456789012:role/admin"),
        ("aws-role-id", "AROAX"),
    ]
    assert identity.additional_claims == {
        "UserId": "AROAX:ann",
        "AssumedRoleArn": arn,
        "RoleSessionName": "ann",
    }


def test_user_in_another_partition() -> None:
    identity = identity_of(Caller("arn:aws-cn:iam::1:user/path/ann", "1", "AIDA"))
    assert identity.resource_type == "user"
    assert identity.candidates == [("aws-arn", "arn:aws-cn:iam::1:user/path/ann")]
    assert identity.additional_claims == {"UserId": "AIDA"}


def test_root() -> None:
    assert identity_of(Caller("arn:aws:iam::1:root", "1", "1")).resource_type == "root"


@pytest.mark.parametrize("text", ["", "arn", "arn:aws:iam::1", "urn:aws:iam::1:user/x"])
def test_no_arn(text: str) -> None:
    assert Arn.parse(text) is None
    assert identity_of(Caller(text, "1", "u")).resource_type == ""


@given(st.text())
def test_any_text_gives_an_identity(text: str) -> None:
    assert identity_of(Caller(text, "1", text)).identifier == text
