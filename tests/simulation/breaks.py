"""Does it see anything? Breaks the product in one place at a time, and plays until a scenario shows it.

python -m tests.simulation.breaks [NAME ...] [--seeds 300] [--processes N]

A seed saw a break if it shows a kind that it does not show without it.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import tests.simulation.broken_tokens  # noqa: F401 (it adds to them)
from tests.simulation.broken import BREAKS, Break
from tests.simulation.player import play
from tests.simulation.shortcuts import shortcuts

SEEDS = 300
NOT_SEEN = {
    "a_request_takes_three_times_its_time": (
        "who takes a request answers it in the same moment, and no fault falls in between: where there is no "
        "answer there is no acknowledgement either, and the request fails by that"
    ),
    "what_is_missing_is_never_asked_for": (
        "its sender sends again what is not acknowledged: to ask is only faster, and both end in their time"
    ),
    "a_link_drops_the_last_of_many_messages": (
        "that is what a network may do: sessions send again, and nobody hears anything but later"
    ),
}
"""Why no scenario sees them, by name."""


class Sight(NamedTuple):
    """How it went with one break."""

    name: str
    room: str
    played: int
    took: float
    profile: str = ""
    """Where it was seen; empty: it was not."""
    seed: int = 0
    kinds: tuple[str, ...] = ()
    text: str = ""

    def __str__(self) -> str:
        seen = f"{self.profile} {self.seed}: {', '.join(self.kinds)}: {self.text[:90]}"
        what = seen if self.profile else f"not seen: {NOT_SEEN.get(self.name, 'nobody knows why')}"
        return f"{self.room:<9} {self.name.replace('_', ' ')}\n          {self.played} played, {what}"


@contextlib.contextmanager
def broken(which: Break) -> Iterator[None]:
    """The product with this break, inside the block."""
    honest = []
    try:
        for owner, name, make in which.patches():
            value = vars(owner)[name]
            honest.append((owner, name, value))
            setattr(owner, name, make(value))
        yield
    finally:
        for owner, name, value in reversed(honest):
            setattr(owner, name, value)


def look(name: str, seeds: int = SEEDS) -> Sight:
    """Play until a scenario shows it, at most `seeds` of them, of its profiles in turn."""
    logging.disable(logging.CRITICAL)
    with shortcuts():
        return _look(name, seeds)


def _look(name: str, seeds: int) -> Sight:
    which, began = BREAKS[name], time.perf_counter()
    for number in range(seeds):
        profile, seed = which.profiles[number % len(which.profiles)], number // len(which.profiles)
        with broken(which):
            result = play(profile, seed)
        if not result.kinds:
            continue
        kinds = result.kinds - play(profile, seed).kinds
        if kinds:
            text = next(finding.text for finding in result.findings if finding.kind in kinds)
            took = time.perf_counter() - began
            return Sight(name, which.room, number + 1, took, profile, seed, tuple(sorted(kinds)), text)
    return Sight(name, which.room, seeds, time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.simulation.breaks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BREAKS], metavar="NAME")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    names = asked.names or list(BREAKS)
    with ProcessPoolExecutor(asked.processes) as pool:
        sights = []
        for sight in pool.map(look, names, [asked.seeds] * len(names)):
            print(sight, flush=True)
            sights.append(sight)
    print(f"{sum(bool(sight.profile) for sight in sights)} of {len(sights)} were seen")


if __name__ == "__main__":
    main()
