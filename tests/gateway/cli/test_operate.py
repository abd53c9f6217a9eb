"""A running node as its operator meets it: asked and ended by commands, each a process."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gateway.cli import main
from tests.gateway.cli.processes import CALLBOARD, ROOT, WAIT, running

SECRET = "a shared secret of at least thirty-two bytes"


def test_a_node_is_asked_and_ended(tmp_path: Path) -> None:
    environ = {"CALLBOARD_RUN": str(tmp_path / "run"), "NO_COLOR": "1"}

    def ask(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [CALLBOARD, *words],
            cwd=ROOT,
            env=os.environ | environ,
            capture_output=True,
            text=True,
            timeout=WAIT,
        )

    with running("start", "--insecure", "--listen", "127.0.0.1:0", "--node-id", "east", **environ) as node:
        node.until(r"listening on")
        walk = ask("explain", "org/demo/alice", "org/demo/bob")
        assert walk.returncode == 1
        assert "  missing  org/demo/alice was never registered at east as far as remembered" in walk.stdout
        with running("trace", "org/demo/bob", **environ) as trace:
            at = node.until(r"listening on (\S+)")[1]
            words = ("send", "--name", "org/demo/al", "--to", "org/demo/bob", "--connect", f"http://{at}")
            ask(*words, "--shared-secret", SECRET, "--timeout", "0.1", "--retries", "1", "hello")
            trace.until(r"discovery request")
            assert ask("drain").returncode == 0
            assert trace.end() == 1
            assert "the node has ended" in trace.err
        assert node.end() == 0


def test_an_address_at_which_nobody_can_be_asked_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for address, said in (("::1", "[::1]:46357"), ("host", "got 'host'"), ("http://h:99999", "65535")):
        assert main(["status", "--admin", address]) == 2
        assert said in capsys.readouterr().err
    assert main(["status", "--admin", "[::1]:1"]) == 1
