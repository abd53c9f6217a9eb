"""Peers of a node without sessions: prepared bytes on streams of their own (run by `processes.worker`).

A generator sends as fast as flow control lets, a sink subscribes and counts, a holder only stays connected.
They go through the steps of `worker`, so that both brokers' nodes are driven by the very same processes.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TextIO
from uuid import uuid4

from actors.messages.wire import (
    LinkNegotiation,
    MessageType,
    Payload,
    SessionKind,
    SessionMessage,
    Subscription,
    SubscriptionAck,
)
from actors.names import Name
from actors.routing.negotiation import OUR_VERSION
from gateway.codec import InboundParser, WireCodec, encode_record, frame_bytes
from gateway.http2 import ClientStream, connect
from gateway.links.stream import METHOD_PATH
from tests.benchmarks.worker import main, measured, open_steps
from tests.benchmarks.workloads import QUIET, Arguments, Part, Report

HIGH_WATER = 1024 * 1024
BATCH_BYTES = 64 * 1024
BATCH = 64
"""Messages that one turn of the generator hands over, if they are no more than `BATCH_BYTES`."""
DIALLING = 50
"""Connections that are opened at the same time."""
TOKEN = "org/bench/generator_Ab3dE5gH:1795360177:AAECAwQFBgcICQoL:" + "x" * 72 + ":" + "y" * 43
"""As long as a token of a shared secret; nodes do not read it."""
SOURCE = Name("org", "bench", "generator", 7)


class Peer:
    """One stream to a node, negotiated. Made by `call`."""

    def __init__(self, stream: ClientStream) -> None:
        self.stream = stream
        self.received = 0
        """Messages since the subscriptions."""
        self._parser = InboundParser(0)
        self._answer: asyncio.Future[None] | None = None
        self._drained = asyncio.Event()

    async def ask(self, record: LinkNegotiation | Subscription) -> None:
        """Send a record and wait for its answer. Raises ConnectionError when the stream ends."""
        self._answer = asyncio.get_running_loop().create_future()
        self.stream.send([encode_record(record)])
        await self._answer
        self._answer = None

    async def drained(self) -> None:
        """Wait until the stream has room again; one turn of the loop when it has."""
        if self.stream.unsent <= HIGH_WATER:
            await asyncio.sleep(0)
            return
        self._drained.clear()
        await self._drained.wait()

    def on_messages(self, batch: list[bytes]) -> None:
        if self._answer is None:
            self.received += len(batch)
        elif any(isinstance(self._parser.parse(data), LinkNegotiation | SubscriptionAck) for data in batch):
            self._answer.set_result(None)

    def on_closed(self, cause: object) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(f"the node ended the stream: {cause}"))

    def on_drained(self) -> None:
        self._drained.set()


async def call(endpoint: str) -> Peer:
    """A connection with one stream, negotiated."""
    peer = Peer(await connect(endpoint, METHOD_PATH))
    peer.stream.start(on_messages=peer.on_messages, on_closed=peer.on_closed, on_drained=peer.on_drained)
    await peer.ask(LinkNegotiation(str(uuid4()), OUR_VERSION))
    return peer


async def call_many(endpoint: str, count: int) -> list[Peer]:
    """`count` connections, `DIALLING` at a time."""
    peers: list[Peer] = []
    while len(peers) < count:
        dialling = (call(endpoint) for _ in range(min(DIALLING, count - len(peers))))
        peers += await asyncio.gather(*dialling)
    return peers


def prepared(destination: Name, size: int, fanout: int, batch: int = BATCH) -> list[list[bytes]]:
    """Batches of best-effort messages, equal but for their ids."""
    codec = WireCodec()
    length = max(1, min(batch, BATCH_BYTES // size))
    ids = itertools.count(1000)

    def message() -> bytes:
        said = SessionMessage(
            SOURCE,
            destination,
            SessionKind.POINT_TO_POINT,
            MessageType.MSG,
            1,
            next(ids),
            Payload("msg", bytes(size)),
            fanout,
        )
        return frame_bytes(codec.encode(said, TOKEN))

    return [[message() for _ in range(length)] for _ in range(16)]


async def generate(endpoint: str, to: Arguments) -> Callable[[], Awaitable[Part]]:
    """Send `count` messages of `size` octets to `name`, up to `batch` of them in a turn."""
    peer = await call(endpoint)

    async def prepare() -> Part:
        made = prepared(Name(*to["name"]), to["size"], to["fanout"], to.get("batch", BATCH))
        batches = itertools.cycle(made)

        async def part() -> Report:
            start, left = time.monotonic(), to["count"]
            while left > 0:
                batch = next(batches)[:left]
                left -= len(batch)
                peer.stream.send(batch)
                await peer.drained()
            return {"start": start}

        return part

    return prepare


async def sink(endpoint: str, of: Arguments) -> Callable[[], Awaitable[Part]]:
    """Take `count` messages to `name`, or as many as come, on `connections` connections."""
    peers = await call_many(endpoint, of["connections"])

    async def prepare() -> Part:
        name = Name(*of["name"])
        for number, peer in enumerate(peers, 1):
            await peer.ask(Subscription(True, name, name, TOKEN, number))

        async def part() -> Report:
            got, end, looked = 0, time.monotonic(), time.monotonic()
            while got < of["count"] and looked - end < QUIET:
                await asyncio.sleep(0.005)
                looked, before = time.monotonic(), got
                got = sum(peer.received for peer in peers)
                if got > before:
                    end = looked
            return {"received": got, "end": end}

        return part

    return prepare


async def hold(endpoint: str, of: Arguments) -> Callable[[], Awaitable[Part]]:
    """One connection at first, and `connections` more from the first step on."""
    await call(endpoint)

    async def prepare() -> Part:
        await call_many(endpoint, of["connections"])

        async def part() -> Report:
            return {}

        return part

    return prepare


WORK = {work.__name__: work for work in (generate, sink, hold)}


async def work(order: Mapping[str, Any], replies: TextIO) -> None:
    """Do one part in a process of its own: the order names endpoint, work and arguments."""
    step = await open_steps(replies)
    prepare = await WORK[order["work"]](order["endpoint"], order["arguments"])
    await step({"step": "up"})
    await measured(await prepare(), step)


if __name__ == "__main__":
    main(work)
