"""Scenarios drawn from seeds: what was found stays mended, new ones show nothing, one seed is one history."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation.kinds import KINDS, OPEN, kinds
from tests.simulation.ledger import Finding, Ledger, Sent
from tests.simulation.player import Player, play
from tests.simulation.scenario import PROFILES, Scenario
from tests.simulation.shortcuts import shortcuts
from tests.simulation.shrinking import shrunk

ROOT = Path(__file__).resolve().parents[2]
LINES = (Path(__file__).parent / "corpus.txt").read_text().splitlines()
CORPUS: dict[tuple[str, int], set[str]] = {}
"""Seeds that once showed something, and what: they are played first, and whole."""
for profile, seed, kind in map(str.split, LINES):
    CORPUS.setdefault((profile, int(seed)), set()).add(kind)
SEEDS, OF_LARGE_ONES, FEWEST = 12, 9, 3
"""Of each profile in the default suite, 300 in all: those of the corpus, and as many others, shortened. Fewer
of those with many nodes, a moderator with a journal or tokens that run out, which take twice the time, and
fewest of those with many nodes and a moderator."""
MANY = 20_000
"""Of each profile in the long form; those that `python -m tests.simulation all 0 20000 --into` plays."""


def silent(profile: str, seed: int, *, strict: bool = False, short: bool = False) -> set[str]:
    """Nothing shows but what is not mended, which is returned."""
    result = play(profile, seed, strict=strict, short=short)
    found = kinds(result.findings, profile)
    passed_over = frozenset() if profile == "perfect" else OPEN
    assert found <= passed_over, f"{profile} {seed} shows {found}: {result.findings}\n{result.story}"
    return found


@pytest.fixture
def _shortcuts() -> Iterator[None]:
    with shortcuts():
        yield


def others(profile: str) -> list[int]:
    """The first seeds that are not of the corpus: the more of them, the fewer are there; never none."""
    known = {seed for of, seed in CORPUS if of == profile}
    chosen = PROFILES[profile]
    large = chosen.nodes > 1 or chosen.moderated or chosen.lifetime
    wanted = FEWEST if chosen.led else OF_LARGE_ONES if large else SEEDS
    new = (seed for seed in itertools.count() if seed not in known)
    return list(itertools.islice(new, max(FEWEST, wanted - len(known))))


def test_there_are_300_of_them() -> None:
    assert len(CORPUS) + sum(len(others(profile)) for profile in PROFILES) >= 300


@pytest.mark.usefixtures("_shortcuts")
@pytest.mark.parametrize(("profile", "seed"), CORPUS, ids=lambda each: str(each))
def test_what_was_found_stays_mended(profile: str, seed: int) -> None:
    found = silent(profile, seed)
    if unmended := found & OPEN & CORPUS[profile, seed]:
        pytest.xfail(f"{', '.join(KINDS.get(kind, kind) for kind in sorted(unmended))}: this is not mended")


@pytest.mark.usefixtures("_shortcuts")
@pytest.mark.parametrize("profile", PROFILES)
def test_seeds_show_nothing(profile: str) -> None:
    for number, seed in enumerate(others(profile)):
        silent(profile, seed, strict=not number, short=True)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seeds", [range(start, start + 200) for start in range(0, 2000, 200)], ids=str)
def test_a_perfect_network_shows_nothing_for_long(seeds: range) -> None:
    for seed in seeds:
        assert not play("perfect", seed).findings, seed


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("profile", PROFILES)
def test_many_seeds_show_nothing(profile: str) -> None:
    """The same sweep by hand is kept in a folder, and goes on where it stopped."""
    for seed in range(MANY):
        silent(profile, seed)


# One seed is one history


def digests(hash_seed: str, last: int, profiles: str = "all") -> list[str]:
    """What the histories of `profiles` come to in a process of its own."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.simulation", profiles, "0", str(last), "--digests"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT, timeout=3600)
    return done.stdout.splitlines()


