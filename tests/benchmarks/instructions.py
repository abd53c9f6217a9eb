"""Instructions per message (`callboard bench instructions`): what other work on the machine cannot change.

The rows of `counted` run in one process under callgrind, which writes down the instructions of each part. A
row has a short and a long run; the difference of both, per message, has no start-up in it. What is left is
the chance of where objects lie in memory, up to 2 % of a row: each tree is counted in some layouts, and the
median stands. The processes run beside each other: a busy machine makes them slower, not different.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from identity.errors import ConfigError
from tests.benchmarks.counted import MARK, MARKS
from tests.benchmarks.trees import on_tree

PATIENCE = 1800.0
"""Seconds after which a run under the profiler is given up."""
LAYOUTS = 3
BOUND = 1.03
"""The ratio to the base above which a row is marked."""
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "PYTHONMALLOC": "pymalloc",
    "MALLOC_ARENA_MAX": "1",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
}
"""All that the profiled process sees of ours, but for PATH."""


class Count(NamedTuple):
    """A row of one tree, or of two."""

    name: str
    instructions: float
    """Per message."""
    base: float | None = None

    @property
    def ratio(self) -> float | None:
        """This tree to its base."""
        return None if self.base is None else self.instructions / self.base


def per_message(short: tuple[int, int], long: tuple[int, int]) -> float:
    """What one more message costs, of two runs: messages, and what they took."""
    return (long[1] - short[1]) / (long[0] - short[0])


def profiler() -> str:
    """Where valgrind is. Raises ConfigError where it is not."""
    path = shutil.which("valgrind")
    if path is None:
        raise ConfigError(
            "valgrind is not installed (Debian: apt-get install valgrind)", field="instructions"
        )
    return path


async def counts(tree: Path, rows: Sequence[str], scale: float, layout: int) -> dict[str, float]:
    """Instructions per message of each row, upon the floors of `tree`, in one layout.

    Raises OSError with what the process said when it fails, TimeoutError after `PATIENCE`.
    """

    def command(scale: float) -> list[str]:
        order = json.dumps({"rows": list(rows), "scale": scale, "layout": layout})
        return on_tree(tree, "tests.benchmarks.counted", order)

    with tempfile.TemporaryDirectory(prefix="callboard-counts-") as folder:
        out = Path(folder) / "part"
        options = [
            "--tool=callgrind",
            f"--callgrind-out-file={out}",
            f"--dump-before={MARK}",
            "--dump-line=no",
            "--quiet",
        ]
        # Once without the profiler: then all modules are compiled, whichever tree ran before.
        await _output(command(0.0))
        return read(json.loads(await _output([profiler(), *options, *command(scale)])), out)


async def _output(command: Sequence[str]) -> bytes:
    pipe = asyncio.subprocess.PIPE
    environment = {**ENVIRONMENT, "PATH": os.environ.get("PATH", os.defpath)}
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env=environment)
    try:
        said, complaint = await asyncio.wait_for(process.communicate(), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise OSError(f"a counted process failed: {complaint.decode(errors='replace')}")
    return said


def read(done: Mapping[str, Any], out: Path) -> dict[str, float]:
    """Instructions per message, of what the process says it did and of the parts written down."""
    found = {}
    for number, (name, short, long) in enumerate(done["rows"]):
        _, few, many = (total(out, MARKS * number + part) for part in range(1, MARKS + 1))
        found[name] = per_message((short, few), (long, many))
    return found


def total(out: Path, part: int) -> int:
    """The instructions of one part, from the file that callgrind wrote."""
    written = out.with_name(f"{out.name}.{part}").read_text()
    match = re.search(r"^(?:totals|summary): (\d+)$", written, re.MULTILINE)
    if match is None:
        raise OSError(f"callgrind wrote no total for part {part}")
    return int(match[1])


async def measure(
    tree: Path,
    base: Path | None = None,
    *,
    rows: Sequence[str] = (),
    scale: float = 1.0,
    layouts: int = LAYOUTS,
) -> list[Count]:
    """Count `tree`, and `base` beside it: the median of each row over the layouts."""
    free = asyncio.Semaphore(os.cpu_count() or 1)

    async def median_of(tree: Path) -> dict[str, float]:
        async def one(layout: int) -> dict[str, float]:
            async with free:
                return await counts(tree, rows, scale, layout)

        found = await asyncio.gather(*(one(layout) for layout in range(layouts)))
        return {name: median(each[name] for each in found) for name in found[0]}

    if base is None:
        return [Count(name, value) for name, value in (await median_of(tree)).items()]
    mine, theirs = await asyncio.gather(median_of(tree), median_of(base))
    return [Count(name, value, theirs[name]) for name, value in mine.items()]


def table(found: Sequence[Count]) -> str:
    """The figures for people; a ratio above `BOUND` is marked."""
    width = max((len(one.name) for one in found), default=0)
    compared = any(one.base is not None for one in found)
    lines = [f"{'instructions per message':<{width}}" + f"{'base':>14}" * compared + f"{'this tree':>14}"]
    lines[0] += f"{'ratio':>9}" * compared
    width = max(width, len("instructions per message"))
    for one in found:
        line = f"{one.name:<{width}}"
        if one.base is not None:
            line += f"{one.base:>14,.0f}"
        line += f"{one.instructions:>14,.0f}"
        if one.ratio is not None:
            line += f"{one.ratio:>9.4f}" + (f"  above {BOUND}" if one.ratio > BOUND else "")
        lines.append(line)
    return "\n".join(lines)


def records(found: Sequence[Count]) -> list[dict[str, Any]]:
    """The figures for programs."""
    return [{**one._asdict(), "ratio": one.ratio} for one in found]
