"""`make install` where it cannot go on: one sentence, and nothing broken is left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WAIT = 60.0

FAKE = """#!/bin/sh
# An interpreter: what it says about versions is made up, and an environment of it is a folder with itself.
case "$*" in
  "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; {venv}; cp "$0" "$3/bin/pip" ;;
  *version_info*) exit {old} ;;
  "-m pip --version") test -e "$(dirname "$0")/pip" ;;
  *"pip install"*|"install "*) {pip} ;;
  *) echo peer ;;
esac
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that `make install` is made of."""
    for file in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / file, tmp_path)
    return tmp_path


def interpreter(folder: Path, *, old: bool = False, venv: str = "true", pip: str = "true") -> str:
    path = folder / "python-of-a-test"
    path.write_text(FAKE.format(old=int(old), venv=venv, pip=pip))
    path.chmod(0o755)
    return str(path)


def make(folder: Path, python: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "install", f"PYTHON={python}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=WAIT,
        env={name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))},
        check=False,
    )


def sentences(errors: str) -> list[str]:
    """What is said besides make's own line about a failed target."""
    return [line for line in errors.splitlines() if not line.startswith("make: ***")]


def test_an_old_python_is_refused_in_one_sentence_and_nothing_is_made(copy: Path) -> None:
    done = make(copy, interpreter(copy, old=True))
    assert done.returncode != 0
    (sentence,) = sentences(done.stderr)
    assert sentence.startswith("callboard needs Python 3.11 or newer, which ")
    assert "make install PYTHON=python3.12" in sentence
    assert not (copy / ".venv").exists()


def test_a_python_that_is_not_there_is_named(copy: Path) -> None:
    done = make(copy, "python-nowhere")
    assert done.returncode != 0
    assert "python-nowhere" in done.stderr
    assert not (copy / ".venv").exists()


def test_a_venv_that_cannot_be_made_is_not_left_half_made(copy: Path) -> None:
    """Debian's Python without `python3-venv`."""
    assert make(copy, interpreter(copy, venv="exit 1")).returncode != 0
    assert not (copy / ".venv").exists()


@pytest.mark.parametrize("how", ["fails", "is interrupted"])
@pytest.mark.parametrize("step", ["venv", "pip"])
def test_what_was_broken_off_is_done_again_by_the_next_call(copy: Path, step: str, how: str) -> None:
    reached = copy / "reached"
    breaks = f"touch {reached}; {'exit 1' if how == 'fails' else 'exec sleep 60'}"
    python = interpreter(copy, **{step: breaks})
    if how == "fails":
        assert make(copy, python).returncode != 0
    else:
        interrupted(copy, python, reached)
    assert not (copy / ".venv/.installed").exists()
    for made in (copy / ".venv/bin").glob("p*"):
        shutil.copy(interpreter(copy), made)
    done = make(copy, interpreter(copy))
    assert done.returncode == 0, done.stderr
    assert (copy / ".venv/.installed").exists()
    assert "1 of 3" not in make(copy, interpreter(copy)).stdout


def interrupted(folder: Path, python: str, reached: Path) -> None:
    """Ctrl-C while the interpreter does what it never ends to do."""
    command = ["make", "install", f"PYTHON={python}"]
    process = subprocess.Popen(
        command,
        cwd=folder,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        # As a shell in the foreground has it, wherever the tests run.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        limit = time.monotonic() + WAIT
        while not reached.exists():
            assert time.monotonic() < limit
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(WAIT) != 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(WAIT)
