"""The quick starts of the published README of 0.7.1 run as written, with another import."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway import Name, Slim
from tests.gateway.app_stage import AppStage, identity
from tests.guides import block

GUIDE = "slim-bindings"


def ported(text: str, stage: AppStage) -> str:
    """The text with the import replaced; where there is a node, with its `connect` and its endpoint."""
    text = text.replace("import slim_bindings", "import gateway as slim_bindings")
    if stage.networked:
        text = text.replace("# await slim.connect", "await slim.connect")
        text = text.replace("http://127.0.0.1:50000", f"http://{stage.endpoint}")
    return text


@asynccontextmanager
async def running(text: str, stage: AppStage) -> AsyncIterator[list[str]]:
    """The program runs, in a process of its own where there is a node to meet it at; what it printed stands
    in the list afterwards."""
    printed: list[str] = []
    if stage.networked:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", text, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
        )
        yield printed
        output, _ = await asyncio.wait_for(process.communicate(), 20)
        printed += output.decode().splitlines()
        return
    space: dict[str, Any] = {"print": lambda *what: printed.append(" ".join(map(str, what)))}
    exec(text.replace("asyncio.run(main())", ""), space)
    task = asyncio.create_task(space["main"]())
    yield printed
    await asyncio.wait_for(task, 20)


async def peer_of_the_test(stage: AppStage, app: str) -> Slim:
    """An application in the process-wide data plane, or at the node."""
    made = Slim(Name("org", "namespace", app), *identity(app, "secret"), stage.networked)
    if stage.networked:
        await made.connect(stage.client_config)
    return made


async def test_receiver(stage: AppStage) -> None:
    demo = Name("org", "namespace", "demo")
    async with (
        running(ported(block(GUIDE, "Waiting for an inbound session"), stage), stage) as printed,
        await peer_of_the_test(stage, "peer") as peer,
    ):
        await peer.set_route(demo)
        async with peer.session(demo, timeout=0.2, max_retries=50) as session:
            await session.publish(b"hello")
            assert (await session.get_message(5)).payload == b"echo:hello"
    assert printed[:2] == ["Waiting for an inbound session...", "Received: b'hello'"]
    assert printed[2].startswith("Error: session closed")


@pytest.mark.parametrize("mls", [False, True])
async def test_outbound_session(stage: AppStage, capsys: pytest.CaptureFixture[str], mls: bool) -> None:
    text = block(GUIDE, 'trace_id": "abc123"')
    text = text if mls else text.replace("mls_enabled=True", "mls_enabled=False")
    program = "import datetime\nimport slim_bindings\nasync def main(slim):\n" + textwrap.indent(text, "    ")
    peer = await peer_of_the_test(stage, "peer")

    async def echo() -> dict[str, str]:
        session = await peer.listen_for_session(10)
        metadata = session.metadata
        async for message in session:
            await message.reply(b"echo:" + message.payload)
        return metadata

    echoing = asyncio.create_task(echo())
    async with peer, await peer_of_the_test(stage, "demo") as slim:
        space: dict[str, Any] = {}
        exec(ported(program, stage), space)
        await space["main"](slim)
        assert await asyncio.wait_for(echoing, 5) == {"trace_id": "abc123"}
    assert capsys.readouterr().out.splitlines() == ["Reply: b'echo:hello'"]
