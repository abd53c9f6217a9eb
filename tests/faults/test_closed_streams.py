"""Standard streams that are closed or take nothing: no crash, one sentence, an exit code that says so."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.gateway.cli.processes import CALLBOARD, WAIT, running
from tests.test_floors import ROOT

SECRET = "a-shared-secret-of-more-than-32-bytes"


@pytest.mark.parametrize("words", ["config example", "ctl version"])
def test_output_that_cannot_be_written_is_one_sentence_and_no_success(words: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [CALLBOARD, *words.split()],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=WAIT,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("callboard: ")
    assert done.stderr.count("\n") == 1


def test_a_command_whose_streams_are_closed_keeps_its_sockets() -> None:
    with running("start", "--insecure", "--listen", "127.0.0.1:0") as node:
        endpoint = "http://" + node.until(r"listening on (\S+)")[1]
        who = ("--shared-secret", SECRET, "--connect", endpoint)
        with running("listen", "--name", "org/cli/bob", *who, "--count", "1") as listening:
            listening.until("-- listening")
            done = subprocess.run(
                [CALLBOARD, "send", "--name", "org/cli/alice", "--to", "org/cli/bob", *who, "hello"],
                cwd=ROOT,
                timeout=WAIT,
                preexec_fn=lambda: [os.close(number) for number in range(3)],
            )
            assert done.returncode == 0
            assert listening.end() == 0
            assert "org/cli/alice: hello" in listening.out
