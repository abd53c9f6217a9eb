"""The blocking twins, driven from a thread while the server runs in the test's loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from identity.spiffe.background import background_loop, run
from identity.spiffe.blocking import JwtSource, WorkloadApiClient, X509Source
from identity.spiffe.errors import ArgumentError, FetchX509SvidError, JwtSourceError, X509SourceError
from identity.spiffe.retry import RetryPolicy
from identity.spiffe.spiffe_id import SpiffeId, TrustDomain
from tests.identity.spiffe.workload_server import PATIENCE, WorkloadServer

HOME = TrustDomain("example.org")
HASTY = RetryPolicy(base_backoff_in_seconds=0.01, max_backoff=0.05)

T = TypeVar("T")


async def in_thread(action: Callable[[], T]) -> T:
    return await asyncio.wait_for(asyncio.to_thread(action), PATIENCE)


async def test_a_client_makes_every_call(server: WorkloadServer) -> None:
    server.paths = ["/web", "/batch"]

    def calls() -> None:
        with WorkloadApiClient(server.path, PATIENCE) as client:
            assert client.fetch_x509_svid().spiffe_id == SpiffeId("spiffe://example.org/web")
            assert len(client.fetch_x509_svids()) == 2
            assert client.fetch_x509_context().default_svid.spiffe_id.path == "/web"
            assert client.fetch_x509_bundles().get_bundle_for_trust_domain(HOME) is not None
            svid = client.fetch_jwt_svid({"slim"})
            assert len(client.fetch_jwt_svids({"slim"})) == 2
            assert client.fetch_jwt_bundles().get_bundle_for_trust_domain(HOME) is not None
            assert client.validate_jwt_svid(svid.token, "slim") == svid
            assert client.get_spiffe_endpoint_socket() == f"unix:{server.path}"
        with pytest.raises(FetchX509SvidError, match="closed"):
            client.fetch_x509_svid()

    await in_thread(calls)


async def test_streams_call_back_from_a_thread_that_may_call_again(server: WorkloadServer) -> None:
    seen: list[Any] = []
    errors: list[Exception] = []
    got, failed = threading.Semaphore(0), threading.Semaphore(0)

    def follow() -> None:
        with WorkloadApiClient(server.path, PATIENCE) as client:

            def updated(update: Any) -> None:
                client.fetch_x509_svid()
                seen.append(update)
                got.release()

            def broken(error: Exception) -> None:
                errors.append(error)
                failed.release()

            handlers = [
                client.stream_x509_contexts(updated, broken, retry_policy=HASTY),
                client.stream_jwt_bundles(updated, broken, retry_policy=HASTY),
            ]
            assert all(got.acquire(timeout=PATIENCE) for _ in handlers)
            loop.call_soon_threadsafe(server.disconnect)
            assert all(failed.acquire(timeout=PATIENCE) for _ in handlers)
            for handler in handlers:
                assert not handler.is_cancelled()
                handler.cancel()
                handler.cancel()
                assert handler.is_cancelled()
                assert handler.wait_cancelled(PATIENCE)

    loop = asyncio.get_running_loop()
    await in_thread(follow)
    assert len(seen) >= 2


async def test_an_x509_source_is_ready_when_it_is_made(server: WorkloadServer) -> None:
    changed = threading.Event()

    def use() -> None:
        with X509Source(socket_path=server.path, timeout_in_seconds=PATIENCE) as source:
            before = source.svid
            assert source.get_x509_context().default_svid == before
            assert source.bundles == {source.get_bundle_for_trust_domain(HOME)}
            source.subscribe_for_updates(changed.set)
            loop.call_soon_threadsafe(server.rotate)
            assert changed.wait(PATIENCE)
            assert source.svid != before
            source.unsubscribe_for_updates(changed.set)
            source.unsubscribe_for_updates(changed.set)
            assert not source.is_closed()
        assert source.is_closed()
        with pytest.raises(X509SourceError):
            source.get_x509_context()

    loop = asyncio.get_running_loop()
    await in_thread(use)


async def test_a_jwt_source_gives_tokens_and_bundles(server: WorkloadServer) -> None:
    def use() -> None:
        with (
            WorkloadApiClient(server.path, PATIENCE) as client,
            JwtSource(client, timeout_in_seconds=PATIENCE) as source,
        ):
            assert source.fetch_svid({"slim"}).spiffe_id.path == "/web"
            assert len(source.fetch_svids({"slim"})) == 1
            assert source.bundles == {source.get_bundle_for_trust_domain(HOME)}
            source.close()
            with pytest.raises(JwtSourceError):
                source.fetch_svid({"slim"})
            assert client.fetch_x509_svid()

    await in_thread(use)


async def test_a_source_without_update_gives_up(server: WorkloadServer) -> None:
    server.deny()
    with pytest.raises(X509SourceError, match="no identity issued"):
        await in_thread(lambda: X509Source(socket_path=server.path, timeout_in_seconds=0.2))
    with pytest.raises(JwtSourceError):
        await in_thread(lambda: JwtSource(socket_path=server.path, timeout_in_seconds=0.2))


async def test_a_slow_subscriber_is_called_once_for_what_it_missed(server: WorkloadServer) -> None:
    entered, leave, calls = threading.Semaphore(0), threading.Event(), []

    def slow() -> None:
        calls.append(None)
        entered.release()
        leave.wait(PATIENCE)

    def use() -> None:
        with X509Source(socket_path=server.path, timeout_in_seconds=PATIENCE) as source:
            noticed = threading.Semaphore(0)
            source.subscribe_for_updates(slow)
            source.asynchronous.subscribe_for_updates(noticed.release)
            for _ in range(5):
                loop.call_soon_threadsafe(server.rotate)
                assert noticed.acquire(timeout=PATIENCE)
            leave.set()
            assert entered.acquire(timeout=PATIENCE)
            assert entered.acquire(timeout=PATIENCE)

    loop = asyncio.get_running_loop()
    await in_thread(use)
    assert len(calls) == 2


def test_a_blocking_call_in_the_background_loop_is_refused() -> None:
    async def inside() -> None:
        run(asyncio.sleep(0))

    with pytest.raises(ArgumentError, match="wait for itself"):
        run(inside())


def test_there_is_one_background_loop() -> None:
    assert background_loop() is background_loop()


def test_a_source_needs_a_client_of_this_module() -> None:
    with pytest.raises(ArgumentError) as caught:
        X509Source(object())  # type: ignore[arg-type]
    assert caught.value.field == "workload_api_client"
