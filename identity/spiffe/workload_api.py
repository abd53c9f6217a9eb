"""The client of the SPIFFE Workload API on asyncio (`identity.md` 5, 7).

What messages mean is decided in `workload_messages`, when to come back in `retry`; this module dials. All
objects here belong to the event loop they are first used in; `blocking` has their twins for threads.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from google.protobuf.message import DecodeError, Message

from identity.log import logger
from identity.spiffe.endpoint import (
    can_check_socket_owner,
    check_socket_owner,
    find_endpoint,
    warn_about_open_socket,
)
from identity.spiffe.errors import (
    ArgumentError,
    FetchJwtBundleError,
    FetchJwtSvidError,
    FetchX509BundleError,
    FetchX509SvidError,
    ValidateJwtSvidError,
    WorkloadApiError,
)
from identity.spiffe.jwt_bundle import JwtBundleSet
from identity.spiffe.jwt_svid import JwtSvid
from identity.spiffe.proto import workload_pb2 as pb
from identity.spiffe.retry import Reconnect, RetryPolicy
from identity.spiffe.spiffe_id import SpiffeId
from identity.spiffe.workload_messages import (
    X509Context,
    jwt_bundle_set,
    jwt_svids,
    validated_jwt_svid,
    x509_bundle_set,
    x509_context,
)
from identity.spiffe.x509_bundle import X509BundleSet
from identity.spiffe.x509_svid import X509Svid

if TYPE_CHECKING:
    import grpc

SERVICE = "/SpiffeWorkloadAPI/"
METADATA = (("workload.spiffe.io", "true"),)
"""Proves that a call is meant for this API: a server-side request forgery could not add it."""

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_DETAILS = 300

_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # An agent is on this host: never through a proxy, and it is back within moments after a restart.
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),
    # Some versions would send the socket's path, which servers in Go refuse.
    ("grpc.default_authority", "localhost"),
)

_T = TypeVar("_T")
Callback = Callable[[_T], Awaitable[None] | None]


@dataclass(frozen=True, slots=True)
class _Method(Generic[_T]):
    """One method of the service: how to ask, how to read the answer, and which error tells of failure."""

    name: str
    response: type[Message]
    decode: Callable[[Any], _T]
    error: type[WorkloadApiError]


_X509_CONTEXT = _Method("FetchX509SVID", pb.X509SVIDResponse, x509_context, FetchX509SvidError)
_X509_BUNDLES = _Method("FetchX509Bundles", pb.X509BundlesResponse, x509_bundle_set, FetchX509BundleError)
_JWT_BUNDLES = _Method("FetchJWTBundles", pb.JWTBundlesResponse, jwt_bundle_set, FetchJwtBundleError)


class StreamHandle:
    """A running stream. It ends by `cancel()`, or by itself when trying again makes no sense."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def cancel(self) -> None:
        """End the stream. Callbacks that run are cancelled too. Idempotent."""
        self._task.cancel()

    def is_cancelled(self) -> bool:
        """Whether the stream was told to end."""
        return self._task.cancelled() or self._task.cancelling() > 0

    async def wait(self) -> None:
        """Wait until the stream has ended."""
        await asyncio.wait([self._task])


