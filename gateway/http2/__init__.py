"""The fast link's transport: bidirectional gRPC streams over HTTP/2, made for many small messages.

    server = await serve(handler, "/package.Service/Method", port=50051)
    stream = await connect("http://127.0.0.1:50051", "/package.Service/Method")
    stream.start(on_messages=..., on_closed=...)
    stream.send([b"one", b"two"])

`connection` is the protocol without I/O, `transport` the asyncio shell around it.
"""

from __future__ import annotations

from gateway.http2.client import ClientConnection, connect, dial
from gateway.http2.errors import CallRefused, Cause, ConnectFailed, ErrorCode, GrpcStatus, Http2Error
from gateway.http2.headers import Headers
from gateway.http2.limits import CLIENT, SERVER, Limits, Statistics
from gateway.http2.server import CallHandler, Http2Server, serve
from gateway.http2.transport import CallStream, ClientStream, ServerStream

__all__ = [
    "CLIENT",
    "SERVER",
    "CallRefused",
    "Cause",
    "ClientConnection",
    "ClientStream",
    "ConnectFailed",
    "ErrorCode",
    "Headers",
    "Http2Error",
    "Limits",
    "Http2Server",
    "ServerStream",
    "Statistics",
    "GrpcStatus",
    "CallStream",
    "CallHandler",
    "connect",
    "dial",
    "serve",
]
