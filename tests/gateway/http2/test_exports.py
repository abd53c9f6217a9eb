from __future__ import annotations

from gateway import http2


def test_the_public_names() -> None:
    assert set(http2.__all__) == {
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
    }
    assert all(hasattr(http2, name) for name in http2.__all__)
