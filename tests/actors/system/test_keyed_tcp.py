"""Actor processes on the keyed transport: Thespian's contract holds, and strangers get nowhere."""

from __future__ import annotations

import os
import pickle
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.system.errors import BadFrame
from actors.system.keyed import ClusterKey, KeyedSerializer
from actors.system.keyed_tcp import FrameBuffer, keyed_actor_system
from identity.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
MARK = "CALLBOARD_KEYED_TEST"
KEY = bytes(range(32))

CONFORMANCE = [
    "test_an_answer_comes_to_ask",
    "test_told_messages_are_handled_in_order",
    "test_a_child_can_be_created_and_its_address_passed_on",
    "test_an_address_in_a_message_reaches_the_same_actor",
    "test_a_wakeup_comes_with_its_payload",
    "test_a_message_that_fails_once_is_retried",
    "test_a_message_that_always_fails_comes_back_as_poison",
    "test_an_actor_outlives_its_failures",
    "test_a_parent_learns_that_a_child_exited",
    "test_a_global_name_names_one_actor",
    "test_a_class_can_be_given_by_its_name",
    "test_a_scripted_moderator_leads_its_group",
    "test_a_watcher_follows_the_group_of_another",
]


class Driver:
    """The process with the keyed system, see `keyed_driver`."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.mark = secrets.token_hex(8)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.actors.system.keyed_driver", str(self.port), KEY.hex()],
            cwd=ROOT,
            env={**os.environ, MARK: self.mark},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.read() == "ready"

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def run(self, test: str) -> str:
        assert self.process.stdin is not None
        print(test, file=self.process.stdin, flush=True)
        return self.read()

    def close(self) -> None:
        try:
            self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
        # The administrator leaves the process group, so what a failed shutdown left is found by its mark.
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)

    def processes(self) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if (
                    entry.name.isdigit()
                    and f"{MARK}={self.mark}".encode() in (entry / "environ").read_bytes()
                ):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    driver = Driver()
    try:
        yield driver
    finally:
        driver.close()


@pytest.mark.parametrize("test", CONFORMANCE)
def test_conformance(driver: Driver, test: str) -> None:
    assert driver.run(test) == "ok"


class Bomb:
    """Leaves a trace when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def framed(body: bytes) -> bytes:
    return b"%d>" % len(body) + body


@pytest.mark.parametrize("attack", ["pickle", "other key", "endless length", "no length", "negative", "huge"])
def test_a_stranger_is_cut_off_and_harms_nobody(driver: Driver, tmp_path: Path, attack: str) -> None:
    trace = tmp_path / "trace"
    data = {
        "pickle": framed(pickle.dumps(Bomb(trace))),
        "other key": framed(KeyedSerializer(ClusterKey(bytes(32))).dumps("hello")),
        "endless length": b"9" * 4096,
        "no length": b">" * 64,
        "negative": b"-5>hello there",
        "huge": b"99999999999>" + bytes(64),
    }[attack]
    with socket.create_connection(("127.0.0.1", driver.port), timeout=20) as stranger:
        stranger.sendall(data)
        try:
            while stranger.recv(4096):
                pass  # the refusal, then the end
        except ConnectionResetError:
            pass
    assert not trace.exists()
    assert driver.run("test_an_answer_comes_to_ask") == "ok"


def test_only_the_configured_address_listens(driver: Driver) -> None:
    with pytest.raises(OSError), socket.create_connection(("127.0.0.2", driver.port), timeout=20):
        pass


def test_the_processes_end_with_the_system() -> None:
    driver = Driver()
    try:
        assert driver.run("test_an_answer_comes_to_ask") == "ok"
        assert driver.process.communicate(timeout=30)[0].strip() == "down"
    finally:
        driver.close()


@pytest.mark.parametrize("key", [None, b"", b"short"])
def test_without_a_good_key_nothing_starts(key: bytes | None) -> None:
    with pytest.raises(ConfigError) as caught:
        keyed_actor_system(key=key, port=1)
    assert caught.value.field == "key"


@pytest.mark.parametrize("host", ["0.0.0.0", "localhost", "::1", ""])
def test_the_host_is_one_numeric_address(host: str) -> None:
    with pytest.raises(ConfigError) as caught:
        keyed_actor_system(key=KEY, port=1, host=host)
    assert caught.value.field == "host"


@pytest.mark.parametrize("capability", ["Admin Routing", "Outbound Only"])
def test_routing_through_the_administrator_is_refused(capability: str) -> None:
    with pytest.raises(ConfigError, match=capability):
        keyed_actor_system(key=KEY, port=1, capabilities={capability: True})


def buffer(max_frame: int = 100) -> FrameBuffer:
    return FrameBuffer(lambda body: body, max_frame=max_frame)


@pytest.mark.parametrize("step", [1, 2, 3, 100])
def test_a_frame_may_come_in_pieces(step: int) -> None:
    reader, data = buffer(), b"5>hello"
    assert reader.is_empty()
    for start in range(0, len(data), step):
        assert not reader.isDone()
        assert 0 < reader.remainingAmount() <= 11
        reader.addMore(data[start : start + step])
    assert reader.isDone()
    assert reader.completed() == (b"hello", b"")


def test_what_follows_a_frame_is_kept_apart() -> None:
    reader = buffer()
    reader.addMore(b"2>hi3>you")
    assert reader.completed() == (b"hi", b"3>you")
    reader.removeExtra()
    assert reader.completed() == (b"hi", b"")


@pytest.mark.parametrize("data", [b"101>", b"-5>hello", b"1_0>", b" 5>hello", b">", b"12345678901"])
def test_what_is_no_frame_is_done_and_empty(data: bytes) -> None:
    reader = buffer()
    reader.addMore(data)
    assert reader.isDone()
    assert reader.completed() is None
    reader.addMore(b"more")
    assert reader.completed() is None


def test_a_refused_frame_is_done_and_empty() -> None:
    def refuse(_body: bytes) -> None:
        raise BadFrame("forged", "no")

    reader = FrameBuffer(refuse, max_frame=100)
    reader.addMore(b"2>hi")
    assert reader.isDone()
    assert reader.completed() is None
