"""Sources: the newest state at hand, through rotation, broken streams, nonsense and revocation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from identity.spiffe.errors import ArgumentError, JwtSourceError, X509SourceError
from identity.spiffe.proto import workload_pb2 as pb
from identity.spiffe.retry import RetryPolicy
from identity.spiffe.sources import AsyncJwtSource, AsyncX509Source
from identity.spiffe.spiffe_id import TrustDomain
from identity.spiffe.workload_api import AsyncWorkloadApiClient
from tests.identity.spiffe.trust import Authority
from tests.identity.spiffe.workload_server import PATIENCE, WorkloadServer

HASTY = RetryPolicy(base_backoff_in_seconds=0.01, max_backoff=0.05)
HOME = TrustDomain("example.org")
PARTNER = TrustDomain("partner.test")


class Updates:
    """Waits for the notifications of a source."""

    def __init__(self, source: AsyncX509Source | AsyncJwtSource) -> None:
        self._queue: asyncio.Queue[None] = asyncio.Queue()
        source.subscribe_for_updates(lambda: self._queue.put_nowait(None))

    async def next(self) -> None:
        await asyncio.wait_for(self._queue.get(), PATIENCE)


@pytest.fixture
async def x509_source(server: WorkloadServer) -> AsyncIterator[AsyncX509Source]:
    source = AsyncX509Source(socket_path=server.path, retry_policy=HASTY)
    await source.start(PATIENCE)
    yield source
    await source.close()


@pytest.fixture
async def jwt_source(server: WorkloadServer) -> AsyncIterator[AsyncJwtSource]:
    source = AsyncJwtSource(socket_path=server.path, retry_policy=HASTY)
    await source.start(PATIENCE)
    yield source
    await source.close()


async def test_rotation_replaces_identity_and_bundles(
    server: WorkloadServer, x509_source: AsyncX509Source
) -> None:
    updates = Updates(x509_source)
    seen = {x509_source.svid.leaf.serial_number}
    for _ in range(5):
        server.rotate(Authority())
        await updates.next()
        seen.add(x509_source.svid.leaf.serial_number)
    assert len(seen) == 6
    bundle = x509_source.get_bundle_for_trust_domain(HOME)
    assert bundle is not None
    assert bundle.x509_authorities == {server.authority.root}
    assert x509_source.bundles == {bundle}


async def test_a_withdrawn_federated_bundle_is_gone(
    server: WorkloadServer, x509_source: AsyncX509Source
) -> None:
    updates = Updates(x509_source)
    server.federated = [Authority("partner.test")]
    server.rotate()
    await updates.next()
    assert x509_source.get_bundle_for_trust_domain(PARTNER) is not None
    server.federated = []
    server.rotate()
    await updates.next()
    assert x509_source.get_bundle_for_trust_domain(PARTNER) is None


async def test_an_emptied_federated_bundle_vouches_for_nobody(
    server: WorkloadServer, x509_source: AsyncX509Source
) -> None:
    updates = Updates(x509_source)
    response = pb.X509SVIDResponse(
        svids=[server.authority.x509_message()], federated_bundles={"spiffe://partner.test": b""}
    )
    server.send("FetchX509SVID", response.SerializeToString())
    await updates.next()
    bundle = x509_source.get_bundle_for_trust_domain(PARTNER)
    assert bundle is not None
    assert not bundle.x509_authorities


async def test_the_state_stays_while_the_agent_is_away(
    server: WorkloadServer, x509_source: AsyncX509Source
) -> None:
    updates = Updates(x509_source)
    before = x509_source.svid
    await server.stop()
    assert x509_source.svid is before
    await server.start()
    await updates.next()
    assert x509_source.svid is not before


async def test_bad_updates_change_nothing(server: WorkloadServer, x509_source: AsyncX509Source) -> None:
    updates = Updates(x509_source)
    before = x509_source.svid
    for bad in (b"", b"\xff\xff", pb.X509SVIDResponse(svids=[pb.X509SVID()]).SerializeToString()):
        server.send("FetchX509SVID", bad)
    server.rotate()
    await updates.next()
    assert x509_source.svid is not before
    assert not x509_source.is_closed()


async def test_a_hundred_rotations_at_once_end_at_the_last(
    server: WorkloadServer, x509_source: AsyncX509Source
) -> None:
    updates = Updates(x509_source)
    for _ in range(100):
        server.rotate()
    last = Authority()
    server.rotate(last)
    for _ in range(101):
        await updates.next()
    bundle = x509_source.get_bundle_for_trust_domain(HOME)
    assert bundle is not None
    assert bundle.x509_authorities == {last.root}


async def test_permission_denied_revokes_until_there_is_an_identity_again(
    server: WorkloadServer, x509_source: AsyncX509Source
) -> None:
    updates = Updates(x509_source)
    server.deny()
    await updates.next()
    with pytest.raises(X509SourceError, match="revoked") as caught:
        x509_source.get_x509_context()
    assert caught.value.code == "PERMISSION_DENIED"
    with pytest.raises(X509SourceError):
        x509_source.get_bundle_for_trust_domain(HOME)
    assert not x509_source.is_closed()
    server.denied = None
    await updates.next()
    assert x509_source.svid.spiffe_id.path == "/web"


async def test_a_workload_unknown_at_first_is_waited_for(server: WorkloadServer) -> None:
    server.deny()
    source = AsyncX509Source(socket_path=server.path, retry_policy=HASTY)
    starting = asyncio.create_task(source.start(PATIENCE))
    await server.until(lambda server: server.calls["FetchX509SVID"] >= 2)
    server.denied = None
    async with await starting:
        assert source.svid.spiffe_id.path == "/web"


async def test_a_slow_agent_is_waited_for(server: WorkloadServer) -> None:
    server.ready.clear()
    source = AsyncJwtSource(socket_path=server.path)
    starting = asyncio.create_task(source.start(PATIENCE))
    await server.until(lambda server: server.calls["FetchJWTBundles"] == 1)
    assert not starting.done()
    server.ready.set()
    async with await starting:
        assert source.get_bundle_for_trust_domain(HOME) is not None


async def test_a_start_without_update_fails_with_the_reason(server: WorkloadServer) -> None:
    server.deny()
    source = AsyncX509Source(socket_path=server.path, retry_policy=HASTY)
    with pytest.raises(X509SourceError, match="no identity issued") as caught:
        await source.start(0.3)
    assert caught.value.code == "PERMISSION_DENIED"
    assert source.is_closed()


async def test_a_final_refusal_closes(server: WorkloadServer, x509_source: AsyncX509Source) -> None:
    updates = Updates(x509_source)
    server.deny(grpc.StatusCode.INVALID_ARGUMENT)
    await updates.next()
    assert x509_source.is_closed()
    with pytest.raises(X509SourceError, match=r"cannot be used any more .*INVALID_ARGUMENT"):
        x509_source.get_x509_context()
    fresh = AsyncX509Source(socket_path=server.path)
    with pytest.raises(X509SourceError):
        await fresh.start(PATIENCE)


async def test_a_closed_source_gives_nothing(x509_source: AsyncX509Source) -> None:
    await x509_source.close()
    await x509_source.close()
    for read in (lambda: x509_source.svid, lambda: x509_source.bundles, x509_source.get_x509_context):
        with pytest.raises(X509SourceError, match="closed"):
            read()
    with pytest.raises(X509SourceError, match="closed"):
        await x509_source.start()


async def test_a_picker_chooses_the_identity(server: WorkloadServer) -> None:
    server.paths = ["/web", "/batch"]
    source = AsyncX509Source(socket_path=server.path, svid_picker=lambda svids: svids[-1])
    async with source:
        assert source.svid.spiffe_id.path == "/batch"
        assert source.get_x509_context().default_svid.spiffe_id.path == "/web"


async def test_a_picker_that_fails_costs_the_update_only(server: WorkloadServer) -> None:
    server.paths = ["/web", "/batch"]
    source = AsyncX509Source(socket_path=server.path, svid_picker=lambda svids: svids[1])
    async with source:
        updates = Updates(source)
        before = source.svid
        server.paths = ["/web"]
        server.rotate()
        server.paths = ["/web", "/batch"]
        server.rotate()
        await updates.next()
        assert source.svid is not before


async def test_a_subscriber_that_raises_disturbs_nobody(
    server: WorkloadServer, x509_source: AsyncX509Source
) -> None:
    def broken() -> None:
        raise RuntimeError("the subscriber's own trouble")

    x509_source.subscribe_for_updates(broken)
    updates = Updates(x509_source)
    server.rotate()
    await updates.next()
    x509_source.unsubscribe_for_updates(broken)
    x509_source.unsubscribe_for_updates(broken)


async def test_a_shared_client_is_not_closed_by_a_source(server: WorkloadServer) -> None:
    async with AsyncWorkloadApiClient(server.path, PATIENCE) as client:
        async with AsyncX509Source(client) as one, AsyncJwtSource(client) as two:
            assert one.svid
            assert two.bundles
        await client.fetch_x509_svid()


async def test_jwt_bundles_rotate_and_shrink(server: WorkloadServer, jwt_source: AsyncJwtSource) -> None:
    updates = Updates(jwt_source)
    server.federated = [Authority("partner.test")]
    server.rotate(Authority(kid="k2"))
    await updates.next()
    bundle = jwt_source.get_bundle_for_trust_domain(HOME)
    assert bundle is not None
    assert list(bundle.jwt_authorities) == ["k2"]
    assert {one.trust_domain for one in jwt_source.bundles} == {HOME, PARTNER}
    server.federated = []
    server.rotate()
    await updates.next()
    assert {one.trust_domain for one in jwt_source.bundles} == {HOME}


async def test_tokens_come_fresh_from_the_agent(server: WorkloadServer, jwt_source: AsyncJwtSource) -> None:
    svid = await jwt_source.fetch_svid({"slim"})
    assert svid.spiffe_id.path == "/web"
    assert len(await jwt_source.fetch_svids({"slim"})) == 1
    with pytest.raises(ArgumentError):
        await jwt_source.fetch_svid(set())
    server.deny()
    with pytest.raises(JwtSourceError) as caught:
        await jwt_source.fetch_svid({"slim"})
    assert caught.value.code == "PERMISSION_DENIED"
    await jwt_source.close()
    with pytest.raises(JwtSourceError, match="closed"):
        await jwt_source.fetch_svid({"slim"})


@pytest.mark.parametrize("source", [AsyncX509Source, AsyncJwtSource])
def test_an_address_is_needed(source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPIFFE_ENDPOINT_SOCKET", raising=False)
    with pytest.raises(ArgumentError) as caught:
        source()
    assert caught.value.field == "socket_path"
