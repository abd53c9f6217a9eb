"""`callboard bench` beside the benchmarks, and where they are not."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def bench(*arguments: str, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "gateway.cli", "bench", *arguments]
    environment = {"PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, cwd="/")


@pytest.mark.parametrize("kind", [["stages"], ["paired", "--base", "HEAD"]])
def test_what_the_wheel_holds_says_that_it_takes_a_checkout(kind: list[str], tmp_path: Path) -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    for package in wheel["packages"]:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    done = bench(*kind, path=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "callboard: bench works from a checkout of the repository, which holds the benchmarks;"
        f" this is an installed package ({tmp_path})\n"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--base", "HEAD", "--workload", "nothing"], "no workload is called 'nothing'"),
        (["--base", "HEAD", "--pairs", "0"], "--pairs wants at least 1"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_sentence(options: list[str], said: str) -> None:
    done = bench("paired", *options)
    assert done.returncode == 2
    assert done.stderr.startswith(f"callboard: {said}")
    assert len(done.stderr.splitlines()) == 1
