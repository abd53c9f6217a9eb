"""AWS against the fake clouds: each source of credentials, roles, STS, caching."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from identity.cloud import AWSClient, ProviderIdentityUnavailable, ProviderNotDetected
from identity.cloud.aws.credentials import DEFAULT_REGION
from identity.cloud.aws.sts import Sts
from identity.cloud.errors import CloudRequestFailed
from identity.cloud.sigv4 import AwsCredentials
from identity.errors import ConfigError
from tests.identity.cloud.fake_clouds import (
    ACCOUNT,
    NOT_FOUND,
    OTHER_ROLE_ARN,
    ROLE,
    ROLE_ARN,
    USER_ARN,
    FakeClouds,
    Reply,
    as_json,
    text,
    xml,
)

USER = {"AWS_ACCESS_KEY_ID": "AKIAUSER", "AWS_SECRET_ACCESS_KEY": "user-secret"}
ASSUMED = f"arn:aws:sts::{ACCOUNT}:assumed-role"


def client(clouds: FakeClouds, home: Path, clock=time.time, **environ: str) -> AWSClient:
    return AWSClient(
        environ={"HOME": str(home), "AWS_EC2_METADATA_SERVICE_ENDPOINT": clouds.url, **environ},
        sts_endpoint=clouds.url,
        container_endpoint=clouds.url,
        clock=clock,
    )


async def headers_of(made: AWSClient, **params: str):
    await made.detect()
    return await made.get_identity_headers(params)


async def test_instance_role(clouds: FakeClouds, tmp_path: Path) -> None:
    headers, identity = await headers_of(client(clouds, tmp_path))
    assert identity.identifier == f"{ASSUMED}/{ROLE}/i-0123456789"
    assert identity.account_id == ACCOUNT
    assert set(headers) == {
        "X-AWS-Access-Key-ID",
        "X-AWS-Secret-Access-Key",
        "X-AWS-Session-Token",
        "X-Cloud-Provider",
    }
    assert clouds.aws[headers["X-AWS-Access-Key-ID"]].token == headers["X-AWS-Session-Token"]
    assert clouds.count("/latest/api/token") == 1, "one metadata session serves all"


async def test_user_key_is_made_a_session_first(clouds: FakeClouds, tmp_path: Path) -> None:
    headers, identity = await headers_of(client(clouds, tmp_path, **USER))
    assert identity.identifier == USER_ARN
    assert headers["X-AWS-Access-Key-ID"].startswith("ASIA")
    assert [seen.form()["Action"] for seen in clouds.seen if seen.path == "/"] == [
        "GetSessionToken",
        "GetCallerIdentity",
    ]


async def test_temporary_credentials_of_the_environment_are_shown(clouds: FakeClouds, tmp_path: Path) -> None:
    issued = clouds.issue(f"{ASSUMED}/{ROLE}/lambda")
    made = client(
        clouds,
        tmp_path,
        AWS_ACCESS_KEY_ID=issued["AccessKeyId"],
        AWS_SECRET_ACCESS_KEY=issued["SecretAccessKey"],
        AWS_SESSION_TOKEN=issued["SessionToken"],
    )
    headers, _ = await headers_of(made)
    assert headers["X-AWS-Session-Token"] == issued["SessionToken"]


async def test_profile_before_web_identity(clouds: FakeClouds, tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("[work]\naws_access_key_id=AKIAUSER\naws_secret_access_key=user-secret\n")
    made = client(
        clouds,
        tmp_path,
        AWS_PROFILE="work",
        AWS_SHARED_CREDENTIALS_FILE=str(path),
        AWS_WEB_IDENTITY_TOKEN_FILE="/nowhere",
        AWS_ROLE_ARN=ROLE_ARN,
    )
    assert (await headers_of(made))[1].identifier == USER_ARN


async def test_profile_that_assumes_a_role(clouds: FakeClouds, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(
        f"[profile admin]\nrole_arn={OTHER_ROLE_ARN}\nsource_profile=middle\nrole_session_name=me\n"
        f"[profile middle]\nrole_arn={ROLE_ARN}\nsource_profile=base\n"
        "[profile base]\naws_access_key_id=AKIAUSER\naws_secret_access_key=user-secret\n"
    )
    made = client(clouds, tmp_path, AWS_PROFILE="admin", AWS_CONFIG_FILE=str(path))
    assert (await headers_of(made))[1].identifier == f"{ASSUMED}/other/me"


async def test_profile_that_is_its_own_source(clouds: FakeClouds, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(
        f"[default]\nrole_arn={ROLE_ARN}\nsource_profile=default\n"
        "aws_access_key_id=AKIAUSER\naws_secret_access_key=user-secret\n"
    )
    made = client(clouds, tmp_path, AWS_CONFIG_FILE=str(path))
    assert (await headers_of(made))[1].identifier == f"{ASSUMED}/{ROLE}/s2iam-session"


@pytest.mark.parametrize("source", ["a", "b", "nobody"])
async def test_profiles_that_lead_to_no_key(clouds: FakeClouds, tmp_path: Path, source: str) -> None:
    path = tmp_path / "config"
    path.write_text(
        f"[profile a]\nrole_arn={ROLE_ARN}\nsource_profile={source}\n"
        f"[profile b]\nrole_arn={ROLE_ARN}\nsource_profile=a\n"
    )
    made = client(clouds, tmp_path, AWS_PROFILE="a", AWS_CONFIG_FILE=str(path))
    with pytest.raises(ProviderIdentityUnavailable, match="neither an access key nor a role"):
        await headers_of(made)


async def test_unknown_profile(clouds: FakeClouds, tmp_path: Path) -> None:
    with pytest.raises(ProviderIdentityUnavailable, match="AWS_PROFILE names 'gone'"):
        await headers_of(client(clouds, tmp_path, AWS_PROFILE="gone"))


async def test_web_identity(clouds: FakeClouds, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("web-identity-token\n")
    environ = {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_ROLE_ARN": ROLE_ARN,
        "AWS_ROLE_SESSION_NAME": "pod",
    }
    assert (await headers_of(client(clouds, tmp_path, **environ)))[1].identifier == f"{ASSUMED}/{ROLE}/pod"


async def test_web_identity_that_fails_does_not_fall_through(clouds: FakeClouds, tmp_path: Path) -> None:
    environ = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "gone"), "AWS_ROLE_ARN": ROLE_ARN}
    with pytest.raises(ProviderIdentityUnavailable, match="AWS_WEB_IDENTITY_TOKEN_FILE names"):
        await headers_of(client(clouds, tmp_path, **environ))


@pytest.mark.parametrize("form", ["relative", "full", "token file"])
async def test_container(clouds: FakeClouds, tmp_path: Path, form: str) -> None:
    environ = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/ecs/creds"}
    if form != "relative":
        environ = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": clouds.url + "/ecs/creds"}
    if form == "token file":
        (tmp_path / "auth").write_text("ecs-authorization")
        environ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(tmp_path / "auth")
    else:
        environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "ecs-authorization"
    assert (await headers_of(client(clouds, tmp_path, **environ)))[1].identifier == f"{ASSUMED}/{ROLE}/task"


@pytest.mark.parametrize(
    "environ",
    [
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.com/creds"},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "file:///etc/passwd"},
        {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "@example.com/creds"},
    ],
)
async def test_container_token_goes_to_no_stranger(
    clouds: FakeClouds, tmp_path: Path, environ: dict[str, str]
) -> None:
    made = client(clouds, tmp_path, AWS_CONTAINER_AUTHORIZATION_TOKEN="ecs-authorization", **environ)
    with pytest.raises(ProviderIdentityUnavailable):
        await headers_of(made)


async def test_assumed_role_with_session_name(clouds: FakeClouds, tmp_path: Path) -> None:
    base = client(clouds, tmp_path)
    await base.detect()
    other = base.assume_role(OTHER_ROLE_ARN)
    assert (await other.get_identity_headers())[1].identifier == f"{ASSUMED}/other/s2iam-session"
    _, identity = await other.get_identity_headers({"roleSessionName": "named"})
    assert identity.identifier == f"{ASSUMED}/other/named"
    assert (await base.get_identity_headers())[1].identifier == f"{ASSUMED}/{ROLE}/i-0123456789"
    assert repr(other) == f"<AWSClient detected as {OTHER_ROLE_ARN}>"


async def test_role_that_is_denied(clouds: FakeClouds, tmp_path: Path) -> None:
    base = client(clouds, tmp_path)
    await base.detect()
    with pytest.raises(ProviderIdentityUnavailable, match=r"AWS STS: answered 403 \(AccessDenied\)"):
        await base.assume_role("arn:aws:iam::1:role/forbidden").get_identity_headers()


async def test_credentials_are_kept_until_five_minutes_before_expiry(
    clouds: FakeClouds, tmp_path: Path
) -> None:
    now = [time.time()]
    made = client(clouds, tmp_path, clock=lambda: now[0])
    first, _ = await headers_of(made)
    requests = len(clouds.seen)
    assert (await made.get_identity_headers())[0] == first
    assert len(clouds.seen) == requests
    now[0] += 3600 - 299
    assert (await made.get_identity_headers())[0] != first


async def test_rotated_key_of_the_environment_is_noticed(clouds: FakeClouds, tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "AWS_REGION": "eu-west-1", **USER}
    made = AWSClient(environ=environ, sts_endpoint=clouds.url)
    await made.fast_detect()
    first, _ = await made.get_identity_headers()
    clouds.aws["AKIANEXT"] = clouds.aws["AKIAUSER"]
    environ["AWS_ACCESS_KEY_ID"] = "AKIANEXT"
    assert (await made.get_identity_headers())[0] != first


async def test_undetected_client_says_so(clouds: FakeClouds, tmp_path: Path) -> None:
    with pytest.raises(ProviderNotDetected, match=r"await detect\(\) first"):
        await client(clouds, tmp_path).get_identity_headers()


@pytest.mark.parametrize(
    "name",
    [
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
        "AWS_EXECUTION_ENV",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_LAMBDA_FUNCTION_NAME",
    ],
)
async def test_fast_detection(clouds: FakeClouds, tmp_path: Path, name: str) -> None:
    await client(clouds, tmp_path, **{name: "x"}).fast_detect()
    with pytest.raises(ProviderNotDetected):
        await client(clouds, tmp_path).fast_detect()
    assert not clouds.seen


async def test_detection_with_version_1_where_no_session_is_given(clouds: FakeClouds, tmp_path: Path) -> None:
    clouds.fail("/latest/api/token", NOT_FOUND)
    clouds.fail("/latest/meta-data/instance-id", text("i-1"))
    await client(clouds, tmp_path).detect()


async def test_detection_by_credentials_alone(clouds: FakeClouds, tmp_path: Path) -> None:
    clouds.clouds.clear()
    await client(clouds, tmp_path, **USER).detect()
    made = client(clouds, tmp_path, AWS_EC2_METADATA_DISABLED="true")
    with pytest.raises(ProviderNotDetected, match="EC2 metadata is disabled"):
        await made.detect()


async def test_nothing_there(clouds: FakeClouds, tmp_path: Path) -> None:
    clouds.clouds.clear()
    with pytest.raises(ProviderNotDetected, match="the EC2 metadata service: answered 404"):
        await client(clouds, tmp_path).detect()


@pytest.mark.parametrize("region", ["evil.example/#", "eu-west-1.evil.example", "", "EU", "eu-west-1\n"])
def test_region_cannot_change_the_host(region: str) -> None:
    with pytest.raises(ConfigError):
        Sts(region)


async def test_region_falls_back(clouds: FakeClouds, tmp_path: Path) -> None:
    clouds.fail("/latest/meta-data/placement/region", NOT_FOUND)
    await headers_of(client(clouds, tmp_path))
    assert f"/{DEFAULT_REGION}/sts/" in clouds.last("/").headers["authorization"]


@pytest.mark.parametrize(
    "reply",
    [
        text("not xml"),
        xml("<Arn>x</Arn>"),
        Reply(body=b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'),
        Reply(body='<?xml version="1.0" encoding="UTF-16"?><a/>'.encode("utf-16")),
        Reply(body=b"<a>" * 20_000),
        as_json({}),
        Reply(200),
        Reply(500, b"oops"),
    ],
)
async def test_bad_answers_of_sts(clouds: FakeClouds, reply: Reply) -> None:
    clouds.fail("/", reply)
    sts = Sts("eu-west-1", endpoint=clouds.url)
    with pytest.raises(CloudRequestFailed, match="AWS STS"):
        await sts.caller(AwsCredentials("AKIAUSER", "user-secret"))


@pytest.mark.parametrize(
    "change",
    [
        {"Token": ""},
        {"Expiration": "soon"},
        {"Expiration": "2030-01-01T00:00:00"},
        {"AccessKeyId": 7},
        {"SecretAccessKey": None},
    ],
)
async def test_bad_credentials_of_metadata(
    clouds: FakeClouds, tmp_path: Path, change: dict[str, object]
) -> None:
    good = {"AccessKeyId": "a", "SecretAccessKey": "b", "Token": "c", "Expiration": "2040-01-01T00:00:00Z"}
    clouds.fail(f"/latest/meta-data/iam/security-credentials/{ROLE}", as_json({**good, **change}))
    with pytest.raises(ProviderIdentityUnavailable, match="the EC2 metadata service"):
        await headers_of(client(clouds, tmp_path))


async def test_role_name_cannot_change_the_path(clouds: FakeClouds, tmp_path: Path) -> None:
    clouds.fail("/latest/meta-data/iam/security-credentials/", text("../../user-data"))
    with pytest.raises(ProviderIdentityUnavailable, match="no usable role name"):
        await headers_of(client(clouds, tmp_path))
