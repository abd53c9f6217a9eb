"""A Workload API server that does what a test tells it: rotate, deny, disconnect, talk nonsense, be slow."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self

import grpc
import jwt
from google.protobuf.message import Message

from identity.spiffe.proto import workload_pb2 as pb
from tests.identity.spiffe.trust import HOUR, Authority

PATIENCE = 20.0
"""Seconds a test waits for something that must happen; never reached when all is well."""


class _End:
    """Closes a stream in peace."""


class WorkloadServer:
    """One agent of one trust domain on a unix socket."""

    def __init__(self, directory: Path, authority: Authority | None = None) -> None:
        self.path = str(directory / "agent.sock")
        self.authority = authority or Authority()
        self.federated: list[Authority] = []
        self.paths = ["/web"]
        self.hints: dict[str, str] = {}
        self.token_ttl = HOUR
        self.denied: grpc.StatusCode | None = None
        self.ready = asyncio.Event()
        """While clear, calls are accepted and not answered: an agent that is slow to start."""
        self.ready.set()
        self.calls: Counter[str] = Counter()
        self.audiences: list[list[str]] = []
        """The audiences of each token that was asked for."""
        self._streams: dict[str, set[asyncio.Queue[bytes | grpc.StatusCode | type[_End]]]] = {}
        self._changed = asyncio.Condition()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> Self:
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((self._handlers(),))
        self._server.add_insecure_port(f"unix:{self.path}")
        await self._server.start()
        return self

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    # What a test may do to clients

    def rotate(self, authority: Authority | None = None) -> None:
        """Send new X.509 SVIDs and bundles on all open streams; with `authority`, signed by that one."""
        self.authority = authority or self.authority
        for method in self._streams:
            self.send(method, self._state(method))

    def send(self, method: str, message: bytes) -> None:
        """Send bytes as the next message of all open streams of a method."""
        for queue in self._streams.get(method, ()):
            queue.put_nowait(message)

    def disconnect(self, code: grpc.StatusCode | None = grpc.StatusCode.UNAVAILABLE) -> None:
        """End all open streams with a status, or in peace with `None`."""
        for queues in self._streams.values():
            for queue in queues:
                queue.put_nowait(_End if code is None else code)

    def deny(self, code: grpc.StatusCode = grpc.StatusCode.PERMISSION_DENIED) -> None:
        """Refuse everything from now on, and end what is open."""
        self.denied = code
        self.disconnect(code)

    async def until(self, condition: Callable[[Self], bool]) -> None:
        """Wait until `condition` holds; it is looked at after each call and each end of a stream."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: condition(self))

    def open_streams(self, method: str) -> int:
        return len(self._streams.get(method, ()))

    # What it says

    def x509_response(self) -> bytes:
        svids = [self.authority.x509_message(path, hint=self.hints.get(path, "")) for path in self.paths]
        federated = {other.id: other.root_der for other in self.federated}
        return pb.X509SVIDResponse(svids=svids, federated_bundles=federated).SerializeToString()

    def x509_bundles(self) -> bytes:
        everybody = [self.authority, *self.federated]
        return pb.X509BundlesResponse(bundles={one.id: one.root_der for one in everybody}).SerializeToString()

    def jwt_bundles(self) -> bytes:
        everybody = [self.authority, *self.federated]
        return pb.JWTBundlesResponse(bundles={one.id: one.jwks() for one in everybody}).SerializeToString()

    def _state(self, method: str) -> bytes:
        return {
            "FetchX509SVID": self.x509_response,
            "FetchX509Bundles": self.x509_bundles,
            "FetchJWTBundles": self.jwt_bundles,
        }[method]()

    # The service

    def _handlers(self) -> grpc.GenericRpcHandler:
        streams = {
            "FetchX509SVID": pb.X509SVIDRequest,
            "FetchX509Bundles": pb.X509BundlesRequest,
            "FetchJWTBundles": pb.JWTBundlesRequest,
        }
        handlers: dict[str, Any] = {
            method: grpc.unary_stream_rpc_method_handler(self._stream(method), request.FromString)
            for method, request in streams.items()
        }
        handlers["FetchJWTSVID"] = grpc.unary_unary_rpc_method_handler(
            self._fetch_jwt_svid, pb.JWTSVIDRequest.FromString, pb.JWTSVIDResponse.SerializeToString
        )
        handlers["ValidateJWTSVID"] = grpc.unary_unary_rpc_method_handler(
            self._validate_jwt_svid,
            pb.ValidateJWTSVIDRequest.FromString,
            pb.ValidateJWTSVIDResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler("SpiffeWorkloadAPI", handlers)

    async def _admit(self, method: str, context: grpc.aio.ServicerContext) -> None:
        if dict(context.invocation_metadata() or ()).get("workload.spiffe.io") != "true":
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing from request")
        self.calls[method] += 1
        await self._tell()
        await self.ready.wait()
        if self.denied is not None:
            await context.abort(self.denied, "no identity issued")

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _stream(self, method: str) -> Callable[[Message, grpc.aio.ServicerContext], AsyncIterator[bytes]]:
        async def serve(_: Message, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
            await self._admit(method, context)
            queue: asyncio.Queue[bytes | grpc.StatusCode | type[_End]] = asyncio.Queue()
            self._streams.setdefault(method, set()).add(queue)
            await self._tell()
            try:
                yield self._state(method)
                while True:
                    match await queue.get():
                        case bytes() as message:
                            yield message
                        case grpc.StatusCode() as code:
                            await context.abort(code, "told to")
                        case _:
                            return
            finally:
                self._streams[method].discard(queue)
                await self._tell()

        return serve

    async def _fetch_jwt_svid(
        self, request: pb.JWTSVIDRequest, context: grpc.aio.ServicerContext
    ) -> pb.JWTSVIDResponse:
        await self._admit("FetchJWTSVID", context)
        self.audiences.append(list(request.audience))
        wanted = [path for path in self.paths if request.spiffe_id in ("", self.authority.id + path)]
        if not wanted:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "no such identity")
        audience = list(request.audience)
        return pb.JWTSVIDResponse(
            svids=[
                pb.JWTSVID(
                    spiffe_id=self.authority.id + path,
                    svid=self.authority.token(audience, path=path, ttl=self.token_ttl),
                    hint=self.hints.get(path, ""),
                )
                for path in wanted
            ]
        )

    async def _validate_jwt_svid(
        self, request: pb.ValidateJWTSVIDRequest, context: grpc.aio.ServicerContext
    ) -> pb.ValidateJWTSVIDResponse:
        await self._admit("ValidateJWTSVID", context)
        key = self.authority.jwt_key.public_key()
        try:
            claims = jwt.decode(request.svid, key, algorithms=["ES256"], audience=request.audience)
        except jwt.InvalidTokenError as exc:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(exc))
        response = pb.ValidateJWTSVIDResponse(spiffe_id=claims["sub"])
        response.claims.update(claims)
        return response
