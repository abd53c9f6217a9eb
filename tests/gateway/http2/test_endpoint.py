"""What goes out: DATA within windows and turns, window given back and withheld, ends of streams."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.http2 import frames
from gateway.http2.endpoint import OUTPUT_SIZE
from gateway.http2.errors import ErrorCode, GrpcStatus
from gateway.http2.events import MessagesReceived, StreamDrained
from gateway.http2.limits import CLIENT, SERVER
from tests.gateway.http2.peers import REQUEST, Calling, Pair, Served, data_frame, frame, message, read_frames


def credits(served: Served) -> list[tuple[int, int]]:
    return [
        (one.stream_id, frames.LONG.unpack(one.payload)[0]) for one in served.of_kind(frames.WINDOW_UPDATE)
    ]


# -- Sending ---------------------------------------------------------------------------------------------


def test_what_one_turn_sends_shares_a_frame() -> None:
    served = Served()
    stream = served.stream()
    served.core.send(stream, [b"a", b"b"])
    served.core.send(stream, [b"c"])
    (one,) = served.flush()
    assert one.payload == message(b"a") + message(b"b") + message(b"c")


def test_data_waits_for_the_streams_window_and_for_the_connections() -> None:
    served = Served()
    stream = served.stream()
    served.core.send(stream, [bytes(100_000)])
    served.flush()
    assert stream.unsent == 100_005 - 65_535
    served.feed(frames.window_update(1, 100_000))
    assert stream.unsent == 100_005 - 65_535
    served.feed(frames.window_update(0, 1))
    assert stream.unsent == 100_005 - 65_536
    served.feed(frames.window_update(0, 100_000))
    assert stream.unsent == 0
    sent = served.of_kind(frames.DATA)
    assert b"".join(one.payload for one in sent) == message(bytes(100_000))
    assert max(len(one.payload) for one in sent) == frames.DEFAULT_MAX_FRAME


def test_frames_are_as_large_as_the_peer_allows() -> None:
    served = Served()
    stream = served.stream()
    served.feed(frames.settings([(frames.SETTINGS_MAX_FRAME_SIZE, 50_000)]))
    served.core.send(stream, [bytes(60_000)])
    assert [len(one.payload) for one in served.flush()] == [50_000, 10_005]


def test_streams_take_turns() -> None:
    served = Served()
    served.feed(
        frames.settings([(frames.SETTINGS_INITIAL_WINDOW_SIZE, 2**30)]) + frames.window_update(0, 2**30)
    )
    first, second = served.stream(1), served.stream(3)
    served.core.send(first, [bytes(2 * OUTPUT_SIZE)])
    served.core.send(second, [b"small"])
    data, _ = served.core.output(0.0)
    assert {one.stream_id for one in read_frames(data)} == {1}
    assert len(data) < 1.1 * OUTPUT_SIZE
    data, _ = served.core.output(0.0)
    assert read_frames(data)[0].stream_id == 3


def test_a_stream_without_window_does_not_hold_up_another() -> None:
    served = Served()
    served.feed(
        frames.settings([(frames.SETTINGS_INITIAL_WINDOW_SIZE, 10)]) + frames.window_update(0, 100_000)
    )
    first, second = served.stream(1), served.stream(3)
    served.core.send(first, [bytes(100)])
    served.core.send(second, [b"x"])
    assert [(one.stream_id, len(one.payload)) for one in served.flush()] == [(1, 10), (3, 6)]


def test_nothing_is_sent_before_the_stream_is_accepted() -> None:
    served = Served()
    stream = served.stream(accept=False)
    served.core.send(stream, [b"early"])
    assert served.flush() == []
    served.core.accept(stream)
    assert [one.kind for one in served.flush()] == [frames.HEADERS, frames.DATA]


def test_drained_is_told_when_the_unsent_falls_to_the_low_water() -> None:
    served = Served(high_water=1000, low_water=300)
    served.feed(frames.settings([(frames.SETTINGS_INITIAL_WINDOW_SIZE, 0)]))
    stream = served.stream()
    served.core.send(stream, [bytes(1000)])
    for window, told in ((600, 0), (105, 1), (100, 1)):
        served.feed(frames.window_update(1, window))
        assert len([e for e in served.events if isinstance(e, StreamDrained)]) == told


def test_a_sender_that_does_not_stop_loses_the_stream() -> None:
    served = Served(high_water=100, low_water=100, max_unsent=1000)
    served.feed(frames.settings([(frames.SETTINGS_INITIAL_WINDOW_SIZE, 0)]))
    stream = served.stream()
    assert served.core.send(stream, [bytes(900)])
    assert not served.core.send(stream, [bytes(900)])
    assert not served.core.send(stream, [b"more"])
    served.flush()
    assert served.causes[0].status is GrpcStatus.RESOURCE_EXHAUSTED
    assert served.resets == [(1, ErrorCode.CANCEL)]


def test_trailers_follow_what_is_unsent() -> None:
    served = Served()
    served.feed(frames.settings([(frames.SETTINGS_INITIAL_WINDOW_SIZE, 4)]))
    stream = served.stream()
    served.sent.clear()
    served.core.send(stream, [b"x"])
    served.core.finish(stream, GrpcStatus.ABORTED, "done")
    assert not served.core.send(stream, [b"late"])
    served.flush()
    assert served.causes == []
    served.feed(frames.window_update(1, 100))
    assert [one.kind for one in served.sent] == [
        frames.DATA,
        frames.DATA,
        frames.HEADERS,
        frames.RST_STREAM,
    ]
    assert (served.causes[0].status, served.causes[0].local) == (GrpcStatus.ABORTED, True)


def test_a_client_half_closes_behind_what_is_unsent() -> None:
    calling = Calling()
    calling.core.send(calling.state, [b"x"])
    calling.core.finish(calling.state)
    sent = calling.flush()
    assert [(one.kind, one.flags, len(one.payload)) for one in sent] == [
        (frames.DATA, 0, 6),
        (frames.DATA, frames.END_STREAM, 0),
    ]
    assert calling.causes == []


def test_refusing_and_resetting_happen_once() -> None:
    served = Served()
    stream = served.stream(accept=False)
    served.sent.clear()
    served.core.refuse(stream, 401)
    served.core.refuse(stream, 401)
    served.core.reset(stream)
    served.core.finish(stream)
    served.core.accept(stream)
    assert [one.kind for one in served.flush()] == [frames.HEADERS, frames.RST_STREAM]
    assert served.headers_of(served.sent[0]) == {":status": "401"}
    (cause,) = served.causes
    assert (cause.status, cause.http_status) == (GrpcStatus.UNAUTHENTICATED, 401)
    assert served.counters.refusals == {"http_401": 1}


def test_a_stream_refused_before_it_was_accepted_gets_one_header_frame() -> None:
    served = Served()
    stream = served.stream(accept=False)
    served.sent.clear()
    served.core.finish(stream, GrpcStatus.PERMISSION_DENIED, "no")
    served.flush()
    answer = served.headers_of(served.of_kind(frames.HEADERS)[0])
    assert answer == {
        ":status": "200",
        "content-type": "application/grpc",
        "grpc-status": "7",
        "grpc-message": "no",
    }


# -- Giving window back ----------------------------------------------------------------------------------


def test_window_comes_back_when_half_of_it_is_used() -> None:
    served = Served(stream_window=100_000, connection_window=1_000_000)
    served.stream()
    served.sent.clear()
    served.feed(data_frame(1, bytes(40_000)))
    assert credits(served) == []
    served.feed(data_frame(1, bytes(10_000)))
    assert credits(served) == [(1, 50_010)]


def test_an_unfinished_message_larger_than_the_window_keeps_flowing() -> None:
    pair = Pair(server=replace(SERVER, stream_window=1000, max_message=200_000))
    stream = pair.client.open(REQUEST, 0.0)
    pair.transfer()
    pair.client.send(stream, [bytes(200_000)])
    pair.transfer()
    assert stream.unsent == 0
    (event,) = [e for e in pair.server_events if isinstance(e, MessagesReceived)]
    assert event.messages == [bytes(200_000)]


def test_a_paused_stream_gets_no_window_and_the_others_do() -> None:
    pair = Pair(server=replace(SERVER, stream_window=100_000))
    first, second = pair.client.open(REQUEST, 0.0), pair.client.open(REQUEST, 0.0)
    pair.transfer()
    paused = next(e.stream for e in pair.server_events)  # type: ignore[union-attr]
    pair.server.pause(paused)
    for stream in (first, second):
        pair.client.send(stream, [bytes(1000)] * 1000)
    pair.transfer()
    assert first.unsent == 1_005_000 - 100_000
    assert second.unsent == 0
    pair.server.resume(paused)
    pair.transfer()
    assert first.unsent == 0


def test_paused_streams_hold_a_connections_window_at_most_twice() -> None:
    window = 65_535
    pair = Pair(server=replace(SERVER, stream_window=window, connection_window=window))
    streams = [pair.client.open(REQUEST, 0.0) for _ in range(5)]
    pair.transfer(accept=False)
    for stream in streams:
        pair.client.send(stream, [bytes(100_000)])
    pair.transfer(accept=False)
    received = 5 * 100_005 - sum(stream.unsent for stream in streams)
    assert window <= received <= 2 * window
    for event in list(pair.server_events):
        pair.server.accept(event.stream)  # type: ignore[union-attr]
        pair.server.resume(event.stream)  # type: ignore[union-attr]
    pair.transfer()
    assert [stream.unsent for stream in streams] == [0] * 5


def test_window_held_by_a_stream_comes_back_when_it_ends() -> None:
    window = 65_535
    served = Served(stream_window=2 * window, connection_window=window)
    first = served.stream(1, resume=False)
    served.feed(data_frame(1, bytes(40_000)))
    served.feed(data_frame(1, bytes(20_000)))
    served.feed(data_frame(1, bytes(40_000)))
    served.sent.clear()
    served.core.reset(first)
    served.flush()
    assert [stream_id for stream_id, _ in credits(served)] == [0]


@pytest.mark.parametrize("window", [1, 7, 1000])
def test_tiny_windows(window: int) -> None:
    pair = Pair(
        client=replace(CLIENT, stream_window=window),
        server=replace(SERVER, stream_window=window),
    )
    mine = pair.client.open(REQUEST, 0.0)
    pair.transfer()
    pair.client.resume(mine)
    theirs = pair.server_events[0].stream  # type: ignore[union-attr]
    messages = [bytes([n]) * n for n in range(50)]
    pair.client.send(mine, messages)
    pair.server.send(theirs, messages)
    pair.transfer()
    for events in (pair.client_events, pair.server_events):
        assert [m for e in events if isinstance(e, MessagesReceived) for m in e.messages] == messages


@pytest.mark.parametrize("stream_id", [0, 1])
def test_more_data_than_window_is_an_error(stream_id: int) -> None:
    small, large = 70_000, 1_000_000
    served = Served(
        stream_window=large if stream_id == 0 else small,
        connection_window=small if stream_id == 0 else large,
    )
    served.stream(resume=False)
    for _ in range(7 if stream_id else 14):
        served.feed(frame(frames.DATA, 0, 1, message(bytes(11_000))))
    if stream_id:
        assert served.resets == [(1, ErrorCode.FLOW_CONTROL_ERROR)]
        assert not served.core.over
    else:
        # one window, and one more until a window is held
        assert served.goaway is ErrorCode.FLOW_CONTROL_ERROR


def test_a_small_window_is_in_force_only_when_the_peer_knows_it() -> None:
    served = Served(handshake=False, stream_window=100)
    served.feed(frames.PREFACE + frames.settings([]))
    stream = served.stream(resume=False)
    served.feed(data_frame(1, bytes(50_000)))
    assert served.resets == []
    served.feed(frames.SETTINGS_ACK)
    assert stream.receive_window == 100 - 50_005
    served.feed(data_frame(1, b"x"))
    assert served.resets == [(1, ErrorCode.FLOW_CONTROL_ERROR)]
