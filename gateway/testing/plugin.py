"""The plugin for pytest that comes with the package: the fixture `world` and the marker `weather`.

    async def test_bob_answers(world): ...          once, on virtual time

    @pytest.mark.weather(20)
    async def test_bob_answers(world): ...          twenty times, in worse and worse weather

An `async` test that takes `world` is played in it, whatever other plugins do with async tests. After it all
must be well (`World.end`). Its seed follows from its name, so that each run is the same; CALLBOARD_SEED takes
another, and `--callboard-real` plays it on real time and sockets.
"""

from __future__ import annotations

import functools
import inspect
import os
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gateway.testing.real import RealWorld
    from gateway.testing.world import World


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("callboard", "networks on virtual time").addoption(
        "--callboard-real",
        action="store_true",
        help="play tests that take `world` on real time and real sockets; those that want faults are skipped",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "weather(times): plays a test that takes `world` so often, in worse and worse weather"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("weather")
    if marker is None or "world" not in metafunc.fixturenames or not _is_ours(metafunc.definition):
        return
    times = marker.args[0] if marker.args else marker.kwargs.get("times", 10)
    steps = [(turn, turn / max(1, times - 1)) for turn in range(times)]
    metafunc.parametrize("world", steps, indirect=True, ids=[f"weather-{turn}" for turn in range(times)])


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: object) -> None:
    """Put in place of an async test that takes `world` an ordinary one, which plays it there."""
    if not (inspect.iscoroutinefunction(obj) and collector.funcnamefilter(name)):
        return
    if "world" in inspect.signature(obj).parameters and _is_ours(collector):
        setattr(collector.obj, name, _played(obj))


def _is_ours(node: pytest.Collector | pytest.Item) -> bool:
    """Whether no nearer fixture has the name `world`."""
    found = node.session._fixturemanager.getfixturedefs("world", node)
    return found is not None and bool(found) and found[-1].func.__module__ == __name__


def _played(test: Callable[..., Any]) -> Callable[..., None]:
    @functools.wraps(test)
    def play(*args: Any, world: Any, **kwargs: Any) -> None:
        from gateway.testing import NotInWorld, World

        try:
            world.run(lambda _: test(*args, world=world, **kwargs))
        except NotInWorld as error:
            if isinstance(world, World):
                raise
            pytest.skip(str(error))

    return play


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World | RealWorld:
    """A World that an async test is played in."""
    from gateway.testing.world import SEED_VARIABLE, World

    turn, weather = getattr(request, "param", (0, 0.0))
    given = os.environ.get(SEED_VARIABLE)
    seed = int(given) if given else zlib.crc32(request.node.nodeid.encode()) + turn
    if request.config.getoption("--callboard-real"):
        from gateway.testing.real import RealWorld

        return RealWorld(seed)
    return World(seed, weather=weather, strict=True)
