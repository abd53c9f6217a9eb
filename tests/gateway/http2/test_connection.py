"""What comes in: the rules for each frame, and what it costs to break them (RFC 9113, 6)."""

from __future__ import annotations

import pytest

from gateway.http2 import frames, headers
from gateway.http2.connection import Http2Connection
from gateway.http2.endpoint import Http2Role
from gateway.http2.errors import ErrorCode, GrpcStatus
from gateway.http2.events import GoingAway, InputEnded, RequestReceived, ResponseReceived
from gateway.http2.limits import Counters, Limits
from tests.gateway.http2.peers import (
    METHOD,
    REQUEST,
    Calling,
    Pair,
    Served,
    data_frame,
    frame,
    header_frame,
    message,
    read_frames,
    request,
)

PING = frame(frames.PING, payload=b"12345678")


def test_a_call_there_and_back() -> None:
    pair = Pair()
    mine = pair.client.open(REQUEST, 0.0)
    pair.transfer()
    (asked,) = [e for e in pair.server_events if isinstance(e, RequestReceived)]
    assert asked.headers[":path"] == METHOD
    assert [type(e) for e in pair.client_events] == [ResponseReceived]
    pair.client.resume(mine)
    pair.client.send(mine, [b"one", b"two"])
    pair.server.send(asked.stream, [b"three"])
    pair.transfer()
    pair.client.finish(mine)
    pair.transfer()
    assert isinstance(pair.server_events[-1], InputEnded)
    pair.server.finish(asked.stream, GrpcStatus.ABORTED, "enough")
    pair.transfer()
    assert pair.server_events[1].messages == [b"one", b"two"]  # type: ignore[union-attr]
    assert pair.client_events[1].messages == [b"three"]  # type: ignore[union-attr]
    cause = pair.client_events[-1].cause  # type: ignore[union-attr]
    assert (cause.status, cause.message, cause.local) == (GrpcStatus.ABORTED, "enough", False)
    assert pair.server_events[-1].cause.local  # type: ignore[union-attr]
    assert (pair.client.streams, pair.server.streams) == (0, 0)


# -- Preface and settings --------------------------------------------------------------------------------


def test_a_server_announces_its_limits() -> None:
    served = Served(handshake=False, max_streams=7, stream_window=100_000, max_header_list=5000)
    served.flush()
    first, second = served.sent
    assert dict(frames.SETTING.iter_unpack(first.payload)) == {
        frames.SETTINGS_HEADER_TABLE_SIZE: 0,
        frames.SETTINGS_INITIAL_WINDOW_SIZE: 100_000,
        frames.SETTINGS_MAX_FRAME_SIZE: 1024 * 1024,
        frames.SETTINGS_MAX_HEADER_LIST_SIZE: 5000,
        frames.SETTINGS_MAX_CONCURRENT_STREAMS: 7,
    }
    assert (second.kind, second.stream_id) == (frames.WINDOW_UPDATE, 0)


def test_a_client_opens_with_the_preface_and_forbids_push() -> None:
    calling = Calling()
    assert calling.opening.startswith(frames.PREFACE)
    settings = read_frames(calling.opening[len(frames.PREFACE) :])[0]
    assert (frames.SETTINGS_ENABLE_PUSH, 0) in frames.SETTING.iter_unpack(settings.payload)


@pytest.mark.parametrize(
    "opening", [b"GET / HTTP/1.1\r\n\r\n", frames.PREFACE + PING, b"PRI * HTTP/2.0\r\n\r\nXX"]
)
def test_a_server_refuses_other_openings(opening: bytes) -> None:
    served = Served(handshake=False)
    served.feed(opening)
    assert served.core.over
    assert served.goaway is ErrorCode.PROTOCOL_ERROR
    assert served.counters.refusals == {"preface": 1}


def test_settings_are_acknowledged_and_unknown_ones_ignored() -> None:
    served = Served()
    served.feed(frames.settings([(0x99, 5), (frames.SETTINGS_HEADER_TABLE_SIZE, 0)]))
    assert served.sent == read_frames(frames.SETTINGS_ACK)


