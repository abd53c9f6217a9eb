"""The plugin as its users meet it, and `docs/testing.md`, word by word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gateway.testing
from gateway.testing.host import SimHost
from gateway.testing.line import Line
from gateway.testing.world import World, given_seed

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs/testing.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
EXAMPLES = "\n".join(BLOCKS)
AGENT, ASKER = "\n".join(BLOCKS[:2]), "\n".join(BLOCKS[1:4])

FAILING = """
import asyncio
import pytest

async def test_it_fails(world):
    node = await world.node()
    await world.application("org/demo/alice", node)
    assert False, "as wanted"

async def test_it_waits_for_ever(world):
    await asyncio.Event().wait()

@pytest.mark.weather(3)
async def test_weather(world):
    line = world.line("one", "two")
    assert line.loss < 0.1

def test_without_a_world():
    pass
"""

FIXTURES = """
import asyncio
import pytest

ends = []

@pytest.fixture
async def node(world):
    return await world.node()

@pytest.fixture
async def alice(world, node):
    app = await world.application("org/demo/alice", node)
    began = world.now
    yield app
    assert not app.closed
    await asyncio.sleep(0.2)
    ends.append(world.now > began)

@pytest.fixture
def bob(world):
    return world.host("bob")

@pytest.fixture
async def fails_late(alice):
    yield
    raise ValueError("fails late")

async def test_a_fixture_is_played_where_the_test_is(world, alice):
    bob = await world.application("org/demo/bob", world.host("node"))
    await bob.set_route("org/demo/alice")
    async with bob.session("org/demo/alice") as session:
        await alice.listen_for_session()
        await (await session.publish(b"hello"))

async def test_it_need_not_take_the_world_itself(alice, bob):
    assert alice.local_name

def test_an_ordinary_test_takes_one_too(world, alice):
    world.run(lambda world: asyncio.sleep(1))

def test_one_that_plays_nothing(alice):
    pass

@pytest.mark.usefixtures("alice")
async def test_it_is_used_by_a_mark():
    await asyncio.sleep(0.1)

class TestMethods:
    @pytest.fixture
    async def mine(self, world):
        self.kept = await world.node("mine")
        yield self
        await asyncio.sleep(0.1)

    @pytest.mark.parametrize("number", [1, 2])
    async def test_a_method(self, mine, number):
        assert self is mine and self.kept.name == "mine" and number

async def test_what_comes_after_the_yield_may_fail(fails_late):
    pass

@pytest.mark.weather(3)
async def test_weather(alice):
    await asyncio.sleep(0.1)

def test_all_fixtures_were_played_to_their_end():
    assert ends == [True] * 9
"""

NODES_ELSEWHERE = """
async def test_there_are_several_nodes(world):
    await world.peers("one", "two")
"""


pytestmark = pytest.mark.xdist_group("plugin")


def run(folder: Path, *options: str, **environment: str) -> str:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rps", str(folder), *options]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ, cwd=folder)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def virtual(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a run on virtual time says."""
    folder = tmp_path_factory.mktemp("virtual")
    (folder / "test_examples.py").write_text(EXAMPLES)
    (folder / "test_failing.py").write_text(FAILING)
    return run(folder, CALLBOARD_SEED="77")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a run on real sockets says."""
    folder = tmp_path_factory.mktemp("real")
    (folder / "test_agent.py").write_text(AGENT)
    (folder / "test_elsewhere.py").write_text(ASKER + NODES_ELSEWHERE)
    (folder / "test_fixtures.py").write_text(FIXTURES)
    return run(
        folder, "--callboard-real", "-k", "not may_fail and not to_their_end and not weather and not nothing"
    )


def test_the_programs_of_the_document_pass_on_virtual_time(virtual: str) -> None:
    assert len(re.findall(r"^PASSED .*test_examples\.py::", virtual, re.MULTILINE)) == 6, virtual


def test_their_tests_are_ten_lines_or_little_more() -> None:
    tests = re.findall(r"^async def test_.*\n((?:    .*\n)+)", EXAMPLES, re.MULTILINE)
    assert len(tests) == 6
    assert max(test.count("\n") for test in tests) <= 17


@pytest.mark.long
@pytest.mark.timeout(600)
def test_they_pass_where_only_the_wheel_is(tmp_path: Path) -> None:
    """In an environment of its own, far from these sources, with pytest and what the wheel asks for."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def call(*command: object) -> str:
        words = [str(word) for word in command]
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=300, cwd=tmp_path, env=environ, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    call(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "dist", ROOT)
    (wheel,) = (tmp_path / "dist").glob("callboard-*.whl")
    call(sys.executable, "-m", "venv", "only")
    python = tmp_path / "only" / "bin" / "python"
    lock = ROOT / "requirements.lock"
    call(python, "-m", "pip", "install", "--quiet", "-c", lock, wheel, "pytest")
    (tmp_path / "test_examples.py").write_text(EXAMPLES)
    assert "only/lib" in call(python, "-c", "import gateway; print(gateway.__file__)")
    assert "6 passed" in call(python, "-m", "pytest", "-p", "no:cacheprovider", "test_examples.py")


