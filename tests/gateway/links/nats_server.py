"""NATS servers of a test's own, on free ports of loopback, and nodes of one process that stand on them."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.config.network import BackboneConfig
from gateway.config.section import Section
from gateway.node.data_plane import DataPlane
from tests.interop.harness import free_port

PROGRAM = shutil.which("nats-server")
needs_nats_server = pytest.mark.skipif(PROGRAM is None, reason="nats-server is not installed")


class NatsServer:
    """One server: it may be killed, and started again at the same port. `extra` is of its configuration."""

    def __init__(self, folder: Path, extra: str = "", *, scheme: str = "nats") -> None:
        self.port, self.cluster_port = free_port(), free_port()
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.routes: list[str] = []
        self._folder, self._extra = folder, extra
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> NatsServer:
        """Run it; returns when it takes connections."""
        config = self._folder / f"nats-{self.port}.conf"
        routes = ", ".join(f'"{route}"' for route in self.routes)
        cluster = f"cluster {{ name: test, listen: 127.0.0.1:{self.cluster_port}, routes: [{routes}] }}\n"
        config.write_text(f"listen: 127.0.0.1:{self.port}\n{cluster if self.routes else ''}{self._extra}\n")
        self._process = self._run(config)
        async with asyncio.timeout(10):
            while True:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    return self
                await asyncio.sleep(0.01)

    def _run(self, config: Path) -> subprocess.Popen[bytes]:
        with (self._folder / f"nats-{self.port}.log").open("ab") as log:
            return subprocess.Popen([str(PROGRAM), "-c", str(config)], stdout=log, stderr=log)

    def kill(self) -> None:
        """Kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid


async def cluster(folder: Path, size: int = 2, extra: str = "") -> list[NatsServer]:
    """Servers that know one another."""
    servers = [NatsServer(folder, extra) for _ in range(size)]
    for server in servers:
        server.routes = [f"nats://127.0.0.1:{other.cluster_port}" for other in servers]
    return list(await asyncio.gather(*(server.start() for server in servers)))


def backbone(*servers: NatsServer | str, **options: Any) -> BackboneConfig:
    urls = [server if isinstance(server, str) else server.url for server in servers]
    made = BackboneConfig.read(Section({"url": ",".join(urls), **options}, "backbone", []))
    assert made is not None
    return made


async def figures(node: DataPlane) -> dict[str, Any]:
    """What a node says of its link to the backbone."""
    assert node.backbone is not None
    found: dict[str, Any] = (await node.status())["connections"][str(node.backbone.index)]
    return found


async def until(node: DataPlane, condition: Any) -> dict[str, Any]:
    """Wait until the link's figures are as wanted."""
    async with asyncio.timeout(15):
        while not condition(found := await figures(node)):
            pass
    return found


async def in_step(*nodes: DataPlane) -> None:
    """What each wants is known to the servers."""
    for node in nodes:
        assert node.backbone is not None
        await node.status()
        await node.backbone.in_step()
