"""Header lists: compressed (RFC 7541), checked (RFC 9113, 8), and what gRPC writes into them.

Memory decides how compression is used. A connection carries one call, so a dynamic table would be kept
for one use:

- What we send is encoded without one. The first block of a connection says so with a table size update
  to 0, which also satisfies any SETTINGS_HEADER_TABLE_SIZE of the peer; so one encoder serves them all.
- What we receive may use one until the peer has seen our SETTINGS_HEADER_TABLE_SIZE of 0. From its
  acknowledgement on, decoding needs no state, and one shared decoder replaces the connection's own.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote

import hpack

from gateway.http2.errors import Cause, ErrorCode, GrpcStatus, StreamViolation, Violation
from identity.errors import ConfigError

# The library traces every field it codes, tokens included, so its debug level must stay off.
logging.getLogger("hpack").setLevel(logging.WARNING)

CONTENT_TYPE = "application/grpc"
FIELD_OVERHEAD = 32
_HARD_LIMIT = 2
"""How much larger than announced a header list may be and still be decoded, only to refuse its stream."""

_TABLE_SIZE_ZERO = b"\x20"
_THREE_TABLE_SIZES = re.compile(rb"(?:[\x20-\x3e]|\x3f[\x80-\xff]*[\x00-\x7f]){3}")
_NAME = re.compile(rb":?[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE = re.compile(rb"(?:[^\x00\r\n \t](?:[^\x00\r\n]*[^\x00\r\n \t])?)?")
_CONNECTION_FIELDS = {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
_REQUEST_PSEUDO = {b":method", b":scheme", b":path", b":authority"}
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_TIMEOUT_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}

Fields = Iterable[tuple[str, str]]


class Headers(dict[str, str]):
    """A header list as a mapping from lower-case names; repeated fields are joined by ", ".

    Its repr names the fields only: values may be credentials.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<Headers {' '.join(self)}>"

    __str__ = __repr__


class MalformedHeaders(StreamViolation):
    """A header list that RFC 9113, 8 forbids. Ends its stream."""

    def __init__(self, detail: str) -> None:
        super().__init__(ErrorCode.PROTOCOL_ERROR, "malformed_headers", detail)


def _stateless_encoder() -> hpack.Encoder:
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    encoder.encode(())  # lets it say the new size once: `HeaderEncoder` says it per connection
    return encoder


def _stateless_decoder() -> hpack.Decoder:
    decoder = hpack.Decoder()
    decoder.max_allowed_table_size = 0
    decoder.header_table_size = 0
    return decoder


_ENCODER = _stateless_encoder()
_DECODER = _stateless_decoder()


def encode(fields: Fields, *, first: bool) -> bytes:
    """A header block. `first` marks the first one of a connection."""
    block: bytes = _ENCODER.encode(
        ((name, value, name == "authorization" or name.startswith("proxy-auth")) for name, value in fields),
        huffman=False,
    )
    return _TABLE_SIZE_ZERO + block if first else block


class HeaderDecoder:
    """Decodes the header blocks that come in on one connection."""

    __slots__ = ("_own", "_stateless", "hard_limit")

    def __init__(self, limit: int) -> None:
        self.hard_limit = limit * _HARD_LIMIT
        """Bytes of a header block, compressed or not, beyond which the connection ends."""
        self._stateless = False
        self._own: hpack.Decoder | None = None

    def table_size_acknowledged(self) -> None:
        """The peer knows that our table has size 0: what it filled so far is gone, by its own rules."""
        self._stateless = True
        self._own = None

    def decode(self, block: bytes) -> list[tuple[bytes, bytes]]:
        """The fields of a block. Raises Violation: the connection is lost."""
        if _THREE_TABLE_SIZES.match(block):
            # RFC 7541, 4.2 has at most two; the library would work through any number of them.
            raise _bad_compression("more than two table size updates")
        if self._stateless:
            decoder = _DECODER
        else:
            decoder = self._own = self._own or hpack.Decoder()
        decoder.max_header_list_size = self.hard_limit
        try:
            return list(decoder.decode(block, raw=True))
        except hpack.OversizedHeaderListError as exc:
            raise Violation(
                ErrorCode.ENHANCE_YOUR_CALM, "header_bomb", f"headers of more than {self.hard_limit} bytes"
            ) from exc
        except hpack.HPACKError as exc:
            raise _bad_compression("a header block that does not decode") from exc


def _bad_compression(detail: str) -> Violation:
    return Violation(ErrorCode.COMPRESSION_ERROR, "header_compression", detail)


def list_size(fields: list[tuple[bytes, bytes]]) -> int:
    """The size of a header list as SETTINGS_MAX_HEADER_LIST_SIZE counts it."""
    return sum(len(name) + len(value) + FIELD_OVERHEAD for name, value in fields)


def read_request(fields: list[tuple[bytes, bytes]]) -> Headers:
    """The headers of a request. Raises MalformedHeaders."""
    headers = _read(fields, _REQUEST_PSEUDO)
    if missing := {":method", ":scheme", ":path"} - headers.keys():
        raise MalformedHeaders(f"a request without {', '.join(sorted(missing))}")
    if not headers[":path"]:
        raise MalformedHeaders("a request with an empty :path")
    return headers


