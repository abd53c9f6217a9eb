"""python -m tests.faults.soak --minutes 30: prints a table in Markdown; the exit code is 1 if it failed."""

from __future__ import annotations

import argparse
import asyncio
import sys
from functools import partial

from tests.faults.soak.run import soak
from tests.faults.soak.verdict import complaints

parser = argparse.ArgumentParser(
    prog="python -m tests.faults.soak", description="Soak nodes and applications."
)
parser.add_argument("--minutes", type=float, default=30.0)
parser.add_argument("--interval", type=float, default=60.0, help="seconds of a row")
parser.add_argument("--beat", type=float, default=6.0, help="seconds between two kills")
options = parser.parse_args()
outcome = asyncio.run(
    soak(
        options.minutes * 60,
        interval=options.interval,
        beat=options.beat,
        say=partial(print, flush=True),
    )
)
found = complaints(outcome)
print("\n".join(found) or "All as it should be.")
sys.exit(bool(found))
