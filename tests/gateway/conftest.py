"""Fixtures for tests of whole applications."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.gateway.stage import TRANSPORTS, Stage
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


@pytest.fixture(params=TRANSPORTS)
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """A node that is up, on each transport in turn."""
    made = Stage(request.param)
    try:
        await made.open()
        yield made
    finally:
        await made.close()
