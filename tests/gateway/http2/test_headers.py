from __future__ import annotations

import logging
from contextlib import suppress

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http2 import headers
from gateway.http2.errors import ErrorCode, GrpcStatus, Violation
from gateway.http2.headers import HeaderDecoder, Headers, MalformedHeaders
from identity.errors import ConfigError
from tests.gateway.http2.peers import REQUEST


def raw(fields: headers.Fields) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in fields]


def test_what_is_encoded_decodes_with_a_table_of_any_size() -> None:
    for size in (0, 100, 4096):
        decoder = hpack.Decoder()
        decoder.max_allowed_table_size = size
        decoder.header_table_size = size
        for first in (True, False, False):
            assert list(decoder.decode(headers.encode(REQUEST, first=first), raw=True)) == raw(REQUEST)
        assert not decoder.header_table.dynamic_entries


def test_credentials_are_never_indexed() -> None:
    (field,) = hpack.Decoder().decode(headers.encode([("authorization", "Bearer x")], first=False), raw=True)
    assert isinstance(field, hpack.NeverIndexedHeaderTuple)


def test_a_dynamic_table_is_understood_until_the_peer_knows_better() -> None:
    encoder = hpack.Encoder()
    decoder = HeaderDecoder(1000)
    fields = raw([("x-one", "1")])
    assert decoder.decode(encoder.encode(fields)) == fields
    indexed = encoder.encode(fields)
    assert len(indexed) == 1
    assert decoder.decode(indexed) == fields
    decoder.table_size_acknowledged()
    encoder.header_table_size = 0
    assert decoder.decode(encoder.encode(fields)) == fields
    assert decoder.decode(encoder.encode(fields)) == fields
    with pytest.raises(Violation) as caught:
        decoder.decode(indexed)
    assert caught.value.code is ErrorCode.COMPRESSION_ERROR


def test_decoders_share_no_state_after_the_acknowledgement() -> None:
    one, two = HeaderDecoder(1000), HeaderDecoder(1000)
    one.table_size_acknowledged()
    two.table_size_acknowledged()
    one.decode(hpack.Encoder().encode([("x-secret", "1")]))
    with pytest.raises(Violation):
        two.decode(b"\xbe")


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_any_block_decodes_or_is_a_violation(block: bytes) -> None:
    for acknowledged in (False, True):
        decoder = HeaderDecoder(100)
        if acknowledged:
            decoder.table_size_acknowledged()
        with suppress(Violation):
            decoder.decode(block)


def test_a_decompressed_list_has_a_limit() -> None:
    encoder = hpack.Encoder()
    block = encoder.encode([("x", "y" * 500)]) + encoder.encode([("x", "y" * 500)]) * 100
    with pytest.raises(Violation) as caught:
        HeaderDecoder(1000).decode(block)
    assert caught.value.code is ErrorCode.ENHANCE_YOUR_CALM


def test_three_table_sizes_are_refused() -> None:
    with pytest.raises(Violation, match="more than two table size updates"):
        HeaderDecoder(1000).decode(b"\x20\x3f\xe1\x1f\x20")


@pytest.mark.parametrize(
    "fields",
    [
        [*REQUEST, ("Upper", "x")],
        [*REQUEST, ("connection", "close")],
        [*REQUEST, ("x", "a\nb")],
        [*REQUEST, ("x", " padded")],
        [*REQUEST, (":late", "x")],
        [*REQUEST, (":path", "/again")],
        [(":status", "200"), *REQUEST],
        [field for field in REQUEST if field[0] != ":path"],
        [(name, "" if name == ":path" else value) for name, value in REQUEST],
        [(name, "gzip" if name == "te" else value) for name, value in REQUEST],
        [*REQUEST, ("", "x")],
    ],
)
def test_malformed_requests(fields: list[tuple[str, str]]) -> None:
    with pytest.raises(MalformedHeaders):
        headers.read_request(raw(fields))


def test_repeated_fields_are_joined() -> None:
    read = headers.read_request(raw([*REQUEST, ("x", "1"), ("x", "2")]))
    assert read["x"] == "1, 2"
    assert read[":path"] == REQUEST[2][1]


def test_a_repr_shows_no_value() -> None:
    assert repr(Headers(authorization="Bearer secret")) == "<Headers authorization>"
    assert "secret" not in f"{Headers(authorization='secret')}"


def test_the_hpack_library_logs_no_field(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        HeaderDecoder(1000).decode(headers.encode([("authorization", "Bearer secret")], first=True))
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("change", "status", "grpc"),
    [
        ({":method": "GET"}, 405, GrpcStatus.UNIMPLEMENTED),
        ({"content-type": "text/html"}, 415, GrpcStatus.UNKNOWN),
        ({"content-type": "application/grpcx"}, 415, GrpcStatus.UNKNOWN),
        ({"te": ""}, 200, GrpcStatus.INTERNAL),
        ({"grpc-encoding": "gzip"}, 200, GrpcStatus.UNIMPLEMENTED),
    ],
)
def test_requests_that_are_no_grpc_calls(change: dict[str, str], status: int, grpc: GrpcStatus) -> None:
    reason = headers.check_grpc_request(Headers(dict(REQUEST) | change))
    assert reason is not None
    assert reason[:2] == (status, grpc)


@pytest.mark.parametrize(
    "content_type", ["application/grpc", "application/grpc+proto", "application/grpc;x=y"]
)
def test_grpc_content_types(content_type: str) -> None:
    assert headers.check_grpc_request(Headers(dict(REQUEST) | {"content-type": content_type})) is None


@given(st.text(max_size=50), st.sampled_from(GrpcStatus))
@settings(deadline=None)
def test_status_and_message_travel(message: str, status: GrpcStatus) -> None:
    fields = raw(headers.trailers(status, message))
    read = headers.read_status(headers.read_trailers(fields))
    assert read is not None
    assert read[0] is status
    assert read[1] == message.encode("utf-8", "replace").decode().strip(" ")


def test_a_message_is_percent_encoded_as_grpc_says() -> None:
    assert headers.trailers(GrpcStatus.INTERNAL, "50% \u00fcber\n") == [
        ("grpc-status", "13"),
        ("grpc-message", "50%25 %C3%BCber%0A"),
    ]


def test_unknown_and_missing_statuses() -> None:
    assert headers.read_status(Headers({"grpc-status": "99"})) == (GrpcStatus.UNKNOWN, "")
    assert headers.read_status(Headers({"grpc-status": "x"})) is None
    assert headers.read_status(Headers()) is None


def test_timeouts() -> None:
    assert headers.read_timeout(Headers()) is None
    assert headers.read_timeout(Headers({"grpc-timeout": "250m"})) == 0.25
    assert headers.read_timeout(Headers({"grpc-timeout": "2H"})) == 7200
    for bad in ("", "5", "S", "123456789S", "-1S", "1.5S"):
        with pytest.raises(MalformedHeaders):
            headers.read_timeout(Headers({"grpc-timeout": bad}))


@pytest.mark.parametrize("name", ["", ":path", "te", "grpc-timeout", "connection", "a b", "\u00fc"])
def test_metadata_with_bad_names(name: str) -> None:
    with pytest.raises(ConfigError):
        headers.check_custom({name: "x"})


def test_metadata_with_a_bad_value_does_not_show_it() -> None:
    with pytest.raises(ConfigError) as caught:
        headers.check_custom({"authorization": "secret\n"})
    assert "secret" not in str(caught.value)


def test_metadata_names_become_lower_case() -> None:
    assert headers.check_custom({"Authorization": "x"}) == [("authorization", "x")]