@pytest.mark.parametrize(
    ("setting", "code"),
    [
        ((frames.SETTINGS_ENABLE_PUSH, 2), ErrorCode.PROTOCOL_ERROR),
        ((frames.SETTINGS_INITIAL_WINDOW_SIZE, 2**31), ErrorCode.FLOW_CONTROL_ERROR),
        ((frames.SETTINGS_MAX_FRAME_SIZE, 16383), ErrorCode.PROTOCOL_ERROR),
        ((frames.SETTINGS_MAX_FRAME_SIZE, 2**24), ErrorCode.PROTOCOL_ERROR),
    ],
)
def test_settings_out_of_range(setting: tuple[int, int], code: ErrorCode) -> None:
    served = Served()
    served.feed(frames.settings([setting]))
    assert served.goaway is code


def test_a_server_must_not_enable_push() -> None:
    calling = Calling()
    calling.feed(frames.settings([(frames.SETTINGS_ENABLE_PUSH, 1)]))
    assert calling.goaway is ErrorCode.PROTOCOL_ERROR
    assert calling.causes[0].status is GrpcStatus.UNAVAILABLE


def test_a_smaller_initial_window_may_make_a_window_negative() -> None:
    served = Served()
    stream = served.stream()
    served.core.send(stream, [bytes(60_000)])
    served.flush()
    served.feed(frames.settings([(frames.SETTINGS_INITIAL_WINDOW_SIZE, 10)]))
    assert stream.send_window == 65_535 - 60_005 + 10 - 65_535
    served.core.send(stream, [b"later"])
    assert not [one for one in served.flush() if one.kind == frames.DATA]
    served.feed(frames.window_update(1, 60_005) + frames.window_update(0, 60_000))
    assert served.sent[-1].payload == message(b"later")


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (frame(frames.SETTINGS, stream_id=1), ErrorCode.PROTOCOL_ERROR),
        (frame(frames.SETTINGS, payload=b"12345"), ErrorCode.FRAME_SIZE_ERROR),
        (frame(frames.SETTINGS, frames.ACK, payload=b"123456"), ErrorCode.FRAME_SIZE_ERROR),
        (frame(frames.PING, payload=b"1234567"), ErrorCode.FRAME_SIZE_ERROR),
        (frame(frames.PING, stream_id=1, payload=b"12345678"), ErrorCode.PROTOCOL_ERROR),
        (frame(frames.GOAWAY, payload=b"1234567"), ErrorCode.FRAME_SIZE_ERROR),
        (frame(frames.GOAWAY, stream_id=1, payload=b"12345678"), ErrorCode.PROTOCOL_ERROR),
        (frame(frames.RST_STREAM, stream_id=1, payload=b"123"), ErrorCode.FRAME_SIZE_ERROR),
        (frame(frames.RST_STREAM, stream_id=0, payload=b"1234"), ErrorCode.PROTOCOL_ERROR),
        (frames.rst_stream(1, 8), ErrorCode.PROTOCOL_ERROR),
        (frames.rst_stream(2, 8), ErrorCode.PROTOCOL_ERROR),
        (frame(frames.PRIORITY, stream_id=1, payload=b"1234"), ErrorCode.FRAME_SIZE_ERROR),
        (frame(frames.PRIORITY, payload=b"12345"), ErrorCode.PROTOCOL_ERROR),
        (frame(frames.WINDOW_UPDATE, payload=b"123"), ErrorCode.FRAME_SIZE_ERROR),
        (frames.window_update(0, 0), ErrorCode.PROTOCOL_ERROR),
        (frames.window_update(0, 2**31 - 1), ErrorCode.FLOW_CONTROL_ERROR),
        (frames.window_update(5, 1), ErrorCode.PROTOCOL_ERROR),
        (frame(frames.PUSH_PROMISE, stream_id=1, payload=b"1234"), ErrorCode.PROTOCOL_ERROR),
        (frame(frames.CONTINUATION, stream_id=1), ErrorCode.PROTOCOL_ERROR),
        (data_frame(1, b"x"), ErrorCode.PROTOCOL_ERROR),
        (data_frame(0, b"x"), ErrorCode.PROTOCOL_ERROR),
        (frame(frames.DATA, frames.PADDED, 1), ErrorCode.FRAME_SIZE_ERROR),
        (frame(frames.DATA, frames.PADDED, 1, b"\x05abc"), ErrorCode.PROTOCOL_ERROR),
        (frame(frames.HEADERS, frames.END_HEADERS | frames.PADDED, 1, b"\x05abc"), ErrorCode.PROTOCOL_ERROR),
        (frame(frames.HEADERS, frames.END_HEADERS | frames.PADDED, 1), ErrorCode.FRAME_SIZE_ERROR),
        (frame(frames.HEADERS, frames.END_HEADERS, 1, b"\xff\xff\xff"), ErrorCode.COMPRESSION_ERROR),
        (request(2), ErrorCode.PROTOCOL_ERROR),
        (request(0), ErrorCode.PROTOCOL_ERROR),
        (frames.head(frames.DATA, 0, 1, 1024 * 1024 + 1), ErrorCode.FRAME_SIZE_ERROR),
        (frames.head(0x77, 0, 1, 1024 * 1024 + 1), ErrorCode.FRAME_SIZE_ERROR),
        (frames.head(frames.GOAWAY, 0, 0, 100_000), ErrorCode.ENHANCE_YOUR_CALM),
        (frames.settings([(0x99, 0)] * 33), ErrorCode.ENHANCE_YOUR_CALM),
    ],
)
def test_frames_that_cost_the_connection(bad: bytes, code: ErrorCode) -> None:
    served = Served()
    served.feed(bad + PING)
    assert served.core.over
    assert served.goaway is code
    assert sum(served.counters.refusals.values()) == 1
    assert served.sent[-1].kind == frames.GOAWAY
    assert served.feed(PING) == []


