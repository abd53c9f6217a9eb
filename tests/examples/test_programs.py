"""The three example programs, each in a process of its own."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from identity.jose.keys import Algorithm
from tests.examples.programs import Program, program
from tests.identity.key_samples import encode, jwk, jwks

NOBODY = '{"endpoint": "http://127.0.0.1:1", "tls": {"insecure": true}}'


@pytest.fixture
async def node() -> AsyncIterator[str]:
    """A node of `examples/node.py`; its address as the value of --slim."""
    async with program("node.py", "-s", "127.0.0.1:0") as running:
        address = (await running.says("listening on")).removeprefix("listening on ")
        yield json.dumps({"endpoint": f"http://{address}", "tls": {"insecure": True}})
        running.process.terminate()
        code, _ = await running.ended()
        assert code == 0


async def exchange(receiver: Program, sender: Program, count: int) -> None:
    """The sender asks `count` times and is answered each time."""
    await receiver.says("session")
    for _ in range(count):
        await sender.says("sent 'hello'")
        assert re.search(r"'hello from \d+'", await sender.says("received"))
    assert (await sender.ended())[0] == 0
    assert sum("received 'hello'" in line for line in receiver.lines) <= count


async def test_point_to_point(node: str) -> None:
    async with program("point_to_point.py", "--slim", node, "--local", "agntcy/demo/receiver") as receiver:
        await receiver.says("waiting for a session")
        async with program(
            "point_to_point.py",
            *("--slim", node, "--local", "agntcy/demo/sender", "--remote", "agntcy/demo/receiver"),
            *("--message", "hello", "--iterations", "2", "--interval", "0.01"),
        ) as sender:
            await exchange(receiver, sender, 2)
        receiver.process.terminate()
        assert (await receiver.ended())[0] == 0


async def test_the_commands_of_the_kubernetes_guide_on_local_files(node: str, tmp_path: Path) -> None:
    """Tokens and keys as spiffe-helper writes them; half of the flags come from the environment."""
    (tmp_path / "key.jwt").write_text(jwks(jwk(Algorithm.ES256, kid="one", alg="ES256")))
    for who in ("receiver", "sender"):
        claims = {"sub": f"spiffe://example.org/{who}", "aud": ["slim-demo"], "exp": int(time.time()) + 600}
        (tmp_path / f"{who}.token").write_text(encode(claims, Algorithm.ES256, kid="one"))
    identity = ("--spire-trust-bundle", f"{tmp_path}/key.jwt", "--audience", "slim-demo")
    async with program(
        "point_to_point.py",
        *(
            "--slim",
            node,
            "--local",
            "agntcy/demo/receiver",
            "--jwt",
            f"{tmp_path}/receiver.token",
            *identity,
        ),
    ) as receiver:
        await receiver.says("waiting for a session")
        async with program(
            "point_to_point.py",
            "--iterations=1",
            SLIM_SLIM=node,
            SLIM_LOCAL="agntcy/demo/sender",
            SLIM_REMOTE="agntcy/demo/receiver",
            SLIM_MESSAGE="hello",
            SLIM_JWT=f"{tmp_path}/sender.token",
            SLIM_SPIRE_TRUST_BUNDLE=f"{tmp_path}/key.jwt",
            SLIM_AUDIENCE="slim-demo",
            SLIM_ENABLE_MLS="yes",
        ) as sender:
            await exchange(receiver, sender, 1)


async def test_group(node: str) -> None:
    def member(name: str, *flags: str) -> object:
        return program("group.py", "--slim", node, "--local", f"agntcy/demo/{name}", *flags)

    async with member("ann") as ann, member("bob") as bob:
        await asyncio.gather(ann.says("waiting"), bob.says("waiting"))
        invites = ("--invites", "agntcy/demo/ann", "--invites", "agntcy/demo/bob")
        async with member("moderator", "--remote", "agntcy/demo/stage", *invites) as moderator:
            await asyncio.gather(moderator.says("bob joined"), ann.says("in "), bob.says("in "))
            await moderator.type("places, please")
            await asyncio.gather(*(one.says("demo/moderator: places, please") for one in (ann, bob)))
            await ann.type("I am here")
            await asyncio.gather(*(one.says("demo/ann: I am here") for one in (moderator, bob)))
            await moderator.type("/remove agntcy/demo/bob")
            assert (await bob.ended())[0] == 0
            await moderator.type("exit")
            assert (await moderator.ended())[0] == 0
        assert (await ann.ended())[0] == 0


async def test_scripted_moderator() -> None:
    async with program("scripted_moderator.py", "--guests", "ann,bob,cleo", "--forbidden", "rope") as house:
        code, said = await house.ended()
    assert code == 0, said
    assert [line for line in said.splitlines() if not line.startswith("in the group: ")] == [
        "the group is open",
        *(f"{name} has joined" for name in ("ann", "bob", "cleo")),
        *(f"{name} says: good evening" for name in ("ann", "bob", "cleo")),
        "ann says: rope!",
        "ann is out (removed)",
        "bob says: rope!",
        "bob is out (removed)",
        "the group is closed",
    ]
    # A second actor watched it.
    assert "in the group: moderator, cleo\n" in said


async def test_a_scripted_moderator_with_an_impossible_guest_says_so() -> None:
    async with program("scripted_moderator.py", "--guests", "ann/bob") as house:
        code, said = await house.ended()
    assert code == 2
    assert said.startswith("error: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "code", "text"),
    [
        (["--local", "a/b"], 2, "--local"),
        (["--local", "a/b/c", "--slim", "{"], 2, "--slim: not JSON"),
        (["--local", "a/b/c", "--slim", NOBODY], 1, "127.0.0.1:1"),
    ],
)
async def test_errors_are_one_sentence(flags: list[str], code: int, text: str) -> None:
    async with program("point_to_point.py", *flags) as wrong:
        got, said = await wrong.ended()
    assert got == code
    line = [line for line in said.splitlines() if line.startswith("error:")]
    assert len(line) == 1
    assert text in line[0]
    assert "Traceback" not in said


@pytest.mark.parametrize("to_the_end", [False, pytest.param(True, marks=pytest.mark.long)])
async def test_a_service_outlives_its_clients(node: str, to_the_end: bool) -> None:
    """Two at once are served; one of them is killed, the other and a third go on.

    Told to end, it says goodbye to those who were killed for as long as their sessions' timers last.
    """
    asking = ("point_to_point.py", "--slim", node, "--remote", "agntcy/demo/service", "--message", "hello")
    more = ("--iterations", "1000", "--interval", "0.05")
    async with program("point_to_point.py", "--slim", node, "--local", "agntcy/demo/service") as service:
        await service.says("waiting for a session")
        async with (
            program(*asking, *more, "--local", "agntcy/demo/one") as one,
            program(*asking, *more, "--local", "agntcy/demo/two") as two,
        ):
            await asyncio.gather(one.says("received"), two.says("received"))
            one.process.kill()
            for _ in range(3):
                await two.says("received")
            async with program(*asking, "--iterations", "1", "--local", "agntcy/demo/three") as three:
                await three.says("received 'hello from")
                assert (await three.ended())[0] == 0
            await two.says("received")
        assert service.process.returncode is None
        if to_the_end:
            service.process.terminate()
            assert (await service.ended())[0] == 0
