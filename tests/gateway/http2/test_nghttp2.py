"""The nghttp2 project's clients at our server."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import pytest

from gateway.http2 import serve
from tests.gateway.http2.links import Accepting
from tests.gateway.http2.peers import METHOD, message

HEADERS = ["-Hcontent-type: application/grpc", "-Hte: trailers"]


async def run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    return output.decode("utf-8", "replace")


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} (nghttp2-client) is not installed")


@pytest.fixture
def body(tmp_path: Path) -> str:
    path = tmp_path / "body"
    path.write_bytes(message(b"hello") * 20 + message(bytes(100_000)))
    return str(path)


@needs("nghttp")
@pytest.mark.parametrize(
    "extra", [[], ["--padding=50"], ["--window-bits=10", "--connection-window-bits=10"], ["-c0"]]
)
async def test_nghttp(body: str, extra: list[str]) -> None:
    async with await serve(Accepting(reply=True), METHOD) as server:
        url = f"http://127.0.0.1:{server.port}{METHOD}"
        output = await run("nghttp", "-nv", "-H:method: POST", *HEADERS, *extra, "-d", body, url)
        assert re.search(r":status: 200", output), output
        assert "grpc-status: 0" in output
        assert server.statistics().messages_received == 21
        assert server.statistics().messages_sent == 21
        assert server.statistics().refusals == {}


@needs("h2load")
async def test_h2load(body: str) -> None:
    async with await serve(Accepting(reply=True), METHOD) as server:
        url = f"http://127.0.0.1:{server.port}{METHOD}"
        output = await run("h2load", "-n1000", "-c10", "-m20", "-d", body, *HEADERS, url)
        assert "1000 succeeded, 0 failed, 0 errored" in output, output
        assert server.statistics().streams_closed == 1000
        assert server.statistics().refusals == {}