def test_a_header_block_must_be_continued_and_by_nothing_else() -> None:
    start = frame(frames.HEADERS, 0, 1, headers.encode(REQUEST, first=False)[:10])
    for other in (PING, data_frame(1, b"x"), frame(0x77), frame(frames.CONTINUATION, 0, 3)):
        served = Served()
        served.feed(start + other)
        assert served.goaway is ErrorCode.PROTOCOL_ERROR


# -- What is ignored -------------------------------------------------------------------------------------


def test_priorities_padding_unknown_frames_and_reserved_bits_are_ignored() -> None:
    block = headers.encode(REQUEST, first=False)
    served = Served()
    served.feed(
        frame(0x77, 0xFF, 9, bytes(100))
        + frame(frames.PRIORITY, stream_id=3, payload=b"12345")
        + frame(
            frames.HEADERS,
            frames.PADDED | frames.HAS_PRIORITY,
            1,
            b"\x03" + b"12345" + block[:20] + b"pad",
        )
        + frame(frames.CONTINUATION, 0, 1, block[20:30])
        + frame(frames.CONTINUATION, frames.END_HEADERS, 1, block[30:])
    )
    (asked,) = served.events
    assert isinstance(asked, RequestReceived)
    served.core.accept(asked.stream)
    served.core.resume(asked.stream)
    wire = message(b"hello")
    served.feed(frame(frames.DATA, frames.PADDED, 1 | 2**31, b"\x04" + wire[:3] + b"pad!"))
    served.feed(frame(frames.DATA, frames.PADDED, 1, b"\x00" + wire[3:]))
    assert served.messages == [b"hello"]
    assert not served.core.over


def test_frames_for_streams_that_have_ended_are_ignored() -> None:
    served = Served()
    stream = served.stream()
    served.core.reset(stream)
    served.feed(
        data_frame(1, b"x")
        + frames.window_update(1, 5)
        + frames.rst_stream(1, 8)
        + header_frame(1, [("x", "y")], end=True)
    )
    assert served.messages == []
    assert not served.core.over