class AsyncWorkloadApiClient:
    """Talks to the agent of this host. The first call connects; a lost connection comes back by itself."""

    def __init__(
        self,
        socket_path: str | None = None,
        default_timeout: float | None = None,
        *,
        agent_uid: int | None = None,
    ) -> None:
        """Nothing is dialled here, and the socket need not exist yet.

        `socket_path` is a path, a `unix:` or a `tcp:` address, by default `$SPIFFE_ENDPOINT_SOCKET`;
        `default_timeout` (seconds, `None`: no limit) holds for every call without its own. With `agent_uid`
        the agent's process must run as that user. Raises ArgumentError.
        """
        self._endpoint = find_endpoint(socket_path)
        self._default_timeout = _positive(default_timeout, "default_timeout")
        if agent_uid is not None and (self._endpoint.path is None or not can_check_socket_owner()):
            raise ArgumentError("agent_uid can be checked on unix sockets of Linux only", field="agent_uid")
        self._agent_uid = agent_uid
        self._channel: grpc.aio.Channel | None = None
        self._streams: set[asyncio.Task[None]] = set()
        self._closed = False

    async def fetch_x509_svid(self, timeout: float | None = None) -> X509Svid:
        """The default X.509 SVID. Raises FetchX509SvidError."""
        return (await self.fetch_x509_context(timeout)).default_svid

    async def fetch_x509_svids(self, timeout: float | None = None) -> list[X509Svid]:
        """All X.509 SVIDs, the default first. Raises FetchX509SvidError."""
        return (await self.fetch_x509_context(timeout)).x509_svids

    async def fetch_x509_context(self, timeout: float | None = None) -> X509Context:
        """All X.509 SVIDs and bundles. Raises FetchX509SvidError."""
        return await self._first(_X509_CONTEXT, pb.X509SVIDRequest(), timeout)

    async def fetch_x509_bundles(self, timeout: float | None = None) -> X509BundleSet:
        """The X.509 bundles of the own and all federated domains. Raises FetchX509BundleError."""
        return await self._first(_X509_BUNDLES, pb.X509BundlesRequest(), timeout)

    async def fetch_jwt_bundles(self, timeout: float | None = None) -> JwtBundleSet:
        """The JWT bundles of the own and all federated domains. Raises FetchJwtBundleError."""
        return await self._first(_JWT_BUNDLES, pb.JWTBundlesRequest(), timeout)

    async def fetch_jwt_svid(
        self, audience: Collection[str], subject: SpiffeId | None = None, timeout: float | None = None
    ) -> JwtSvid:
        """A token for `audience`, of `subject` or else the default identity.

        Raises FetchJwtSvidError or ArgumentError.
        """
        return (await self.fetch_jwt_svids(audience, subject, timeout))[0]

    async def fetch_jwt_svids(
        self, audience: Collection[str], subject: SpiffeId | None = None, timeout: float | None = None
    ) -> list[JwtSvid]:
        """A token for `audience` for each identity, or for `subject` only.

        Raises FetchJwtSvidError or ArgumentError.
        """
        wanted = _audiences(audience)
        request = pb.JWTSVIDRequest(audience=wanted, spiffe_id=str(subject or ""))
        answers: _Method[list[JwtSvid]] = _Method(
            "FetchJWTSVID",
            pb.JWTSVIDResponse,
            lambda response: jwt_svids(response, wanted, subject, time.time()),
            FetchJwtSvidError,
        )
        return await self._ask(answers, request, timeout)

    async def validate_jwt_svid(self, token: str, audience: str, timeout: float | None = None) -> JwtSvid:
        """Let the agent check a token for one audience. Raises ValidateJwtSvidError or ArgumentError."""
        if not isinstance(token, str) or not token:
            raise ArgumentError("a token is needed", field="token")
        _audiences([audience])
        answer: _Method[JwtSvid] = _Method(
            "ValidateJWTSVID",
            pb.ValidateJWTSVIDResponse,
            lambda response: validated_jwt_svid(response, token, audience, time.time()),
            ValidateJwtSvidError,
        )
        return await self._ask(answer, pb.ValidateJWTSVIDRequest(audience=audience, svid=token), timeout)

    def stream_x509_contexts(
        self,
        on_success: Callback[X509Context],
        on_error: Callback[WorkloadApiError],
        retry_connect: bool = True,
        retry_policy: RetryPolicy | None = None,
    ) -> StreamHandle:
        """Call `on_success` with each new state until cancelled.

        `on_error` hears of unusable messages, which change nothing, and of broken streams, which are opened
        again by `retry_policy` unless `retry_connect` is false. The next message is not read before a
        callback is done; what a callback raises is logged. Must be called inside the loop.
        """
        return self._start(
            _X509_CONTEXT, pb.X509SVIDRequest(), on_success, on_error, retry_connect, retry_policy
        )

    def stream_jwt_bundles(
        self,
        on_success: Callback[JwtBundleSet],
        on_error: Callback[WorkloadApiError],
        retry_connect: bool = True,
        retry_policy: RetryPolicy | None = None,
    ) -> StreamHandle:
        """As `stream_x509_contexts`, for JWT bundles."""
        return self._start(
            _JWT_BUNDLES, pb.JWTBundlesRequest(), on_success, on_error, retry_connect, retry_policy
        )

    def get_spiffe_endpoint_socket(self) -> str:
        """The address of the agent, a URI."""
        return self._endpoint.uri

    async def close(self) -> None:
        """End all streams and the connection. Idempotent."""
        self._closed = True
        streams = list(self._streams)
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._endpoint.uri!r}, {len(self._streams)} streams)"

    # Calls

    async def _ask(self, method: _Method[_T], request: Message, timeout: float | None) -> _T:
        with _translated(method):
            channel = await self._dial()
            call = channel.unary_unary(SERVICE + method.name, type(request).SerializeToString)
            answer = await call(request, timeout=self._limit(timeout), metadata=METADATA)
        return _decode(method, answer)

    async def _first(self, method: _Method[_T], request: Message, timeout: float | None) -> _T:
        """The first message of a stream, which is then ended."""
        async with aclosing(self._messages(method, request, self._limit(timeout))) as messages:
            async for answer in messages:
                return _decode(method, answer)
        raise method.error(f"{method.name}: the agent closed the stream without a message")

    async def _messages(
        self, method: _Method[Any], request: Message, timeout: float | None
    ) -> AsyncGenerator[bytes]:
        with _translated(method):
            channel = await self._dial()
            # No deserializer: the library ends a stream over bytes it cannot read, we only skip them.
            open_stream = channel.unary_stream(SERVICE + method.name, type(request).SerializeToString)
            call = open_stream(request, timeout=timeout, metadata=METADATA)
            try:
                async for answer in call:
                    yield answer
            finally:
                call.cancel()

    def _start(
        self,
        method: _Method[_T],
        request: Message,
        on_success: Callback[_T],
        on_error: Callback[WorkloadApiError],
        retry_connect: bool,
        retry_policy: RetryPolicy | None,
    ) -> StreamHandle:
        reconnect = Reconnect(retry_policy or RetryPolicy()) if retry_connect else None
        task = asyncio.get_running_loop().create_task(
            self._follow(method, request, on_success, on_error, reconnect), name=f"spiffe {method.name}"
        )
        self._streams.add(task)
        task.add_done_callback(self._streams.discard)
        return StreamHandle(task)

    async def _follow(
        self,
        method: _Method[_T],
        request: Message,
        on_success: Callback[_T],
        on_error: Callback[WorkloadApiError],
        reconnect: Reconnect | None,
    ) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            code = None
            if reconnect is not None:
                reconnect.opened(clock())
            try:
                async with aclosing(self._messages(method, request, None)) as messages:
                    async for answer in messages:
                        try:
                            update = _decode(method, answer)
                        except WorkloadApiError as exc:
                            await _tell(on_error, exc)
                        else:
                            await _tell(on_success, update)
            except WorkloadApiError as exc:
                code = exc.code
                await _tell(on_error, exc)
            pause = reconnect.ended(clock(), code) if reconnect is not None else None
            if pause is None:
                return
            await asyncio.sleep(pause)

    async def _dial(self) -> grpc.aio.Channel:
        import grpc

        if self._closed:
            raise WorkloadApiError("the client is closed", code="CANCELLED")
        path = self._endpoint.path
        if path is not None and self._agent_uid is not None:
            await asyncio.to_thread(check_socket_owner, path, self._agent_uid)
        if self._channel is None:
            if path is not None and self._agent_uid is None:
                warn_about_open_socket(path)
            self._channel = grpc.aio.insecure_channel(self._endpoint.target, options=_CHANNEL_OPTIONS)
        return self._channel

    def _limit(self, timeout: float | None) -> float | None:
        return self._default_timeout if timeout is None else _positive(timeout, "timeout")


