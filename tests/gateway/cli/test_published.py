"""`slim-bindings-examples` and `unicast`, as the published guides start them, and what they print."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from identity.jose.keys import Algorithm
from tests.examples.programs import Program
from tests.identity.key_samples import encode, jwk, jwks

BIN = Path(sys.executable).parent


@asynccontextmanager
async def started(command: str, *arguments: str) -> AsyncIterator[Program]:
    process = await asyncio.create_subprocess_exec(
        str(BIN / command),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Program(process, command)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
async def node() -> AsyncIterator[str]:
    """The value of --slim."""
    async with started("slim-bindings-examples", "slim", "--slim", "127.0.0.1:0") as running:
        address = (await running.says("listening on")).removeprefix("listening on ")
        yield json.dumps({"endpoint": f"http://{address}", "tls": {"insecure": True}})
        running.process.terminate()
        assert (await running.ended())[0] == 0


@pytest.mark.parametrize("command", [("unicast",), ("slim-bindings-examples", "point2point")])
async def test_unicast_with_files_as_spiffe_helper_writes_them(
    node: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """The receiver without, the sender with --enable-mls, as printed."""
    (tmp_path / "key.jwt").write_text(jwks(jwk(Algorithm.ES256, kid="one", alg="ES256")))
    for who in ("receiver", "sender"):
        claims = {"sub": f"spiffe://example.org/{who}", "aud": ["slim-demo"], "exp": int(time.time()) + 600}
        (tmp_path / f"{who}.token").write_text(encode(claims, Algorithm.ES256, kid="one"))

    def flags(who: str) -> tuple[str, ...]:
        return (
            *("--slim", node, "--jwt", f"{tmp_path}/{who}.token", "--audience", "slim-demo"),
            *("--spire-trust-bundle", f"{tmp_path}/key.jwt", "--local", f"agntcy/example/{who}"),
        )

    asking = ("--remote", "agntcy/example/receiver", "--enable-mls", "--message", "hey there")
    async with started(*command, *flags("receiver")) as receiver:
        await receiver.says("waiting for new session")
        async with started(*command, *flags("sender"), *asking, "--iterations", "1") as sender:
            _, said = await sender.ended()
    who, session = r"Agntcy/example/sender/\d+", r"\(from session \d+\)"
    printed = [
        rf"{who}\s+Created app",
        rf"{who}\s+Connected to http://127\.0\.0\.1:\d+",
        rf"{who}\s+Sent message hey there - 1/1:",
        rf"{who}\s+received {session}: hey there from agntcy/example/receiver/\d+",
    ]
    for line, expected in zip(said.splitlines(), printed, strict=False):
        assert re.fullmatch(expected, line), said
    assert sum("vouch for no MLS key" in line for line in said.splitlines()) == 1


async def test_group(node: str) -> None:
    def member(name: str, *flags: str) -> object:
        local = f"agntcy/demo/{name}"
        return started("slim-bindings-examples", "group", "--slim", node, "--local", local, *flags)

    async with member("ann") as ann:
        await ann.says("waiting for new session")
        flags = ("--remote", "agntcy/demo/stage", "--invites", "agntcy/demo/ann", "--enable-mls")
        async with member("mo", *flags) as moderator:
            await moderator.says("joined")
            await moderator.type("places, please")
            assert re.match(r"Agntcy/demo/mo +places, please", await ann.says("places"))
            await ann.type("here")
            await moderator.says("here")
            await moderator.type("exit")
            assert (await moderator.ended())[0] == 0
        assert (await ann.ended())[0] == 0


async def test_wrong_use_is_one_sentence(node: str) -> None:
    async with started("unicast", "--slim", node, "--local", "one/two") as wrong:
        code, said = await wrong.ended()
    assert (code, said.count("\n")) == (2, 1)
    assert said.startswith("error: --local")