# -- Requests --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "status", "grpc"),
    [
        ({"method": "GET"}, "405", "12"),
        ({"content_type": "application/json"}, "415", "2"),
        ({"te": ""}, "200", "13"),
        ({"grpc_encoding": "gzip"}, "200", "12"),
        ({"x": "y" * 16384}, "200", "8"),
    ],
)
def test_requests_that_are_answered_with_a_refusal(changes: dict[str, str], status: str, grpc: str) -> None:
    served = Served()
    served.feed(request(**changes))
    answer = served.headers_of(served.of_kind(frames.HEADERS)[0])
    assert (answer[":status"], answer["grpc-status"]) == (status, grpc)
    assert served.of_kind(frames.HEADERS)[0].flags & frames.END_STREAM
    assert served.resets == [(1, ErrorCode.NO_ERROR)]
    assert served.core.streams == 0
    served.stream(3)
    assert served.core.streams == 1


@pytest.mark.parametrize(
    "changes", [{"path": ""}, {"te": "gzip"}, {"connection": "close"}, {"grpc_timeout": "x"}]
)
def test_malformed_requests_are_reset(changes: dict[str, str]) -> None:
    served = Served()
    served.feed(request(**changes))
    assert served.resets == [(1, ErrorCode.PROTOCOL_ERROR)]
    assert not served.events
    assert not served.core.over


def test_one_stream_too_many_is_refused_and_the_others_live() -> None:
    served = Served(max_streams=2)
    first = served.stream(1)
    served.stream(3)
    served.feed(request(5) + data_frame(1, b"x"))
    assert served.resets == [(5, ErrorCode.REFUSED_STREAM)]
    assert served.messages == [b"x"]
    served.core.reset(first)
    served.stream(7)
    assert served.counters.refusals == {"max_streams": 1}


def test_a_client_ends_its_side_with_trailers_too() -> None:
    served = Served()
    served.stream()
    events = served.feed(data_frame(1, b"x") + header_frame(1, [("x", "y")], end=True))
    assert [type(e).__name__ for e in events] == ["MessagesReceived", "InputEnded"]


@pytest.mark.parametrize("late", [data_frame(1, b"x"), header_frame(1, [("x", "y")], end=True)])
def test_nothing_follows_the_end_of_a_stream(late: bytes) -> None:
    served = Served()
    served.stream()
    served.feed(data_frame(1, b"x", end=True) + late)
    assert served.resets == [(1, ErrorCode.STREAM_CLOSED)]
    assert served.messages == [b"x"]


def test_trailers_must_end_the_stream() -> None:
    served = Served()
    served.stream()
    served.feed(header_frame(1, [("x", "y")]))
    assert served.resets == [(1, ErrorCode.PROTOCOL_ERROR)]


def test_a_request_may_end_at_once() -> None:
    served = Served()
    events = served.feed(request(end=True))
    assert [type(e) for e in events] == [RequestReceived, InputEnded]


@pytest.mark.parametrize(
    ("payload", "end", "status"),
    [
        (message(bytes(101))[:5], False, GrpcStatus.RESOURCE_EXHAUSTED),
        (message(b"x", compressed=True), False, GrpcStatus.INTERNAL),
        (message(b"hello")[:7], True, GrpcStatus.INTERNAL),
        (message(b"hello")[:3], True, GrpcStatus.INTERNAL),
    ],
)
def test_bad_messages_end_their_stream_with_a_status(payload: bytes, end: bool, status: GrpcStatus) -> None:
    served = Served(max_message=100)
    served.stream()
    served.sent.clear()
    served.feed(frame(frames.DATA, frames.END_STREAM if end else 0, 1, message(b"good") + payload))
    assert served.messages == [b"good"]
    assert served.causes[0].status is status
    trailers = served.headers_of(served.of_kind(frames.HEADERS)[0])
    assert trailers["grpc-status"] == str(int(status))
    served.feed(data_frame(1, b"in flight"))
    assert not served.core.over


def test_the_deadline_of_a_call_that_waits_for_window() -> None:
    served = Served()
    served.feed(frames.settings([(frames.SETTINGS_INITIAL_WINDOW_SIZE, 0)]) + request(grpc_timeout="1S"))
    stream = served.events[0].stream  # type: ignore[union-attr]
    served.core.accept(stream)
    served.core.send(stream, [b"x"])
    served.core.finish(stream)
    served.wait(1.0)
    assert served.causes[0].status is GrpcStatus.DEADLINE_EXCEEDED
    assert served.core.next_deadline() != 1.0


