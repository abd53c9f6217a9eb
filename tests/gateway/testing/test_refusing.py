"""What goes around the loop is refused while a World plays, in its thread, and nowhere else."""

from __future__ import annotations

import asyncio
import bdb
import concurrent.futures
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from gateway import Script, Slim
from gateway.testing import Leftovers, NotInWorld, World

ROOT = Path(__file__).resolve().parents[3]


def nap() -> None:
    time.sleep(0.01)


def thread() -> None:
    threading.Thread(target=int).start()


def pool() -> None:
    with concurrent.futures.ThreadPoolExecutor() as workers:
        workers.submit(int)


def bound() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))


def connected() -> None:
    with socket.socket() as one:
        one.connect(("127.0.0.1", 9))


def datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"x", ("127.0.0.1", 9))


ASKED: dict[str, Callable[[], object]] = {
    "sleep": nap,
    "thread": thread,
    "pool": pool,
    "timer": lambda: threading.Timer(0.001, int).start(),
    "process": lambda: subprocess.run([sys.executable, "--version"], check=False),
    "shell": lambda: os.system("true"),
    "spawn": lambda: os.posix_spawn(sys.executable, [sys.executable, "--version"], {}),
    "fork": lambda: os.fork() or os._exit(0),
    "multiprocessing": lambda: multiprocessing.get_context("fork").Process(target=int).start(),
    "bind": bound,
    "connect": connected,
    "datagram": datagram,
    "resolver": lambda: socket.getaddrinfo("localhost", 9),
    "name": lambda: socket.gethostbyname("localhost"),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
async def test_it_is_refused_and_the_trace_says_so_also_where_the_program_is_silent(
    world: World, ask: Callable[[], object]
) -> None:
    async def program() -> None:
        with pytest.raises(NotInWorld, match="not to be had in a World") as caught:
            ask()
        assert caught.value.instead

    await world.host("somewhere").call(program())
    (line,) = [line for line in world.trace.lines() if "refused" in line]
    assert "somewhere" in line
    assert "test_refusing.py" in line


def test_the_failure_says_what_was_asked_for_and_where_and_what_to_do() -> None:
    async def program() -> None:
        nap()

    async def test(world: World) -> None:
        world.host("agent").run(program)
        await asyncio.sleep(1)

    with pytest.raises(Leftovers, match=r"time\.sleep is not to be had in a World: .*await asyncio\.sleep"):
        World(1).run(test)


def test_all_of_it_is_to_be_had_again_when_none_plays() -> None:
    World(1).run(lambda world: world.node())
    began = time.monotonic()
    time.sleep(0.01)
    assert time.monotonic() - began >= 0.01
    thread()
    bound()
    assert subprocess.run([sys.executable, "-c", ""], check=False).returncode == 0


def test_other_threads_do_as_they_like_meanwhile() -> None:
    begin, done, failed = threading.Event(), threading.Event(), list[BaseException]()

    def beside() -> None:
        begin.wait(10)
        try:
            time.sleep(0.001)
            bound()
            thread()
        except BaseException as error:
            failed.append(error)
        done.set()

    other = threading.Thread(target=beside)
    other.start()

    async def test(world: World) -> None:
        begin.set()
        assert done.wait(10)

    World(1).run(test)
    other.join()
    assert not failed


async def test_a_mock_of_sleep_works_and_leaves_the_refusal_behind(world: World) -> None:
    with mock.patch("time.sleep") as sleep:
        nap()
    sleep.assert_called_once_with(0.01)
    with pytest.raises(NotInWorld):
        nap()


async def test_a_debugger_may_what_the_program_may_not(world: World) -> None:
    beside = types.ModuleType("debugpy.server")
    code = (
        "import threading\ndef ask():\n    one = threading.Thread(target=int)\n    one.start(); one.join()\n"
    )
    exec(code, beside.__dict__)
    beside.ask()
    with pytest.raises(NotInWorld):
        thread()
    assert bdb.Bdb  # what breakpoint() stands on needs none of it


async def test_a_script_in_a_process_of_its_own_is_refused(world: World) -> None:
    async with await world.application("org/demo/mod", await world.node()) as app:
        with pytest.raises(NotInWorld, match="a thread"):
            await led(app)


async def led(app: Slim) -> None:
    async with app.moderate("org/demo/stage", Script, process=True) as group:
        await group


def test_who_imported_sleep_by_name_before_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "from time import sleep\nfrom gateway.testing import NotInWorld, World\n\n"
        "async def test(world):\n    sleep(0.001)\n\n"
        "try:\n    World(1).run(test)\nexcept NotInWorld as error:\n    print('refused:', error.what)\n"
        "sleep(0)\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "program.py"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environ, timeout=60, check=False
    )
    assert done.stdout == "refused: time.sleep\n", done.stderr
