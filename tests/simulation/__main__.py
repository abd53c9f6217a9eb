"""Plays many seeds and says what they show.

python -m tests.simulation PROFILE|all [FIRST [LAST]]      a table of kinds, and the first seeds of each
python -m tests.simulation PROFILE SEED --shrink           the smallest part of one, and its trace
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict

from tests.simulation.player import Player, Result, play
from tests.simulation.scenario import PROFILES, Scenario
from tests.simulation.shrinking import shrunk

SHOWN = 3
"""Seeds shown of each kind."""


def sweep(profile: str, seeds: range) -> None:
    """Play them all and print what they show."""
    kinds: dict[str, list[tuple[int, Result]]] = defaultdict(list)
    began, seconds = time.perf_counter(), 0.0
    for seed in seeds:
        result = play(profile, seed)
        seconds += result.seconds
        for kind in sorted(result.kinds):
            kinds[kind].append((seed, result))
    took = time.perf_counter() - began
    speed = f"{len(seeds) / took:.1f} scenarios/s, {seconds / took:.0f} virtual s/s"
    print(f"{profile:<8} {len(seeds)} seeds, {speed}")
    for kind, shown in kinds.items():
        print(f"  {kind:<8} {1000 * len(shown) / len(seeds):.0f} of 1000 seeds")
        for seed, result in shown[:SHOWN]:
            text = next(finding.text for finding in result.findings if finding.kind == kind)
            print(f"    {seed}: {text[:160]}")


def shrink(profile: str, seed: int) -> None:
    """Print the smallest part of a scenario that shows the same kinds, and its trace."""
    whole = Scenario.draw(profile, seed)
    kinds = Player(whole).play().kinds
    if not kinds:
        print(f"{profile} {seed} shows nothing")
        return
    small = shrunk(whole, lambda scenario: kinds <= Player(scenario).play().kinds)
    result = Player(small).play()
    print(f"{small.applications} applications, mls {small.mls}")
    print(*small.steps, *result.findings, result.story, sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("profile", choices=[*PROFILES, "all"])
    parser.add_argument("first", type=int, nargs="?", default=0)
    parser.add_argument("last", type=int, nargs="?")
    parser.add_argument("--shrink", action="store_true")
    asked = parser.parse_args()
    if asked.shrink:
        shrink(asked.profile, asked.first)
        return
    last = asked.last if asked.last is not None else asked.first + 100
    for profile in PROFILES if asked.profile == "all" else [asked.profile]:
        sweep(profile, range(asked.first, last))


if __name__ == "__main__":
    main()
