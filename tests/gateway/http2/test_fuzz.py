"""Any bytes, however cut and mutated, bring normal events or a typed end; nothing raises, nothing grows."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http2 import frames, headers
from gateway.http2.connection import Http2Connection
from gateway.http2.endpoint import Http2Role
from gateway.http2.errors import Cause
from gateway.http2.events import (
    Event,
    GoingAway,
    InputEnded,
    MessagesReceived,
    RequestReceived,
    ResponseReceived,
    StreamDrained,
    StreamEnded,
)
from gateway.http2.limits import CLIENT, SERVER, Counters, Limits
from tests.gateway.http2.peers import (
    REQUEST,
    data_frame,
    frame,
    header_frame,
    message,
    read_frames,
    receive,
    request,
)

SMALL = replace(
    SERVER,
    max_message=5000,
    max_partial=8000,
    stream_window=20_000,
    connection_window=80_000,
    max_frame=20_000,
    max_header_list=1000,
    max_streams=4,
    max_unsent=50_000,
    high_water=10_000,
    low_water=1000,
    control_burst=50,
    reset_burst=10,
)
MEMORY = 2_000_000
"""A mutated conversation (up to 400 kB), its pieces and its log, and all of SMALL's limits together."""

stream_ids = st.sampled_from([0, 1, 1, 1, 2, 3, 5, 2**31 - 1])
payload = st.binary(max_size=60)
BLOCK = headers.encode(REQUEST, first=True)


def client_frames() -> st.SearchStrategy[bytes]:
    """Frames that a client might send, good and bad."""
    return st.one_of(
        st.builds(request, stream_ids.filter(bool), end=st.booleans()),
        st.builds(
            lambda i, p, e: data_frame(i, *p, end=e), stream_ids, st.lists(payload, max_size=4), st.booleans()
        ),
        st.builds(lambda i, p: frame(frames.DATA, 0, i, p), stream_ids, payload),
        st.builds(
            lambda i, p, n: frame(frames.DATA, frames.PADDED, i, bytes([n]) + p),
            stream_ids,
            payload,
            st.integers(0, 70),
        ),
        st.builds(lambda i, n: frame(frames.DATA, 0, i, message(bytes(n))), stream_ids, st.integers(0, 6000)),
        st.builds(
            lambda i, n: frame(frames.HEADERS, 0, i, BLOCK[:n]) + frame(frames.CONTINUATION, 4, i, BLOCK[n:]),
            stream_ids,
            st.integers(0, 80),
        ),
        st.builds(
            lambda i, n: frames.window_update(i, n), stream_ids, st.sampled_from([0, 1, 100, 2**31 - 1])
        ),
        st.builds(frames.rst_stream, stream_ids, st.integers(0, 20)),
        st.builds(
            lambda n, v: frames.settings([(n, v)]),
            st.integers(0, 8),
            st.sampled_from([0, 1, 5, 20_000, 2**31]),
        ),
        st.builds(lambda i, c: frames.goaway(i, c, "x"), stream_ids, st.integers(0, 20)),
        st.builds(
            lambda k, f, i, p: frame(k, f, i, p), st.integers(0, 12), st.integers(0, 255), stream_ids, payload
        ),
        st.just(frames.SETTINGS_ACK),
        st.just(frames.ping(b"12345678")),
    )


client_bytes = st.lists(client_frames(), max_size=20).map(
    lambda found: frames.PREFACE + frames.settings([]) + b"".join(found)
)


