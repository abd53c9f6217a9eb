"""`grpc.health.v1` on the data port: Check and Watch, on both kinds of listener, without authentication.

It says of the node as a whole, and of the service of messages by its name, whether it takes calls: what
kubelet's grpc probes, Envoy and grpc_health_probe ask. A node that ends says NOT_SERVING and ends watches, so
that they do not hold it up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from enum import IntEnum
from typing import Any

from gateway.codec import varint
from gateway.http2.errors import GrpcStatus
from gateway.http2.transport import ServerStream
from gateway.links.health import Health
from gateway.links.stream import METHOD_PATH

SERVICE = "grpc.health.v1.Health"
CHECK = f"/{SERVICE}/Check"
WATCH = f"/{SERVICE}/Watch"
KNOWN = ("", METHOD_PATH.split("/")[1])
"""The services that have a health: the server as a whole, and that of messages."""
LONGEST = 256
"""Bytes of a request."""
REQUEST_WAIT = 5.0
"""Seconds from a call to its request."""


class Serving(IntEnum):
    """HealthCheckResponse.ServingStatus."""

    SERVING = 1
    NOT_SERVING = 2
    SERVICE_UNKNOWN = 3


def service_of(request: bytes) -> str:
    """The service that a HealthCheckRequest asks for: its only field, a text. Raises ValueError."""
    if not request:
        return ""
    try:
        if len(request) > LONGEST or request[0] != 0x0A:
            raise ValueError("not a HealthCheckRequest")
        length, at = varint.decode(request, 1)
    except IndexError:
        raise ValueError("not a HealthCheckRequest") from None
    if at + length != len(request):
        raise ValueError("not a HealthCheckRequest")
    return request[at:].decode()


def response(status: Serving) -> bytes:
    """A HealthCheckResponse."""
    return bytes((0x08, status))


def status_of(health: Health, service: str) -> Serving:
    """How a service is."""
    if service not in KNOWN:
        return Serving.SERVICE_UNKNOWN
    return Serving.SERVING if health.serving else Serving.NOT_SERVING


async def watched(health: Health, service: str) -> AsyncIterator[bytes]:
    """A HealthCheckResponse now and for each change, to the end of the node."""
    last: Serving | None = None
    while True:
        changed = asyncio.ensure_future(health.changed())
        try:
            status = status_of(health, service)
            if status is not last:
                yield response(status)
                last = status
            if health.over:
                return
            await changed
        finally:
            changed.cancel()


async def answer(health: Health, stream: ServerStream, path: str) -> None:
    """Serve one call on our own HTTP/2."""
    first: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    def take(messages: list[bytes]) -> None:
        if not first.done():
            first.set_result(messages[0])

    stream.start(on_messages=take, on_closed=lambda _: over.set(), on_ended=lambda: None)
    ended = asyncio.ensure_future(over.wait())
    try:
        async with asyncio.timeout(REQUEST_WAIT):
            await asyncio.wait((first, ended), return_when=asyncio.FIRST_COMPLETED)
        if not first.done():
            return
        service = service_of(first.result())
        if path == CHECK:
            if service not in KNOWN:
                stream.close(GrpcStatus.NOT_FOUND, "no such service")
                return
            stream.send([response(status_of(health, service))])
            stream.close()
            return
        watching = asyncio.ensure_future(_watch(health, stream, service))
        try:
            await asyncio.wait((watching, ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
    except TimeoutError:
        stream.close(GrpcStatus.DEADLINE_EXCEEDED, "no request came")
    except ValueError:
        stream.close(GrpcStatus.INVALID_ARGUMENT, "not a HealthCheckRequest")
    finally:
        ended.cancel()


async def _watch(health: Health, stream: ServerStream, service: str) -> None:
    async for message in watched(health, service):
        stream.send([message])
    stream.close(GrpcStatus.UNAVAILABLE, "the node ends")


def grpc_handlers(health: Health) -> Any:
    """The same for the gRPC library."""
    import grpc

    async def service_or_abort(request: bytes, context: Any) -> str:
        try:
            return service_of(request)
        except ValueError as exc:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(exc))
            raise

    async def check(request: bytes, context: Any) -> bytes:
        service = await service_or_abort(request, context)
        if service not in KNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return response(status_of(health, service))

    async def watch(request: bytes, context: Any) -> AsyncIterator[bytes]:
        service = await service_or_abort(request, context)
        async for message in watched(health, service):
            yield message
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the node ends")

    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "Check": grpc.unary_unary_rpc_method_handler(check),
            "Watch": grpc.unary_stream_rpc_method_handler(watch),
        },
    )
