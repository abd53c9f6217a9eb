"""Here `world` is the plugin's own."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from gateway.testing.plugin import world
from tests.simulation.sweeping import collect_between

__all__ = ["world"]


@pytest.fixture(autouse=True, scope="module")
def _circles_are_looked_for_between_tests() -> Iterator[None]:
    collect_between()
    yield
    gc.enable()


@pytest.fixture(autouse=True)
def _circles_are_looked_for() -> Iterator[None]:
    yield
    gc.collect()
