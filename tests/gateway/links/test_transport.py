"""Transports by configuration: what each makes of its options, and how they mix."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from actors.errors import ConnectionLost
from gateway.config import ClientConfig, ServerConfig
from gateway.node.data_plane import DataPlane

BOTH = ["fast", "grpc"]


@asynccontextmanager
async def node(transport: str, endpoint: str = "127.0.0.1:0", **options: Any) -> AsyncIterator[str]:
    """A node that listens; its address."""
    made = DataPlane(strict=True)
    config = {"endpoint": endpoint, "tls": {"insecure": True}, "transport": transport, **options}
    try:
        yield await made.serve(ServerConfig.read(config))
    finally:
        await made.close(1.0)


async def connects(transport: str, endpoint: str, **options: Any) -> None:
    """A data plane connects, negotiates, and leaves."""
    plane = DataPlane(strict=True)
    try:
        index = await plane.connect(
            ClientConfig.read(
                {"endpoint": endpoint, "transport": transport, "connect_timeout": 10, **options}
            )
        )
        assert (await plane.status())["connections"][str(index)]["version"] == "1.4.0"
    finally:
        await plane.close(1.0)


@pytest.mark.parametrize("server", BOTH)
@pytest.mark.parametrize("client", BOTH)
async def test_peers_cannot_tell_them_apart(client: str, server: str) -> None:
    async with node(server) as address:
        await connects(client, f"http://{address}")


@pytest.mark.parametrize("transport", BOTH)
async def test_unix_sockets(transport: str, tmp_path: Path) -> None:
    endpoint = f"unix://{tmp_path}/node"
    async with node(transport, endpoint):
        await connects(transport, endpoint)


@pytest.mark.parametrize("transport", BOTH)
async def test_ipv6(transport: str) -> None:
    try:
        async with node(transport, "[::1]:0") as address:
            assert address.startswith("[::1]:")
            await connects(transport, f"http://{address}")
    except OSError:
        pytest.skip("no IPv6 here")


@pytest.mark.parametrize("transport", BOTH)
async def test_options_that_change_nothing_for_an_honest_peer(transport: str) -> None:
    async with node(transport, keepalive={"time": "1m", "max_connection_age": "1h"}) as address:
        await connects(
            transport,
            f"http://{address}",
            keepalive={"tcp_keepalive": "30s"},
            origin="node.example",
            headers={"X-Team": "a"},
        )


@pytest.mark.parametrize("transport", BOTH)
async def test_an_address_in_use_is_an_os_error(transport: str) -> None:
    async with node(transport) as address:
        with pytest.raises(OSError, match=r"\d"):
            async with node(transport, address):
                pass


class Proxy:
    """An HTTP proxy that knows CONNECT, and refuses who shows no credentials when it wants them."""

    def __init__(self, credentials: bytes = b"") -> None:
        self.credentials = credentials
        self.requests: list[bytes] = []
        self._copies: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for copy in self._copies:
            copy.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(request)
        if self.credentials not in request:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            writer.close()
            return
        host, _, port = request.split()[1].decode().rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.write(b"HTTP/1.1 200 OK\r\nx-proxy: yes\r\n\r\n")
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.ensure_future(self._copy(source, sink))
            self._copies.add(task)

    @staticmethod
    async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
        except ConnectionError:
            pass
        finally:
            sink.close()


@pytest.mark.parametrize("transport", BOTH)
async def test_through_a_proxy(transport: str) -> None:
    proxy = Proxy(b"Basic dXNlcjpwQHNz")
    async with node(transport) as address, proxy as where:
        options = {"url": f"http://{where}", "username": "user", "password": "p@ss"}
        await connects(transport, f"http://{address}", proxy=options)
    assert [request.split(b"\r\n")[0] for request in proxy.requests] == [
        f"CONNECT {address} HTTP/1.1".encode()
    ]


async def test_headers_for_a_proxy() -> None:
    proxy = Proxy(b"x-key: 7")
    async with node("fast") as address, proxy as where:
        await connects(
            "fast", f"http://{address}", proxy={"url": f"http://{where}", "headers": {"x-key": "7"}}
        )


@pytest.mark.parametrize("transport", BOTH)
async def test_a_proxy_that_refuses_is_named(transport: str) -> None:
    async with node(transport) as address, Proxy(b"Basic nobody") as where:
        with pytest.raises(ConnectionLost) as lost:
            await connects(transport, f"http://{address}", proxy={"url": f"http://{where}"})
    if transport == "fast":
        assert lost.value.cause == f"the proxy {where} refused: 407"


@pytest.mark.parametrize("answer", [b"", b"x" * 9000, b"SSH-2.0\r\n\r\n"])
async def test_what_is_no_proxy_is_not_waited_for(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        with pytest.raises(ConnectionLost, match=r"the proxy 127\.0\.0\.1"):
            await connects("fast", "http://127.0.0.1:9", proxy={"url": f"http://127.0.0.1:{port}"})
    finally:
        server.close()
