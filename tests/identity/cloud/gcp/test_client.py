"""Google Cloud against the fake clouds: metadata, a service account's key, impersonation."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from identity.cloud import GCPClient, ProviderIdentityUnavailable, ProviderNotDetected
from identity.cloud.errors import UnusableCredentials
from identity.cloud.gcp.credentials import CredentialsFile, load_credentials
from identity.cloud.gcp.metadata import lifetime
from identity.errors import ConfigError
from tests.identity.cloud.fake_clouds import (
    AUDIENCE,
    EMAIL,
    OTHER_EMAIL,
    SUBJECT,
    FakeClouds,
    as_json,
    service_account_file,
    text,
)


def client(clouds: FakeClouds, clock=time.time, **environ: str) -> GCPClient:
    return GCPClient(environ=environ, metadata_endpoint=clouds.url, iam_endpoint=clouds.url, clock=clock)


async def headers_of(made: GCPClient, **params: str):
    await made.detect()
    return await made.get_identity_headers(params)


IDENTITY = "/computeMetadata/v1/instance/service-accounts/default/identity"


async def test_metadata_identity(clouds: FakeClouds) -> None:
    headers, identity = await headers_of(client(clouds))
    assert headers["Authorization"].startswith("Bearer ey")
    assert list(headers) == ["Authorization"]
    assert (identity.identifier, identity.account_id, identity.region) == (EMAIL, SUBJECT, "us-east4")
    assert identity.resource_type == "gcp-compute-instance"
    assert identity.candidates == [("gcp-sa-unique-id", SUBJECT), ("gcp-sa-email", EMAIL)]
    assert clouds.last(IDENTITY).query == {"audience": AUDIENCE, "format": "full"}


async def test_audience_is_encoded(clouds: FakeClouds) -> None:
    await headers_of(client(clouds), audience="https://other/?a=b&format=x")
    assert clouds.last(IDENTITY).query["audience"] == "https://other/?a=b&format=x"


async def test_unverified_email_is_no_identifier(clouds: FakeClouds) -> None:
    token = clouds._signed("https://accounts.google.com", SUBJECT, email=EMAIL, email_verified=False)
    clouds.fail(IDENTITY, text(token, **{"Metadata-Flavor": "Google"}))
    assert (await headers_of(client(clouds)))[1].identifier == SUBJECT


async def test_impersonation_shows_an_access_token(clouds: FakeClouds) -> None:
    base = client(clouds)
    await base.detect()
    _, identity = await base.assume_role(OTHER_EMAIL).get_identity_headers()
    assert identity.identifier == OTHER_EMAIL
    assert (await base.get_identity_headers())[1].identifier == EMAIL


@pytest.mark.parametrize("role", ["", "a/b@c", "x@y:signJwt", "a@b?c", "../a@b", "a@b\n"])
def test_role_cannot_change_the_path(clouds: FakeClouds, role: str) -> None:
    with pytest.raises(ConfigError, match="service account"):
        client(clouds).assume_role(role)


@pytest.mark.parametrize("impersonated", [None, OTHER_EMAIL])
async def test_service_account_file(clouds: FakeClouds, tmp_path: Path, impersonated: str | None) -> None:
    clouds.clouds.clear()
    made = client(clouds, GOOGLE_APPLICATION_CREDENTIALS=str(service_account_file(tmp_path, clouds)))
    await made.detect()
    if impersonated:
        made = made.assume_role(impersonated)
    assert (await made.get_identity_headers())[1].identifier == (impersonated or EMAIL)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"private_key": "secret"}, "private_key"),
        ({"private_key": 7}, "private_key"),
        ({"client_email": ""}, "client_email"),
        ({"private_key_id": None}, "private_key_id"),
        ({"token_uri": "http://evil.example/token"}, "token_uri"),
        ({"token_uri": "file:///x"}, "token_uri"),
    ],
)
async def test_bad_service_account_file(clouds: FakeClouds, tmp_path: Path, change: dict, field: str) -> None:
    path = service_account_file(tmp_path, clouds, **change)
    with pytest.raises(ConfigError) as caught:
        load_credentials(CredentialsFile("variable", str(path)), time.time)
    assert caught.value.field == field
    with pytest.raises(ProviderNotDetected):
        await client(clouds, GOOGLE_APPLICATION_CREDENTIALS=str(path)).detect()


async def test_the_file_of_gcloud_counts_where_nothing_is_named(clouds: FakeClouds, tmp_path: Path) -> None:
    home = tmp_path / "home"
    folder = home / ".config/gcloud"
    folder.mkdir(parents=True)
    service_account_file(tmp_path, clouds).rename(folder / "application_default_credentials.json")
    _, identity = await headers_of(client(clouds, HOME=str(home)))
    assert (await headers_of(client(clouds, CLOUDSDK_CONFIG=str(folder), HOME="/no")))[1] == identity


async def test_a_login_of_a_person_is_not_replaced_by_the_machine(clouds: FakeClouds, tmp_path: Path) -> None:
    file = tmp_path / "application_default_credentials.json"
    file.write_text(json.dumps({"type": "authorized_user", "refresh_token": "x"}))
    with pytest.raises(UnusableCredentials, match=r"gcloud auth application-default names .*authorized_user"):
        await client(clouds, CLOUDSDK_CONFIG=str(tmp_path)).detect()


def test_key_of_another_kind(clouds: FakeClouds, tmp_path: Path) -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = service_account_file(tmp_path, clouds, private_key=pem.decode())
    with pytest.raises(ConfigError, match="not RSA"):
        load_credentials(CredentialsFile("variable", str(path)), time.time)


async def test_refused_assertion(clouds: FakeClouds, tmp_path: Path) -> None:
    made = client(clouds, GOOGLE_APPLICATION_CREDENTIALS=str(service_account_file(tmp_path, clouds)))
    await made.detect()
    clouds.fail("/google/token", as_json({"error": "invalid_grant"}, 400))
    with pytest.raises(ProviderIdentityUnavailable, match=r"answered 400 \(invalid_grant\)"):
        await made.get_identity_headers()


async def test_token_is_kept_until_five_minutes_before_expiry(clouds: FakeClouds) -> None:
    now = [time.time()]
    made = client(clouds, clock=lambda: now[0])
    await headers_of(made)
    await made.get_identity_headers()
    assert clouds.count(IDENTITY) == 1
    now[0] += 3600 - 299
    await made.get_identity_headers()
    assert clouds.count(IDENTITY) == 2
    await made.get_identity_headers({"audience": "other"})
    assert clouds.count(IDENTITY) == 3


async def test_server_without_the_flavor_header_is_somebody_else(clouds: FakeClouds) -> None:
    clouds.fail("/computeMetadata/v1/instance/id", text("4711"))
    with pytest.raises(ProviderNotDetected, match="somebody else"):
        await client(clouds).detect()


@pytest.mark.parametrize("token", ["", "a.b.c", "no token", "e30.e30.e30", "e30.eyJzdWIiOjF9.x"])
async def test_identity_that_is_no_token(clouds: FakeClouds, token: str) -> None:
    clouds.fail(IDENTITY, text(token, **{"Metadata-Flavor": "Google"}))
    with pytest.raises(ProviderIdentityUnavailable, match="not a JWT"):
        await headers_of(client(clouds))


async def test_fast_detection(clouds: FakeClouds, tmp_path: Path) -> None:
    external = tmp_path / "external.json"
    external.write_text('{"type": "external_account"}')
    await client(clouds, GOOGLE_APPLICATION_CREDENTIALS=str(external)).fast_detect()
    await client(clouds, GCE_METADATA_HOST="metadata.test:80").fast_detect()
    for path in (str(service_account_file(tmp_path, clouds)), str(tmp_path / "none"), str(tmp_path)):
        with pytest.raises(ProviderNotDetected):
            await client(clouds, GOOGLE_APPLICATION_CREDENTIALS=path).fast_detect()
    assert not clouds.seen


async def test_metadata_host_of_the_environment(clouds: FakeClouds) -> None:
    made = GCPClient(environ={"GCE_METADATA_HOST": clouds.url.removeprefix("http://")})
    await made.detect()
    assert clouds.seen
    with pytest.raises(ConfigError, match="GCE_METADATA_HOST"):
        GCPClient(environ={"GCE_METADATA_HOST": "a/b"})


async def test_undetected_client_says_so(clouds: FakeClouds) -> None:
    with pytest.raises(ProviderNotDetected):
        await client(clouds).get_identity_headers()


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (3599, 3599),
        ("3599", 3599),
        (None, 0),
        ("x", 0),
        (-1, 0),
        ([], 0),
        ("nan", 0),
        (10**400, 0),
        ("inf", 0),
    ],
)
def test_lifetime(given: object, seconds: float) -> None:
    assert lifetime({"expires_in": given}) == seconds
