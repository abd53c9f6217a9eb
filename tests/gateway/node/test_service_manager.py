"""What systemd hears of a node, over a socket of its kind."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.node.service_manager import ServiceManager
from tests.gateway.cli.processes import CALLBOARD, Command
from tests.test_floors import ROOT

PATIENCE = 60.0
"""Seconds until a process has said something, on a machine that has much else to do."""


class Manager:
    """The end of a service manager."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(PATIENCE)

    def hear(self) -> list[str]:
        """The next word, in lines."""
        return self.socket.recv(4096).decode().split("\n")

    def until(self, word: str) -> list[str]:
        while word not in (heard := self.hear()):
            pass
        return heard

    def forget(self) -> None:
        """What was said so far."""
        self.socket.setblocking(False)
        try:
            while True:
                self.socket.recv(4096)
        except BlockingIOError:
            self.socket.settimeout(PATIENCE)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.socket.close()


def test_a_node_is_ready_lives_and_stops(manager: Manager, tmp_path: Path) -> None:
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
    node = Command("start", "--insecure", "--listen", "127.0.0.1:0", **environ)
    try:
        ready, status = manager.hear()
        assert ready == "READY=1"
        assert status == f"STATUS=listening on {node.until('listening on (.*)')[1]}"
        assert [manager.hear() for _ in range(3)] == [["WATCHDOG=1"]] * 3
        node.process.send_signal(signal.SIGSTOP)
        manager.forget()
        manager.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            manager.hear()
        node.process.send_signal(signal.SIGCONT)
        manager.socket.settimeout(PATIENCE)
        assert manager.hear() == ["WATCHDOG=1"]
    finally:
        node.process.terminate()
    assert manager.until("STOPPING=1") == ["STOPPING=1"]
    assert node.end() == 0


async def test_a_loop_that_is_blocked_shows_no_sign_of_life(manager: Manager, tmp_path: Path) -> None:
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "20000"}
    made = ServiceManager(asyncio.get_running_loop(), environ)
    made.ready()
    assert manager.hear() == ["READY=1"]
    assert manager.hear() == ["WATCHDOG=1"]
    # In the loop's own thread: it stands still meanwhile.
    manager.socket.settimeout(0.1)
    with pytest.raises(TimeoutError):
        manager.hear()
    await asyncio.sleep(0.02)
    assert manager.hear() == ["WATCHDOG=1"]
    made.close()


async def test_a_reload_has_the_time_of_the_machine_with_it(manager: Manager, tmp_path: Path) -> None:
    made = ServiceManager(asyncio.get_running_loop(), {"NOTIFY_SOCKET": str(tmp_path / "notify")})
    made.reloading()
    word, moment = manager.hear()
    assert word == "RELOADING=1"
    assert moment.startswith("MONOTONIC_USEC=")
    made.ready()
    assert manager.hear() == ["READY=1"]


async def test_an_abstract_address() -> None:
    manager = Manager("\0callboard-test-notify")
    try:
        loop = asyncio.get_running_loop()
        ServiceManager(loop, {"NOTIFY_SOCKET": "@callboard-test-notify"}).stopping()
        assert manager.hear() == ["STOPPING=1"]
    finally:
        manager.socket.close()


@pytest.mark.parametrize(
    "environ",
    [{"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "-1"}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, {}],
)
async def test_who_wants_no_sign_of_life_gets_none(
    environ: dict[str, str], manager: Manager, tmp_path: Path
) -> None:
    path = str(tmp_path / "notify")
    made = ServiceManager(asyncio.get_running_loop(), {"NOTIFY_SOCKET": path, **environ}, pid=7)
    made.ready()
    assert manager.hear() == ["READY=1"]
    await asyncio.sleep(0.01)
    manager.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.hear()


async def test_a_manager_that_is_not_there_ends_nothing(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    made = ServiceManager(asyncio.get_running_loop(), {"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    made.ready()
    made.stopping()
    assert len([line for line in caplog.messages if "the service manager hears nothing" in line]) == 1
    ServiceManager(asyncio.get_running_loop(), {}).ready()


def test_the_unit_waits_for_these_words() -> None:
    unit = (ROOT / "examples/systemd/callboard.service").read_text().splitlines()
    assert {"Type=notify", "NotifyAccess=main"} <= set(unit)
    assert [line for line in unit if line.startswith("WatchdogSec=")]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    text = (ROOT / "examples/systemd/callboard.service").read_text()
    unit = tmp_path / "callboard.service"
    unit.write_text(text.replace("/opt/callboard/bin/callboard", CALLBOARD))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # It looks: a word that it does not know is told.
    unit.write_text(text + "\nWatchdog=1\n")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    assert "Watchdog" in done.stderr
