"""What can go wrong on an HTTP/2 connection, and how a stream's end is told.

Http2Error (SlimError)
├── ConnectFailed        no connection came up; has the target
├── CallRefused          the connection is up, the call was answered with a failure; has the cause
└── Violation            the peer broke a rule of the protocol (used inside; ends as a `Cause`)
    └── StreamViolation  ... and only its stream pays for it

PeerIdentityRefused (SSLCertVerificationError: ends a handshake of TLS, as OpenSSL's own errors do)

A stream's end is no exception but a value, `Cause`: every stream gets exactly one, whatever ended it.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from enum import IntEnum

from identity.errors import SlimError


class ErrorCode(IntEnum):
    """Error codes of RST_STREAM and GOAWAY (RFC 9113, 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13

    @classmethod
    def read(cls, number: int) -> ErrorCode:
        """The code of a number from the wire; an unknown one counts as INTERNAL_ERROR (RFC 9113, 7)."""
        return cls(number) if number <= cls.HTTP_1_1_REQUIRED else cls.INTERNAL_ERROR


class GrpcStatus(IntEnum):
    """gRPC status codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16

    @classmethod
    def of_http(cls, status: int) -> GrpcStatus:
        """The status of a response that is no gRPC response (gRPC's "HTTP to gRPC status mapping")."""
        return _OF_HTTP.get(status, cls.UNKNOWN)

    @classmethod
    def of_reset(cls, code: ErrorCode) -> GrpcStatus:
        """The status of a stream that was reset with `code` (gRPC over HTTP/2, "Errors")."""
        return _OF_RESET.get(code, cls.INTERNAL)


_OF_HTTP = {
    400: GrpcStatus.INTERNAL,
    401: GrpcStatus.UNAUTHENTICATED,
    403: GrpcStatus.PERMISSION_DENIED,
    404: GrpcStatus.UNIMPLEMENTED,
    429: GrpcStatus.UNAVAILABLE,
    502: GrpcStatus.UNAVAILABLE,
    503: GrpcStatus.UNAVAILABLE,
    504: GrpcStatus.UNAVAILABLE,
}
_OF_RESET = {
    ErrorCode.REFUSED_STREAM: GrpcStatus.UNAVAILABLE,
    ErrorCode.CANCEL: GrpcStatus.CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: GrpcStatus.RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: GrpcStatus.PERMISSION_DENIED,
}


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a stream ended."""

    status: GrpcStatus
    """The gRPC status: the peer's own, or the one its reset, refusal or silence stands for."""
    message: str = ""
    """For people. The peer's own words when it sent some (already decoded)."""
    code: ErrorCode | None = None
    """The HTTP/2 error code, when the stream was reset or the connection failed."""
    http_status: int | None = None
    """The HTTP status, when the answer was not a gRPC response (401: bad authentication)."""
    local: bool = False
    """Whether this side decided to end the stream."""

    @property
    def ok(self) -> bool:
        """Whether the call ended as it should."""
        return self.status is GrpcStatus.OK

    def __str__(self) -> str:
        parts = [self.status.name]
        if self.http_status is not None:
            parts.append(f"HTTP {self.http_status}")
        if self.code is not None:
            parts.append(self.code.name)
        return " ".join(parts) + (f": {self.message}" if self.message else "")


class Http2Error(SlimError):
    """Root of the fast link's errors."""


class ConnectFailed(Http2Error):
    """No connection to `target` came up. The operating system's or TLS's error is the `__cause__`."""

    def __init__(self, target: str, reason: str) -> None:
        super().__init__(f"cannot connect to {target}: {reason}")
        self.target = target
        self.reason = reason


class CallRefused(Http2Error):
    """The peer answered the call with a failure, or the connection ended before it answered."""

    def __init__(self, target: str, cause: Cause) -> None:
        super().__init__(f"{target} refused the call: {cause}")
        self.target = target
        self.cause = cause


class PeerIdentityRefused(ssl.SSLCertVerificationError):
    """TLS took the peer's certificate, and a check of ours (of SPIFFE IDs) did not; `why` is its sentence."""

    def __init__(self, why: str) -> None:
        # With a number the text is the text; without, it is shown as a tuple.
        super().__init__(ssl.SSL_ERROR_SSL, f"the peer's identity is refused: {why}")


class Violation(Http2Error):
    """The peer broke a rule: the connection ends with `code`. `rule` is the name it is counted under."""

    def __init__(self, code: ErrorCode, rule: str, detail: str) -> None:
        super().__init__(f"{code.name}: {detail}")
        self.code = code
        self.rule = rule
        self.detail = detail


class StreamViolation(Violation):
    """The peer broke a rule on one stream.

    The stream is reset with `code`, or, when `status` is given and the stream can still carry one,
    refused with that gRPC status.
    """

    def __init__(self, code: ErrorCode, rule: str, detail: str, *, status: GrpcStatus | None = None) -> None:
        super().__init__(code, rule, detail)
        self.status = status