def test_the_deadline_of_a_call() -> None:
    served = Served()
    served.feed(request(grpc_timeout="500m"))
    assert served.core.next_deadline() == 0.5
    served.wait(0.4)
    assert served.core.streams == 1
    served.wait(0.2)
    assert served.causes[0].status is GrpcStatus.DEADLINE_EXCEEDED
    assert served.headers_of(served.of_kind(frames.HEADERS)[0])["grpc-status"] == "4"


# -- Responses -------------------------------------------------------------------------------------------


def test_informational_responses_are_skipped() -> None:
    calling = Calling(respond=False)
    events = calling.feed(header_frame(1, [(":status", "103")]) + header_frame(1, headers.RESPONSE))
    assert [type(e) for e in events] == [ResponseReceived]


@pytest.mark.parametrize(
    ("fields", "status", "http_status"),
    [
        ([(":status", "401")], GrpcStatus.UNAUTHENTICATED, 401),
        ([(":status", "503")], GrpcStatus.UNAVAILABLE, 503),
        ([(":status", "418")], GrpcStatus.UNKNOWN, 418),
        ([(":status", "200"), ("content-type", "text/html")], GrpcStatus.UNKNOWN, None),
        (
            [*headers.RESPONSE, ("grpc-status", "7"), ("grpc-message", "no%21")],
            GrpcStatus.PERMISSION_DENIED,
            None,
        ),
    ],
)
def test_refusals_by_a_server(
    fields: list[tuple[str, str]], status: GrpcStatus, http_status: int | None
) -> None:
    for end in (True, False):
        if not end and ("grpc-status", "7") in fields:
            continue
        calling = Calling(respond=False)
        calling.feed(header_frame(1, fields, end=end))
        (cause,) = calling.causes
        assert (cause.status, cause.http_status, cause.local) == (status, http_status, False)
        assert calling.core.streams == 0


def test_a_response_without_a_status_is_malformed() -> None:
    calling = Calling(respond=False)
    calling.feed(header_frame(1, [("x", "y")]))
    assert calling.resets == [(1, ErrorCode.PROTOCOL_ERROR)]


def test_data_before_the_response_is_an_error() -> None:
    calling = Calling(respond=False)
    calling.feed(data_frame(1, b"x"))
    assert calling.resets == [(1, ErrorCode.PROTOCOL_ERROR)]


def test_a_stream_without_trailers_ends_with_unknown() -> None:
    calling = Calling()
    calling.feed(data_frame(1, b"x", end=True))
    assert calling.messages == [b"x"]
    assert calling.causes[0].status is GrpcStatus.UNKNOWN


def test_a_good_status_does_not_hide_a_truncated_message() -> None:
    calling = Calling()
    calling.feed(
        frame(frames.DATA, 0, 1, message(b"hello")[:6]) + header_frame(1, [("grpc-status", "0")], end=True)
    )
    assert calling.causes[0].status is GrpcStatus.INTERNAL


def test_a_compressed_response_is_refused() -> None:
    calling = Calling(respond=False)
    calling.feed(header_frame(1, [*headers.RESPONSE, ("grpc-encoding", "gzip")]))
    assert calling.causes[0].status is GrpcStatus.INTERNAL


def test_a_client_refuses_a_message_over_its_limit() -> None:
    calling = Calling(max_message=10)
    calling.feed(data_frame(1, bytes(11)))
    assert calling.resets == [(1, ErrorCode.CANCEL)]
    assert calling.causes[0].status is GrpcStatus.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (ErrorCode.REFUSED_STREAM, GrpcStatus.UNAVAILABLE),
        (ErrorCode.CANCEL, GrpcStatus.CANCELLED),
        (ErrorCode.ENHANCE_YOUR_CALM, GrpcStatus.RESOURCE_EXHAUSTED),
        (ErrorCode.PROTOCOL_ERROR, GrpcStatus.INTERNAL),
    ],
)
def test_resets_stand_for_statuses(code: ErrorCode, status: GrpcStatus) -> None:
    calling = Calling()
    calling.feed(frames.rst_stream(1, code))
    (cause,) = calling.causes
    assert (cause.status, cause.code) == (status, code)