def read_response(fields: list[tuple[bytes, bytes]]) -> tuple[int, Headers]:
    """The HTTP status and the headers of a response. Raises MalformedHeaders."""
    headers = _read(fields, {b":status"})
    status = headers.get(":status", "")
    if len(status) != 3 or not status.isdecimal() or not status.isascii():
        raise MalformedHeaders("a response without a status")
    return int(status), headers


def read_trailers(fields: list[tuple[bytes, bytes]]) -> Headers:
    """The trailers of a request or response. Raises MalformedHeaders."""
    return _read(fields, set())


def _read(fields: list[tuple[bytes, bytes]], pseudo: set[bytes]) -> Headers:
    headers = Headers()
    regular = False
    for name, value in fields:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise MalformedHeaders("a field with characters that are not allowed")
        key = name.decode("ascii")
        if name.startswith(b":"):
            if regular or name not in pseudo or key in headers:
                raise MalformedHeaders("a pseudo-header field that is unknown, repeated or out of place")
        else:
            regular = True
            if name in _CONNECTION_FIELDS or (name == b"te" and value != b"trailers"):
                raise MalformedHeaders(f"the field {key}, which belongs to one connection of HTTP/1")
        text = value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def check_custom(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Header fields that the caller adds to a call, as sent. Raises ConfigError."""
    fields = [(name.lower(), value) for name, value in headers.items()]
    for name, value in fields:
        if name.startswith(":") or not name.isascii() or not _NAME.fullmatch(name.encode()):
            raise ConfigError(f"{name!r} is no header name", field="headers")
        if name.encode() in _CONNECTION_FIELDS or name == "te" or name.startswith("grpc-"):
            raise ConfigError(f"the header {name} is the transport's own", field="headers")
        if not value.isascii() or not _VALUE.fullmatch(value.encode()):
            raise ConfigError(
                f"the value of header {name} has characters that cannot be sent", field="headers"
            )
    return fields


def request(scheme: str, authority: str, path: str, extra: Fields) -> list[tuple[str, str]]:
    """The header list that opens a gRPC call."""
    return [
        (":method", "POST"),
        (":scheme", scheme),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", CONTENT_TYPE),
        *extra,
    ]


def check_grpc_request(headers: Headers) -> tuple[int, GrpcStatus, str] | None:
    """Why a well-formed request is no gRPC call: HTTP status, gRPC status and a sentence. None: it is one."""
    if headers[":method"] != "POST":
        return 405, GrpcStatus.UNIMPLEMENTED, "a gRPC call is a POST"
    if not is_grpc(headers):
        return 415, GrpcStatus.UNKNOWN, "a gRPC call has content-type application/grpc"
    if headers.get("te") != "trailers":
        return 200, GrpcStatus.INTERNAL, "a gRPC call has te: trailers"
    if headers.get("grpc-encoding", "identity") != "identity":
        return (
            200,
            GrpcStatus.UNIMPLEMENTED,
            "messages must not be compressed; the only grpc-encoding is identity",
        )
    return None


def is_grpc(headers: Headers) -> bool:
    """Whether the content type is gRPC's (with any message format)."""
    content_type = headers.get("content-type", "")
    return content_type == CONTENT_TYPE or content_type.startswith((CONTENT_TYPE + "+", CONTENT_TYPE + ";"))


def read_timeout(headers: Headers) -> float | None:
    """Seconds of grpc-timeout, None without one. Raises MalformedHeaders."""
    text = headers.get("grpc-timeout")
    if text is None:
        return None
    match = _TIMEOUT.fullmatch(text)
    if match is None:
        raise MalformedHeaders("a grpc-timeout that is no number with a unit")
    return int(match[1]) * _TIMEOUT_UNITS[match[2]]


RESPONSE: tuple[tuple[str, str], ...] = ((":status", "200"), ("content-type", CONTENT_TYPE))


def trailers(status: GrpcStatus, message: str) -> list[tuple[str, str]]:
    """The trailers that end a gRPC call."""
    fields = [("grpc-status", str(int(status)))]
    if message:
        fields.append(("grpc-message", _quote(message)))
    return fields


def read_status(headers: Headers) -> tuple[GrpcStatus, str] | None:
    """grpc-status and grpc-message of trailers; None without a usable status."""
    text = headers.get("grpc-status", "")
    if not text.isascii() or not text.isdecimal():
        return None
    number = int(text[:9])
    status = GrpcStatus(number) if number <= GrpcStatus.UNAUTHENTICATED else GrpcStatus.UNKNOWN
    return status, unquote(headers.get("grpc-message", ""), errors="replace")


def read_cause(trailers: Headers, http_status: int) -> Cause:
    """The cause that a response's last headers tell."""
    odd_http = None if http_status == 200 else http_status
    if (told := read_status(trailers)) is not None:
        return Cause(*told, http_status=odd_http)
    if odd_http is not None:
        return Cause(GrpcStatus.of_http(odd_http), http_status=odd_http)
    return Cause(GrpcStatus.UNKNOWN, "the response has no grpc-status")


def _quote(text: str) -> str:
    """Percent-encode what gRPC does not let stand in grpc-message: all but printable ASCII, and "%"."""
    return quote(text, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~", errors="replace").strip(" ")
