"""A closed connection's memory is free at once: nothing on its path waits for the cyclic collector."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager

import pytest

from actors.routing.connection import Connection
from gateway import http2
from gateway.codec import InboundParser
from gateway.config import TRANSPORTS, ClientConfig, ServerConfig
from gateway.http2.connection import Http2Connection
from gateway.http2.messages import Assembler, SendBuffer
from gateway.http2.reader import FrameReader
from gateway.http2.stream import StreamState
from gateway.http2.transport import Wire
from gateway.links.grpc_stream import GrpcStream
from gateway.links.http2_stream import Http2Stream
from gateway.links.link import AcceptedLink, DialledLink
from gateway.node.data_plane import DataPlane
from tests.gateway.http2.links import Accepting, Collector, settled, url

METHOD = "/callboard.test.Test/Stream"
MIB = 1024 * 1024
TRANSPORT = (
    Wire,
    Http2Connection,
    FrameReader,
    StreamState,
    Assembler,
    SendBuffer,
    http2.ClientConnection,
    http2.ClientStream,
    http2.ServerStream,
)
NODE = (AcceptedLink, DialledLink, InboundParser, Http2Stream, GrpcStream, Connection)


def alive(kinds: tuple[type, ...]) -> Counter[str]:
    """How many objects of these types there are, garbage in cycles among them."""
    return Counter(type(one).__name__ for one in gc.get_objects() if type(one) in kinds)


@contextmanager
def no_collector(kinds: tuple[type, ...]) -> Iterator[Callable[[], bool]]:
    """Without the collector: what is yielded says whether there are no more such objects than before."""
    gc.collect()
    gc.disable()
    before = alive(kinds)
    try:
        yield lambda: alive(kinds) <= before
    finally:
        gc.enable()


def run(loop: str, main: Callable[[], Coroutine[None, None, None]]) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop").run(main())
    else:
        asyncio.run(main())


ENDINGS: dict[str, Callable[[http2.ClientStream], None]] = {
    "cancelled": lambda stream: stream.cancel(),
    "finished": lambda stream: stream.close(),
    "socket closed": lambda stream: stream._wire.abort(),
    "protocol broken": lambda stream: stream._wire._transport.write(b"\xff" * 100),  # type: ignore[union-attr]
}


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_connection_that_ended_leaves_nothing(loop: str, ending: str) -> None:
    async def main() -> None:
        handler = Accepting(reply=True)
        async with await http2.serve(handler, METHOD) as server:

            async def once() -> None:
                mine = Collector(await http2.connect(url(server), METHOD))
                mine.stream.send([bytes(MIB), b"x"])
                await mine.got(2)
                ENDINGS[ending](mine.stream)  # type: ignore[arg-type]
                await mine.closed()
                await settled(lambda: server.connections == 0)
                handler.calls.clear()

            await once()
            with no_collector(TRANSPORT) as none_left:
                for _ in range(3):
                    await once()
                await settled(none_left)

    run(loop, main)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_unfinished_and_unsent_messages_go_with_their_connection(loop: str) -> None:
    async def main() -> None:
        handler = Accepting()
        async with await http2.serve(handler, METHOD) as server:
            with no_collector(()):
                tracemalloc.start()
                before = tracemalloc.get_traced_memory()[0]
                for _ in range(8):
                    mine = Collector(await http2.connect(url(server), METHOD))
                    theirs = await handler.call()
                    mine.stream.pause_reading()
                    theirs.stream.pause_reading()
                    theirs.stream.send([bytes(3 * MIB), bytes(3 * MIB)])
                    mine.stream.send([bytes(3 * MIB)])
                    await settled(lambda theirs=theirs: theirs.stream.state.assembler.size > 0)  # type: ignore[misc]
                    mine.stream._wire.abort()
                    await mine.closed()
                    await theirs.closed()
                    await settled(lambda: server.connections == 0)
                    handler.calls.clear()
                    handler.headers.clear()
                    del mine, theirs
                await asyncio.sleep(0)
                left = tracemalloc.get_traced_memory()[0] - before
                tracemalloc.stop()
            assert left < MIB

    run(loop, main)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_node_keeps_nothing_of_a_connection_that_ended(transport: str) -> None:
    options = {"tls": {"insecure": True}, "transport": transport}
    node, client = DataPlane(), DataPlane()
    address = await node.serve(ServerConfig.read({"endpoint": "127.0.0.1:0", **options}))
    endpoint = f"http://{address}"
    try:
        with no_collector(NODE) as none_left:
            for _ in range(3):
                await client.connect(ClientConfig.read({"endpoint": endpoint, **options}))
                await client.disconnect(endpoint)
            await settled(none_left)
    finally:
        await client.close(0.2)
        await node.close(0.2)
