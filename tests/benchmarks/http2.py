"""What the transport alone costs: the fast link beside the gRPC library, in one run.

    python -m tests.benchmarks.http2 [repeats]

For each transport a server and a client process exchange messages over loopback TCP, on one stream: one
way (as fast as the link's own back-pressure allows) and echo (`ECHO_WINDOW` messages under way). Each
process reports the CPU it used between the first and the last message. Payloads mean nothing to anybody,
so nothing but transport, event loop and kernel is in the figures.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import struct
import sys
import time
from collections.abc import AsyncIterator, Iterable
from multiprocessing.connection import Connection
from statistics import median
from typing import Any, NamedTuple

from gateway.http2 import Headers, ServerStream, connect, serve

METHOD = "/callboard.bench.Bench/Stream"
SIZES = (64, 1024, 65_536)
MODES = ("one way", "echo")
COUNTS = {"fast": {64: 50_000, 1024: 30_000, 65_536: 2_000}, "grpc": {64: 4_000, 1024: 4_000, 65_536: 1_000}}
BATCH = 32
"""Messages that one turn of the sender hands over, where the transport has batches."""
ECHO_WINDOW = 32
HIGH_WATER = 1024 * 1024
_CPU = struct.Struct(">d")


class Figure(NamedTuple):
    """One measurement. CPU in microseconds per message; an echoed message counts once."""

    transport: str
    mode: str
    size: int
    rate: float
    """Messages per second."""
    client: float
    server: float


class Meter:
    """The server's share: counts messages, says at the last one how much CPU they took."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.echoes = headers["mode"] == "echo"
        self._left = int(headers["count"])
        self._started: float | None = None

    def take(self, batch: list[bytes]) -> list[bytes]:
        """The replies to a batch; the last one is the CPU time in seconds."""
        if self._started is None:
            self._started = time.process_time()
        self._left -= len(batch)
        replies = list(batch) if self.echoes else []
        if self._left == 0:
            replies.append(_CPU.pack(time.process_time() - self._started))
        return replies


# -- The fast link ---------------------------------------------------------------------------------------


class _FastHandler:
    def stream_opened(self, stream: ServerStream, headers: Headers) -> None:
        meter = Meter(headers)

        def on_messages(batch: list[bytes]) -> None:
            if replies := meter.take(batch):
                stream.send(replies)

        stream.start(on_messages=on_messages, on_closed=lambda cause: None)


async def _serve_fast(pipe: Connection) -> None:
    async with await serve(_FastHandler(), METHOD) as server:
        pipe.send(server.port)
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)


async def _call_fast(port: int, mode: str, size: int, count: int) -> Figure:
    metadata = {"mode": mode, "count": str(count)}
    stream = await connect(f"http://127.0.0.1:{port}", METHOD, metadata)
    news = asyncio.Event()
    received = 0
    last = b""

    def on_messages(batch: list[bytes]) -> None:
        nonlocal received, last
        received += len(batch)
        last = batch[-1]
        news.set()

    stream.start(on_messages=on_messages, on_closed=lambda cause: news.set(), on_drained=news.set)
    batch = [bytes(size)] * BATCH
    wall, cpu = time.perf_counter(), time.process_time()
    for sent in range(0, count, BATCH):
        stream.send(batch[: count - sent])
        if mode == "echo":
            while received < min(sent + BATCH, count):
                news.clear()
                await news.wait()
        elif stream.unsent > HIGH_WATER:
            news.clear()
            await news.wait()
        else:
            await asyncio.sleep(0)
    while received < (count + 1 if mode == "echo" else 1):
        news.clear()
        await news.wait()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    stream.cancel()
    return _figure("fast", mode, size, count, wall, cpu, last)


# -- The gRPC library ------------------------------------------------------------------------------------


async def _serve_grpc(pipe: Connection) -> None:
    import grpc.aio

    async def answer(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        meter = Meter(dict(context.invocation_metadata()))
        await context.send_initial_metadata(())
        async for message in requests:
            for reply in meter.take([message]):
                yield reply

    server = grpc.aio.server()
    service, method = METHOD.strip("/").split("/")
    handlers = {method: grpc.stream_stream_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    pipe.send(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
    await server.stop(None)


async def _call_grpc(port: int, mode: str, size: int, count: int) -> Figure:
    import grpc.aio

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.stream_stream(METHOD)(metadata=(("mode", mode), ("count", str(count))))
        await call.initial_metadata()
        message = bytes(size)
        wall, cpu = time.perf_counter(), time.process_time()
        for sent in range(0, count, ECHO_WINDOW):
            burst = min(ECHO_WINDOW, count - sent)
            for _ in range(burst):
                await call.write(message)
            if mode == "echo":
                for _ in range(burst):
                    await call.read()
        last = await call.read()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        call.cancel()
    return _figure("grpc", mode, size, count, wall, cpu, last)


# -- Both ------------------------------------------------------------------------------------------------


def _figure(transport: str, mode: str, size: int, count: int, wall: float, cpu: float, last: bytes) -> Figure:
    (server,) = _CPU.unpack(last)
    return Figure(transport, mode, size, count / wall, cpu / count * 1e6, server / count * 1e6)


def _server_process(transport: str, pipe: Connection) -> None:
    asyncio.run((_serve_fast if transport == "fast" else _serve_grpc)(pipe))


def _client_process(transport: str, port: int, repeats: int, pipe: Connection) -> None:
    call = _call_fast if transport == "fast" else _call_grpc

    async def run() -> None:
        await call(port, "echo", 64, 1_000)  # what happens only once is over
        for _ in range(repeats):
            for mode in MODES:
                for size in SIZES:
                    pipe.send(await call(port, mode, size, COUNTS[transport][size]))

    asyncio.run(run())
    pipe.send(None)


def measure(repeats: int = 3) -> list[Figure]:
    """Measure both transports, each in a pair of fresh processes. Takes about 3 s per repeat."""
    spawn = multiprocessing.get_context("spawn")
    figures: list[Figure] = []
    for transport in ("fast", "grpc"):
        server_pipe, server_end = spawn.Pipe()
        server = spawn.Process(target=_server_process, args=(transport, server_end), daemon=True)
        server.start()
        port = server_pipe.recv()
        client_pipe, client_end = spawn.Pipe()
        client = spawn.Process(
            target=_client_process, args=(transport, port, repeats, client_end), daemon=True
        )
        client.start()
        client_end.close()
        while (figure := client_pipe.recv()) is not None:
            figures.append(figure)
        server_pipe.send(None)
        client.join()
        server.join()
    return figures


def table(figures: Iterable[Figure]) -> str:
    """The figures as text: medians, and for CPU in brackets the lowest and highest of the repeats."""
    groups: dict[tuple[str, int, str], list[Figure]] = {}
    for one in figures:
        groups.setdefault((one.mode, one.size, one.transport), []).append(one)
    lines = [
        f"{'':8} {'size':>6} {'':5} {'messages/s':>11} {'client us/message':>24} {'server us/message':>24}"
    ]
    for (mode, size, transport), group in sorted(
        groups.items(), key=lambda item: (MODES.index(item[0][0]), item[0][1:])
    ):
        client, server = ([getattr(one, side) for one in group] for side in ("client", "server"))
        lines.append(
            f"{mode:8} {size:6} {transport:5} {median(one.rate for one in group):11,.0f}"
            f" {_spread(client):>24} {_spread(server):>24}"
        )
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


if __name__ == "__main__":
    sys.stdout.write(table(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 3)) + "\n")
