"""Twins of the asynchronous client and sources for threads, under the published names (`identity.md` 7).

Each drives its asynchronous twin on the background loop; nothing is decided here. Callbacks run in worker
threads and may call the client or source again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection
from typing import Generic, Self, TypeVar

from identity.log import logger
from identity.spiffe.background import background_loop, run
from identity.spiffe.errors import ArgumentError, WorkloadApiError
from identity.spiffe.jwt_bundle import JwtBundle, JwtBundleSet
from identity.spiffe.jwt_svid import JwtSvid
from identity.spiffe.retry import RetryPolicy
from identity.spiffe.sources import AsyncJwtSource, AsyncX509Source, SvidPicker
from identity.spiffe.spiffe_id import SpiffeId, TrustDomain
from identity.spiffe.workload_api import AsyncWorkloadApiClient, Callback, StreamHandle
from identity.spiffe.workload_messages import X509Context
from identity.spiffe.x509_bundle import X509Bundle, X509BundleSet
from identity.spiffe.x509_svid import X509Svid

_T = TypeVar("_T")
_Source = TypeVar("_Source", bound=AsyncX509Source | AsyncJwtSource)


class StreamCancelHandler:
    """Ends a stream from any thread."""

    def __init__(self, handle: StreamHandle) -> None:
        self._handle = handle
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """End the stream. A callback that runs in its thread is not interrupted. Idempotent."""
        self._cancelled.set()
        background_loop().call_soon_threadsafe(self._handle.cancel)

    def is_cancelled(self) -> bool:
        return self._cancelled.is_set()

    def wait_cancelled(self, timeout: float | None = None) -> bool:
        """Wait until `cancel` is called, at most `timeout` seconds; whether it was."""
        return self._cancelled.wait(timeout)


class WorkloadApiClient:
    """The Workload API for threads. A context manager."""

    def __init__(
        self,
        socket_path: str | None = None,
        default_timeout: float | None = None,
        *,
        agent_uid: int | None = None,
    ) -> None:
        """As `AsyncWorkloadApiClient`. Raises ArgumentError."""
        self.asynchronous = AsyncWorkloadApiClient(socket_path, default_timeout, agent_uid=agent_uid)

    def fetch_x509_svid(self, timeout: float | None = None) -> X509Svid:
        """The default X.509 SVID. Raises FetchX509SvidError."""
        return run(self.asynchronous.fetch_x509_svid(timeout))

    def fetch_x509_svids(self, timeout: float | None = None) -> list[X509Svid]:
        """All X.509 SVIDs, the default first. Raises FetchX509SvidError."""
        return run(self.asynchronous.fetch_x509_svids(timeout))

    def fetch_x509_context(self, timeout: float | None = None) -> X509Context:
        """All X.509 SVIDs and bundles. Raises FetchX509SvidError."""
        return run(self.asynchronous.fetch_x509_context(timeout))

    def fetch_x509_bundles(self, timeout: float | None = None) -> X509BundleSet:
        """The X.509 bundles of the own and all federated domains. Raises FetchX509BundleError."""
        return run(self.asynchronous.fetch_x509_bundles(timeout))

    def fetch_jwt_svid(
        self, audience: Collection[str], subject: SpiffeId | None = None, timeout: float | None = None
    ) -> JwtSvid:
        """A token for `audience`. Raises FetchJwtSvidError or ArgumentError."""
        return run(self.asynchronous.fetch_jwt_svid(audience, subject, timeout))

    def fetch_jwt_svids(
        self, audience: Collection[str], subject: SpiffeId | None = None, timeout: float | None = None
    ) -> list[JwtSvid]:
        """A token for `audience` for each identity. Raises FetchJwtSvidError or ArgumentError."""
        return run(self.asynchronous.fetch_jwt_svids(audience, subject, timeout))

    def fetch_jwt_bundles(self, timeout: float | None = None) -> JwtBundleSet:
        """The JWT bundles of the own and all federated domains. Raises FetchJwtBundleError."""
        return run(self.asynchronous.fetch_jwt_bundles(timeout))

    def validate_jwt_svid(self, token: str, audience: str, timeout: float | None = None) -> JwtSvid:
        """Let the agent check a token. Raises ValidateJwtSvidError or ArgumentError."""
        return run(self.asynchronous.validate_jwt_svid(token, audience, timeout))

    def stream_x509_contexts(
        self,
        on_success: Callable[[X509Context], None],
        on_error: Callable[[WorkloadApiError], None],
        retry_connect: bool = True,
        retry_policy: RetryPolicy | None = None,
    ) -> StreamCancelHandler:
        """Call `on_success` with each new state until cancelled, `on_error` with each failure."""
        return run(
            self._stream(
                self.asynchronous.stream_x509_contexts, on_success, on_error, retry_connect, retry_policy
            )
        )

    def stream_jwt_bundles(
        self,
        on_success: Callable[[JwtBundleSet], None],
        on_error: Callable[[WorkloadApiError], None],
        retry_connect: bool = True,
        retry_policy: RetryPolicy | None = None,
    ) -> StreamCancelHandler:
        """As `stream_x509_contexts`, for JWT bundles."""
        return run(
            self._stream(
                self.asynchronous.stream_jwt_bundles, on_success, on_error, retry_connect, retry_policy
            )
        )

    def get_spiffe_endpoint_socket(self) -> str:
        """The address of the agent, a URI."""
        return self.asynchronous.get_spiffe_endpoint_socket()

    def close(self) -> None:
        """End all streams and the connection. Idempotent."""
        run(self.asynchronous.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def _stream(
        self,
        start: Callable[[Callback[_T], Callback[WorkloadApiError], bool, RetryPolicy | None], StreamHandle],
        on_success: Callable[[_T], None],
        on_error: Callable[[WorkloadApiError], None],
        retry_connect: bool,
        retry_policy: RetryPolicy | None,
    ) -> StreamCancelHandler:
        async def succeeded(update: _T) -> None:
            await asyncio.to_thread(on_success, update)

        async def failed(error: WorkloadApiError) -> None:
            await asyncio.to_thread(on_error, error)

        return StreamCancelHandler(start(succeeded, failed, retry_connect, retry_policy))


class _Subscriptions:
    """Calls subscribers in worker threads. One that is still busy is called once more afterwards, not once
    for each update it missed, so nothing piles up behind a slow one.
    """

    def __init__(self) -> None:
        self._wrapped: dict[Callable[[], None], Callable[[], None]] = {}

    def wrap(self, callback: Callable[[], None]) -> Callable[[], None]:
        """What the asynchronous source is to call, in the background loop, for `callback`."""
        pending = running = False

        def updated() -> None:
            nonlocal pending, running
            pending = True
            if not running:
                running = True
                background_loop().run_in_executor(None, work)

        def work() -> None:
            nonlocal pending, running
            while pending:
                pending = False
                try:
                    callback()
                except Exception:
                    logger.exception("a subscriber of a SPIFFE source failed")
            # The loop thread may have set `pending` since the test: it looks again where both are written.
            background_loop().call_soon_threadsafe(finished)

        def finished() -> None:
            nonlocal running
            running = False
            if pending:
                updated()

        self._wrapped[callback] = updated
        return updated

    def unwrap(self, callback: Callable[[], None]) -> Callable[[], None] | None:
        return self._wrapped.pop(callback, None)


class _Twin(Generic[_Source]):
    """What both blocking sources share."""

    def __init__(self, asynchronous: _Source, timeout: float | None) -> None:
        self.asynchronous = asynchronous
        self._subscriptions = _Subscriptions()
        run(asynchronous.start(timeout))

    def subscribe_for_updates(self, callback: Callable[[], None]) -> None:
        """Have `callback` called in a worker thread after changes, a revocation included."""
        self.asynchronous.subscribe_for_updates(self._subscriptions.wrap(callback))

    def unsubscribe_for_updates(self, callback: Callable[[], None]) -> None:
        """Stop calling `callback`."""
        if (wrapped := self._subscriptions.unwrap(callback)) is not None:
            self.asynchronous.unsubscribe_for_updates(wrapped)

    def is_closed(self) -> bool:
        return self.asynchronous.is_closed()

    def close(self) -> None:
        """End the updates. Idempotent."""
        run(self.asynchronous.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class X509Source(_Twin[AsyncX509Source]):
    """The X.509 identities and bundles of this workload, kept up to date. A context manager."""

    def __init__(
        self,
        workload_api_client: WorkloadApiClient | None = None,
        socket_path: str | None = None,
        timeout_in_seconds: float | None = None,
        svid_picker: SvidPicker | None = None,
    ) -> None:
        """Wait for the first update, at most `timeout_in_seconds` (`None`: no limit).

        Raises X509SourceError or ArgumentError.
        """
        client = _client_of(workload_api_client)
        source = AsyncX509Source(client, socket_path=socket_path, svid_picker=svid_picker)
        super().__init__(source, timeout_in_seconds)

    @property
    def svid(self) -> X509Svid:
        """The identity that the picker chose, else the default. `get_x509_context()` gives all of them."""
        return self.asynchronous.svid

    def get_x509_context(self) -> X509Context:
        """All identities and bundles. Raises X509SourceError when closed or revoked."""
        return self.asynchronous.get_x509_context()

    @property
    def bundles(self) -> set[X509Bundle]:
        """All bundles. Raises X509SourceError when closed or revoked."""
        return self.asynchronous.bundles

    def get_bundle_for_trust_domain(self, trust_domain: TrustDomain) -> X509Bundle | None:
        """The bundle of a domain, if it is trusted. Raises X509SourceError when closed or revoked."""
        return self.asynchronous.get_bundle_for_trust_domain(trust_domain)


class JwtSource(_Twin[AsyncJwtSource]):
    """The JWT bundles of this workload, kept up to date, and tokens on request. A context manager."""

    def __init__(
        self,
        workload_api_client: WorkloadApiClient | None = None,
        socket_path: str | None = None,
        timeout_in_seconds: float | None = None,
    ) -> None:
        """Wait for the first update, at most `timeout_in_seconds` (`None`: no limit).

        Raises JwtSourceError or ArgumentError.
        """
        client = _client_of(workload_api_client)
        super().__init__(AsyncJwtSource(client, socket_path=socket_path), timeout_in_seconds)

    def fetch_svid(
        self, audience: Collection[str], subject: SpiffeId | None = None, timeout: float | None = None
    ) -> JwtSvid:
        """A new token from the agent. Raises JwtSourceError or ArgumentError."""
        return run(self.asynchronous.fetch_svid(audience, subject, timeout))

    def fetch_svids(
        self, audiences: Collection[str], subject: SpiffeId | None = None, timeout: float | None = None
    ) -> list[JwtSvid]:
        """A new token for each identity. Raises JwtSourceError or ArgumentError."""
        return run(self.asynchronous.fetch_svids(audiences, subject, timeout))

    @property
    def bundles(self) -> set[JwtBundle]:
        """All bundles. Raises JwtSourceError when closed or revoked."""
        return self.asynchronous.bundles

    def get_bundle_for_trust_domain(self, trust_domain: TrustDomain) -> JwtBundle | None:
        """The bundle of a domain, if it is trusted. Raises JwtSourceError when closed or revoked."""
        return self.asynchronous.get_bundle_for_trust_domain(trust_domain)


def _client_of(client: WorkloadApiClient | None) -> AsyncWorkloadApiClient | None:
    if client is not None and not isinstance(client, WorkloadApiClient):
        raise ArgumentError("workload_api_client is a WorkloadApiClient", field="workload_api_client")
    return client.asynchronous if client is not None else None
