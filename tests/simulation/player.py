"""Plays a scenario in a World, then heals all, waits, probes, closes, and counts.

steps ──► heal ──► long quiet ──► probe of every member ──► fresh sessions ──► close ──► nothing is left
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from gateway.testing import Leftovers, World, WorldError
from gateway.testing.trace import Trace
from gateway.testing.world import QUIET
from tests.simulation.actions import Actions
from tests.simulation.afterwards import Afterwards
from tests.simulation.faults import Faults
from tests.simulation.lapses import Lapses
from tests.simulation.ledger import Finding
from tests.simulation.moderated import ModeratedGroup
from tests.simulation.orders import Orders
from tests.simulation.scenario import Scenario, Step
from tests.simulation.stage import ROUND, SLACK, Stage


class Result(NamedTuple):
    """What came of a scenario."""

    findings: tuple[Finding, ...]
    trace: Trace
    seconds: float
    """Virtual seconds that it took."""
    story: str
    """How it went; empty where nothing was found."""

    @property
    def digest(self) -> str:
        """What its history comes to."""
        return self.trace.digest()

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(finding.kind for finding in self.findings)


class Player:
    """Plays one scenario."""

    def __init__(self, scenario: Scenario, *, strict: bool = False) -> None:
        self.stage = stage = Stage(scenario, strict=strict)
        self._actions = Actions(stage)
        self._faults = Faults(stage)
        self._lapses = Lapses(stage, self._faults)
        self._orders = Orders(stage)
        self._group = ModeratedGroup(stage)
        self._afterwards = Afterwards(stage, self._actions, self._orders, self._group)

    def play(self) -> Result:
        """Play it all."""
        world, ledger = self.stage.world, self.stage.ledger
        try:
            world.run(self._main)
        except Leftovers as error:
            for line in error.found:
                ledger.found("left", line)
        except WorldError as error:
            ledger.found("stuck", str(error))
        ledger.check()
        story = world.story(200) if ledger.findings else ""
        return Result(tuple(ledger.findings), world.trace, world.now, story)

    async def _main(self, world: World) -> None:
        await self.stage.assemble()
        await self._group.begin()
        for step in self.stage.scenario.steps:
            await asyncio.sleep(max(0.0, step.at - world.now))
            world.note(f"step {step.verb} {step.one} {step.two} {step.size} {step.time} {step.word}")
            self._take(step)
        await asyncio.sleep(1.0)
        await self._faults.over()
        world.note("heal")
        world.heal()
        for server in self.stage.servers:
            if not server.up:
                await server.restart()
        scenario = self.stage.scenario
        # Where nobody was away, nobody waits for signs of life.
        await world.quiet(ROUND + SLACK if scenario.short and scenario.profile.calm else QUIET)
        await self._afterwards.play()

    def _take(self, step: Step) -> None:
        verb = f"do_{step.verb}"
        parts = (self._actions, self._orders, self._group, self._faults, self._lapses)
        next(getattr(part, verb) for part in parts if hasattr(part, verb))(step)


def play(profile: str, seed: int, *, strict: bool = False, short: bool = False) -> Result:
    """Play the scenario of a profile and a seed, or a part of it."""
    scenario = Scenario.draw(profile, seed)
    return Player(scenario.shortened() if short else scenario, strict=strict).play()
