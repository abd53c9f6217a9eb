"""Two data planes and what runs between them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway.config import ClientConfig, ServerConfig
from gateway.node.data_plane import DataPlane

TRANSPORTS = ["fast", "grpc"]


@asynccontextmanager
async def plane() -> AsyncIterator[DataPlane]:
    """A data plane that ends with the block."""
    made = DataPlane(strict=True)
    try:
        yield made
    finally:
        await made.close(1.0)


@asynccontextmanager
async def serving(tls: dict[str, Any], *, transport: str, **options: Any) -> AsyncIterator[Endpoint]:
    """A node that listens as configured."""
    async with plane() as node:
        config = {"endpoint": "127.0.0.1:0", "tls": tls, "transport": transport, **options}
        address = await node.serve(ServerConfig.read(config))
        yield Endpoint(node, address.rpartition(":")[2], transport)


class Endpoint:
    """Where a node listens."""

    def __init__(self, node: DataPlane, port: str, transport: str) -> None:
        self.node, self.port, self.transport = node, port, transport

    async def dial(self, client: DataPlane, tls: dict[str, Any], **options: Any) -> int:
        """Connect `client`; raises what connecting raises."""
        scheme = "http" if tls.get("insecure") else "https"
        host = options.pop("host", "127.0.0.1")
        return await client.connect(
            ClientConfig.read(
                {
                    "endpoint": f"{scheme}://{host}:{self.port}",
                    "tls": tls,
                    "transport": self.transport,
                    "connect_timeout": "10s",
                    **options,
                }
            )
        )
