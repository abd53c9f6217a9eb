"""Scenarios drawn from seeds: a perfect network shows nothing, and one seed is one history."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.ledger import Finding, Ledger, Sent
from tests.simulation.player import Player, play
from tests.simulation.scenario import PROFILES, Scenario
from tests.simulation.shrinking import shrunk

ROOT = Path(__file__).resolve().parents[2]
CORPUS: tuple[tuple[str, int], ...] = ()
"""Seeds that once showed something that is mended: they are played first."""


def silent(profile: str, seed: int, *, strict: bool = False) -> None:
    result = play(profile, seed, strict=strict)
    assert not result.findings, f"{profile} {seed}: {result.findings}\n{result.story}"


@pytest.mark.parametrize("seeds", [range(start, start + 8) for start in range(0, 40, 8)], ids=str)
def test_a_perfect_network_shows_nothing(seeds: range) -> None:
    for seed in seeds:
        silent("perfect", seed, strict=seed % 8 == 0)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seeds", [range(start, start + 200) for start in range(40, 2040, 200)], ids=str)
def test_a_perfect_network_shows_nothing_for_long(seeds: range) -> None:
    for seed in seeds:
        silent("perfect", seed)


@pytest.mark.parametrize(("profile", "seed"), CORPUS)
def test_what_was_mended_stays_mended(profile: str, seed: int) -> None:
    silent(profile, seed)


@pytest.mark.parametrize("profile", PROFILES)
def test_one_seed_is_one_history(profile: str) -> None:
    first, second, other = play(profile, 3), play(profile, 3), play(profile, 4)
    assert first.digest == second.digest != other.digest
    assert first.findings == second.findings


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("profile", PROFILES)
def test_seeds_are_histories_for_long(profile: str) -> None:
    for seed in range(100):
        assert play(profile, seed).digest == play(profile, seed).digest, f"{profile} {seed}"


def test_one_seed_is_one_history_in_every_process() -> None:
    code = "from tests.simulation.player import play; print(play('storm', 11).digest)"

    def digest(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=60)
        return done.stdout.strip()

    assert digest("1") == digest("2") != ""


# Does it see anything?


def test_a_message_that_is_handed_out_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.api.session import Session

    honest = Session._delivered
    monkeypatch.setattr(Session, "_delivered", lambda self, items: honest(self, items + items[:1]))
    assert "twice" in play("perfect", 1).kinds


def test_a_message_that_is_dropped_behind_its_acknowledgement_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gateway.api.session import Session

    honest = Session._delivered
    monkeypatch.setattr(Session, "_delivered", lambda self, items: honest(self, items[1:]))
    assert "lost" in play("perfect", 1).kinds


def test_messages_out_of_order_are_found() -> None:
    ledger = Ledger()
    ledger.part(1, 0).sent.append(Sent(1, 5.0, frozenset({1}), 6.0))
    ledger.part(1, 1).heard += [(0, 2, 5.0), (0, 1, 6.0)]
    ledger.check()
    assert ledger.findings == [Finding("order", "session 1: 1 heard 1 of 0 behind 2 at 6.000")]


def test_shrinking_keeps_what_shows_the_fault() -> None:
    scenario = Scenario.draw("storm", 5)
    needed = {scenario.steps[2], scenario.steps[-1]}
    small = shrunk(scenario, lambda candidate: needed <= set(candidate.steps))
    assert set(small.steps) == needed
    assert small.applications == 2


def test_a_scenario_without_some_of_its_steps_is_a_scenario() -> None:
    scenario = Scenario.draw("storm", 5)
    result = Player(scenario.without(set(range(0, len(scenario.steps), 2)))).play()
    assert "stuck" not in result.kinds
