"""Sources: the newest SPIFFE identity and trust of this workload, always at hand (`identity.md` 5, 7).

    waiting ──first update──> live ──PermissionDenied──> revoked ──update──> live
       └──────────────┴───────── close(), or a final refusal ────────┴─────> closed

A broken stream changes nothing: the state stays while the stream is opened again. An unusable update changes
nothing either. Reading never waits and never does I/O.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import Generic, Self, TypeVar

from identity.log import logger
from identity.spiffe.errors import JwtSourceError, WorkloadApiError, X509SourceError
from identity.spiffe.jwt_bundle import JwtBundle, JwtBundleSet
from identity.spiffe.jwt_svid import JwtSvid
from identity.spiffe.retry import RetryPolicy
from identity.spiffe.spiffe_id import SpiffeId, TrustDomain
from identity.spiffe.workload_api import AsyncWorkloadApiClient, StreamHandle
from identity.spiffe.workload_messages import X509Context
from identity.spiffe.x509_bundle import X509Bundle
from identity.spiffe.x509_svid import X509Svid

SvidPicker = Callable[[list[X509Svid]], X509Svid]

_State = TypeVar("_State")


class _Source(ABC, Generic[_State]):
    """What both sources share: one stream, the newest state, and those who want to hear of a new one."""

    _error: type[WorkloadApiError]

    def __init__(
        self,
        client: AsyncWorkloadApiClient | None,
        socket_path: str | None,
        retry_policy: RetryPolicy | None,
    ) -> None:
        self._client = client or AsyncWorkloadApiClient(socket_path)
        self._owns_client = client is None
        self._retry_policy = retry_policy
        self._state: _State | None = None
        self._why_empty = "no update has come yet"
        self._code: str | None = None
        self._complained: str | None = None
        self._closed = False
        self._stream: StreamHandle | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        self._subscribers: list[Callable[[], None]] = []

    async def start(self, timeout: float | None = None) -> Self:
        """Open the stream and wait for the first update, at most `timeout` seconds (`None`: no limit).

        An agent that is not there yet, or does not know this workload yet, is asked again until then.
        Raises X509SourceError or JwtSourceError, and the source is closed then. A started one stays as it is.
        """
        if self._stream is None and not self._closed:
            self._stream = self._open()
            self._watcher = asyncio.get_running_loop().create_task(self._watch_end(self._stream))
        try:
            async with asyncio.timeout(timeout):
                await self._settled.wait()
            self._current()
        except TimeoutError:
            why, code = self._why_empty, self._code
            await self.close()
            raise self._error(f"no first update within {timeout} s: {why}", code=code) from None
        except BaseException:
            await self.close()
            raise
        return self

    async def close(self) -> None:
        """End the stream; the connection too, unless the client was handed in. Idempotent."""
        self._end("the source is closed")
        if self._stream is not None:
            self._stream.cancel()
        if self._owns_client:
            await self._client.close()

    def is_closed(self) -> bool:
        return self._closed

    def subscribe_for_updates(self, callback: Callable[[], None]) -> None:
        """Have `callback` called in the loop after each change of the state, a revocation included."""
        self._subscribers.append(callback)

    def unsubscribe_for_updates(self, callback: Callable[[], None]) -> None:
        """Stop calling `callback`; one that is not subscribed is ignored."""
        if callback in self._subscribers:
            self._subscribers.remove(callback)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "live" if self._state is not None else self._why_empty
        return f"{type(self).__name__}({self._client.get_spiffe_endpoint_socket()!r}, {state})"

    @abstractmethod
    def _open(self) -> StreamHandle:
        """Start the stream that calls `_updated` and `_failed`."""

    def _current(self) -> _State:
        """The newest state. Raises the source's error when there is none."""
        if self._state is None:
            raise self._error(
                f"{self._client.get_spiffe_endpoint_socket()}: {self._why_empty}", code=self._code
            )
        return self._state

    def _updated(self, state: _State) -> None:
        if self._closed:
            return
        self._state = state
        self._complained = None
        self._settled.set()
        self._notify()

    def _failed(self, error: WorkloadApiError) -> None:
        # Once per reason: an agent that is away fails again with every attempt.
        if str(error) != self._complained:
            self._complained = str(error)
            logger.warning("a SPIFFE source has no news", kind=type(self).__name__, cause=str(error))
        self._why_empty, self._code = str(error), error.code
        if self._state is not None and error.code == "PERMISSION_DENIED":
            self._state, self._why_empty = None, f"the identity was revoked ({error})"
            self._notify()

    def _notify(self) -> None:
        for callback in list(self._subscribers):
            try:
                callback()
            except Exception:
                logger.exception("a subscriber of a SPIFFE source failed", kind=type(self).__name__)

    async def _watch_end(self, stream: StreamHandle) -> None:
        """A stream that ends by itself was refused for good; nothing will ever be updated again."""
        await stream.wait()
        if not self._closed:
            self._end(f"the agent cannot be used any more ({self._why_empty})")
            self._notify()

    def _end(self, why: str) -> None:
        if self._closed:
            return
        self._closed = True
        self._state, self._why_empty = None, why
        self._settled.set()


