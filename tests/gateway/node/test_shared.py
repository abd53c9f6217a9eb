"""Data planes that live as long as a loop: what happens when it ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import Session, SessionConfiguration, Slim
from gateway.node.shared import keeper
from tests.gateway.app_stage import AppStage, identity, name

PROGRAM = """
import asyncio, sys
from gateway import IdentityProvider, IdentityVerifier, Name, SessionConfiguration, Slim

async def main(endpoint, secret, wait, local):
    slim = Slim(
        Name("org", "default", "brief"),
        IdentityProvider.SharedSecret("brief", secret),
        IdentityVerifier.SharedSecret("brief", secret),
        local == "own",
    )
    await slim.connect({"endpoint": endpoint, "tls": {"insecure": True}})
    remote = Name("org", "default", "bob")
    await slim.set_route(remote)
    config = SessionConfiguration.PointToPoint(timeout=1.0, max_retries=5)
    session, established = await slim.create_session(remote, config)
    if wait == "wait":
        await established
    for number in range(20):
        await session.publish(b"%d" % number)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("plane", ["shared", "own"])
@pytest.mark.parametrize("wait", ["wait", "do not wait"])
async def test_a_program_that_ends_at_once_still_gets_its_messages_out(wait: str, plane: str) -> None:
    stage = AppStage("server")
    await stage.start()
    try:
        bob = await stage.app("bob")
        secret = "a shared secret of enough bytes, for tests"
        program = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            PROGRAM,
            f"http://{stage.endpoint}",
            secret,
            wait,
            plane,
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )
        _, errors = await asyncio.wait_for(program.communicate(), 20)
        assert program.returncode == 0, errors.decode()
        session = await bob.listen_for_session(5)
        # The program also said goodbye: the iteration ends.
        assert [message.payload async for message in session] == [b"%d" % number for number in range(20)]
        assert b"Traceback" not in errors
        assert b"was never awaited" not in errors
    finally:
        await stage.close()


async def _open_applications(ends: list[Session]) -> None:
    alice = Slim(name("alice"), *identity("alice"))
    bob = Slim(name("bob"), *identity("bob"), False)
    own = Slim(name("own"), *identity("own"), True)
    await own.run_server({"endpoint": "127.0.0.1:0", "tls": {"insecure": True}})
    assert alice.data_plane is bob.data_plane is keeper().shared()
    assert own.data_plane is not alice.data_plane
    session = await alice.create_session(name("bob"), SessionConfiguration.PointToPoint())
    await session.established
    ends.append(session)


def test_the_end_of_the_loop_closes_what_is_open() -> None:
    sessions: list[Session] = []
    for _ in range(2):
        asyncio.run(_open_applications(sessions))
    for session in sessions:
        assert session.over


async def test_a_closed_application_is_forgotten() -> None:
    app = Slim(name("app"), *identity("app"), True)
    plane = app.data_plane
    await app.close()
    assert plane.closed
    assert keeper().own() is not plane


async def test_it_starts_in_the_loop_it_is_used_in() -> None:
    made = await asyncio.to_thread(Slim, name("app"), *identity("app"))
    async with made:
        assert made.data_plane is keeper().shared()
