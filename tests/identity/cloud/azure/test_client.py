"""Azure against the fake clouds: each token source, throttling, identities."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from identity.cloud import (
    AssumeRoleNotSupported,
    AzureClient,
    ProviderIdentityUnavailable,
    ProviderNotDetected,
)
from tests.identity.cloud.fake_clouds import (
    CLIENT_ID,
    NOT_FOUND,
    OID,
    RESOURCE_ID,
    SUBSCRIPTION,
    TENANT,
    FakeClouds,
    Reply,
    as_json,
    text,
)

TOKEN = "/metadata/identity/oauth2/token"
LOGIN = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT_ID}
THROTTLED = text("slow down", 429)


def client(clouds: FakeClouds, clock=time.time, **environ: str) -> AzureClient:
    quick = {"S2IAM_AZURE_MI_BACKOFF_MS": "1", "AZURE_AUTHORITY_HOST": clouds.url}
    return AzureClient(environ={**quick, **environ}, imds_endpoint=clouds.url, clock=clock)


async def test_managed_identity(clouds: FakeClouds) -> None:
    made = client(clouds)
    await made.detect()
    headers, identity = await made.get_identity_headers()
    assert headers["X-Cloud-Provider"] == "azure"
    assert headers["X-Azure-Subscription-ID"] == SUBSCRIPTION
    assert headers["X-Azure-Resource-Group"] == "group"
    assert headers["Authorization"].startswith("Bearer ey")
    assert (identity.identifier, identity.account_id, identity.region) == (OID, SUBSCRIPTION, "west-europe")
    assert identity.additional_claims == {"metadata_location": "westeurope"}
    assert identity.candidates == [("azure-object-id", OID), ("azure-resource-id", RESOURCE_ID)]
    assert clouds.count(TOKEN) == 1, "the token of detection is used"


async def test_client_id_chooses_the_identity(clouds: FakeClouds) -> None:
    made = client(clouds)
    await made.detect()
    _, identity = await made.assume_role("other-client").get_identity_headers()
    assert clouds.last(TOKEN).query["client_id"] == "other-client"
    assert identity.region == ""
    await client(clouds, AZURE_CLIENT_ID=CLIENT_ID).detect()
    assert clouds.last(TOKEN).query["client_id"] == CLIENT_ID


async def detected(made: AzureClient) -> AzureClient:
    await made.fast_detect()
    return made


async def test_app_service(clouds: FakeClouds) -> None:
    clouds.clouds.clear()
    made = await detected(
        client(clouds, IDENTITY_ENDPOINT=clouds.url + "/msi/token", IDENTITY_HEADER="app-service-header")
    )
    headers, identity = await made.get_identity_headers()
    assert identity.identifier == OID
    assert headers["X-Azure-Subscription-ID"] == ""


async def test_service_principal(clouds: FakeClouds) -> None:
    made = await detected(client(clouds, AZURE_CLIENT_SECRET="client-secret", **LOGIN))
    assert (await made.get_identity_headers())[1].identifier == OID
    with pytest.raises(AssumeRoleNotSupported):
        made.assume_role("other")


async def test_refused_service_principal_is_not_quoted(clouds: FakeClouds) -> None:
    made = await detected(client(clouds, AZURE_CLIENT_SECRET="wrong-secret", **LOGIN))
    with pytest.raises(ProviderIdentityUnavailable, match=r"answered 401 \(invalid_client\)$"):
        await made.get_identity_headers()


async def test_workload_identity_reads_its_file_each_time(clouds: FakeClouds, tmp_path: Path) -> None:
    now = [time.time()]
    path = tmp_path / "federated"
    path.write_text("stale")
    made = await detected(client(clouds, clock=lambda: now[0], AZURE_FEDERATED_TOKEN_FILE=str(path), **LOGIN))
    with pytest.raises(ProviderIdentityUnavailable):
        await made.get_identity_headers()
    path.write_text("federated-token\n")
    await made.get_identity_headers()
    await made.assume_role("other-client").get_identity_headers()
    assert clouds.last(f"/{TENANT}/oauth2/v2.0/token").form()["client_id"] == "other-client"


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_throttling_and_server_errors_are_tried_again(clouds: FakeClouds, status: int) -> None:
    made = await detected(client(clouds, AZURE_CLIENT_ID=CLIENT_ID))
    clouds.fail(TOKEN, *[text("later", status)] * 5)
    await made.get_identity_headers()
    assert clouds.count(TOKEN) == 6


async def test_retries_end(clouds: FakeClouds) -> None:
    made = await detected(client(clouds, AZURE_CLIENT_ID=CLIENT_ID, S2IAM_AZURE_MI_RETRIES="3"))
    clouds.fail(TOKEN, *[THROTTLED] * 5)
    with pytest.raises(ProviderIdentityUnavailable, match="answered 429"):
        await made.get_identity_headers()
    assert clouds.count(TOKEN) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_refusals_are_final(clouds: FakeClouds, status: int) -> None:
    made = client(clouds)
    clouds.fail(TOKEN, as_json({"error": "invalid_request"}, status))
    with pytest.raises(ProviderIdentityUnavailable, match=rf"answered {status} \(invalid_request\)"):
        await made.detect()
    assert clouds.count(TOKEN) == 1


async def test_token_is_kept_until_five_minutes_before_expiry(clouds: FakeClouds) -> None:
    now = [time.time()]
    made = client(clouds, clock=lambda: now[0])
    await made.detect()
    await made.get_identity_headers()
    assert clouds.count(TOKEN) == 1
    now[0] += 86399 - 300
    await made.get_identity_headers()
    assert clouds.count(TOKEN) == 2


@pytest.mark.parametrize("reply", [NOT_FOUND, as_json({}), as_json({"compute": []}), text("x"), as_json([])])
async def test_other_machines_are_not_azure(clouds: FakeClouds, reply: Reply) -> None:
    clouds.fail("/metadata/instance", reply)
    with pytest.raises(ProviderNotDetected):
        await client(clouds).detect()


async def test_detection_tries_three_times(clouds: FakeClouds) -> None:
    clouds.fail("/metadata/instance", THROTTLED, THROTTLED)
    await client(clouds).detect()
    clouds.fail("/metadata/instance", *[THROTTLED] * 3)
    with pytest.raises(ProviderNotDetected):
        await client(clouds).detect()


@pytest.mark.parametrize("name", ["AZURE_ENV", "AZURE_CLIENT_ID", "MSI_ENDPOINT", "IDENTITY_ENDPOINT"])
async def test_fast_detection(clouds: FakeClouds, name: str) -> None:
    await client(clouds, **{name: "x"}).fast_detect()
    with pytest.raises(ProviderNotDetected):
        await client(clouds).fast_detect()
    assert not clouds.seen


async def test_token_without_a_principal(clouds: FakeClouds) -> None:
    made = client(clouds)
    clouds.fail(TOKEN, as_json({"access_token": "opaque", "expires_in": 3600}))
    await made.detect()
    with pytest.raises(ProviderIdentityUnavailable, match="`oid`"):
        await made.get_identity_headers()


async def test_undetected_client_says_so(clouds: FakeClouds) -> None:
    with pytest.raises(ProviderNotDetected):
        await client(clouds).get_identity_headers()