class AsyncX509Source(_Source[X509Context]):
    """The X.509 identities and bundles of this workload, kept up to date."""

    _error = X509SourceError

    def __init__(
        self,
        workload_api_client: AsyncWorkloadApiClient | None = None,
        *,
        socket_path: str | None = None,
        svid_picker: SvidPicker | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        """Nothing happens before `start()`. Raises ArgumentError.

        `svid_picker` chooses among several identities what `svid` gives; by default the agent's first.
        """
        super().__init__(workload_api_client, socket_path, retry_policy)
        self._picker = svid_picker
        self._picked: X509Svid | None = None

    @property
    def svid(self) -> X509Svid:
        """The identity to use. Raises X509SourceError when closed or revoked."""
        context = self._current()
        return self._picked or context.default_svid

    def get_x509_context(self) -> X509Context:
        """All identities and bundles. Raises X509SourceError when closed or revoked."""
        return self._current()

    @property
    def bundles(self) -> set[X509Bundle]:
        """All bundles. Raises X509SourceError when closed or revoked."""
        return self._current().x509_bundle_set.bundles

    def get_bundle_for_trust_domain(self, trust_domain: TrustDomain) -> X509Bundle | None:
        """The bundle of a domain, if it is trusted. Raises X509SourceError when closed or revoked."""
        return self._current().get_bundle_for_trust_domain(trust_domain)

    def _open(self) -> StreamHandle:
        return self._client.stream_x509_contexts(
            self._received, self._failed, retry_policy=self._retry_policy
        )

    def _received(self, context: X509Context) -> None:
        if self._picker is not None:
            try:
                picked = self._picker(context.x509_svids)
            except Exception as exc:
                self._failed(
                    X509SourceError(f"update discarded: the SVID picker raised {type(exc).__name__}")
                )
                return
            self._picked = picked
        self._updated(context)


class AsyncJwtSource(_Source[JwtBundleSet]):
    """The JWT bundles of this workload, kept up to date, and tokens on request."""

    _error = JwtSourceError

    def __init__(
        self,
        workload_api_client: AsyncWorkloadApiClient | None = None,
        *,
        socket_path: str | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        """Nothing happens before `start()`. Raises ArgumentError."""
        super().__init__(workload_api_client, socket_path, retry_policy)

    async def fetch_svid(
        self, audience: Collection[str], subject: SpiffeId | None = None, timeout: float | None = None
    ) -> JwtSvid:
        """A new token from the agent. Raises JwtSourceError or ArgumentError."""
        return (await self.fetch_svids(audience, subject, timeout))[0]

    async def fetch_svids(
        self, audience: Collection[str], subject: SpiffeId | None = None, timeout: float | None = None
    ) -> list[JwtSvid]:
        """A new token for each identity, or for `subject` only. Raises JwtSourceError or ArgumentError."""
        if self._closed:
            self._current()
        try:
            return await self._client.fetch_jwt_svids(audience, subject, timeout)
        except WorkloadApiError as exc:
            raise JwtSourceError(str(exc), code=exc.code) from exc

    def get_jwt_bundles(self) -> JwtBundleSet:
        """All bundles as a set to verify with, a copy. Raises JwtSourceError when closed or revoked."""
        return self._current().copy()

    @property
    def bundles(self) -> set[JwtBundle]:
        """All bundles. Raises JwtSourceError when closed or revoked."""
        return self._current().bundles

    def get_bundle_for_trust_domain(self, trust_domain: TrustDomain) -> JwtBundle | None:
        """The bundle of a domain, if it is trusted. Raises JwtSourceError when closed or revoked."""
        return self._current().get_bundle_for_trust_domain(trust_domain)

    def _open(self) -> StreamHandle:
        return self._client.stream_jwt_bundles(self._updated, self._failed, retry_policy=self._retry_policy)
