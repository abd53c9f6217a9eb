"""Named credentials of clouds: used, or refused by the name of the setting, and never exchanged for the
machine's own. And services that are slow to wake, somebody else's, or at other addresses."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from identity.cloud import (
    AWSClient,
    AzureClient,
    CloudProviderClient,
    GCPClient,
    JWTType,
    ProviderIdentityUnavailable,
    ProviderNotDetected,
    UnusableCredentials,
    detect_provider,
    get_jwt,
)
from identity.cloud.aws.imds import endpoint_of
from identity.cloud.aws.sts import Sts
from identity.errors import AuthError, ConfigError
from tests.identity.cloud.fake_clouds import (
    ACCOUNT,
    CLIENT_ID,
    EMAIL,
    OID,
    OTHER_EMAIL,
    OTHER_ROLE_ARN,
    ROLE_ARN,
    TENANT,
    FakeClouds,
    Reply,
    as_json,
    external_account_file,
    text,
)

PORTAL = "<html><body>Welcome to the airport. Please log in.</body></html>"
ASSUMED = f"arn:aws:sts::{ACCOUNT}:assumed-role"


@pytest.fixture
async def clouds() -> AsyncIterator[FakeClouds]:
    async with FakeClouds("aws", "gcp", "azure") as running:
        yield running


def aws(clouds: FakeClouds, home: Path, config: str = "", credentials: str = "", **environ: str) -> AWSClient:
    """A client on an EC2 machine with a role of its own, and with these files."""
    folder = home / ".aws"
    folder.mkdir(exist_ok=True)
    (folder / "config").write_text(config)
    (folder / "credentials").write_text(credentials)
    env = {"HOME": str(home), **environ}
    return AWSClient(
        environ=env, imds_endpoint=clouds.url, sts_endpoint=clouds.url, container_endpoint=clouds.url
    )


def gcp(clouds: FakeClouds, **environ: str) -> GCPClient:
    return GCPClient(environ=environ, metadata_endpoint=clouds.url, iam_endpoint=clouds.url)


def azure(clouds: FakeClouds, **environ: str) -> AzureClient:
    quick = {"S2IAM_AZURE_MI_BACKOFF_MS": "1", "AZURE_AUTHORITY_HOST": clouds.url}
    return AzureClient(environ={**quick, **environ}, imds_endpoint=clouds.url)


async def identity_of(client: CloudProviderClient) -> str:
    try:
        await client.fast_detect()
    except ProviderNotDetected:
        await client.detect()
    return (await client.get_identity_headers())[1].identifier


async def is_refused(client: CloudProviderClient, field: str) -> None:
    with pytest.raises(ConfigError) as refused:
        await identity_of(client)
    assert refused.value.field == field
    assert isinstance(refused.value, AuthError)
    assert isinstance(refused.value, UnusableCredentials)
    assert field in str(refused.value)


# Amazon


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ("credential_process = /usr/bin/x", "credential_process"),
        ("sso_session = work\nsso_account_id = 1\nsso_role_name = x", "sso_session"),
        ("sso_start_url = https://x/start\nsso_region = eu-west-1", "sso_start_url"),
        ("login_session = arn:x", "login_session"),
        (f"role_arn = {ROLE_ARN}\ncredential_source = Ec2InstanceMetadata", "credential_source"),
        (f"role_arn = {ROLE_ARN}", "role_arn"),
        ("web_identity_token_file = /token", "role_arn"),
        ("aws_access_key_id = AKIAUSER", "aws_secret_access_key"),
        ("aws_secret_access_key = x", "aws_access_key_id"),
    ],
)
@pytest.mark.parametrize("named", ["named", "default", "source"])
async def test_profiles_of_other_kinds(
    clouds: FakeClouds, tmp_path: Path, settings: str, field: str, named: str
) -> None:
    match named:
        case "named":
            made = aws(clouds, tmp_path, f"[profile work]\n{settings}\n", AWS_PROFILE="work")
        case "default":
            made = aws(clouds, tmp_path, f"[default]\n{settings}\n")
        case _:
            own = f"[profile top]\nrole_arn = {ROLE_ARN}\nsource_profile = work\n"
            made = aws(clouds, tmp_path, f"{own}[profile work]\n{settings}\n", AWS_PROFILE="top")
    await is_refused(made, field)
    assert clouds.count("/latest/meta-data/iam/security-credentials/") == 0


@pytest.mark.parametrize(
    ("environ", "field"),
    [
        ({"AWS_ACCESS_KEY_ID": "AKIAUSER"}, "AWS_SECRET_ACCESS_KEY"),
        ({"AWS_SECRET_ACCESS_KEY": "x"}, "AWS_ACCESS_KEY_ID"),
        ({"AWS_ROLE_ARN": ROLE_ARN}, "AWS_WEB_IDENTITY_TOKEN_FILE"),
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}, "AWS_ROLE_ARN"),
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/absent", "AWS_ROLE_ARN": ROLE_ARN}, "AWS_WEB_IDENTITY_TOKEN_FILE"),
        ({"AWS_PROFILE": "absent"}, "AWS_PROFILE"),
    ],
)
async def test_half_of_a_setting(
    clouds: FakeClouds, tmp_path: Path, environ: dict[str, str], field: str
) -> None:
    await is_refused(aws(clouds, tmp_path, **environ), field)


async def test_a_profile_with_a_web_identity(clouds: FakeClouds, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("web-identity-token\n")
    config = (
        f"[profile pod]\nrole_arn = {ROLE_ARN}\nweb_identity_token_file = {token}\nrole_session_name = pod\n"
        f"[profile top]\nrole_arn = {OTHER_ROLE_ARN}\nsource_profile = pod\nrole_session_name = top\n"
    )
    assert (
        await identity_of(aws(clouds, tmp_path, config, AWS_PROFILE="pod")) == f"{ASSUMED}/callboard-node/pod"
    )
    assert await identity_of(aws(clouds, tmp_path, config, AWS_PROFILE="top")) == f"{ASSUMED}/other/top"


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-west-1", "sts.eu-west-1.amazonaws.com"),
        ("us-gov-west-1", "sts.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
        ("us-iso-east-1", "sts.us-iso-east-1.c2s.ic.gov"),
        ("us-isob-east-1", "sts.us-isob-east-1.sc2s.sgov.gov"),
        ("us-isof-south-1", "sts.us-isof-south-1.csp.hci.ic.gov"),
        ("eu-isoe-west-1", "sts.eu-isoe-west-1.cloud.adc-e.uk"),
        ("eusc-de-east-1", "sts.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_regions_of_every_partition(region: str, host: str) -> None:
    assert Sts(region)._url.host == host


@pytest.mark.parametrize(
    "region", ["eusc", "evil.test/-1", "eu-west-1.evil.test", "EU-west-1", "abcd-de-east-1"]
)
def test_what_is_no_region(region: str) -> None:
    with pytest.raises(ConfigError, match="not an AWS region"):
        Sts(region)


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({}, "http://169.254.169.254"),
        ({"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv4"}, "http://169.254.169.254"),
        ({"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "ipv6"}, "http://[fd00:ec2::254]"),
        (
            {
                "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv6",
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://[::1]:80",
            },
            "http://[::1]:80",
        ),
    ],
)
def test_the_address_of_ec2_metadata(environ: dict[str, str], address: str) -> None:
    assert endpoint_of(environ) == address
    AWSClient(environ=environ)


def test_a_mode_that_is_none() -> None:
    with pytest.raises(ConfigError) as refused:
        AWSClient(environ={"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv5"})
    assert refused.value.field == "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 on this machine")
async def test_ec2_metadata_over_ipv6(clouds: FakeClouds, tmp_path: Path) -> None:
    try:
        server = await asyncio.start_server(clouds._serve, "::1", 0)
    except OSError:
        pytest.skip("no IPv6 loopback on this machine")
    async with server:
        address = f"http://[::1]:{server.sockets[0].getsockname()[1]}"
        made = AWSClient(
            environ={"HOME": str(tmp_path), "AWS_EC2_METADATA_SERVICE_ENDPOINT": address},
            sts_endpoint=clouds.url,
        )
        assert await identity_of(made) == f"{ASSUMED}/callboard-node/i-0123456789"


async def test_a_captive_portal_is_not_aws(clouds: FakeClouds, tmp_path: Path) -> None:
    clouds.clouds.clear()
    page = text(PORTAL)
    clouds.fail("/latest/api/token", page)
    clouds.fail("/latest/meta-data/instance-id", page, page)
    made = aws(clouds, tmp_path)
    with pytest.raises(ProviderNotDetected, match="somebody else"):
        await made.detect()


async def test_a_portals_region_is_none(clouds: FakeClouds, tmp_path: Path) -> None:
    clouds.fail("/latest/meta-data/placement/region", text(PORTAL))
    assert await identity_of(aws(clouds, tmp_path)) == f"{ASSUMED}/callboard-node/i-0123456789"


# Google


@pytest.mark.parametrize(
    "kind", ["authorized_user", "impersonated_service_account", "gdch_service_account", 7]
)
async def test_default_credentials_of_other_kinds(clouds: FakeClouds, tmp_path: Path, kind: object) -> None:
    path = tmp_path / "adc.json"
    path.write_text(json.dumps({"type": kind, "refresh_token": "s3cret", "client_id": "x"}))
    made = gcp(clouds, GOOGLE_APPLICATION_CREDENTIALS=str(path))
    await is_refused(made, "GOOGLE_APPLICATION_CREDENTIALS")
    # Where the machine itself was recognised first, too.
    await is_refused(
        gcp(clouds, GOOGLE_APPLICATION_CREDENTIALS=str(path), GCE_METADATA_HOST="metadata.test"),
        "GOOGLE_APPLICATION_CREDENTIALS",
    )
    assert not clouds.seen


def sources(clouds: FakeClouds, folder: Path) -> dict[str, dict[str, Any]]:
    plain, wrapped = folder / "plain", folder / "wrapped"
    plain.write_text("foreign-token\n")
    wrapped.write_text('{"access": "foreign-token"}')
    return {
        "a file": {"file": str(plain)},
        "a JSON file": {
            "file": str(wrapped),
            "format": {"type": "json", "subject_token_field_name": "access"},
        },
        "a URL": {
            "url": clouds.url + "/foreign/token",
            "headers": {"X-Wanted": "yes"},
            "format": {"type": "json", "subject_token_field_name": "value"},
        },
    }


@pytest.mark.parametrize("source", ["a file", "a JSON file", "a URL"])
@pytest.mark.parametrize("role", [None, OTHER_EMAIL])
async def test_an_external_account(clouds: FakeClouds, tmp_path: Path, source: str, role: str | None) -> None:
    clouds.clouds.clear()
    path = external_account_file(tmp_path, clouds, sources(clouds, tmp_path)[source])
    made = gcp(clouds, GOOGLE_APPLICATION_CREDENTIALS=str(path))
    await made.fast_detect()
    chosen = made.assume_role(role) if role else made
    headers, identity = await chosen.get_identity_headers()
    assert identity.identifier == (role or EMAIL)
    assert headers["Authorization"].startswith("Bearer ey")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"credential_source": {"environment_id": "aws1"}}, "credential_source.environment_id"),
        ({"credential_source": {"executable": {"command": "x"}}}, "credential_source.executable"),
        ({"credential_source": {"certificate": {}}}, "credential_source.certificate"),
        ({"credential_source": {"file": "/x", "format": {"type": "xml"}}}, "credential_source.format"),
        ({"credential_source": {"url": "http://evil.example/"}}, "credential_source.url"),
        ({"credential_source": {}}, "url"),
        ({"credential_source": None}, "credential_source"),
        ({"service_account_impersonation_url": None}, "service_account_impersonation_url"),
        ({"service_account_impersonation_url": "https://x/y"}, "service_account_impersonation_url"),
        ({"token_url": "http://evil.example/"}, "token_url"),
        ({"audience": ""}, "audience"),
        ({"client_id": "me"}, "client_secret"),
    ],
)
async def test_external_accounts_that_cannot_be_used(
    clouds: FakeClouds, tmp_path: Path, change: dict[str, Any], field: str
) -> None:
    path = external_account_file(tmp_path, clouds, {"file": "/x"}, **change)
    await is_refused(gcp(clouds, GOOGLE_APPLICATION_CREDENTIALS=str(path)), field)
    assert not clouds.seen


async def test_an_external_account_whose_token_is_gone(clouds: FakeClouds, tmp_path: Path) -> None:
    path = external_account_file(tmp_path, clouds, {"file": str(tmp_path / "absent")})
    await is_refused(gcp(clouds, GOOGLE_APPLICATION_CREDENTIALS=str(path)), "credential_source.file")


# Microsoft

APP = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT_ID}


@pytest.mark.parametrize(
    ("environ", "field"),
    [
        ({**APP, "AZURE_CLIENT_CERTIFICATE_PATH": "/x.pem"}, "AZURE_CLIENT_CERTIFICATE_PATH"),
        ({**APP, "AZURE_USERNAME": "me", "AZURE_PASSWORD": "x"}, "AZURE_PASSWORD"),
        ({**APP, "AZURE_FEDERATED_TOKEN_FILE": "/absent"}, "AZURE_FEDERATED_TOKEN_FILE"),
        ({"AZURE_CLIENT_ID": "x", "AZURE_FEDERATED_TOKEN_FILE": "/absent"}, "AZURE_TENANT_ID"),
        ({"AZURE_CLIENT_ID": "x", "AZURE_CLIENT_SECRET": "s"}, "AZURE_TENANT_ID"),
        ({"AZURE_ENV": "x", "AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_SECRET": "s"}, "AZURE_CLIENT_ID"),
        ({"IDENTITY_ENDPOINT": "http://127.0.0.1:1/"}, "IDENTITY_HEADER"),
        (
            {"IDENTITY_ENDPOINT": "http://127.0.0.1:1/", "IMDS_ENDPOINT": "http://127.0.0.1:1"},
            "IMDS_ENDPOINT",
        ),
        (
            {
                "IDENTITY_ENDPOINT": "https://127.0.0.1:1/",
                "IDENTITY_HEADER": "h",
                "IDENTITY_SERVER_THUMBPRINT": "ab",
            },
            "IDENTITY_SERVER_THUMBPRINT",
        ),
        ({"MSI_ENDPOINT": "http://127.0.0.1:1/"}, "MSI_ENDPOINT"),
    ],
)
async def test_azure_identities_of_other_kinds(
    clouds: FakeClouds, environ: dict[str, str], field: str
) -> None:
    await is_refused(azure(clouds, **environ), field)
    assert clouds.count("/metadata/identity/oauth2/token") == 0


async def test_a_slash_at_the_end_of_the_identity_endpoint(clouds: FakeClouds) -> None:
    made = azure(clouds, IDENTITY_ENDPOINT=clouds.url + "/msi/token/", IDENTITY_HEADER="app-service-header")
    assert await identity_of(made) == OID
    assert clouds.count("/msi/token/") == 1


async def test_several_identities_need_a_choice(clouds: FakeClouds) -> None:
    refusal = as_json({"error": "invalid_request"}, 400)
    clouds.fail("/metadata/identity/oauth2/token", refusal, refusal)
    with pytest.raises(ProviderIdentityUnavailable, match="several identities needs AZURE_CLIENT_ID"):
        await azure(clouds).detect()
    with pytest.raises(ProviderIdentityUnavailable, match=r"answered 400 \(invalid_request\)$"):
        await identity_of(azure(clouds, AZURE_CLIENT_ID=CLIENT_ID))


# All


METADATA: dict[str, tuple[Callable[[FakeClouds, Path], CloudProviderClient], str]] = {
    "AWS session": (aws, "/latest/api/token"),
    "AWS role": (aws, "/latest/meta-data/iam/security-credentials/callboard-node"),
    "AWS region": (aws, "/latest/meta-data/placement/region"),
    "AWS probe": (aws, "/latest/meta-data/instance-id"),
    "GCP identity": (
        lambda clouds, _: gcp(clouds),
        "/computeMetadata/v1/instance/service-accounts/default/identity",
    ),
    "GCP probe": (lambda clouds, _: gcp(clouds), "/computeMetadata/v1/instance/id"),
    "Azure token": (lambda clouds, _: azure(clouds), "/metadata/identity/oauth2/token"),
    "Azure probe": (lambda clouds, _: azure(clouds), "/metadata/instance"),
    "AWS container": (
        lambda clouds, home: aws(
            clouds,
            home,
            AWS_REGION="eu-west-1",
            AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="/ecs/creds",
            AWS_CONTAINER_AUTHORIZATION_TOKEN="ecs-authorization",
        ),
        "/ecs/creds",
    ),
}


@pytest.mark.parametrize("what", METADATA)
async def test_metadata_services_may_say_later(clouds: FakeClouds, tmp_path: Path, what: str) -> None:
    make, path = METADATA[what]
    clouds.fail(path, text("later", 503), Reply(429))
    assert await identity_of(make(clouds, tmp_path))
    assert clouds.count(path) >= 3


async def test_a_machine_without_metadata_is_not_waited_for(tmp_path: Path) -> None:
    async with FakeClouds() as gone:
        pass
    for made in (aws(gone, tmp_path), gcp(gone)):
        with pytest.raises(ProviderNotDetected):
            async with asyncio.timeout(1.0):
                await made.detect()


async def test_detection_says_which_setting_is_at_fault(clouds: FakeClouds, tmp_path: Path) -> None:
    clouds.clouds.clear()
    path = tmp_path / "adc.json"
    path.write_text('{"type": "authorized_user"}')
    clients = [aws(clouds, tmp_path), gcp(clouds, GOOGLE_APPLICATION_CREDENTIALS=str(path)), azure(clouds)]
    with pytest.raises(ConfigError) as refused:
        await detect_provider(clients=clients)
    assert refused.value.field == "GOOGLE_APPLICATION_CREDENTIALS"
    with pytest.raises(ConfigError, match="'authorized_user', which cannot be used"):
        await get_jwt(JWTType.DATABASE_ACCESS, "group", clouds.url, allow_http=True, clients=clients)
