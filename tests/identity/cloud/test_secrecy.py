"""Secrets go to nobody but their service: no redirect, no proxy, no log line, no exception, no repr."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from identity.cloud import (
    AWSClient,
    AzureClient,
    CloudProvider,
    CloudProviderClient,
    GCPClient,
    S2IAMError,
    get_jwt_database,
)
from tests.identity.cloud.fake_clouds import (
    CLIENT_ID,
    EMAIL,
    OTHER_EMAIL,
    OTHER_ROLE_ARN,
    ROLE,
    TENANT,
    FakeClouds,
    Reply,
    as_json,
    service_account_file,
    text,
)

DATABASE = "/auth/iam/database"


@pytest.fixture(autouse=True)
def _bare(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("S2IAM_DEBUGGING", "true")


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """All log lines of all libraries, at their most talkative."""
    caplog.set_level(logging.DEBUG)
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level=0, backtrace=True, diagnose=False)
    yield lines
    logger.remove(sink)


def environments(clouds: FakeClouds, folder: Path) -> dict[str, dict[str, str]]:
    """One environment for each way to an identity."""
    federated = folder / "federated"
    federated.write_text("federated-token")
    clouds.secrets.add("federated-token")
    login = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT_ID, "AZURE_AUTHORITY_HOST": clouds.url}
    return {
        "aws instance": {},
        "aws user": {"AWS_ACCESS_KEY_ID": "AKIAUSER", "AWS_SECRET_ACCESS_KEY": "user-secret"},
        "aws container": {
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/ecs/creds",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "ecs-authorization",
        },
        "gcp metadata": {},
        "gcp account": {"GOOGLE_APPLICATION_CREDENTIALS": str(service_account_file(folder, clouds))},
        "azure machine": {},
        "azure service": {
            "IDENTITY_ENDPOINT": clouds.url + "/msi/token",
            "IDENTITY_HEADER": "app-service-header",
        },
        "azure principal": {**login, "AZURE_CLIENT_SECRET": "client-secret"},
        "azure workload": {**login, "AZURE_FEDERATED_TOKEN_FILE": str(federated)},
    }


WAYS = [
    "aws instance",
    "aws user",
    "aws container",
    "gcp metadata",
    "gcp account",
    "azure machine",
    "azure service",
    "azure principal",
    "azure workload",
]


def client(clouds: FakeClouds, folder: Path, way: str) -> CloudProviderClient:
    env = {"HOME": str(folder), "S2IAM_AZURE_MI_BACKOFF_MS": "1", **environments(clouds, folder)[way]}
    env["S2IAM_DEBUGGING"] = "true"
    match way.split()[0]:
        case "aws":
            return AWSClient(
                environ=env, imds_endpoint=clouds.url, sts_endpoint=clouds.url, container_endpoint=clouds.url
            )
        case "gcp":
            return GCPClient(environ=env, metadata_endpoint=clouds.url, iam_endpoint=clouds.url)
    return AzureClient(environ=env, imds_endpoint=clouds.url)


def assert_secret_free(clouds: FakeClouds, *texts: str) -> None:
    shown = "\n".join(texts)
    assert not [secret for secret in clouds.secrets if secret in shown]


@pytest.mark.parametrize("way", WAYS)
async def test_success_tells_no_secret(
    clouds: FakeClouds,
    tmp_path: Path,
    way: str,
    everything_logged: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = client(clouds, tmp_path, way)
    await made.detect()
    provider = CloudProvider(server_url=clouds.url, allow_http=True, provider=made)
    await provider.initialize()
    headers, identity = await made.get_identity_headers()
    await provider.close()
    assert clouds.count(DATABASE) == 1
    reprs = [repr(made), str(made), repr(headers), str(headers), repr(identity), repr(provider)]
    reprs += [repr(part) for name, part in vars(made).items() if name != "_environ"]
    assert_secret_free(clouds, *reprs, *everything_logged, caplog.text)
    assert everything_logged
    assert "HTTP Request" in caplog.text


@pytest.mark.parametrize("way", WAYS)
async def test_failures_tell_no_secret(
    clouds: FakeClouds,
    tmp_path: Path,
    way: str,
    everything_logged: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each request on the way is in turn answered with all secrets of these clouds and a refusal."""
    made = client(clouds, tmp_path, way)
    await made.detect()
    await get_jwt_database(server_url=clouds.url, allow_http=True, provider=made)
    refused = 0
    for path in sorted({seen.path for seen in clouds.seen}):
        clouds.fail(path, *[text(" ".join(sorted(clouds.secrets)), 401)] * 2)
        fresh = client(clouds, tmp_path, way)
        try:
            await fresh.detect()
            await get_jwt_database(server_url=clouds.url, allow_http=True, provider=fresh)
        except S2IAMError as exc:
            refused += 1
            chain = "".join(traceback.format_exception(exc)) + repr(exc)
            # The auth server may quote whatever it likes; what we sent it is taken out.
            texts = [chain] if path != DATABASE else []
            assert_secret_free(clouds, *texts, *everything_logged, caplog.text)
        clouds.faults.clear()
    assert refused >= 1


