"""The published guides, read where they are: in `$CALLBOARD_GUIDES`, or beside the checkout.

Nothing of them is copied; without them their tests skip.
"""

from __future__ import annotations

import os
import re
import textwrap
from functools import cache
from pathlib import Path

import pytest

FOLDER = Path(
    os.environ.get("CALLBOARD_GUIDES") or Path(__file__).resolve().parents[2].joinpath("shared", "guides")
)


@cache
def blocks(guide: str, language: str = "python") -> list[str]:
    """The blocks of a language in a guide, in order; skips where the guide is not."""
    path = (FOLDER / guide).with_suffix(".md")
    if not path.exists():
        pytest.skip(f"the published guides are not in {FOLDER} (CALLBOARD_GUIDES)")
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", path.read_text(), re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(code) for _, code in found]


def block(guide: str, mark: str, language: str = "python") -> str:
    """The one block that holds `mark`."""
    [found] = [code for code in blocks(guide, language) if mark in code]
    return found
