"""The README from top to bottom, by somebody who has only the sources and an interpreter."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.newcomer import FOLLOWED, VERSIONS, Newcomer, blocks, interpreter

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()


def test_each_block_of_the_readme_is_followed_in_its_order_or_it_says_why_not() -> None:
    printed = [block.text for block in blocks(README)]
    for text, (beginning, _) in zip(printed, FOLLOWED, strict=True):
        assert text.startswith(beginning)


def test_the_first_program_in_two_processes_beside_a_node(tmp_path: Path) -> None:
    """Its three blocks, in an empty home, with what is installed here."""
    reader = Newcomer(tmp_path, sys.executable, own=sys.executable)
    reader.follow(
        README, only=("import asyncio\nfrom gateway", "callboard start --listen", "await app.connect(")
    )
    assert [what for what, _ in reader.done][-1] == "the same in two processes, the answer"


@pytest.mark.long
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_readme_from_top_to_bottom_in_a_fresh_environment(version: str, tmp_path: Path) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    reader = Newcomer(tmp_path, python)
    reader.follow(README)
    reader.examples()
    reader.pages()
    took = dict(reader.done)
    assert took["a program of the README, its answer"] < 60
