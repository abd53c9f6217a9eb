"""The recorded conversations (`tests/vectors/transcripts/`), read once."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent / "vectors" / "transcripts"
V1 = sorted(path.stem for path in FOLDER.glob("*.jsonl") if not path.stem.startswith("wirev2-"))


class Row(NamedTuple):
    """One recorded message."""

    seq: int
    conn: int
    app: str
    to_node: bool
    data: bytes
    decoded: dict[str, Any] | None
    dropped: bool


@cache
def rows(name: str) -> tuple[Row, ...]:
    """The messages of one conversation, in order."""
    lines = (FOLDER / f"{name}.jsonl").read_text().splitlines()[1:]
    return tuple(
        Row(
            row["seq"],
            row["conn"],
            row["app"],
            row["dir"] == "c2n",
            bytes.fromhex(row["hex"]),
            row.get("msg"),
            row.get("dropped", False),
        )
        for row in map(json.loads, lines)
        if "hex" in row
    )
