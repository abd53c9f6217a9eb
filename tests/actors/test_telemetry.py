"""The registry of counters: sums, names, and that what is gone stays counted."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator

import pytest

import actors
import gateway
from actors.telemetry import Counts, Registry, counter


class DoorCounts(Counts, part="door"):
    opened: int = counter("How often a door was opened.")
    slammed: int = counter("How often with a bang.")


@pytest.fixture
def registry() -> Registry:
    return Registry()


def test_owners_are_summed_and_those_that_are_gone_stay_in_the_sum(registry: Registry) -> None:
    front, back = registry.register(DoorCounts()), registry.register(DoorCounts())
    front.opened += 2
    back.opened += 3
    registry.close(back)
    registry.close(back)
    front.opened += 1
    assert registry.figures() == {"callboard_door_opened_total": 6, "callboard_door_slammed_total": 0}
    assert front.figures() == {"opened": 3, "slammed": 0}


def test_closing_keeps_no_owner(registry: Registry) -> None:
    for _ in range(1000):
        counts = registry.register(DoorCounts())
        counts.slammed += 1
        registry.close(counts)
    assert registry.figures()["callboard_door_slammed_total"] == 1000
    assert sum(map(len, registry._owned.values())) == 0


def test_those_without_numbers_of_their_own_share_one_object(registry: Registry) -> None:
    assert registry.shared(DoorCounts) is registry.shared(DoorCounts)
    registry.shared(DoorCounts).opened += 1
    registry.register(DoorCounts()).opened += 1
    assert registry.figures()["callboard_door_opened_total"] == 2


def test_what_somebody_knows_already_is_read_when_it_is_looked_at(registry: Registry) -> None:
    rules = {"max_streams": 1}
    numbers = [7]
    registry.read("house_rooms", "Rooms.", lambda: numbers[0])
    registry.read_by("rule", "house_refusals_total", "Refusals.", lambda: rules)
    numbers[0] = 8
    rules["alpn"] = 2
    assert registry.figures() == {
        "callboard_house_rooms": 8,
        'callboard_house_refusals_total{rule="max_streams"}': 1,
        'callboard_house_refusals_total{rule="alpn"}': 2,
    }
    assert [sample.grows for sample in registry.samples()] == [False, True, True]


def kinds() -> Iterator[type[Counts]]:
    """Every class of counters in the tree."""
    for package in (actors, gateway):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith(("__main__", "open_telemetry")):
                importlib.import_module(module.name)
    yield from (kind for kind in Counts.__subclasses__() if kind is not DoorCounts)


def test_names_follow_prometheus_each_once_with_a_help_text() -> None:
    helps = {kind: kind.helps.items() for kind in kinds()}
    names = [(f"{kind.part}_{name}", help) for kind, found in helps.items() for name, help in found]
    assert len(names) >= 30
    assert len({name for name, _ in names}) == len(names)
    for name, help in names:
        assert re.fullmatch("[a-z][a-z0-9_]*", name)
        assert not name.endswith("_total")
        assert re.fullmatch("[A-Zg].*[.]", help)
