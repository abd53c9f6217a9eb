"""The Workload API client against a server on a unix socket."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import grpc
import pytest

from identity.spiffe.errors import (
    ArgumentError,
    FetchJwtBundleError,
    FetchJwtSvidError,
    FetchX509BundleError,
    FetchX509SvidError,
    ValidateJwtSvidError,
    WorkloadApiError,
)
from identity.spiffe.proto import workload_pb2 as pb
from identity.spiffe.retry import RetryPolicy
from identity.spiffe.spiffe_id import SpiffeId, TrustDomain
from identity.spiffe.workload_api import METADATA, AsyncWorkloadApiClient
from identity.spiffe.workload_messages import X509Context
from tests.identity.spiffe.trust import Authority
from tests.identity.spiffe.workload_server import PATIENCE, WorkloadServer

HASTY = RetryPolicy(base_backoff_in_seconds=0.01, max_backoff=0.05)
HOME = TrustDomain("example.org")


@pytest.fixture
async def client(server: WorkloadServer) -> Any:
    async with AsyncWorkloadApiClient(server.path, default_timeout=PATIENCE) as client:
        yield client


class Heard:
    """Collects what a stream says."""

    def __init__(self) -> None:
        self.updates: asyncio.Queue[Any] = asyncio.Queue()
        self.errors: asyncio.Queue[WorkloadApiError] = asyncio.Queue()

    async def update(self) -> Any:
        return await asyncio.wait_for(self.updates.get(), PATIENCE)

    async def error(self) -> WorkloadApiError:
        return await asyncio.wait_for(self.errors.get(), PATIENCE)


def follow(client: AsyncWorkloadApiClient, **options: Any) -> tuple[Any, Heard]:
    heard = Heard()
    handle = client.stream_x509_contexts(heard.updates.put, heard.errors.put, **options)
    return handle, heard


async def test_fetches_x509_identities_and_bundles(
    server: WorkloadServer, client: AsyncWorkloadApiClient
) -> None:
    server.paths = ["/web", "/batch"]
    server.federated = [Authority("partner.test")]
    context = await client.fetch_x509_context()
    assert [str(svid.spiffe_id) for svid in context.x509_svids] == [
        "spiffe://example.org/web",
        "spiffe://example.org/batch",
    ]
    assert context.default_svid.spiffe_id == SpiffeId("spiffe://example.org/web")
    assert (await client.fetch_x509_svid()).spiffe_id == context.default_svid.spiffe_id
    assert len(await client.fetch_x509_svids()) == 2
    assert {bundle.trust_domain.name for bundle in (await client.fetch_x509_bundles()).bundles} == {
        "example.org",
        "partner.test",
    }
    assert context.x509_bundle_set == await client.fetch_x509_bundles()


async def test_fetches_tokens_and_their_bundles(
    server: WorkloadServer, client: AsyncWorkloadApiClient
) -> None:
    server.paths = ["/web", "/batch"]
    svid = await client.fetch_jwt_svid({"slim"})
    assert (str(svid.spiffe_id), svid.audience) == ("spiffe://example.org/web", {"slim"})
    batch = SpiffeId("spiffe://example.org/batch")
    assert (await client.fetch_jwt_svid({"slim"}, subject=batch)).spiffe_id == batch
    assert len(await client.fetch_jwt_svids({"slim"})) == 2
    bundle = (await client.fetch_jwt_bundles()).get_bundle_for_trust_domain(HOME)
    assert bundle is not None
    assert list(bundle.jwt_authorities) == ["k1"]
    validated = await client.validate_jwt_svid(svid.token, "slim")
    assert validated == svid


async def test_of_equal_hints_the_first_counts(
    server: WorkloadServer, client: AsyncWorkloadApiClient
) -> None:
    server.paths = ["/a", "/b", "/c", "/d"]
    server.hints = {"/a": "internal", "/b": "internal"}
    svids = await client.fetch_x509_svids()
    assert [(svid.spiffe_id.path, svid.hint) for svid in svids] == [
        ("/a", "internal"),
        ("/c", ""),
        ("/d", ""),
    ]


async def test_a_refused_token_is_an_error_that_does_not_show_it(
    server: WorkloadServer, client: AsyncWorkloadApiClient
) -> None:
    token = Authority().token()
    with pytest.raises(ValidateJwtSvidError) as caught:
        await client.validate_jwt_svid(token, "slim")
    assert caught.value.code == "INVALID_ARGUMENT"
    assert token not in str(caught.value)


@pytest.mark.parametrize("code", [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.CANCELLED])
async def test_each_refused_call_has_its_error(
    server: WorkloadServer, client: AsyncWorkloadApiClient, code: grpc.StatusCode
) -> None:
    server.deny(code)
    calls = {
        FetchX509SvidError: client.fetch_x509_context(),
        FetchX509BundleError: client.fetch_x509_bundles(),
        FetchJwtSvidError: client.fetch_jwt_svid({"slim"}),
        FetchJwtBundleError: client.fetch_jwt_bundles(),
        ValidateJwtSvidError: client.validate_jwt_svid("a.b.c", "slim"),
    }
    for error, call in calls.items():
        with pytest.raises(error) as caught:
            await call
        assert caught.value.code == code.name


async def test_arguments_are_checked_before_anything_is_sent(
    server: WorkloadServer, client: AsyncWorkloadApiClient
) -> None:
    for call in (
        client.fetch_jwt_svid(set()),
        client.fetch_jwt_svid("slim"),
        client.validate_jwt_svid("", "slim"),
        client.validate_jwt_svid("a.b.c", ""),
        client.fetch_x509_svid(timeout=0),
    ):
        with pytest.raises(ArgumentError):
            await call
    assert not server.calls


async def test_a_slow_agent_runs_into_the_time_limit(
    server: WorkloadServer, client: AsyncWorkloadApiClient
) -> None:
    server.ready.clear()
    with pytest.raises(FetchX509SvidError) as caught:
        await client.fetch_x509_svid(timeout=0.2)
    assert caught.value.code == "DEADLINE_EXCEEDED"
    with pytest.raises(FetchJwtSvidError) as caught_jwt:
        await client.fetch_jwt_svid({"slim"}, timeout=0.2)
    assert caught_jwt.value.code == "DEADLINE_EXCEEDED"


async def test_no_agent_is_unavailable_and_found_once_it_is_there(server: WorkloadServer) -> None:
    await server.stop()
    async with AsyncWorkloadApiClient(f"unix://{server.path}", PATIENCE) as client:
        with pytest.raises(FetchX509SvidError) as caught:
            await client.fetch_x509_svid()
        assert caught.value.code == "UNAVAILABLE"
        handle, heard = follow(client, retry_policy=HASTY)
        assert (await heard.error()).code == "UNAVAILABLE"
        await server.start()
        assert isinstance(await heard.update(), X509Context)
        handle.cancel()
        await handle.wait()
        assert handle.is_cancelled()


async def test_a_cancelled_call_leaves_no_stream_behind(
    server: WorkloadServer, client: AsyncWorkloadApiClient
) -> None:
    server.ready.clear()
    call = asyncio.create_task(client.fetch_x509_svid())
    await server.until(lambda server: server.calls["FetchX509SVID"] == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_the_header_is_what_the_server_demands(server: WorkloadServer) -> None:
    async with grpc.aio.insecure_channel(f"unix:{server.path}") as channel:
        call = channel.unary_unary("/SpiffeWorkloadAPI/FetchJWTSVID")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"")
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", metadata=(("workload.spiffe.io", "True"),))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert METADATA == (("workload.spiffe.io", "true"),)


# Streams


async def test_a_stream_hears_each_state(server: WorkloadServer, client: AsyncWorkloadApiClient) -> None:
    _, heard = follow(client)
    first = await heard.update()
    server.rotate()
    second = await heard.update()
    assert first.default_svid.leaf != second.default_svid.leaf
    server.rotate(Authority())
    third = await heard.update()
    assert third.x509_bundle_set != second.x509_bundle_set
    assert heard.errors.empty()


def empty_field(name: str) -> bytes:
    message = Authority().x509_message()
    message.ClearField(name)
    return pb.X509SVIDResponse(svids=[message]).SerializeToString()


def with_field(name: str, value: Any) -> bytes:
    message = Authority().x509_message()
    setattr(message, name, value)
    return pb.X509SVIDResponse(svids=[message]).SerializeToString()


BAD_UPDATES = {
    "garbage": b"\xff\xff\xff\xff",
    "no-svid": b"",
    "empty-id": empty_field("spiffe_id"),
    "empty-chain": empty_field("x509_svid"),
    "empty-key": empty_field("x509_svid_key"),
    "empty-bundle": empty_field("bundle"),
    "other-id": with_field("spiffe_id", "spiffe://example.org/other"),
    "other-key": with_field("x509_svid_key", Authority().x509_message().x509_svid_key),
    "garbage-chain": with_field("x509_svid", b"\x30\x82\xff\xff"),
    "garbage-bundle": with_field("bundle", b"nothing"),
    "many-svids": pb.X509SVIDResponse(svids=[Authority().x509_message()] * 65).SerializeToString(),
    "many-domains": pb.X509SVIDResponse(
        svids=[Authority().x509_message()],
        federated_bundles={f"spiffe://d{n}": Authority().root_der for n in range(257)},
    ).SerializeToString(),
    "domain-twice": pb.X509SVIDResponse(
        svids=[Authority().x509_message()],
        federated_bundles={"spiffe://partner.test": b"", "partner.test": b""},
    ).SerializeToString(),
    "domain-is-no-name": pb.X509SVIDResponse(
        svids=[Authority().x509_message()], federated_bundles={"Partner Test": b""}
    ).SerializeToString(),
}


@pytest.mark.parametrize("message", BAD_UPDATES.values(), ids=BAD_UPDATES)
async def test_a_bad_update_is_reported_and_the_stream_goes_on(
    server: WorkloadServer, client: AsyncWorkloadApiClient, message: bytes
) -> None:
    _, heard = follow(client)
    await heard.update()
    server.send("FetchX509SVID", message)
    error = await heard.error()
    assert (type(error), error.code) == (FetchX509SvidError, None)
    server.rotate()
    await heard.update()
    assert server.calls["FetchX509SVID"] == 1


async def test_a_message_over_the_limit_costs_the_stream_only(
    server: WorkloadServer, client: AsyncWorkloadApiClient
) -> None:
    _, heard = follow(client, retry_policy=HASTY)
    await heard.update()
    server.send("FetchX509SVID", bytes(5 * 1024 * 1024))
    assert (await heard.error()).code == "RESOURCE_EXHAUSTED"
    await heard.update()


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, None])
async def test_an_ended_stream_is_opened_again(
    server: WorkloadServer, client: AsyncWorkloadApiClient, code: grpc.StatusCode | None
) -> None:
    _, heard = follow(client, retry_policy=HASTY)
    await heard.update()
    server.disconnect(code)
    await heard.update()
    assert server.calls["FetchX509SVID"] == 2
    if code is not None:
        assert (await heard.error()).code == code.name


async def test_an_agent_that_restarts_is_found_again(
    server: WorkloadServer, client: AsyncWorkloadApiClient
) -> None:
    _, heard = follow(client, retry_policy=HASTY)
    await heard.update()
    await server.stop()
    await heard.error()
    await server.start()
    await heard.update()


async def test_a_final_refusal_ends_the_stream(
    server: WorkloadServer, client: AsyncWorkloadApiClient
) -> None:
    handle, heard = follow(client, retry_policy=HASTY)
    await heard.update()
    server.deny(grpc.StatusCode.INVALID_ARGUMENT)
    assert (await heard.error()).code == "INVALID_ARGUMENT"
    await asyncio.wait_for(handle.wait(), PATIENCE)
    assert not handle.is_cancelled()


async def test_without_retry_a_stream_ends_with_its_connection(
    server: WorkloadServer, client: AsyncWorkloadApiClient
) -> None:
    handle, heard = follow(client, retry_connect=False)
    await heard.update()
    server.disconnect()
    await heard.error()
    await asyncio.wait_for(handle.wait(), PATIENCE)
    assert server.calls["FetchX509SVID"] == 1


async def test_retries_end_at_their_limit(server: WorkloadServer, client: AsyncWorkloadApiClient) -> None:
    server.deny()
    policy = RetryPolicy(max_retries=2, base_backoff_in_seconds=0.01, max_backoff=0.01)
    handle, _ = follow(client, retry_policy=policy)
    await asyncio.wait_for(handle.wait(), PATIENCE)
    assert server.calls["FetchX509SVID"] == 3


async def test_a_callback_that_raises_does_not_end_the_stream(
    server: WorkloadServer, client: AsyncWorkloadApiClient
) -> None:
    heard = Heard()

    async def fail_once(context: X509Context) -> None:
        await heard.updates.put(context)
        if heard.updates.qsize() == 1:
            raise RuntimeError("the callback's own trouble")

    client.stream_x509_contexts(fail_once, heard.errors.put)
    await server.until(lambda server: server.open_streams("FetchX509SVID") == 1)
    server.rotate()
    await heard.update()
    await heard.update()


async def test_jwt_bundles_are_streamed_too(server: WorkloadServer, client: AsyncWorkloadApiClient) -> None:
    heard = Heard()
    handle = client.stream_jwt_bundles(heard.updates.put, heard.errors.put)
    assert (await heard.update()).get_bundle_for_trust_domain(HOME) is not None
    for bad in (b"", pb.JWTBundlesResponse(bundles={"spiffe://example.org": b"{"}).SerializeToString()):
        server.send("FetchJWTBundles", bad)
        assert isinstance(await heard.error(), FetchJwtBundleError)
    revoked = pb.JWTBundlesResponse(bundles={"spiffe://example.org": b'{"keys": []}'})
    server.send("FetchJWTBundles", revoked.SerializeToString())
    bundle = (await heard.update()).get_bundle_for_trust_domain(HOME)
    assert not bundle.jwt_authorities
    handle.cancel()


async def test_closing_ends_everything(server: WorkloadServer) -> None:
    client = AsyncWorkloadApiClient(server.path)
    handle, heard = follow(client)
    await heard.update()
    await client.close()
    await client.close()
    assert handle.is_cancelled()
    with pytest.raises(FetchX509SvidError, match="closed"):
        await client.fetch_x509_svid()


async def test_an_agent_of_another_user_is_refused(server: WorkloadServer) -> None:
    async with AsyncWorkloadApiClient(server.path, PATIENCE, agent_uid=os.getuid()) as client:
        await client.fetch_x509_svid()
    async with AsyncWorkloadApiClient(server.path, PATIENCE, agent_uid=os.getuid() + 1) as client:
        with pytest.raises(FetchX509SvidError) as caught:
            await client.fetch_x509_svid()
        assert caught.value.code == "UNTRUSTED_AGENT"
        _, heard = follow(client, retry_policy=HASTY)
        for _ in range(2):
            assert (await heard.error()).code == "UNTRUSTED_AGENT"
    assert server.calls["FetchX509SVID"] == 1
    with pytest.raises(ArgumentError) as unusable:
        AsyncWorkloadApiClient("tcp://127.0.0.1:1", agent_uid=0)
    assert unusable.value.field == "agent_uid"
