"""From a cloud identity to a token of the auth server."""

from __future__ import annotations

import json
from pathlib import Path

import jwt
import pytest

from identity.cloud import (
    AWSClient,
    AzureClient,
    CloudIdentity,
    CloudProviderNotFound,
    CloudProviderType,
    CloudRequestFailed,
    GCPClient,
    JwtRequestFailed,
    JWTType,
    S2IAMError,
    get_jwt,
    get_jwt_api,
    get_jwt_database,
)
from identity.cloud.exchange import (
    DEFAULT_PREFERENCE,
    UNSET,
    exchange,
    format_preference,
    server_address,
)
from identity.errors import ConfigError
from tests.identity.cloud.fake_clouds import (
    EMAIL,
    KEY,
    OID,
    OTHER_EMAIL,
    OTHER_ROLE_ARN,
    ROLE_ARN,
    SUBJECT,
    FakeClouds,
    Reply,
    as_json,
    dripping,
    endless,
    text,
)

DATABASE = "/auth/iam/database"


@pytest.fixture(autouse=True)
def _bare(bare: pytest.MonkeyPatch) -> None:
    pass


@pytest.fixture
async def gcp(clouds: FakeClouds) -> GCPClient:
    made = GCPClient(environ={}, metadata_endpoint=clouds.url, iam_endpoint=clouds.url)
    await made.detect()
    return made


def claims(token: str) -> dict:
    return jwt.decode(token, KEY.public_key(), ["RS256"])


