"""A TCP connection between two servers that can be slow, silent or cut.

async with Wire("127.0.0.1:4711") as wire:
    ...  # dial wire.address instead
    wire.cut()      # nothing passes either way, and nobody is told
    wire.heal()     # what waited passes, in order
    wire.reset()    # all connections end
"""

from __future__ import annotations

import asyncio
import socket
import struct
from types import TracebackType
from typing import Self

CHUNK = 64 * 1024
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: the end of a connection is a reset."""


class Wire:
    """Passes bytes between who dials `address` and `upstream` (host:port), each after `delay` seconds."""

    def __init__(self, upstream: str, *, delay: float = 0.0) -> None:
        self.address = ""
        self._host, _, port = upstream.rpartition(":")
        self._port = int(port)
        self._delay = delay
        self._whole = asyncio.Event()
        self._whole.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        self._whole.clear()

    def heal(self) -> None:
        self._whole.set()

    def reset(self) -> None:
        for writer in self._writers:
            if (raw := writer.get_extra_info("socket")) is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        self._writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        ends = (writer, back)
        self._writers.update(ends)
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pass(source, target, ends))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        loop = asyncio.get_running_loop()
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(1024)

        async def write() -> None:
            while True:
                due, data = await waiting.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                await self._whole.wait()
                if not data:
                    return
                writer.write(data)
                await writer.drain()

        writing = asyncio.create_task(write())
        try:
            data = b"-"
            while data:
                data = await reader.read(CHUNK)
                await waiting.put((loop.time() + self._delay, data))
            await writing
        except OSError:
            pass
        finally:
            writing.cancel()
            for end in ends:
                end.transport.abort()
                self._writers.discard(end)
