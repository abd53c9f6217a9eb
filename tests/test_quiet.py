"""A library says nothing that nobody asked for: programs, and what they find on standard error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SECRET = "a shared secret of at least thirty-two bytes"

PROGRAM = """
import asyncio
from gateway import DataPlane, IdentityProvider, IdentityVerifier, Name, Slim, init_tracing

async def main():
    {first}
    def app(name):
        return Slim(Name.parse(name), IdentityProvider.SharedSecret(name, {secret!r}),
                    IdentityVerifier.SharedSecret(name, {secret!r}), data_plane=plane)
    plane = None
    async with app("org/demo/bob") as bob:
        address = await bob.run_server({{"endpoint": "127.0.0.1:0", "tls": {{"insecure": True}}}})
        plane = DataPlane()
        async with app("org/demo/alice") as alice:
            await alice.connect({{"endpoint": "http://" + address, "tls": {{"insecure": True}}}})
            await alice.set_route(Name.parse("org/demo/bob"))
            guests = [Name.parse("org/demo/bob")]
            async with alice.group(Name.parse("org/demo/stage"), invite=guests) as group:
                joined = await bob.listen_for_session()
                await (await group.publish(b"line"))
                print((await joined.get_message()).payload.decode())
        await plane.close()
asyncio.run(main())
"""


def run(program: str) -> tuple[str, str]:
    """What a program prints, and what it says on standard error."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": ""},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_a_plain_program_finds_nothing_on_stderr() -> None:
    assert run(PROGRAM.format(first="pass", secret=SECRET)) == ("line\n", "")


def test_whoever_asks_gets_the_log_of_all_floors() -> None:
    _, errors = run(PROGRAM.format(first="init_tracing({'log_level': 'debug'})", secret=SECRET))
    assert "gateway." in errors
    assert "actors." in errors
    assert SECRET not in errors


def test_a_short_secret_is_warned_of_once_and_not_shown() -> None:
    out, errors = run(PROGRAM.format(first="pass", secret="tiny-words"))
    assert out == "line\n"
    assert errors.count("UserWarning: a shared secret has under 32 bytes") == 1
    assert "tiny-words" not in errors


@pytest.mark.parametrize("floor", ["identity.jwt", "actors.system", "gateway.node.data_plane"])
def test_each_floor_alone_is_quiet(floor: str) -> None:
    program = (
        f"import {floor}, loguru; exec('loguru.logger.warning(1)', {{**vars({floor}), 'loguru': loguru}})"
    )
    assert run(program)[1] == ""
