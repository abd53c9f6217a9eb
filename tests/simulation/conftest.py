"""Here `world` is the plugin's own."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from gateway.testing.plugin import world
from tests.simulation.sweeping import collect_seldom

__all__ = ["world"]


@pytest.fixture(autouse=True, scope="module")
def _circles_are_looked_for_seldom() -> Iterator[None]:
    before = gc.get_threshold()
    collect_seldom()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)
