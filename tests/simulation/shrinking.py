"""From a scenario that shows something to the smallest part of it that still does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.simulation.scenario import Scenario


def shrunk(scenario: Scenario, shows: Callable[[Scenario], bool], plays: int = 200) -> Scenario:
    """`scenario` less the steps and applications that `shows` does not need. `plays` bounds the tries.

    Steps are left out in halves first, then in smaller parts, then one by one.
    """
    left = plays

    def try_it(candidate: Scenario) -> bool:
        nonlocal left
        left -= 1
        return left >= 0 and shows(candidate)

    while scenario.applications > 2:
        smaller = replace(scenario, applications=scenario.applications - 1)
        if not try_it(smaller):
            break
        scenario = smaller
    size = max(1, len(scenario.steps) // 2)
    while left > 0:
        at, shorter = 0, False
        while at < len(scenario.steps) and left > 0:
            candidate = scenario.without(set(range(at, at + size)))
            if candidate.steps != scenario.steps and try_it(candidate):
                scenario, shorter = candidate, True
            else:
                at += size
        if size == 1 and not shorter:
            break
        size = max(1, size // 2)
    return scenario
