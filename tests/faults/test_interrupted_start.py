"""Ctrl-C while a command still starts: it ends, and nobody reads a traceback."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.test_floors import ROOT

INTERRUPTED = """
import signal, sys
seen = 0
class Finder:
    # An import of the command line is under way: the key is pressed now.
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            signal.raise_signal(signal.SIGINT)
        return None
sys.meta_path.insert(0, Finder())
from gateway.entry import main
sys.argv = ["callboard", {command!r}, "--help"]
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("demo", "gateway.cli"),
        ("demo", "gateway.cli.demo"),
        ("send", "gateway.cli.talk"),
        ("demo", "gateway.api.slim"),
    ],
)
def test_a_command_that_is_interrupted_while_it_imports_ends_without_a_word(
    command: str, module: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(command=command, module=module)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "", "")
