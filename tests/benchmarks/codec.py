"""What the codec costs: a session message to a frame, a frame to bytes, and back."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from actors.messages.wire import Frame, MessageType, Payload, SessionMessage
from actors.names import Name
from gateway.codec import InboundParser, WireCodec, frame_bytes
from tests.benchmarks.places import found

SIZES = (64, 1024, 65_536)
_TOKEN = "org/default/alice_Ab3dE5gH:1795360177:AAECAwQFBgcICQoL:" + "x" * 72 + ":" + "y" * 43


class Figure(NamedTuple):
    """Microseconds per message of one payload size."""

    size: int
    encode: float
    write: float
    parse: float
    decode: float


class Works(NamedTuple):
    """The four steps of one message of some size, each on what the step before it made."""

    encode: Callable[[], object]
    write: Callable[[], object]
    parse: Callable[[], object]
    decode: Callable[[], object]


def works(size: int) -> Works:
    """The steps for a payload of `size` octets."""
    kinds = found("actors.messages.wire:SessionKind", "actors.messages.wire:SessionType")
    message = SessionMessage(
        Name("org", "default", "alice", 1),
        Name("org", "default", "bob", 2),
        kinds.POINT_TO_POINT,
        MessageType.MSG,
        1,
        1000,
        Payload("msg", bytes(size)),
        identity=_TOKEN,
    )
    codec, parser = WireCodec(), InboundParser(1)
    frame = codec.encode(message, _TOKEN)
    data = frame_bytes(frame)
    received = parser.parse(data)
    assert isinstance(received, Frame)
    return Works(
        partial(codec.encode, message, _TOKEN),
        partial(frame_bytes, frame),
        partial(parser.parse, data),
        partial(codec.decode, received),
    )


def measure(repeats: int = 20_000) -> list[Figure]:
    """The best of three rounds for each size."""
    return [Figure(size, *(_best(work, repeats) for work in works(size))) for size in SIZES]


def _best(work: Callable[[], object], repeats: int) -> float:
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        for _ in range(repeats):
            work()
        best = min(best, time.perf_counter() - started)
    return best / repeats * 1e6


def table(figures: list[Figure]) -> str:
    """The figures for people."""
    lines = ["codec, us per message     encode    write    parse   decode"]
    for f in figures:
        lines.append(
            f"{f.size:>8} B            {f.encode:>8.2f} {f.write:>8.2f} {f.parse:>8.2f} {f.decode:>8.2f}"
        )
    return "\n".join(lines) + "\n"
