"""SIGHUP: a running node takes other certificates, users, rules and limits, and nothing of what is broken."""

from __future__ import annotations

import gc
import re
import signal
import ssl
import time
from contextlib import closing
from pathlib import Path

import pytest
from cryptography import x509

from gateway import entry
from gateway.cli import main
from gateway.security.users import PasswordHash, write_users
from tests.gateway.authority import HostAuthority
from tests.gateway.cli.processes import Command, running
from tests.gateway.node.test_service_manager import Manager

CONFIG = """
services:
  slim/0:
    dataplane:
      servers:
        - endpoint: 127.0.0.1:0
          tls: {{source: {{type: file, cert: {cert}, key: {key}}}, reload_interval: 1h}}
          auth: {{type: basic, file: {users}}}
    rules: {rules}
    limits: {{connections: {connections}}}
"""
HASH = PasswordHash.make(b"a password", b"salt" * 4)


class Files:
    """All that a node reads."""

    def __init__(self, folder: Path) -> None:
        self.config, self.users, self.rules = folder / "node.yaml", folder / "users", folder / "rules"
        self.folder, self.authority = folder, HostAuthority()
        self.certificate()
        self.user("alice")
        self.rules.write_text("deny anyone * org/private/*\n")
        self.limit(100)

    def certificate(self, ttl: float = 3600.0) -> None:
        self.cert, self.key = self.authority.issue(ttl=ttl).write(self.folder)

    def user(self, *names: str) -> None:
        write_users(str(self.users), dict.fromkeys(names, HASH))

    def limit(self, connections: int) -> None:
        paths = {"cert": self.cert, "key": self.key, "users": self.users, "rules": self.rules}
        self.config.write_text(CONFIG.format(**paths, connections=connections))


def serial(address: str) -> int:
    """Of the certificate that a node shows."""
    host, _, port = address.rpartition(":")
    return x509.load_pem_x509_certificate(
        ssl.get_server_certificate((host, int(port)), timeout=10).encode()
    ).serial_number


def told(node: Command, pattern: str) -> str:
    node.process.send_signal(signal.SIGHUP)
    return node.until(pattern)[0]


def test_a_running_node_reads_again(tmp_path: Path) -> None:
    files = Files(tmp_path)
    manager = Manager(str(tmp_path / "notify"))
    with (
        closing(manager.socket),
        running("start", "--config", str(files.config), NOTIFY_SOCKET=str(tmp_path / "notify")) as node,
    ):
        address = node.until(r"listening on (\S+)")[1]
        assert "expires within a day" in node.until(r"the certificate of one of many .*")[0]
        ready = manager.hear()
        assert ready == ["READY=1", f"STATUS=listening on {address}"]
        assert told(node, r"reloaded: .*") == "reloaded: nothing has changed"
        assert reloaded(manager) == ready
        before = serial(address)
        files.certificate()
        files.user("alice", "bob")
        files.rules.write_text("deny anyone * org/private/*\nallow node * *\n")
        files.limit(50)
        said = told(node, r"reloaded: cert.*")
        for part in (
            "certificates of servers[0]",
            "users of servers[0] (1 before, 2 now)",
            "rules by name (1 before, 2 now)",
            "limits.connections (100 -> 50)",
        ):
            assert part in said
        assert "at the next start" not in said
        assert serial(address) != before
        assert reloaded(manager) == ready
        # What is broken changes nothing, and says where.
        files.rules.write_text("allow everybody everything\n")
        said = told(node, r"not reloaded, .*")
        assert re.search(r"node\.yaml, line \d+: .*rules: .*line 1: expected four words", said)
        # The manager would wait for ever otherwise.
        assert reloaded(manager) == ready
        assert node.process.poll() is None


def reloaded(manager: Manager) -> list[str]:
    """What the service manager hears at a reload: when it began, in time of the machine, and its end."""
    word, moment = manager.hear()
    assert word == "RELOADING=1"
    name, _, number = moment.partition("=")
    assert name == "MONOTONIC_USEC"
    assert 0 <= time.monotonic() * 1e6 - int(number) < 60e6
    return manager.hear()


@pytest.mark.parametrize("what", ["certificate", "users"])
def test_what_is_broken_at_the_start_is_said_there(
    what: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = Files(tmp_path)
    {"certificate": Path(files.cert), "users": files.users}[what].write_text("broken")
    assert main(["start", "--config", str(files.config)]) == 2
    assert "node.yaml, line " in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "held"), [("--log-level INFO start", True), ("send --to a/b/c start", False)]
)
def test_the_signal_does_not_end_a_node_that_still_starts(
    words: str, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["callboard", *words.split()])
    monkeypatch.setattr("gateway.cli.main", lambda: 40 + (signal.getsignal(signal.SIGHUP) is signal.SIG_IGN))
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        assert entry.main() == 40 + held
    finally:
        signal.signal(signal.SIGHUP, before)
        gc.enable()
