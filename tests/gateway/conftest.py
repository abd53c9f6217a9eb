"""Fixtures for tests of whole applications."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.gateway.worlds import World


@pytest.fixture(params=["in one process", "server"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    made = World(request.param)
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def process() -> AsyncIterator[World]:
    """A world in one data plane."""
    made = World("in one process")
    await made.start()
    yield made
    await made.close()
