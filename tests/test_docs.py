"""The pages in docs/: their programs run and print what the page says, and what is made is as it was made."""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.glob("*.md") if path.stem != "testing")
"""Those about testing are tested beside the plugin."""
BLOCK = re.compile(r"^```python\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param(found.group(1), found.group(2), id=f"{page.stem}-{number}")
    for page in PAGES
    for number, found in enumerate(BLOCK.finditer(page.read_text()), 1)
]
LIMIT = 60.0
TOP_LEVEL_AWAIT = 0x2000  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def test_there_are_programs_with_what_they_print() -> None:
    assert len([block for block in BLOCKS if block.values[1]]) >= 4


@pytest.mark.parametrize(("block", "printed"), BLOCKS)
def test_a_program_prints_what_the_page_says(block: str, printed: str | None, tmp_path: Path) -> None:
    if "asyncio.run" not in block and "import" not in block:
        compile(block, "docs", "exec", flags=TOP_LEVEL_AWAIT)
        return
    done = subprocess.run(
        [sys.executable, "-c", block],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stdout) == (0, printed or ""), done.stderr


def test_the_page_of_errors_is_made_of_the_classes() -> None:
    made = runpy.run_path(str(ROOT / ".ci/errors_page.py"))["page"]()
    assert (ROOT / "docs/errors.md").read_text() == made


def test_every_page_is_in_the_index_and_in_the_list() -> None:
    index = (ROOT / "docs/index.md").read_text().splitlines()
    listed = (DOCS / "README.md").read_text()
    for path in DOCS.rglob("*.md"):
        page = path.relative_to(DOCS).with_suffix("")
        assert str(page) in index or page.name == "index", page
        assert f"docs/{page}.md" in listed or page.name in ("index", "README"), page


@pytest.mark.long
@pytest.mark.skipif(
    importlib.util.find_spec("myst_parser") is None, reason="the site's tools are not here: make docs"
)
def test_the_site_is_made_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "-n", "-q", "-d", tmp_path / "trees", DOCS, tmp_path / "site"],
        capture_output=True,
        text=True,
        timeout=5 * LIMIT,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Sessions and groups" in (tmp_path / "site/index.html").read_text()
