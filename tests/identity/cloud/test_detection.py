"""Which cloud is this: the fast pass, the race, the losers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from identity.cloud import (
    AWSClient,
    AzureClient,
    CloudProviderClient,
    CloudProviderNotFound,
    CloudProviderType,
    GCPClient,
    ProviderNotDetected,
    detect_provider,
)
from tests.identity.cloud.fake_clouds import FakeClouds


class Client(CloudProviderClient):
    """A client whose detection a test finishes by hand."""

    def __init__(self, kind: CloudProviderType, *, fast: bool = False) -> None:
        self.kind = kind
        self.fast = fast
        self.outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.started = asyncio.Event()
        self.cancelled = False

    async def fast_detect(self) -> None:
        if not self.fast:
            raise RuntimeError("no")

    async def detect(self) -> None:
        self.started.set()
        try:
            await self.outcome
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    def get_type(self) -> CloudProviderType:
        return self.kind

    def assume_role(self, role_identifier: str) -> Client:
        return self

    async def get_identity_headers(self, additional_params=None):
        raise NotImplementedError


@pytest.fixture
async def clients() -> list[Client]:
    return [Client(kind) for kind in CloudProviderType]


async def test_first_fast_hit_wins_without_network(clients: list[Client]) -> None:
    clients[1].fast = clients[2].fast = True
    assert await detect_provider(clients=clients) is clients[1]
    assert not any(client.started.is_set() for client in clients)


async def test_first_success_wins_and_losers_are_cancelled(clients: list[Client]) -> None:
    search = asyncio.create_task(detect_provider(clients=clients))
    for client in clients:
        await client.started.wait()
    clients[0].outcome.set_exception(ProviderNotDetected("no metadata"))
    clients[2].outcome.set_result(None)
    assert await search is clients[2]
    assert [client.cancelled for client in clients] == [False, True, False]


async def test_two_successes_at_once_go_by_order(clients: list[Client]) -> None:
    for client in clients[1:]:
        client.outcome.set_result(None)
    assert await detect_provider(clients=clients) is clients[1]


async def test_all_failed_is_an_error_at_once_with_a_line_for_each(clients: list[Client]) -> None:
    for client in clients:
        client.outcome.set_exception(ProviderNotDetected(f"nothing of {client.kind.value}"))
    with pytest.raises(CloudProviderNotFound) as caught:
        await detect_provider(timeout=60, clients=clients)
    assert str(caught.value).splitlines() == [
        "no cloud provider was recognised",
        "  aws: nothing of aws",
        "  gcp: nothing of gcp",
        "  azure: nothing of azure",
    ]


async def test_time_limit_ends_the_search_and_cancels(clients: list[Client]) -> None:
    clients[0].outcome.set_exception(ProviderNotDetected("nothing"))
    with pytest.raises(CloudProviderNotFound) as caught:
        await detect_provider(timeout=0.05, clients=clients)
    assert caught.value.reasons == {
        "aws": "nothing",
        "gcp": "no answer within 0.05 s",
        "azure": "no answer within 0.05 s",
    }
    assert [client.cancelled for client in clients] == [False, True, True]


async def test_cancelled_search_cancels_its_tasks(clients: list[Client]) -> None:
    search = asyncio.create_task(detect_provider(clients=clients))
    for client in clients:
        await client.started.wait()
    search.cancel()
    with pytest.raises(asyncio.CancelledError):
        await search
    assert all(client.cancelled for client in clients)


async def test_no_clients_no_cloud() -> None:
    with pytest.raises(CloudProviderNotFound):
        await detect_provider(clients=[])


@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
async def test_each_cloud_is_recognised_by_its_metadata(
    clouds: FakeClouds, tmp_path: Path, cloud: str
) -> None:
    clouds.clouds = {cloud}
    log = Lines()
    home = {"HOME": str(tmp_path)}
    clients = [
        AWSClient(log, environ=home, imds_endpoint=clouds.url, sts_endpoint=clouds.url),
        GCPClient(log, environ=home, metadata_endpoint=clouds.url),
        AzureClient(log, environ=home, imds_endpoint=clouds.url),
    ]
    found = await detect_provider(logger=log, clients=clients)
    assert found.get_type().value == cloud
    assert any("recognised by" in line for line in log.lines)


async def test_addresses_of_the_environment(clouds: FakeClouds, bare: pytest.MonkeyPatch) -> None:
    """Without arguments, everything comes from the process environment."""
    clouds.clouds = {"azure"}
    bare.setenv("AWS_EC2_METADATA_DISABLED", "true")
    bare.setenv("S2IAM_AZURE_IMDS_ENDPOINT", clouds.url)
    clients = [AWSClient(), AzureClient()]
    assert await detect_provider(clients=clients) is clients[1]
    bare.setenv("GCE_METADATA_HOST", clouds.url.removeprefix("http://"))
    assert (await detect_provider()).get_type() is CloudProviderType.GCP


class Lines:
    """A logger that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, message: str) -> None:
        self.lines.append(message)
