"""A real HTTP issuer on loopback, for tests: it serves what it is told, and misbehaves on demand."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/.well-known/jwks.json"

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Issuer:
    """Routes, and how often each path was asked for. Unknown paths are 404."""

    def __init__(self) -> None:
        self.url = ""
        self.routes: dict[str, Answer] = {}
        self.requests: Counter[str] = Counter()
        self.headers: list[str] = []
        """The header text of each request."""
        self._asked = asyncio.Event()

    def serve(self, path: str, body: object, **headers: str) -> None:
        """Answer 200 with a body: bytes and texts as they are, anything else as JSON."""
        self.routes[path] = reply(200, body, **headers)

    def serve_keys(self, *keys: dict[str, Any], path: str = "/keys", **headers: str) -> None:
        """The ordinary issuer: a discovery document that names `path`, and the keys there."""
        self.serve(DISCOVERY, {"issuer": self.url, "jwks_uri": self.url + path})
        self.serve(path, {"keys": list(keys)}, **headers)

    async def asked(self, path: str, times: int) -> None:
        """Wait until `path` was asked for so often."""
        async with asyncio.timeout(10):
            while self.requests[path] < times:
                self._asked.clear()
                await self._asked.wait()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            path = head.split(" ")[1]
            self.headers.append(head)
            self.requests[path] += 1
            self._asked.set()
            await self.routes.get(path, reply(404, b""))(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def issuer(tls: ssl.SSLContext | None = None) -> AsyncIterator[Issuer]:
    """A running issuer; its `url` is http(s)://127.0.0.1:PORT."""
    made = Issuer()
    handlers: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.ensure_future(made.handle(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    scheme = "http" if tls is None else "https"
    made.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)


def reply(status: int, body: object, **headers: str) -> Answer:
    """One whole answer; underscores in header names stand for dashes."""
    if isinstance(body, str):
        body = body.encode()
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(_head(status, content_length=str(len(content)), **headers) + content)
        await writer.drain()

    return answer


def redirect(location: str, status: int = 302) -> Answer:
    return reply(status, b"", location=location)


def endless(chunk: bytes = b" " * 65536, **headers: str) -> Answer:
    """A body without end, as fast as it is taken."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(_head(200, **headers))
        while True:
            writer.write(chunk)
            await writer.drain()

    return answer


def drip(seconds: float = 0.02) -> Answer:
    """A byte now and then, for ever."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(_head(200))
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(seconds)

    return answer


def hang() -> Answer:
    """Take the request and say nothing."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    return answer


def after(gate: asyncio.Event, then: Answer) -> Answer:
    """Answer when the gate opens."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await then(writer)

    return answer


def gzip_bomb(megabytes: int = 64) -> Answer:
    """A small answer that unpacks to a large one."""
    return reply(200, gzip.compress(b" " * (megabytes << 20), 9), content_encoding="gzip")


def _head(status: int, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", "content-type: application/json", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