def test_one_seed_is_one_history_in_every_process() -> None:
    profiles = ("storm", "parting", "busy", "reconnect", "crowd", "backbone", "moderated", "led", "expiring")
    here = [f"{profile} 0 {play(profile, 0).digest}" for profile in profiles]
    assert here == digests("1", 1, ",".join(profiles))
    assert len({line.split()[2] for line in here}) == len(here)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_thousand_seeds_are_the_same_histories_in_two_processes() -> None:
    last = -(-1000 // len(PROFILES))
    one, two = digests("1", last), digests("2", last)
    assert len(one) >= 1000
    assert one == two


# The machinery itself


def test_messages_out_of_order_are_found() -> None:
    ledger = Ledger()
    ledger.part(1, 0).sent.append(Sent(1, 5.0, frozenset({1}), acknowledged=6.0))
    ledger.part(1, 1).heard += [(0, 2, 5.0), (0, 1, 6.0)]
    ledger.check()
    assert ledger.findings == [Finding("order", "session 1: 1 heard 1 of 0 behind 2 at 6.000")]


def test_who_speaks_after_leaving_is_found_and_who_came_back_is_not() -> None:
    ledger = Ledger()
    ledger.leaving(1, 0, 2.0)
    ledger.left(1, 0, 3.0)
    ledger.asked_back(1, 0, 8.0)
    ledger.part(1, 0).sent += [Sent(1, 2.5, frozenset({1})), Sent(2, 5.0, frozenset({1}))]
    ledger.part(1, 0).sent.append(Sent(3, 9.0, frozenset({1})))
    ledger.part(1, 1).heard += [(0, 1, 6.0), (0, 2, 6.0), (0, 3, 10.0)]
    ledger.check()
    assert [finding.kind for finding in ledger.findings] == ["stranger"]
    assert "heard 2 of 0, who was out" in ledger.findings[0].text


@pytest.mark.parametrize("over_at", [(4.5,), (2.0, 4.5), (3.5,), (2.0, 3.5)], ids=str)
def test_who_leaves_while_it_is_invited_may_be_in_again(over_at: tuple[float, ...]) -> None:
    """All invitations began before it left, at 3.0 to 4.0; the last one ended later than it began to."""
    ledger = Ledger()
    for _ in over_at:
        ledger.asked_back(1, 0, 1.0)
    happens = [(3.0, ledger.leaving), (4.0, ledger.left), *((at, ledger.answered) for at in over_at)]
    for at, verb in sorted(happens, key=lambda each: each[0]):
        verb(1, 0, at)
    ledger.part(1, 0).sent.append(Sent(1, 5.0, frozenset({1})))
    ledger.part(1, 1).heard.append((0, 1, 6.0))
    ledger.check()
    assert ledger.findings == []


def test_what_is_acknowledged_and_not_had_is_found_unless_its_sender_heard_at_once_who_had_left() -> None:
    ledger, everybody = Ledger(), frozenset({1, 2})
    for number in everybody:
        ledger.part(1, number).joined = 0.0
    ledger.part(1, 0).sent.append(Sent(1, 5.0, everybody, out=frozenset({1}), acknowledged=6.0))
    ledger.check()
    (finding,) = ledger.findings
    assert (finding.kind, finding.text.split(",")[0]) == ("lost", "session 1: 2 never heard 1 of 0")


def test_what_waited_behind_a_hole_goes_with_a_killed_process_and_nothing_else() -> None:
    ledger, everybody = Ledger(), frozenset({1})
    listener = ledger.part(1, 1)
    listener.joined, listener.over, listener.killed = 0.0, 9.0, True
    listener.heard.append((0, 1, 5.0))
    ledger.part(1, 0).sent += [
        Sent(1, 4.0, everybody, acknowledged=5.0),
        Sent(2, 4.0, everybody, acknowledged=5.0),
        Sent(3, 4.0, everybody, failed="nobody acknowledged it"),
        Sent(4, 4.0, everybody, acknowledged=5.0),
    ]
    ledger.check()
    assert [finding.text for finding in ledger.findings] == [
        "session 1: 1 never heard 2 of 0, acknowledged at 5.000"
    ]


def test_a_finding_belongs_to_a_kind() -> None:
    ghost = [
        Finding("left", "session 7: its members disagree: ..."),
        Finding("left", "session 7: org/cast/app0/1 does not know org/cast/app1/2, who is in it"),
        Finding("left", "session 7: org/cast/app1/2 lists org/cast/app2/3, who is not in it"),
    ]
    assert kinds(ghost, "doze") == {"a"}
    deaf = Finding("deaf", "a probe of 1 in session 7 failed: MessageUndelivered")
    assert kinds([*ghost, deaf], "doze") == {"a"}
    assert kinds([deaf], "doze") == {"b"}
    assert kinds(ghost[:1], "doze") == {"b"}
    assert kinds(ghost[::2], "doze") == {"f"}
    assert kinds(ghost, "reconnect") == {"h"}
    assert kinds([Finding("stuck", "time stands still at 3.0")], "loss") == {"k"}
    assert kinds([Finding("twice", "...")], "loss") == {"twice"}


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


def test_a_shortened_scenario_keeps_its_faults() -> None:
    whole = Scenario.draw("storm", 5)
    short = whole.shortened()
    faults = [step for step in whole.steps if step.verb in whole.profile.faults]
    assert faults
    assert [step for step in short.steps if step.verb in whole.profile.faults] == faults
    assert len(short.steps) < len(whole.steps)
    assert short.steps[0] == whole.steps[0]