@pytest.mark.parametrize("options", [("-p", "no:asyncio"), ("--asyncio-mode=auto",)], ids=str)
def test_async_fixtures_are_played_in_the_world_of_their_test(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "test_fixtures.py").write_text(FIXTURES)
    said = run(tmp_path, *options)
    assert "1 failed, 11 passed" in said, said
    assert "ValueError: fails late" in said


def test_a_wrong_seed_and_a_wrong_weather_are_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_SEED", "x")
    with pytest.raises(ValueError, match="CALLBOARD_SEED is 'x': it has to be a number"):
        given_seed()
    (tmp_path / "test_often.py").write_text(
        "import pytest\n\n@pytest.mark.weather('often')\nasync def test_often(world):\n    pass\n"
    )
    said = run(tmp_path, "--collect-only")
    assert "weather('often'): how often is a number of 1 or more" in said
    assert "Traceback" not in said


def test_who_takes_no_world_does_not_wait_for_its_import() -> None:
    look = "import sys, gateway.testing.plugin; print({'gateway.node', 'gateway.api'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.stdout == "set()\n", done.stdout + done.stderr


def test_on_real_sockets_a_test_that_wants_faults_is_skipped_with_the_reason(real: str) -> None:
    assert "2 skipped" in real, real
    assert "silence of a host on real sockets" in real
    assert "peers of a World on real sockets" in real


def test_a_node_is_restarted_on_real_sockets_too(real: str) -> None:
    assert re.search(r"^PASSED .*test_agent\.py::", real, re.MULTILINE), real


def test_async_fixtures_are_played_on_real_sockets_too(real: str) -> None:
    assert len(re.findall(r"^PASSED .*test_fixtures\.py::", real, re.MULTILINE)) == 6, real


def test_failures_show_seed_and_trace_and_weather_plays_often(virtual: str) -> None:
    assert len(re.findall(r"^PASSED .*test_failing\.py::", virtual, re.MULTILINE)) == 4, virtual
    assert "2 failed, 10 passed" in virtual
    assert "repeat it with CALLBOARD_SEED=77" in virtual
    assert "alice → node" in virtual
    assert "nothing will ever happen any more" in virtual


def test_the_document_names_what_there_is() -> None:
    objects = {"world": World(1), "host": SimHost, "line": Line}
    for owner, name in re.findall(r"`(?:await )?(world|host|line)\.(\w+)", TEXT):
        assert hasattr(objects[owner], name), f"{owner}.{name}"
    for verb in re.findall(r"`issuer\.(\w+)\(", TEXT):
        assert hasattr(gateway.testing.Issuer, verb), verb
    for error in re.findall(r"`(Leftovers|Deadlock|Livelock|TooLong|NotInWorld)`", TEXT):
        assert error in gateway.testing.__all__
