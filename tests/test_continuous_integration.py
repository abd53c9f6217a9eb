"""What `.ci/run` adds to `make test`: the sum of what was skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SKIPPED = Path(__file__).resolve().parents[1] / ".ci" / "skipped.py"


def summed_up(text: str) -> list[str]:
    command = [sys.executable, str(SKIPPED)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_skips_are_grouped_by_reason_the_most_frequent_first() -> None:
    text = """..s..
=========================== short test summary info ============================
SKIPPED [1] a/test_x.py:12: nothing: listens here
SKIPPED [2] a/test_y.py:7: long form; run with --long
SKIPPED [3] b/test_z.py: long form; run with --long
SKIPPED [1] b/test_w.py:9: could not import 'spiffe'
2 passed, 7 skipped in 0.10s
"""
    assert summed_up(text) == [
        "7 skipped:",
        "     5  long form; run with --long",
        "     1  nothing: listens here",
        "     1  could not import 'spiffe'",
    ]


def test_without_skips_there_is_nothing_to_say() -> None:
    assert summed_up("2 passed in 0.10s\n") == []


def test_it_reads_what_pytest_writes(tmp_path: Path) -> None:
    (tmp_path / "test_skipping.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('n', range(3))\n"
        "def test_a(n): pytest.skip('inside')\n"
        "@pytest.mark.skip(reason='a mark: with a colon')\n"
        "def test_b(): pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "test_skipping.py"]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, env=plain)
    assert summed_up(done.stdout) == ["4 skipped:", "     3  inside", "     1  a mark: with a colon"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_its_shell_can_read_it() -> None:
    subprocess.run(["bash", "-n", str(SKIPPED.with_name("run"))], check=True, timeout=30)
