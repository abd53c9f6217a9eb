"""Ctrl-C while a command still starts: it ends, and nobody reads a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

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


SLOW = """
import os
import signal
# What the package imports first takes its time: the key is pressed now.
signal.raise_signal(signal.SIGINT)
"""


@pytest.mark.parametrize(
    "words", [[str(Path(sys.executable).parent / "callboard")], [sys.executable, "-m", "gateway.cli"]]
)
def test_a_command_that_is_interrupted_before_its_own_first_line(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "loguru.py").write_text(SLOW)
    done = subprocess.run(
        [*words, "--help"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "", "")


def test_a_program_that_imports_the_package_keeps_its_interrupts(tmp_path: Path) -> None:
    (tmp_path / "loguru.py").write_text(SLOW)
    (tmp_path / "program.py").write_text(
        "try:\n    import gateway\nexcept KeyboardInterrupt:\n    print('mine')\n"
    )
    done = subprocess.run(
        [sys.executable, tmp_path / "program.py"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("mine\n", "")
