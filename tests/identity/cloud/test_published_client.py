"""The published client (PyPI `singlestore-auth-iam`) in our fake clouds, which is thereby tested itself.

That client has the clouds' addresses built in. Its HTTP library is handed a connector that reaches ours for
every host; boto3 knows a variable for it. Nothing else of it is changed.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest

import identity.cloud as ours
from tests.identity.cloud.fake_clouds import EMAIL, KEY, OID, ROLE_ARN, USER_ARN, FakeClouds

s2iam = pytest.importorskip("s2iam", reason="singlestore-auth-iam does not install here")
aiohttp = pytest.importorskip("aiohttp", reason="singlestore-auth-iam comes with aiohttp")


@pytest.fixture
async def everywhere(
    clouds: FakeClouds, tmp_path: Path, bare: pytest.MonkeyPatch
) -> AsyncIterator[FakeClouds]:
    """The clouds, reached by the published client under every address."""
    path = tmp_path / "clouds.sock"
    await clouds.listen_on(path)
    session = aiohttp.ClientSession

    def connected(**options: Any) -> Any:
        return session(connector=aiohttp.UnixConnector(str(path)), **options)

    bare.setattr(aiohttp, "ClientSession", connected)
    bare.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", clouds.url)
    bare.setenv("AWS_ENDPOINT_URL_STS", clouds.url)
    return clouds


async def in_thread(call: Any) -> Any:
    """Run the published client in a loop of its own: its detection blocks the one it is called in."""
    return await asyncio.to_thread(lambda: asyncio.run(call()))


def claims(token: str) -> dict[str, Any]:
    return jwt.decode(token, KEY.public_key(), ["RS256"])


@pytest.mark.parametrize(
    ("cloud", "environ", "subject"),
    [
        ("aws", {"AWS_REGION": "eu-west-1"}, ROLE_ARN),
        ("aws", {}, ROLE_ARN),
        (
            "aws",
            {
                "AWS_REGION": "eu-west-1",
                "AWS_ACCESS_KEY_ID": "AKIAUSER",
                "AWS_SECRET_ACCESS_KEY": "user-secret",
            },
            USER_ARN,
        ),
        ("gcp", {"GCE_METADATA_HOST": "metadata.google.internal"}, EMAIL),
        ("gcp", {}, EMAIL),
        ("azure", {"AZURE_ENV": "x"}, OID),
        ("azure", {}, OID),
    ],
)
async def test_published_client_and_ours_get_the_same_identity(
    everywhere: FakeClouds, bare: pytest.MonkeyPatch, cloud: str, environ: dict[str, str], subject: str
) -> None:
    everywhere.clouds = {cloud}
    for name, value in environ.items():
        bare.setenv(name, value)
    asked = {
        "workspace_group_id": "group",
        "server_url": everywhere.url + "/auth/iam/database",
        "allow_http": True,
    }
    theirs = claims(await in_thread(functools.partial(s2iam.get_jwt_database, **asked)))
    body = everywhere.last("/auth/iam/database").body
    sent = set(everywhere.last("/auth/iam/database").headers)

    clients = [
        ours.AWSClient(),
        ours.GCPClient(metadata_endpoint=everywhere.url),
        ours.AzureClient(imds_endpoint=everywhere.url),
    ]
    mine = claims(await ours.get_jwt_database(**asked, clients=clients))
    assert theirs["sub"] == mine["sub"] == subject
    assert theirs["provider"] == mine["provider"] == cloud
    assert everywhere.last("/auth/iam/database").body == body
    names = {name for name in sent if name.startswith("x-") or name == "authorization"}
    assert names <= set(everywhere.last("/auth/iam/database").headers)


def test_every_published_name_is_offered() -> None:
    missing = [name for name in s2iam.__all__ if not hasattr(ours, name)]
    assert not missing
    for name in s2iam.__all__:
        if isinstance(value := getattr(s2iam, name), (str, float)):
            assert getattr(ours, name) == value
    for name in ("CloudProviderType", "JWTType"):
        theirs, mine = getattr(s2iam, name), getattr(ours, name)
        assert {member.name: member.value for member in theirs} == {
            member.name: member.value for member in mine
        }


def test_fields_of_an_identity_are_the_published_ones() -> None:
    assert list(ours.CloudIdentity.__dataclass_fields__) == list(s2iam.CloudIdentity.__dataclass_fields__)
