"""Profiles of the shared AWS files."""

from __future__ import annotations

from pathlib import Path

import pytest

from identity.cloud.aws.profile import load_profiles
from identity.errors import ConfigError

CREDENTIALS = """
[default]
aws_access_key_id = AKIADEFAULT
aws_secret_access_key = default%secret

[work]
aws_access_key_id=AKIAWORK
aws_secret_access_key=work-secret
aws_session_token=work-token
"""
CONFIG = """
# settings
[default]
region = eu-north-1
s3 =
  max_concurrent_requests = 20

[profile work]
region = us-west-2
aws_access_key_id = overridden

[profile admin]
role_arn = arn:aws:iam::1:role/admin
source_profile = work
external_id = 42
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / ".aws"
    folder.mkdir()
    (folder / "credentials").write_text(CREDENTIALS)
    (folder / "config").write_text(CONFIG)
    return {"HOME": str(tmp_path)}


def test_both_files_are_merged(environ: dict[str, str]) -> None:
    profiles = load_profiles(environ)
    work = profiles.static_credentials("work")
    assert work
    assert (work.access_key_id, work.secret_access_key, work.session_token) == (
        "AKIAWORK",
        "work-secret",
        "work-token",
    )
    assert profiles.static_credentials("default").secret_access_key == "default%secret"
    assert [profiles.region(name) for name in ("default", "work", "admin", "nobody")] == [
        "eu-north-1",
        "us-west-2",
        "",
        "",
    ]


def test_role_with_its_source(environ: dict[str, str]) -> None:
    role = load_profiles(environ).role("admin")
    assert role
    assert (role.role_arn, role.source_profile, role.external_id) == (
        "arn:aws:iam::1:role/admin",
        "work",
        "42",
    )
    assert load_profiles(environ).role("work") is None


def test_no_files_no_profiles(tmp_path: Path) -> None:
    assert not load_profiles({"HOME": str(tmp_path)}).settings


def test_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"AWS_CONFIG_FILE names .* no usable file: No such file") as caught:
        load_profiles({"HOME": str(tmp_path), "AWS_CONFIG_FILE": str(tmp_path / "none")})
    assert caught.value.field == "AWS_CONFIG_FILE"


@pytest.mark.parametrize(
    "content", ["secret-in-a-broken-line", "[x\nsecret", "secret = 1\n[a]\n", "\xff\xfe[a"]
)
def test_broken_file_is_not_quoted(tmp_path: Path, content: str) -> None:
    path = tmp_path / "credentials"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(ConfigError) as caught:
        load_profiles({"HOME": str(tmp_path), "AWS_SHARED_CREDENTIALS_FILE": str(path)})
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("kind", ["folder", "huge"])
def test_what_is_no_small_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "thing"
    path.mkdir() if kind == "folder" else path.write_bytes(b"#" * 300_000)
    with pytest.raises(ConfigError, match=r"regular file|larger"):
        load_profiles({"AWS_CONFIG_FILE": str(path), "HOME": str(tmp_path)})
