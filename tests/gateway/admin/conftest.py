"""A node with its admin port, in the test's own process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.admin.server import AdminServer
from gateway.config.node import NodeConfig
from gateway.node.node import Node

OPERATOR, READER = "operator-token-of-tests", "reader-token-of-tests"


class Running:
    """A node, its admin port, and who asks it."""

    def __init__(self, node: Node, admin: AdminServer, base: str) -> None:
        self.node, self.admin, self.base = node, admin, base
        self.drained = 0

    def client(self, token: str = "", **headers: str) -> httpx.AsyncClient:
        shown = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(
            base_url=self.base, headers={**shown, **headers}, timeout=10.0, trust_env=False
        )

    def local(self) -> httpx.AsyncClient:
        """By the unix socket."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.admin.path))
        return httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=10.0)


Run = Callable[..., Any]


@pytest.fixture
def run_node(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a node with an admin section."""
    directory = Path(tempfile.mkdtemp(dir=os.environ["CALLBOARD_RUN"]))
    monkeypatch.setenv("CALLBOARD_RUN", str(directory))

    @asynccontextmanager
    async def run(admin: dict[str, Any] | None = None, **service: Any) -> AsyncIterator[Running]:
        server = {"endpoint": "127.0.0.1:0", "tls": {"insecure": True}}
        told = {"endpoint": "127.0.0.1:0", **(admin or {})}
        config = NodeConfig.read(
            {"services": {"slim/0": {"dataplane": {"servers": [server]}, "admin": told, **service}}}
        )
        assert config.admin is not None
        async with AsyncExitStack() as held:
            node = Node(config)
            held.push_async_callback(node.close, 0.5)
            port = await held.enter_async_context(AdminServer(node, lambda: drained()))
            address = await port.listen(config.admin)
            await node.start()
            await port.open_socket()
            running = Running(node, port, f"http://{address}")

            def drained() -> None:
                running.drained += 1

            yield running

    return run
