"""Fixtures for tests of whole applications."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.gateway.app_stage import AppStage
from tests.gateway.stage import TRANSPORTS, NodeStage


@pytest.fixture(params=["in one process", "server"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[AppStage]:
    made = AppStage(request.param)
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def process() -> AsyncIterator[AppStage]:
    """A stage in one data plane."""
    made = AppStage("in one process")
    await made.start()
    yield made
    await made.close()


@pytest.fixture(params=TRANSPORTS)
async def node_stage(request: pytest.FixtureRequest) -> AsyncIterator[NodeStage]:
    """A node that is up, on each transport in turn."""
    made = NodeStage(request.param)
    try:
        await made.open()
        yield made
    finally:
        await made.close()