class Driven:
    """A connection whose owner does a little of everything, or only listens."""

    def __init__(self, side: Http2Role, limits: Limits = SMALL, *, listens_only: bool = False) -> None:
        self.listens_only = listens_only
        self.core = Http2Connection(side, limits, Counters(), 0.0)
        self.log: list[tuple[object, ...]] = []
        self.ended: Counter[int] = Counter()
        if side is Http2Role.CLIENT:
            self.core.resume(self.core.open(REQUEST, 0.0))
            self.core.open(REQUEST, 0.0)
            self.core.output(0.0)

    def feed(self, data: bytes) -> None:
        self.note(receive(self.core, data))
        for _ in range(100):
            if not self.core.wants_output:
                break
            data, events = self.core.output(0.0)
            read_frames(data)
            self.note(events)

    def note(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case MessagesReceived(stream, messages):
                    if self.log and self.log[-1][:2] == ("messages", stream.id):
                        self.log[-1] = ("messages", stream.id, self.log[-1][2] + messages)  # type: ignore[operator]
                    else:
                        self.log.append(("messages", stream.id, messages))
                case RequestReceived(stream, headers):
                    self.log.append(("request", stream.id, dict(headers)))
                    if stream.id != 5 and not self.listens_only:
                        self.core.accept(stream)
                        self.core.resume(stream)
                        self.core.send(stream, [b"hello"])
                case InputEnded(stream):
                    self.log.append(("ended", stream.id))
                    if not self.listens_only:
                        self.core.finish(stream)
                case StreamEnded(stream, cause):
                    assert isinstance(cause, Cause)
                    self.ended[stream.id] += 1
                    self.log.append(("closed", stream.id, cause))
                case ResponseReceived(stream, headers):
                    self.log.append(("response", stream.id, dict(headers)))
                case StreamDrained() | GoingAway():
                    pass

    def per_stream(self) -> dict[object, list[object]]:
        """What each stream saw, messages of neighbouring reads as one batch."""
        found: dict[object, list[object]] = {}
        for entry in self.log:
            entries = found.setdefault(entry[1], [])
            if entry[0] == "messages" and entries and entries[-1][0] == "messages":  # type: ignore[index]
                entries[-1] = ("messages", entries[-1][1] + entry[2])  # type: ignore[index,operator]
            elif entry[0] == "messages":
                entries.append(("messages", list(entry[2])))  # type: ignore[call-overload]
            else:
                entries.append((entry[0], *entry[2:]))
        return found

    def finish(self) -> None:
        self.note(self.core.lost("the end"))
        assert self.core.streams == 0
        assert max(self.ended.values(), default=1) == 1


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    points = sorted({0, len(data), *(c % (len(data) + 1) for c in cuts)})
    return [data[a:b] for a, b in pairwise(points)]


@given(client_bytes, st.lists(st.integers(0, 10_000), max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_split_of_the_bytes_gives_the_same_events(data: bytes, cuts: list[int]) -> None:
    # Window and unfinished messages are looked at once per read, so their limits are out of the way. What
    # an owner does in between depends on the reads by its nature, so this one does nothing.
    limits = replace(SMALL, connection_window=10**6, stream_window=10**6, max_partial=10**6, max_unsent=10**6)
    whole, pieces, bytewise = (Driven(Http2Role.SERVER, limits, listens_only=True) for _ in range(3))
    whole.feed(data)
    for piece in cut(data, cuts):
        pieces.feed(piece)
    for piece in cut(data, list(range(min(len(data), 3000)))):
        bytewise.feed(piece)
    for one in (whole, pieces, bytewise):
        one.finish()
    assert whole.per_stream() == pieces.per_stream() == bytewise.per_stream()


@given(client_bytes)
@settings(max_examples=200, deadline=None)
def test_frames_good_and_bad_raise_nothing(data: bytes) -> None:
    driven = Driven(Http2Role.SERVER)
    driven.feed(data)
    driven.finish()


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_raise_nothing(data: bytes) -> None:
    for side, opening in (
        (Http2Role.SERVER, frames.PREFACE + frames.settings([])),
        (Http2Role.CLIENT, frames.settings([])),
    ):
        driven = Driven(side)
        driven.feed(opening + data)
        driven.finish()


def corpus() -> list[tuple[Http2Role, bytes]]:
    """Whole conversations, as each side hears them."""
    calls = [
        request(1),
        data_frame(1, b"one", b"", b"two" * 50),
        frame(frames.DATA, frames.PADDED, 1, b"\x03" + message(b"padded") + bytes(3)),
        frames.ping(b"12345678"),
        request(3, authorization="Bearer x", grpc_timeout="1S"),
        frames.window_update(0, 1000) + frames.window_update(1, 1000),
        data_frame(1, bytes(4000))[:2000],
        data_frame(1, bytes(4000))[2000:],
        frame(frames.HEADERS, 0, 5, BLOCK[:30]) + frame(frames.CONTINUATION, 4, 5, BLOCK[30:]),
        frames.rst_stream(5, 8),
        data_frame(3, b"last", end=True),
        frames.goaway(0, 0, "bye"),
        data_frame(1, b"more", end=True),
    ]
    server = frames.PREFACE + frames.settings([(4, 1000)]) + frames.SETTINGS_ACK + b"".join(calls)
    answers = [
        header_frame(1, headers.RESPONSE),
        data_frame(1, b"one", b"two"),
        frame(frames.SETTINGS, 0, 0, b"\x00\x05\x00\x00\x80\x00"),
        header_frame(3, [*headers.RESPONSE, *headers.trailers(headers.GrpcStatus.INTERNAL, "no")], end=True),
        frames.goaway(1, 0),
        data_frame(1, bytes(3000)),
        header_frame(1, headers.trailers(headers.GrpcStatus.OK, ""), end=True),
    ]
    client = frames.settings([(3, 10)]) + frames.SETTINGS_ACK + b"".join(answers)
    return [(Http2Role.SERVER, server), (Http2Role.CLIENT, client)]


def mutate(data: bytes, rng: random.Random) -> bytes:
    return mutate_frames(data, rng) if rng.random() < 0.5 else mutate_bytes(data, rng)


def mutate_frames(data: bytes, rng: random.Random) -> bytes:
    """Change what stands in the frames, and their order, so that the stream still parses."""
    start = len(frames.PREFACE) if data.startswith(frames.PREFACE) else 0
    found = read_frames(data[start:])
    for _ in range(rng.choice((1, 2, 3, 8))):
        at = rng.randrange(len(found))
        one = found[at]
        match rng.randrange(7):
            case 0:
                found[at] = one._replace(payload=mutate_bytes(one.payload, rng))
            case 1:
                found[at] = one._replace(flags=one.flags ^ 1 << rng.randrange(8))
            case 2:
                found[at] = one._replace(stream_id=rng.choice((0, 1, 2, 3, 5, 7, 2**32 - 1)))
            case 3:
                found[at] = one._replace(kind=rng.randrange(12))
            case 4:
                found.insert(rng.randrange(len(found)), one)
            case 5:
                found[at : at + 1] = [one] * rng.choice((2, 20, 100))
            case _:
                found[at], found[-1] = found[-1], one
    return data[:start] + b"".join(frame(*one) for one in found)


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(len(out) or 1)
        match rng.randrange(6):
            case 0 if out:
                out[at % len(out)] ^= 1 << rng.randrange(8)
            case 1 if out:
                out[at % len(out)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 2:
                del out[at : at + rng.randrange(1, 30)]
            case 3:
                out[at:at] = rng.randbytes(rng.randrange(1, 20))
            case 4:
                out[at:at] = out[at : at + rng.randrange(1, 200)]
            case _:
                del out[max(at, 30) :]
    return bytes(out)


def run_mutations(count: int, seed: int) -> Counter[str]:
    rng = random.Random(seed)
    conversations = corpus()
    seen: Counter[str] = Counter()
    limits = {
        Http2Role.SERVER: SMALL,
        Http2Role.CLIENT: replace(SMALL, keepalive_interval=None, max_age=None),
    }
    for _ in range(count):
        side, data = rng.choice(conversations)
        mutated = mutate(data, rng)
        driven = Driven(side, limits[side])
        for piece in cut(mutated, [rng.randrange(len(mutated) + 1) for _ in range(rng.randrange(4))]):
            driven.feed(piece)
        driven.note(driven.core.handle_timer(0.5))
        driven.finish()
        seen["closed by rule" if driven.core._counters.refusals else "normal end"] += 1
        seen.update(f"rule {rule}" for rule in driven.core._counters.refusals)
    return seen


def test_the_corpus_itself_is_good() -> None:
    for side, data in corpus():
        driven = Driven(side, replace(SMALL, max_age=None) if side is Http2Role.SERVER else CLIENT)
        driven.feed(data)
        assert not driven.core._counters.refusals
        driven.finish()


def test_mutated_conversations() -> None:
    tracemalloc.start()
    run_mutations(50, seed=0)
    tracemalloc.reset_peak()
    base, _ = tracemalloc.get_traced_memory()
    run_mutations(200, seed=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - base < MEMORY
    seen = run_mutations(3000, seed=2)
    assert seen["closed by rule"] > 500
    assert seen["normal end"] > 500


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_million_mutated_conversations() -> None:
    seen = run_mutations(1_000_000, seed=3)
    print(seen)
    assert seen["closed by rule"] + seen["normal end"] == 1_000_000