@contextmanager
def _translated(method: _Method[Any]) -> Iterator[None]:
    """Turn what the gRPC library raises into the method's error."""
    import grpc

    try:
        yield
    except grpc.aio.AioRpcError as exc:
        code = exc.code().name
        raise method.error(f"{method.name}: {code}: {_short(exc.details())}", code=code) from None
    except WorkloadApiError as exc:
        raise method.error(f"{method.name}: {exc}", code=exc.code) from exc
    except grpc.aio.BaseError as exc:
        # Not an answer: the channel was closed meanwhile, or the library failed.
        raise method.error(
            f"{method.name}: {type(exc).__name__}: {_short(str(exc))}", code="CANCELLED"
        ) from None
    except asyncio.CancelledError:
        # The library raises this as well when the *agent* answers CANCELLED, or the channel is closed.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise method.error(f"{method.name}: CANCELLED by the agent or by closing", code="CANCELLED") from None


def _decode(method: _Method[_T], answer: bytes) -> _T:
    try:
        message = method.response.FromString(answer)
    except DecodeError as exc:
        raise method.error(
            f"{method.name}: the agent sent bytes that are no {method.response.__name__}"
        ) from exc
    return method.decode(message)


async def _tell(callback: Callback[_T], value: _T) -> None:
    try:
        result = callback(value)
        if inspect.isawaitable(result):
            await result
    except Exception:
        logger.exception("a callback of a Workload API stream failed")


def _audiences(audience: Collection[str]) -> list[str]:
    if isinstance(audience, str) or not audience or not all(isinstance(one, str) and one for one in audience):
        raise ArgumentError("at least one audience is needed, as a set of texts", field="audience")
    return list(audience)


def _positive(timeout: float | None, field: str) -> float | None:
    if timeout is not None and not timeout > 0:
        raise ArgumentError(f"{field} is a number of seconds above 0", field=field)
    return timeout


def _short(details: str | None) -> str:
    text = " ".join((details or "no details").split())
    return text if len(text) <= MAX_DETAILS else text[:MAX_DETAILS] + "..."
