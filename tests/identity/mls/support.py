"""Where the vectors are, and how they are counted."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

from identity.mls.cipher_suite import SUITES

ROOT = Path(os.environ.get("CALLBOARD_VECTORS") or Path(__file__).parents[2] / "vectors") / "mls"

Case = dict[str, Any]


def cases(family: str) -> list[Case]:
    """The cases of one vector file whose suite we support; none when the file is missing."""
    path = ROOT / f"{family}.json.gz"
    if not path.exists():
        return []
    found: list[Case] = json.loads(gzip.decompress(path.read_bytes()))
    return [case for case in found if case.get("cipher_suite", 1) in SUITES]


def unhex(value: str | None) -> bytes:
    return bytes.fromhex(value or "")