async def test_each_cloud_gets_a_token(clouds: FakeClouds, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    clients = {
        "aws": AWSClient(environ=home, imds_endpoint=clouds.url, sts_endpoint=clouds.url),
        "gcp": GCPClient(environ=home, metadata_endpoint=clouds.url),
        "azure": AzureClient(environ=home, imds_endpoint=clouds.url),
    }
    subjects = {"aws": ROLE_ARN, "gcp": EMAIL, "azure": OID}
    for name, client in clients.items():
        clouds.clouds = {name}
        token = await get_jwt_database("group-1", clouds.url, allow_http=True, clients=[client])
        assert claims(token)["sub"] == subjects[name]
        assert claims(token)["provider"] == name
        assert claims(token)["workspaceGroup"] == "group-1"


async def test_request_as_the_server_reads_it(clouds: FakeClouds, gcp: GCPClient) -> None:
    await get_jwt_database("group 1", clouds.url, allow_http=True, provider=gcp)
    seen = clouds.last(DATABASE)
    assert seen.query == {"workspaceGroupID": "group 1"}
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["x-s2iam-identity-format-preference"] == ",".join(DEFAULT_PREFERENCE)
    assert json.loads(seen.body) == {
        "provider": "gcp",
        "workspace_group_id": "group 1",
        "identity": {
            "identifier": EMAIL,
            "account_id": SUBJECT,
            "region": "us-east4",
            "resource_type": "gcp-compute-instance",
            "additional_claims": {},
        },
    }


async def test_api_token(clouds: FakeClouds, gcp: GCPClient) -> None:
    token = await get_jwt_api(server_url=clouds.url, allow_http=True, provider=gcp)
    assert claims(token)["jwtType"] == "api"
    assert clouds.last("/auth/iam/api").query == {}


async def test_assumed_roles(clouds: FakeClouds, gcp: GCPClient, tmp_path: Path) -> None:
    options = {"server_url": clouds.url, "allow_http": True}
    token = await get_jwt_api(provider=gcp, assume_role_identifier=OTHER_EMAIL, **options)
    assert claims(token)["sub"] == OTHER_EMAIL
    aws = AWSClient(environ={"HOME": str(tmp_path)}, imds_endpoint=clouds.url, sts_endpoint=clouds.url)
    await aws.detect()
    token = await get_jwt_api(
        provider=aws,
        assume_role_identifier=OTHER_ROLE_ARN,
        assume_role_session_name="me",
        identity_format_preference="aws-arn",
        **options,
    )
    assert claims(token)["sub"].endswith(":assumed-role/other/me")


async def test_preference_reaches_the_server(clouds: FakeClouds, gcp: GCPClient) -> None:
    async def subject(preference: object) -> str:
        token = await get_jwt_api(
            server_url=clouds.url, allow_http=True, provider=gcp, identity_format_preference=preference
        )
        return claims(token)["sub"]

    assert await subject(["gcp-sa-unique-id", "gcp-sa-email"]) == SUBJECT
    assert await subject("unknown, gcp-sa-email") == EMAIL
    await subject([])
    assert "x-s2iam-identity-format-preference" not in clouds.last("/auth/iam/api").headers


def test_preference_argument_then_environment_then_default() -> None:
    environ = {"S2IAM_IDENTITY_FORMAT_PREFERENCE": "a, b,,"}
    assert format_preference(["x"], environ) == ("x",)
    assert format_preference("x,y", environ) == ("x", "y")
    assert format_preference([], environ) == ()
    assert format_preference(UNSET, environ) == format_preference(None, environ) == ("a", "b")
    assert format_preference(UNSET, {}) == DEFAULT_PREFERENCE


@pytest.mark.parametrize(
    ("given", "environ", "expected"),
    [
        (None, {}, "https://authsvc.singlestore.com/auth/iam/database"),
        (None, {"S2IAM_SERVER_URL": "https://a/x"}, "https://a/x"),
        (None, {"S2IAM_JWT_SERVER_URL": "https://b/x"}, "https://b/x"),
        (None, {"S2IAM_JWT_SERVER_URL": "https://b/x", "S2IAM_SERVER_URL": "https://a/x"}, "https://a/x"),
        ("https://c/x", {"S2IAM_SERVER_URL": "https://a/x"}, "https://c/x"),
        (
            None,
            {"S2IAM_SERVER_URL": "https://auth.singlestore.com/"},
            "https://auth.singlestore.com/auth/iam/database",
        ),
    ],
)
def test_server_address(given: str | None, environ: dict[str, str], expected: str) -> None:
    assert server_address(JWTType.DATABASE_ACCESS, given, environ, allow_http=False) == expected


@pytest.mark.parametrize("url", ["http://a/x", "ftp://a/x", "a/x", "https://user:password@a/x"])
async def test_unusable_server_address(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        await get_jwt(JWTType.DATABASE_ACCESS, server_url=url)
    assert isinstance(caught.value, ConfigError)
    assert caught.value.field == "server_url"


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_refusal_is_final_and_quotes_the_server(
    clouds: FakeClouds, gcp: GCPClient, status: int
) -> None:
    clouds.fail(DATABASE, as_json({"message": "workspace\n unknown"}, status))
    with pytest.raises(JwtRequestFailed, match=rf"answered {status}: workspace unknown$") as caught:
        await get_jwt_database(server_url=clouds.url, allow_http=True, provider=gcp)
    assert caught.value.status == status
    assert clouds.count(DATABASE) == 1


async def test_refusal_that_echoes_credentials_is_cleaned_and_cut(clouds: FakeClouds, gcp: GCPClient) -> None:
    headers, _ = await gcp.get_identity_headers()
    bearer = headers["Authorization"].removeprefix("Bearer ")
    clouds.fail(DATABASE, text(f"you sent {bearer} " + "x" * 5000, 401))
    with pytest.raises(JwtRequestFailed, match=r"you sent \[removed\] xx") as caught:
        await get_jwt_database(server_url=clouds.url, allow_http=True, provider=gcp)
    assert bearer not in str(caught.value)
    assert len(str(caught.value)) < 350


async def test_server_errors_are_tried_twice_more(clouds: FakeClouds, gcp: GCPClient) -> None:
    clouds.fail(DATABASE, text("oops", 503), text("oops", 500))
    await get_jwt_database(server_url=clouds.url, allow_http=True, provider=gcp)
    clouds.fail(DATABASE, *[text("oops", 500)] * 3)
    with pytest.raises(JwtRequestFailed, match="answered 500: oops"):
        await get_jwt_database(server_url=clouds.url, allow_http=True, provider=gcp)
    assert clouds.count(DATABASE) == 6


async def test_nobody_there(gcp: GCPClient) -> None:
    with pytest.raises(CloudRequestFailed, match="the auth server: no connection"):
        await get_jwt_database(server_url="http://127.0.0.1:1/x", allow_http=True, provider=gcp)


@pytest.mark.parametrize(
    "reply",
    [
        as_json({}),
        as_json({"jwt": ""}),
        as_json({"jwt": 7}),
        as_json([]),
        text("x"),
        Reply(body=b"[" * 50_000),
        Reply(stream=endless),
    ],
)
async def test_answers_without_a_token(clouds: FakeClouds, gcp: GCPClient, reply: Reply) -> None:
    clouds.fail(DATABASE, reply)
    with pytest.raises(S2IAMError):
        await get_jwt_database(server_url=clouds.url, allow_http=True, provider=gcp)


async def test_detection_that_takes_too_long_says_what_it_looked_for(
    clouds: FakeClouds, tmp_path: Path
) -> None:
    clouds.fail("/metadata/instance", *[Reply(stream=dripping)] * 3)
    slow = AzureClient(environ={"HOME": str(tmp_path)}, imds_endpoint=clouds.url)
    with pytest.raises(CloudProviderNotFound, match="azure: no answer within"):
        await get_jwt_api(server_url=clouds.url, allow_http=True, clients=[slow], timeout=0.2)


async def test_slow_server_ends_at_the_time_limit(clouds: FakeClouds, gcp: GCPClient) -> None:
    clouds.fail(DATABASE, Reply(stream=dripping))
    with pytest.raises(CloudRequestFailed, match="the auth server: no"):
        await get_jwt_database(server_url=clouds.url, allow_http=True, provider=gcp, timeout=0.3)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_credentials_follow_no_redirect(
    clouds: FakeClouds, elsewhere: FakeClouds, gcp: GCPClient, status: int
) -> None:
    clouds.fail(DATABASE, Reply(status, headers={"Location": elsewhere.url + DATABASE}))
    with pytest.raises(CloudRequestFailed, match="redirect"):
        await get_jwt_database(server_url=clouds.url, allow_http=True, provider=gcp)
    assert not elsewhere.seen
    assert clouds.count(DATABASE) == 1


def test_repr_of_a_request_shows_nothing() -> None:
    identity = CloudIdentity(CloudProviderType.AWS, "me")
    made = exchange("https://a/x", {"X-AWS-Secret-Access-Key": "hush"}, identity, (), None)
    assert repr(made) == "<Exchange>"
    assert f"{made}" == "<Exchange>"


async def test_debugging_by_environment_reaches_the_projects_log(
    clouds: FakeClouds, bare: pytest.MonkeyPatch
) -> None:
    from loguru import logger

    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level="INFO")
    try:
        bare.setenv("S2IAM_DEBUGGING", "true")
        bare.setenv("GCE_METADATA_HOST", clouds.url.removeprefix("http://"))
        await get_jwt_database(server_url=clouds.url, allow_http=True)
    finally:
        logger.remove(sink)
    assert any("recognised by GCE_METADATA_HOST" in line for line in lines)
    assert any("asking 127.0.0.1 for a database token" in line for line in lines)
