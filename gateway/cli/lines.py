"""Standard input line by line, as it comes: from a terminal, a pipe or a file."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator

from gateway.config.transport import MAX_MESSAGE_SIZE
from identity.errors import ConfigError

_CHUNK = 64 * 1024


async def lines(descriptor: int, limit: int = MAX_MESSAGE_SIZE) -> AsyncGenerator[bytes, None]:
    """The lines of a descriptor without their ends, the last one with or without. Raises ConfigError for one
    of more than `limit` bytes, and OSError.

    A thread reads, one chunk when it is wanted: whoever ends meanwhile does not wait for it, and files, which
    an event loop cannot watch, are read alike.
    """
    loop = asyncio.get_running_loop()
    rest = b""
    while chunk := await _read(loop, descriptor):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r")
        if len(rest) > limit:
            raise ConfigError(f"standard input: a line of more than {limit} bytes", field="message")
    if rest:
        yield rest


def _read(loop: asyncio.AbstractEventLoop, descriptor: int) -> asyncio.Future[bytes]:
    """The next bytes; none at the end."""
    coming: asyncio.Future[bytes] = loop.create_future()

    def settle(chunk: bytes, error: OSError | None) -> None:
        if coming.done():
            return
        if error is not None:
            coming.set_exception(error)
        else:
            coming.set_result(chunk)

    def read() -> None:
        chunk, error = b"", None
        try:
            # Not by `sys.stdin`, whose lock a thread that still reads would hold when the program ends.
            chunk = os.read(descriptor, _CHUNK)
        except OSError as caught:
            error = caught
        try:
            loop.call_soon_threadsafe(settle, chunk, error)
        except RuntimeError:
            return  # the loop is closed: the program ends

    threading.Thread(target=read, name="standard input", daemon=True).start()
    return coming
