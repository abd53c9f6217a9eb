"""A node and a NATS server that wants to know who it is: what is shown, and on which stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nkeys
import pytest

from gateway.node.data_plane import DataPlane
from identity.errors import ConfigError
from tests.gateway.authority import HostAuthority
from tests.gateway.links.nats_server import NatsServer, backbone, figures, needs_nats_server
from tests.interop.harness import free_port

pytestmark = needs_nats_server
SEED = b"SUAAVWRZG6M5FA5VRRGWSCIHKTOJC7EWNIT4JV3FTOIPO4OBFR5WA7X5TE"


@asynccontextmanager
async def joined(server: NatsServer, **options: Any) -> AsyncIterator[dict[str, Any]]:
    """What a node says of its link, once it tried."""
    node = DataPlane(strict=True)
    try:
        await node.join(backbone(server, **options))
        yield await figures(node)
    finally:
        await node.close(0.5)


@asynccontextmanager
async def serving(folder: Path, extra: str, *, scheme: str = "nats") -> AsyncIterator[NatsServer]:
    server = NatsServer(folder, extra, scheme=scheme)
    try:
        yield await server.start()
    finally:
        server.kill()


def public_key() -> str:
    pair = nkeys.from_seed(bytearray(SEED))
    return bytes(pair.public_key).decode()


WAYS = {
    "a user": ("authorization { user: node, password: hidden }", {"username": "node", "password": "hidden"}),
    "a token": ("authorization { token: hidden }", {"token": "hidden"}),
}


@pytest.mark.parametrize(("extra", "options"), WAYS.values(), ids=WAYS)
async def test_who_shows_what_the_server_wants_is_let_in(
    tmp_path: Path, extra: str, options: dict[str, Any]
) -> None:
    async with serving(tmp_path, extra) as server:
        async with joined(server, **options) as found:
            assert found["up"]
        async with joined(server, **dict.fromkeys(options, "wrong")) as found:
            assert not found["up"]
        async with joined(server) as found:
            assert not found["up"]


async def test_a_key_proves_who_a_node_is(tmp_path: Path) -> None:
    seed = tmp_path / "node.nk"
    seed.write_bytes(SEED)
    extra = f"authorization {{ users: [{{ nkey: {public_key()} }}] }}"
    async with serving(tmp_path, extra) as server, joined(server, nkey=str(seed)) as found:
        assert found["up"]


async def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    node = DataPlane(strict=True)
    with pytest.raises(ConfigError, match=r"nkey: .*none\.nk"):
        await node.join(backbone("nats://127.0.0.1:1", nkey=str(tmp_path / "none.nk")))
    await node.close(0.1)


async def test_tls_is_that_of_the_configured_authority(tmp_path: Path) -> None:
    authority = HostAuthority()
    cert, key = authority.issue("127.0.0.1").write(tmp_path)
    extra = f'tls {{ cert_file: "{cert}", key_file: "{key}" }}'
    trusted = {"ca_source": {"type": "pem", "data": authority.pem}}
    other = {"ca_source": {"type": "pem", "data": HostAuthority("other").pem}}
    async with serving(tmp_path, extra, scheme="tls") as server:
        async with joined(server, tls=trusted) as found:
            assert found["up"]
        async with joined(server, tls=other) as found:
            assert not found["up"]


async def test_nothing_is_shown_to_a_server_without_tls_where_tls_is_wanted(tmp_path: Path) -> None:
    """The library goes on in clear when a server, or who stands before it, offers nothing else."""
    shown: list[bytes] = []

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"max_payload":1048576,"auth_required":true}\r\n')
        while data := await reader.read(4096):
            shown.append(data)
            writer.write(b"PONG\r\n")
        writer.close()

    listener = await asyncio.start_server(plain, "127.0.0.1", free_port())
    port = listener.sockets[0].getsockname()[1]
    node = DataPlane(strict=True)
    await node.join(backbone(f"tls://127.0.0.1:{port}", token="hidden"))
    assert not (await figures(node))["up"]
    assert b"hidden" not in b"".join(shown)
    await node.close(0.5)
    listener.close()


async def test_a_node_starts_without_its_backbone_and_asks_each_server(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    node = DataPlane(strict=True)
    await node.join(backbone(f"nats://127.0.0.1:{free_port()}", server))
    assert not (await figures(node))["up"]
    await server.start()
    async with asyncio.timeout(10):
        while not (found := await figures(node))["up"]:
            pass
    assert (found["peer"], found["losses"]) == (f"127.0.0.1:{server.port}", 0)
    await node.close(0.5)
    server.kill()