REDIRECTED = {
    "aws instance": [
        "/latest/meta-data/iam/security-credentials/",
        f"/latest/meta-data/iam/security-credentials/{ROLE}",
        "/",
    ],
    "aws user": ["/"],
    "aws container": ["/ecs/creds"],
    "gcp metadata": [
        "/computeMetadata/v1/instance/id",
        "/computeMetadata/v1/instance/service-accounts/default/identity",
    ],
    "gcp account": ["/google/token"],
    "azure machine": ["/metadata/instance", "/metadata/identity/oauth2/token"],
    "azure service": ["/msi/token"],
    "azure principal": [f"/{TENANT}/oauth2/v2.0/token"],
    "azure workload": [f"/{TENANT}/oauth2/v2.0/token"],
}


@pytest.mark.parametrize("status", [302, 307])
@pytest.mark.parametrize(("way", "path"), [(way, path) for way in WAYS for path in REDIRECTED[way]])
async def test_no_request_is_redirected(
    clouds: FakeClouds, elsewhere: FakeClouds, tmp_path: Path, way: str, path: str, status: int
) -> None:
    made = client(clouds, tmp_path, way)
    clouds.fail(path, *[Reply(status, headers={"Location": elsewhere.url + path})] * 20)
    with pytest.raises(S2IAMError, match="redirect"):
        await made.detect()
        await made.get_identity_headers()
    assert not elsewhere.seen


@pytest.mark.parametrize(
    ("way", "role"),
    [("aws instance", OTHER_ROLE_ARN), ("gcp metadata", OTHER_EMAIL), ("gcp account", OTHER_EMAIL)],
)
async def test_assumed_identities_are_not_redirected(
    clouds: FakeClouds, elsewhere: FakeClouds, tmp_path: Path, way: str, role: str
) -> None:
    made = client(clouds, tmp_path, way)
    await made.detect()
    path = "/" if way.startswith("aws") else f"/v1/projects/-/serviceAccounts/{OTHER_EMAIL}:generateIdToken"
    clouds.fail(path, Reply(307, headers={"Location": elsewhere.url + path}))
    with pytest.raises(S2IAMError, match="redirect"):
        await made.assume_role(role).get_identity_headers()
    assert not elsewhere.seen


@pytest.mark.parametrize("way", WAYS)
async def test_proxies_see_no_metadata(
    clouds: FakeClouds, elsewhere: FakeClouds, tmp_path: Path, way: str, bare: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        bare.setenv(name, elsewhere.url)
    made = client(clouds, tmp_path, way)
    await made.detect()
    await made.get_identity_headers()
    assert not elsewhere.seen


async def test_token_that_would_break_a_header_is_not_quoted(clouds: FakeClouds, tmp_path: Path) -> None:
    """A metadata server that answers with line breaks cannot add headers to what the auth server gets."""
    sneaky = clouds.google_token(EMAIL, "x") + "\r\nX-Cloud-Provider: aws"
    path = "/computeMetadata/v1/instance/service-accounts/default/identity"
    clouds.fail(path, text(sneaky, **{"Metadata-Flavor": "Google"}))
    made = client(clouds, tmp_path, "gcp metadata")
    await made.detect()
    with pytest.raises(S2IAMError) as caught:
        await get_jwt_database(server_url=clouds.url, allow_http=True, provider=made)
    assert_secret_free(clouds, "".join(traceback.format_exception(caught.value)))
    assert not clouds.count(DATABASE)


async def test_error_code_of_a_service_is_no_place_for_secrets(clouds: FakeClouds, tmp_path: Path) -> None:
    made = client(clouds, tmp_path, "azure principal")
    fault = as_json({"error": "client-secret is wrong", "error_description": "client-secret"}, 401)
    clouds.fail(f"/{TENANT}/oauth2/v2.0/token", fault)
    with pytest.raises(S2IAMError, match=r"answered 401$") as caught:
        await made.detect()
    assert_secret_free(clouds, "".join(traceback.format_exception(caught.value)))
