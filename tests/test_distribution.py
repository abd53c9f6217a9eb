"""A release: what is delivered, the same to the byte each time, and what the pages say of it."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib

import pytest

from tests.test_floors import ROOT

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
NEEDED = ("build", "hatchling", "twine")


def test_the_changes_of_this_version_are_told() -> None:
    sections = re.findall(r"^## (\S+) \((.+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[0][0] == VERSION
    for _, released in sections:
        assert released == "not released" or re.fullmatch(r"\d{4}-\d\d-\d\d", released)


def test_the_wheel_is_of_the_floors_and_nothing_else() -> None:
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    assert targets["wheel"] == {"packages": ["actors", "gateway", "identity"]}
    assert not [
        path for package in targets["wheel"]["packages"] for path in (ROOT / package).rglob("test_*.py")
    ]


@pytest.mark.long
@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, NEEDED)), reason="the tools of a release are not here: make dist"
)
def test_two_builds_are_the_same_and_accepted() -> None:
    done = subprocess.run([sys.executable, ROOT / ".ci/dist.py"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(rf"^[0-9a-f]{{64}}  dist/callboard-{VERSION}", done.stdout, re.MULTILINE)) == 2
