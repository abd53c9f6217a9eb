"""The plugin for pytest that comes with the package: the fixture `world` and the marker `weather`.

    async def test_bob_answers(world): ...          once, on virtual time

    @pytest.mark.weather(20)
    async def test_bob_answers(world): ...          twenty times, in worse and worse weather

An `async` test that takes `world`, itself or by a fixture, is played in it, whatever other plugins do with
async tests. So are the `async` fixtures of its scope that it takes, and what they do after their `yield`.
After it all must be well (`World.end`). Its seed follows from its name, so that each run is the same;
CALLBOARD_SEED takes another, and `--callboard-real` plays it on real time and sockets.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import zlib
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from gateway.testing.real import RealWorld
    from gateway.testing.world import World

T = TypeVar("T")

_worlds: list[World | RealWorld] = []
"""That of the test which runs now, last: a test may take it by a fixture only."""


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
    if not isinstance(times, int) or times < 1:
        raise pytest.UsageError(f"weather({times!r}): how often is a number of 1 or more")
    steps = [(turn, turn / max(1, times - 1)) for turn in range(times)]
    metafunc.parametrize("world", steps, indirect=True, ids=[f"weather-{turn}" for turn in range(times)])


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: object) -> None:
    """Put in place of an async test that takes `world` an ordinary one, which plays it there."""
    if not (inspect.iscoroutinefunction(obj) and collector.funcnamefilter(name)):
        return
    used = (mark for mark in _marks(collector, obj) if mark.name == "usefixtures")
    names = [*inspect.signature(obj).parameters, *(name for mark in used for name in mark.args)]
    if _takes_world(collector, names, set()):
        setattr(collector.obj, name, _played(obj))


def _marks(collector: pytest.Collector, obj: object) -> Iterable[pytest.Mark]:
    yield from collector.iter_markers()
    own = getattr(obj, "pytestmark", ())
    yield from own if isinstance(own, list | tuple) else (own,)


def _takes_world(node: pytest.Collector, names: Iterable[str], seen: set[str]) -> bool:
    """Whether one of these fixtures is our `world`, or takes one that is."""
    for name in names:
        if name == "world":
            return _is_ours(node)
        if name not in seen:
            seen.add(name)
            found = node.session._fixturemanager.getfixturedefs(name, node)
            if found and _takes_world(node, found[-1].argnames, seen):
                return True
    return False


def _is_ours(node: pytest.Collector | pytest.Item) -> bool:
    """Whether no nearer fixture has the name `world`."""
    found = node.session._fixturemanager.getfixturedefs("world", node)
    return found is not None and bool(found) and found[-1].func.__module__ == __name__


def _played(test: Callable[..., Any]) -> Callable[..., None]:
    @functools.wraps(test)
    def play(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        world = _worlds[-1]
        with _skipped_where_real(world):
            world.run(lambda _: test(*args, **kwargs))

    return play


@contextlib.contextmanager
def _skipped_where_real(world: World | RealWorld) -> Iterator[None]:
    """What no World on real sockets has is a reason to skip a test there."""
    from gateway.testing import NotInWorld, World

    __tracebackhide__ = True
    try:
        yield
    except NotInWorld as error:
        if isinstance(world, World):
            raise
        raise pytest.skip.Exception(str(error), _use_item_location=True) from None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Any:
    """Play the async fixtures of a test that is played in a World there too."""
    function: Any = fixturedef.func
    generates = inspect.isasyncgenfunction(function)
    if not (generates or inspect.iscoroutinefunction(function)) or fixturedef.scope != "function":
        return (yield)
    if "world" not in request.fixturenames or not _is_ours(request.node):
        return (yield)
    world = request.getfixturevalue("world")
    collected = getattr(function, "__self__", None)
    if collected is not None and isinstance(request.instance, type(collected)):
        # It was bound to the instance that pytest collects with.
        function = function.__func__.__get__(request.instance)

    def play(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        made = function(*args, **kwargs)
        with _skipped_where_real(world):
            if not generates:
                return world.play(made)
            value = world.play(_first(made))
            world.afterwards(lambda: _rest(made, fixturedef.argname))
            return value

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fixturedef, "func", play)
        return (yield)


async def _first(generator: AsyncGenerator[T, Any]) -> T:
    """What a fixture yields."""
    return await anext(generator)


async def _rest(generator: AsyncGenerator[Any, Any], name: str) -> None:
    """What a fixture does after its `yield`."""
    async for _ in generator:
        raise pytest.UsageError(f"the fixture {name} yields twice")


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World | RealWorld]:
    """A World that an async test is played in."""
    from gateway.testing.world import World, given_seed

    turn, weather = getattr(request, "param", (0, 0.0))
    given = given_seed()
    seed = zlib.crc32(request.node.nodeid.encode()) + turn if given is None else given
    world: World | RealWorld
    if request.config.getoption("--callboard-real"):
        from gateway.testing.real import RealWorld

        world = RealWorld(seed)
    else:
        world = World(seed, weather=weather, strict=True)
    _worlds.append(world)
    yield world
    _worlds.pop()
    world.clear()