# -- Ping, goaway and the end ----------------------------------------------------------------------------


def test_a_ping_is_answered() -> None:
    served = Served()
    served.feed(PING)
    assert served.sent == read_frames(frames.ping(b"12345678", ack=True))


def test_a_client_ends_the_streams_that_the_server_did_not_take() -> None:
    calling = Calling()
    second = calling.core.open(REQUEST, 0.0)
    events = calling.feed(frames.goaway(1, ErrorCode.NO_ERROR))
    assert [type(e).__name__ for e in events] == ["StreamEnded", "GoingAway"]
    assert calling.causes[0].status is GrpcStatus.UNAVAILABLE
    assert second.output_ended
    assert not calling.core.can_open
    assert not calling.core.over
    calling.feed(header_frame(1, [("grpc-status", "0")], end=True))
    assert calling.core.over


def test_a_lost_connection_tells_of_the_goaway_before() -> None:
    calling = Calling()
    calling.feed(frames.goaway(1, ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings"))
    (ended,) = calling.core.lost("gone")
    assert ended.cause.message == "gone, after the peer's GOAWAY ENHANCE_YOUR_CALM"  # type: ignore[union-attr]


def test_a_server_drains_in_two_steps() -> None:
    served = Served()
    stream = served.stream()
    served.sent.clear()
    served.core.drain(0.0, None)
    goaway, ping = served.flush()
    assert frames.LONG.unpack_from(goaway.payload)[0] == frames.LARGEST_STREAM_ID
    served.stream(3)  # was on its way
    served.feed(frame(frames.PING, frames.ACK, 0, ping.payload))
    assert frames.LONG.unpack_from(served.sent[-1].payload)[0] == 3
    served.feed(request(5))
    assert served.resets[-1] == (5, ErrorCode.REFUSED_STREAM)
    served.feed(frames.rst_stream(3, 8))
    assert not served.core.over
    served.core.finish(stream)
    served.flush()
    assert served.core.over


def test_a_drain_needs_no_answer_to_its_ping() -> None:
    served = Served()
    served.core.drain(0.0, None)
    served.wait(served.limits.handshake_timeout)
    assert served.core.over
    assert served.goaway is ErrorCode.NO_ERROR


def test_a_drain_ends_with_its_grace() -> None:
    served = Served()
    served.stream()
    served.core.drain(0.0, 3.0)
    served.wait(2.9)
    assert not served.core.over
    served.wait(0.2)
    assert served.core.over
    assert served.causes[0].status is GrpcStatus.UNAVAILABLE


def test_the_age_of_a_connection() -> None:
    served = Served(max_age=100.0, keepalive_interval=None, stall_timeout=None, idle_timeout=None)
    served.stream()
    assert served.core.next_deadline() == 100.0
    served.wait(100.0)
    assert served.goaway is ErrorCode.NO_ERROR
    assert served.core.going_away
    assert served.core.streams == 1


def test_a_peers_goaway_ends_a_servers_connection_with_its_last_stream() -> None:
    served = Served()
    served.stream()
    assert [type(e) for e in served.feed(frames.goaway(0, 0))] == [GoingAway]
    served.feed(frames.rst_stream(1, 8))
    assert served.core.over


def test_a_lost_connection_ends_all_streams_once() -> None:
    served = Served()
    served.stream(1)
    served.stream(3)
    assert len(served.core.lost("gone")) == 2
    assert served.core.lost("gone") == []
    assert served.core.over


def test_no_repr_shows_headers_or_payloads() -> None:
    served = Served()
    served.feed(request(authorization="Bearer secret"))
    served.stream(3)
    served.feed(data_frame(3, b"payload"))
    assert "secret" not in repr(served.events)
    assert "payload" not in repr(served.events)


def test_a_connection_describes_itself() -> None:
    connection = Http2Connection(Http2Role.SERVER, Limits(), Counters(), 0.0)
    assert repr(connection) == "<http2 server connection: open, 0 streams>"
