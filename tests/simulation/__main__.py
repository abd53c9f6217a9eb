"""Plays many seeds and says what they show.

python -m tests.simulation PROFILE|all [FIRST [LAST]]             the kinds that show, and seeds of each
    --into FOLDER                                                 keep it there, and go on from what is there
    --processes N                                                 at a time; one for each core unless given
python -m tests.simulation PROFILE SEED --shrink                  the smallest part of one, and its trace
python -m tests.simulation PROFILE|all FIRST LAST --digests        what each history comes to
python -m tests.simulation all --table BEFORE [AFTER]             per thousand seeds, from such folders
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from tests.simulation.player import Player, play
from tests.simulation.scenario import PROFILES, Scenario
from tests.simulation.shrinking import shrunk
from tests.simulation.sweeping import sweep, table


def shrink(profile: str, seed: int) -> None:
    """Print the smallest part of a scenario that shows the same, and its trace."""
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
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m tests.simulation", description=__doc__, formatter_class=form)
    parser.add_argument("profile", help="one, several with commas between, or all")
    parser.add_argument("first", type=int, nargs="?", default=0)
    parser.add_argument("last", type=int, nargs="?")
    parser.add_argument("--shrink", action="store_true")
    parser.add_argument("--digests", action="store_true")
    parser.add_argument("--into", type=Path)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--table", type=Path, nargs="+")
    asked = parser.parse_args()
    profiles = list(PROFILES) if asked.profile == "all" else asked.profile.split(",")
    if unknown := set(profiles) - set(PROFILES):
        parser.error(f"no profile is called {', '.join(sorted(unknown))}; there are {', '.join(PROFILES)}")
    if asked.table:
        print(table(asked.table, profiles))
        return
    if asked.shrink:
        shrink(profiles[0], asked.first)
        return
    seeds = range(asked.first, asked.first + 100 if asked.last is None else asked.last)
    if asked.digests:
        for profile in profiles:
            for seed in seeds:
                print(profile, seed, play(profile, seed).digest)
        return
    with tempfile.TemporaryDirectory() as passing:
        folder = asked.into or Path(passing)
        for line in sweep(profiles, seeds, folder, asked.processes):
            print(line, flush=True)
        print(table([folder], profiles))


if __name__ == "__main__":
    main()
